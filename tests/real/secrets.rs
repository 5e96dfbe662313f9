//! What is left behind by a sign-in.

use std::{
    fs,
    path::{Path, PathBuf},
};

use base64::{
    Engine,
    engine::general_purpose::{STANDARD_NO_PAD, URL_SAFE_NO_PAD},
};

use crate::support::*;

#[test]
fn neither_password_nor_token_is_left_in_store_backup_or_log() {
    let servers = Servers::start("");
    // The most that can be logged.
    let bearward =
        Bearward::start_with(&servers.folder, Login::Sealed, &Backend::encrypted(&servers), "trace");
    let ca = servers.folder.ca();
    let ports =
        [bearward.target.imaps, bearward.target.pop3s, bearward.target.smtps].map(|port| port.to_string());
    let token = bearward.token(ALICE);
    let mut arguments = vec![ca.to_str().unwrap()];
    arguments.extend(ports.iter().map(String::as_str));
    arguments.extend([ALICE, &token]);
    python(&servers.folder, "sign_in_everywhere.py", &arguments).ok();

    let backup = servers.folder.path().join("backup.db");
    bearward.command(&["store", "backup", backup.to_str().unwrap()], "");
    let mut files = vec![backup];
    collect(&bearward.data, &mut files);
    let told: String = ["explain", "token inspect", "grant list", "session list", "config show"]
        .iter()
        .map(|command| {
            let mut words: Vec<_> = command.split(' ').collect();
            match *command {
                "explain" => words.extend(["--token", &token]),
                "token inspect" => words.push(&token),
                _ => {}
            }
            bearward.command(&words, "")
        })
        .collect();
    let places: Vec<(String, Vec<u8>)> = files
        .into_iter()
        .map(|file| (file.display().to_string(), fs::read(&file).unwrap_or_default()))
        .chain([
            ("the log".to_owned(), bearward.log().into_bytes()),
            ("what commands print".to_owned(), told.into_bytes()),
        ])
        .collect();
    assert!(
        places.iter().any(|(_, octets)| octets.starts_with(b"SQLite format 3")),
        "the store was not found"
    );

    // The search finds what is there: the user's name is no secret.
    assert!(places.iter().any(|(_, octets)| contains(octets, ALICE.as_bytes())));
    let strings = [
        ("the password", ALICE_PASSWORD.to_owned()),
        ("the token", token.clone()),
        ("PLAIN", format!("\0{ALICE}\0{ALICE_PASSWORD}")),
        ("XOAUTH2", format!("user={ALICE}\u{1}auth=Bearer {token}\u{1}\u{1}")),
        (
            "OAUTHBEARER",
            format!("n,a={ALICE},\u{1}host=localhost\u{1}port=1\u{1}auth=Bearer {token}\u{1}\u{1}"),
        ),
    ];
    for (name, secret) in &strings {
        for form in forms(secret.as_bytes()) {
            for (place, octets) in &places {
                assert!(
                    !contains(octets, &form),
                    "{name} is in {place} as {}",
                    String::from_utf8_lossy(&form)
                );
            }
        }
    }
}

fn collect(folder: &Path, files: &mut Vec<PathBuf>) {
    for entry in fs::read_dir(folder).unwrap().flatten() {
        if entry.file_type().unwrap().is_dir() {
            collect(&entry.path(), files);
        } else if entry.file_type().unwrap().is_file() {
            files.push(entry.path());
        }
    }
}

/// As it is, in hexadecimal, reversed, and in base64 at each of the three places that it may have in a longer text.
fn forms(secret: &[u8]) -> Vec<Vec<u8>> {
    let hex: String = secret.iter().map(|octet| format!("{octet:02x}")).collect();
    let reversed: Vec<u8> = secret.iter().rev().copied().collect();
    let mut forms = vec![secret.to_vec(), hex.to_uppercase().into_bytes(), hex.into_bytes(), reversed];
    for shift in 0..3 {
        let shifted = [&b"xxx"[..shift], secret].concat();
        for engine in [&STANDARD_NO_PAD, &URL_SAFE_NO_PAD] {
            let encoded = engine.encode(&shifted).into_bytes();
            // The first characters also hold what stands before, the last what stands behind.
            let start = if shift == 0 { 0 } else { 4 };
            forms.push(encoded[start..encoded.len() - 2].to_vec());
        }
    }
    forms
}

fn contains(octets: &[u8], part: &[u8]) -> bool {
    memchr::memmem::find(octets, part).is_some()
}

#[test]
fn the_search_for_secrets_finds_them_in_every_form() {
    for text in [
        "a Vq7-secret b".to_owned(),
        "5671372d736563726574".to_owned(),
        "5671372D736563726574".to_owned(),
        format!("x{}", STANDARD_NO_PAD.encode("1Vq7-secret and more")),
        STANDARD_NO_PAD.encode("12Vq7-secret and more"),
        URL_SAFE_NO_PAD.encode("123Vq7-secret"),
    ] {
        assert!(forms(b"Vq7-secret").iter().any(|form| contains(text.as_bytes(), form)), "{text}");
    }
}
