//! Mail clients as their users run them, each with a time limit and a home of its own.

use std::{
    fs,
    path::Path,
    process::{Command, Stdio},
};

use super::Folder;

/// Seconds that one client may take.
const LIMIT: &str = "60";

/// Where Bearward listens.
pub(crate) struct Target {
    pub(crate) imaps: u16,
    pub(crate) imap: u16,
    pub(crate) pop3s: u16,
    pub(crate) smtps: u16,
    pub(crate) smtp: u16,
    pub(crate) sieve: u16,
    pub(crate) https: u16,
}

/// How a client ended, and all that it said.
#[derive(Debug)]
pub(crate) struct Outcome {
    pub(crate) code: Option<i32>,
    pub(crate) output: Vec<u8>,
    pub(crate) errors: String,
}

impl Outcome {
    /// What it printed, when it went well.
    #[track_caller]
    pub(crate) fn ok(self) -> Vec<u8> {
        assert!(
            self.code == Some(0),
            "code {:?}: {}\n{}",
            self.code,
            self.errors,
            String::from_utf8_lossy(&self.output)
        );
        self.output
    }

    /// What it printed as text, when it went well.
    #[track_caller]
    pub(crate) fn ok_text(self) -> String {
        String::from_utf8_lossy(&self.ok()).into_owned()
    }

    /// What it said in all, when it did not go well.
    #[track_caller]
    pub(crate) fn refused(self) -> String {
        let said = format!("{}\n{}", self.errors, String::from_utf8_lossy(&self.output));
        assert!(!matches!(self.code, Some(0) | Some(124) | None), "code {:?}: {said}", self.code);
        said
    }
}

/// Runs a client to its end; `input` is its standard input.
pub(crate) fn run(folder: &Folder, program: &str, arguments: &[&str], input: Option<&Path>) -> Outcome {
    run_within(LIMIT, folder, program, arguments, input)
}

fn run_within(
    limit: &str,
    folder: &Folder,
    program: &str,
    arguments: &[&str],
    input: Option<&Path>,
) -> Outcome {
    let home = folder.sub("home");
    let input = input.map_or_else(Stdio::null, |path| fs::File::open(path).unwrap().into());
    let output = Command::new("timeout")
        .args(["-k", "2", limit, program])
        .args(arguments)
        .current_dir(&home)
        .env("HOME", &home)
        .env("TERM", "xterm")
        .env("SSL_CERT_FILE", folder.ca())
        .env_remove("SSL_CERT_DIR")
        .stdin(input)
        .output()
        .unwrap();
    Outcome {
        code: output.status.code(),
        output: output.stdout,
        errors: String::from_utf8_lossy(&output.stderr).into_owned(),
    }
}

/// Runs one of the scripts beside the tests.
pub(crate) fn python(folder: &Folder, script: &str, arguments: &[&str]) -> Outcome {
    python_within(LIMIT, folder, script, arguments)
}

/// The same, for at most `limit` seconds.
pub(crate) fn python_within(limit: &str, folder: &Folder, script: &str, arguments: &[&str]) -> Outcome {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/real/python").join(script);
    let arguments: Vec<_> = [path.to_str().unwrap()].into_iter().chain(arguments.iter().copied()).collect();
    run_within(limit, folder, "python3", &arguments, None)
}
