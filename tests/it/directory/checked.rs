use std::{fs, os::unix::net::UnixListener, process::Command};

use sqlx::{Connection, SqliteConnection};

use crate::support::{BASE, BIND_DN, BIND_PASSWORD, Slapd};

#[tokio::test]
async fn the_command_check_tries_each_source() {
    let slapd = Slapd::start(&[&[("uid", b"alice@example.org")]]);
    let folder = tempfile::tempdir().unwrap();
    let users = folder.path().join("users.db");
    let mut made =
        SqliteConnection::connect(&format!("sqlite://{}?mode=rwc", users.display())).await.unwrap();
    sqlx::raw_sql("CREATE TABLE users (login TEXT, password TEXT)").execute(&mut made).await.unwrap();
    made.close().await.unwrap();
    // Nobody serves it: the kernel takes the connection, and nothing comes.
    let _silent = UnixListener::bind(folder.path().join("auth")).unwrap();
    let text = format!(
        "hostname = \"mail.example.org\"\ndata_dir = \"data\"\n[backend.main]\nimap = [\"imaps://127.0.0.1:1\"]\n\
         login = \"trusted\"\n\
         [directory]\nsource = [\"sql\", \"ldap\", \"dovecot-auth\", \"saslauthd\"]\n\
         [directory.sql]\nurl = \"sqlite:users.db\"\nquery = \"SELECT password FROM users WHERE login = $1\"\n\
         domains = [\"example.org\"]\n\
         [directory.ldap]\nurl = \"ldaps://localhost:{}\"\nca = \"{}\"\nbind_dn = \"{BIND_DN}\"\n\
         bind_password = \"{BIND_PASSWORD}\"\nbase = \"{BASE}\"\nfilter = \"(uid={{user}})\"\n\
         domains = [\"example.org\"]\n\
         [directory.dovecot_auth]\npath = \"auth\"\ntimeout = \"200ms\"\ndomains = [\"example.org\"]\n\
         [directory.saslauthd]\npath = \"mux\"\ndomains = [\"example.org\"]\n",
        slapd.port_tls,
        slapd.ca().display(),
    );
    fs::write(folder.path().join("bearward.toml"), text).unwrap();
    let output = Command::new(env!("CARGO_BIN_EXE_bearward"))
        .args(["-c", "bearward.toml", "check", "--json"])
        .current_dir(folder.path())
        .output()
        .unwrap();
    let said: serde_json::Value = serde_json::from_slice(&output.stdout).unwrap();
    let lines = said.as_array().or_else(|| said["checks"].as_array()).unwrap_or_else(|| panic!("{said}"));
    let line = |what: &str| {
        let line = lines.iter().find(|line| line["what"] == what).unwrap_or_else(|| panic!("{what}: {said}"));
        (line["ok"].as_bool().unwrap(), line["detail"].as_str().unwrap().to_owned())
    };
    for what in ["directory sql", "directory ldap"] {
        let (ok, detail) = line(what);
        assert!(ok && detail.contains("does not know"), "{what}: {detail}");
    }
    let (ok, detail) = line("directory dovecot-auth");
    assert!(!ok && detail.contains("no answer within"), "{detail}");
    let (ok, detail) = line("directory saslauthd");
    assert!(!ok && detail.contains("mux"), "{detail}");
    assert!(!String::from_utf8_lossy(&output.stdout).contains(BIND_PASSWORD));
}
