//! `[passwords]`: what may stand there, and what it comes to.

use std::{net::IpAddr, path::Path};

use bearward::{
    config::{self, ConfigError, Loaded},
    model::Login,
    session::PasswordMode,
};

const MINIMAL: &str = "hostname = \"mail.example.org\"\n[backend.main]\nimap = [\"imaps://10.0.0.5\"]\n";

fn read(more: &str) -> Result<Loaded, ConfigError> {
    config::parse(&format!("{MINIMAL}{more}"), Path::new("bearward.toml"), [])
}

#[test]
fn the_first_override_that_fits_decides_and_app_is_the_default() {
    assert_eq!(read("").unwrap().config.session.passwords.mode, PasswordMode::App);
    let config = read(
        "[passwords]\nmode = \"off\"\n[[passwords.override]]\nnetwork = [\"10.0.3.0/24\"]\n\
         listener = [\"[::]:993\"]\nuser = [\"scanner@Example.org\"]\nmode = \"backend\"\n\
         [[passwords.override]]\ndomain = [\"Example.ORG\"]\nmode = \"app\"\n",
    )
    .unwrap()
    .config;
    let mode = |client: &str, listener: &str, user: &str| {
        let (client, user): (IpAddr, _) = (client.parse().unwrap(), Login::parse(user).unwrap());
        config.session.passwords.mode(client, listener.parse().unwrap(), &user)
    };
    assert_eq!(mode("10.0.3.9", "[::]:993", "scanner@example.org"), PasswordMode::Backend);
    assert_eq!(mode("10.0.3.9", "[::]:143", "scanner@example.org"), PasswordMode::App);
    assert_eq!(mode("10.0.3.9", "[::]:993", "alice@example.net"), PasswordMode::Off);
}

#[test]
fn what_would_never_or_always_hold_is_refused_with_its_key() {
    let one = |lines: &str| format!("[[passwords.override]]\n{lines}mode = \"off\"\n");
    for (more, key) in [
        (one(""), "passwords.override[0]"),
        (one("network = [\"10.0.0.1/8\"]\n"), "passwords.override[0].network[0]"),
        (one("listener = [\"[::]:994\"]\n"), "passwords.override[0].listener[0]"),
        (one("user = [\"a b\"]\n"), "passwords.override[0].user[0]"),
        ("[passwords]\nmode = \"all\"\n".to_owned(), "passwords.mode"),
        (
            "[passwords]\nmode = \"off\"\n[[listener]]\nprotocol = \"imap\"\nbind = \"[::]:993\"\n\
             mechanisms = [\"PLAIN\"]\n"
                .to_owned(),
            "listener[0].mechanisms",
        ),
    ] {
        let error = read(&more).expect_err(&more);
        assert_eq!(error.key.as_deref(), Some(key), "{more}: {error}");
    }
}
