//! Mail servers that `tests/run` has unpacked beside the installed ones.
//!
//! What is needed of one is copied into the test's folder, where any user can read it; the clone may lie where only
//! its owner can.

use std::{
    collections::BTreeSet,
    env, fs,
    path::{Path, PathBuf},
    process::Command,
};

/// What `tests/run` has unpacked under one name.
pub(crate) struct Unpacked {
    root: PathBuf,
}

impl Unpacked {
    /// # Panics
    /// When `tests/run` did not unpack it.
    pub(crate) fn find(name: &str) -> Self {
        let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/real/unpacked").join(name);
        assert!(root.join("unpacked.txt").exists(), "{name} is not unpacked here: run ./tests/run");
        Self { root }
    }

    /// Copies programs and modules to `folder`, and every library that they load to `libraries`. The loader of
    /// a program goes to its own path below `chroot`, where there is one.
    pub(super) fn copy(&self, files: &[&str], folder: &Path, libraries: &Path, chroot: Option<&Path>) {
        fs::create_dir_all(folder).unwrap();
        fs::create_dir_all(libraries).unwrap();
        let mut needed = BTreeSet::new();
        for file in files {
            let from = self.path(file);
            let to = folder.join(from.file_name().unwrap());
            fs::copy(&from, to).unwrap_or_else(|error| panic!("{}: {error}", from.display()));
            needed.extend(self.libraries_of(&from));
        }
        for library in needed {
            let name = library.file_name().unwrap();
            let is_loader = name.to_string_lossy().starts_with("ld-linux");
            let to = match chroot {
                Some(root) if is_loader => root.join(library.strip_prefix("/").unwrap()),
                None if !library.starts_with(&self.root) => continue,
                Some(_) | None => libraries.join(name),
            };
            fs::create_dir_all(to.parent().unwrap()).unwrap();
            fs::copy(&library, to).unwrap();
        }
    }

    /// A file in it.
    pub(super) fn path(&self, file: &str) -> PathBuf {
        self.root.join(file)
    }

    /// Where its SASL plug-ins are, and their names.
    pub(super) fn sasl_plugins(&self) -> PathBuf {
        self.root.join("usr/lib").join(triplet()).join("sasl2")
    }

    /// A program of it that runs where it lies.
    pub(crate) fn command(&self, program: &str) -> Command {
        let mut command = Command::new(self.path(program));
        command.env("LD_LIBRARY_PATH", self.search_path());
        command
    }

    /// The libraries that `file` loads, and the loader, as the dynamic loader finds them.
    fn libraries_of(&self, file: &Path) -> Vec<PathBuf> {
        let output =
            Command::new("ldd").arg(file).env("LD_LIBRARY_PATH", self.search_path()).output().unwrap();
        let text = String::from_utf8(output.stdout).unwrap();
        assert!(!text.contains("not found"), "{}: run ./tests/run again:\n{text}", file.display());
        text.split_whitespace().filter(|word| word.starts_with('/')).map(PathBuf::from).collect()
    }

    fn search_path(&self) -> String {
        let triplet = triplet();
        [format!("usr/lib/{triplet}"), format!("lib/{triplet}"), "usr/lib".to_owned()]
            .map(|folder| self.path(&folder).display().to_string())
            .join(":")
    }
}

/// Debian's name of this machine's kind.
fn triplet() -> String {
    format!("{}-linux-gnu", env::consts::ARCH)
}
