//! Every way in which a program can send a password.

use std::time::{Duration, Instant};

use super::{MASTER, is_taken, list, make, make_with, offer, plain, sign_in, until_offered};
use crate::support::{ALICE, Act, Client, Cluster, Serve, Upstream, base64, taking, until, wait};

/// What the program sends, line by line; it reads one line before each but the first.
fn dialogues(protocol: &str, password: &str) -> Vec<Vec<String>> {
    let (whole, name, secret) = (plain(ALICE, password), base64(ALICE), base64(password));
    let (names, secrets) = (ALICE.len(), password.len());
    let owned = |lines: &[&str]| lines.iter().map(|line| (*line).to_owned()).collect::<Vec<_>>();
    match protocol {
        "imap" => vec![
            owned(&[&format!("a AUTHENTICATE PLAIN {whole}")]),
            owned(&["a AUTHENTICATE PLAIN", &whole]),
            owned(&["a authenticate login", &name, &secret]),
            owned(&[&format!("a LOGIN \"{ALICE}\" \"{password}\"")]),
            owned(&[&format!("a LOGIN {ALICE} {password}")]),
            owned(&[&format!("a LOGIN {{{names}}}"), &format!("{ALICE} {{{secrets}}}"), password]),
            owned(&[&format!("a LOGIN {{{names}+}}\r\n{ALICE} {{{secrets}+}}\r\n{password}")]),
        ],
        "pop3" => vec![
            owned(&[&format!("USER {ALICE}"), &format!("PASS {password}")]),
            owned(&[&format!("AUTH PLAIN {whole}")]),
            owned(&["AUTH PLAIN", &whole]),
            owned(&["AUTH LOGIN", &name, &secret]),
        ],
        "sieve" => vec![
            owned(&[&format!("AUTHENTICATE \"PLAIN\" \"{whole}\"")]),
            owned(&["AUTHENTICATE \"PLAIN\"", &format!("\"{whole}\"")]),
            owned(&[&format!("AUTHENTICATE \"PLAIN\" {{{}+}}\r\n{whole}", whole.len())]),
            owned(&["AUTHENTICATE \"LOGIN\"", &format!("\"{name}\""), &format!("\"{secret}\"")]),
        ],
        _ => vec![
            owned(&[&format!("AUTH PLAIN {whole}")]),
            owned(&["AUTH PLAIN", &whole]),
            owned(&["AUTH LOGIN", &name, &secret]),
            owned(&[&format!("AUTH LOGIN {name}"), &secret]),
        ],
    }
}

fn upstream_line(protocol: &str, port: u16) -> String {
    format!("{protocol} = [\"{protocol}://127.0.0.1:{port}\"]\n{MASTER}")
}

#[test]
fn every_mechanism_of_every_protocol_takes_an_app_password() {
    for protocol in ["imap", "pop3", "smtp", "sieve"] {
        let upstream = Upstream::start(taking(protocol, Vec::new()));
        let serve = Serve::start(&upstream_line(protocol, upstream.port()));
        let made = make(&serve, protocol, ALICE, &[]);
        let typed = [made.password.clone(), made.password.replace('-', "").to_uppercase()];
        for password in typed {
            for dialogue in dialogues(protocol, &password) {
                let mut client = serve.connect(protocol);
                for (number, line) in dialogue.iter().enumerate() {
                    if number > 0 {
                        client.line();
                    }
                    client.say(line);
                }
                let answer = client.line();
                assert!(is_taken(&answer), "{protocol} {dialogue:?}: {answer}");
            }
        }
        let line = serve.wait_for_log(&["app-password", ALICE, "mechanism=\"LOGIN\""]);
        assert!(line.contains("outcome=\"ok\"") && !line.contains(&made.password), "{line}");
        assert!(!serve.log().contains(&made.password));
        assert!(upstream.count(&base64(format!("\0{ALICE}*proxy\0upstream-secret"))) > 0);
        assert_eq!(upstream.count(&plain(ALICE, &made.password)), 0, "no mail server is shown it");
    }
}

#[test]
fn passwords_are_offered_from_the_first_app_password_to_the_last() {
    for protocol in ["imap", "pop3", "smtp", "sieve"] {
        let upstream = Upstream::start(vec![Act::Close]);
        let serve = Serve::start(&upstream_line(protocol, upstream.port()));
        let before = offer(&serve, protocol);
        assert!(before.contains("XOAUTH2"), "{before}");
        assert!(
            !before.contains("PLAIN") && !before.contains("LOGIN\n") && !before.contains("USER"),
            "{before}"
        );
        assert_eq!(before.contains("LOGINDISABLED"), protocol == "imap", "{before}");
        let (_, refused) = sign_in(&serve, protocol, ALICE, "abcd-efgh-jkmn-pqrs-tuvw");
        assert!(!is_taken(&refused), "{refused}");

        let made = make(&serve, protocol, ALICE, &[]);
        let offered = offer(&serve, protocol);
        match protocol {
            "imap" => {
                assert!(offered.contains(" AUTH=PLAIN AUTH=LOGIN"), "{offered}");
                assert!(!offered.contains("LOGINDISABLED"), "{offered}");
            }
            "pop3" => assert!(offered.contains("SASL OAUTHBEARER XOAUTH2 PLAIN LOGIN\nUSER\n"), "{offered}"),
            "sieve" => assert!(offered.contains("\"SASL\" \"OAUTHBEARER XOAUTH2 PLAIN LOGIN\""), "{offered}"),
            _ => assert!(offered.contains("AUTH OAUTHBEARER XOAUTH2 PLAIN LOGIN"), "{offered}"),
        }
        serve.succeed(&["app-password", "remove", &made.id], "");
        until_offered(&serve, protocol, false);
        assert_eq!(offer(&serve, protocol), before);
    }
}

#[test]
fn a_first_app_password_made_on_another_node_is_noticed_there_and_here() {
    let upstream = Upstream::start(taking("imap", vec![until("x NOOP")]));
    let cluster = Cluster::shared();
    let runtime = tokio::runtime::Runtime::new().expect("runtime");
    let url = cluster.url(&runtime.block_on(cluster.database("app_passwords_on_two_nodes")));
    let lines = format!("{}[store]\nurl = \"{url}\"\n", upstream_line("imap", upstream.port()));
    let one = Serve::start(&lines);
    let other = Serve::start_beside(&one, &lines);
    let made = make(&one, "imap", ALICE, &[]);
    until_offered(&other, "imap", true);
    let (mut session, answer) = sign_in(&other, "imap", ALICE, &made.password);
    assert!(is_taken(&answer), "{answer}");
    one.succeed(&["app-password", "remove", &made.id], "");
    let removed = Instant::now();
    assert!(session.rest().contains("* BYE"));
    assert!(removed.elapsed() < Duration::from_secs(1), "{:?}", removed.elapsed());
}

#[test]
fn an_app_password_opens_the_sealed_mailbox_password() {
    let upstream = Upstream::start(taking("imap", Vec::new()));
    let serve =
        Serve::start(&format!("imap = [\"imap://127.0.0.1:{}\"]\nlogin = \"sealed\"\n", upstream.port()));
    let arguments = ["app-password", "add", "--user", ALICE, "--name", "Phone"];
    let refused = serve.command(&arguments, "");
    assert_eq!(refused.status.code(), Some(1));
    assert!(String::from_utf8_lossy(&refused.stderr).contains("--password-stdin"), "{refused:?}");
    assert_eq!(list(&serve).len(), 0);

    let made = make_with(&serve, "imap", ALICE, &["--password-stdin"], "the mailbox's\n");
    let checked = upstream.count(&plain(ALICE, "the mailbox's"));
    let (_, answer) = sign_in(&serve, "imap", ALICE, &made.password);
    assert!(is_taken(&answer), "{answer}");
    assert_eq!(upstream.count(&plain(ALICE, "the mailbox's")), checked + 1);
}

#[test]
fn the_last_use_is_shown_and_explain_says_what_an_app_password_is_good_for() {
    let upstream = Upstream::start(taking("imap", Vec::new()));
    let serve = Serve::start(&upstream_line("imap", upstream.port()));
    let made = make(
        &serve,
        "imap",
        ALICE,
        &["--protocols", "imap,smtp", "--network", "127.0.0.0/8", "--expires", "90d"],
    );
    let before = list(&serve).remove(0);
    assert_eq!((&before["id"], &before["last_use"]), (&made.id.as_str().into(), &serde_json::Value::Null));
    assert_eq!(before["protocols"], serde_json::json!(["imap", "smtp"]));
    assert_eq!(before["networks"], serde_json::json!(["127.0.0.0/8"]));

    let mut client: Client = serve.connect("imap");
    client.say("i ID (\"name\" \"Mail\" \"version\" \"16\")");
    client.until("i OK");
    client.say(&format!("a LOGIN {ALICE} {}", made.password));
    client.until("a OK");
    let deadline = Instant::now() + Duration::from_secs(5);
    let last = loop {
        let last = list(&serve).remove(0)["last_use"].clone();
        if !last.is_null() {
            break last;
        }
        assert!(Instant::now() < deadline, "the last use is not shown");
        wait(Duration::from_millis(50));
    };
    assert_eq!((&last["protocol"], &last["address"]), (&"imap".into(), &"127.0.0.1".into()));
    assert_eq!(last["client"], "Mail 16");

    let sasl = plain(ALICE, &made.password);
    let explain = |more: &[&str]| -> serde_json::Value {
        let arguments = [&["explain", "--json", "--sasl", &sasl], more].concat();
        serde_json::from_str(&serve.succeed(&arguments, "")).expect("JSON")
    };
    let good = explain(&["--client-ip", "127.0.0.1"]);
    assert_eq!((&good["outcome"], &good["client_id"]), (&"ok".into(), &"app-password".into()), "{good}");
    assert_eq!(good["grant_id"], made.id.as_str());
    assert_eq!(explain(&["--client-ip", "192.0.2.1"])["outcome"], "policy");
    let narrow = explain(&["--client-ip", "127.0.0.1", "--protocol", "pop3"]);
    assert_eq!(narrow["outcome"], "insufficient_scope");
    assert!(!good.to_string().contains(&made.password));
}
