//! The octets of each login.

use super::{AUTHZID, MASTER, PASSWORD, PROTOCOLS, accepted, needs_operator, scene};
use crate::support::{ALICE, Act, Serve, base64, login_taken, send, taking, until};

/// The octets of a SASL PLAIN login in one line.
fn plain(protocol: &str, authzid: &str, authcid: &str, password: &str) -> String {
    let command = if protocol == "imap" { "L AUTHENTICATE PLAIN" } else { "AUTH PLAIN" };
    format!("{command} {}\r\n", base64(format!("{authzid}\0{authcid}\0{password}")))
}

/// Everything that goes up for a login by PLAIN with `NOOP` pipelined behind it.
fn dialogue(protocol: &str, login: &str) -> String {
    match protocol {
        "imap" => format!("{login}NOOP\r\n"),
        "pop3" => format!("CAPA\r\n{login}NOOP\r\n"),
        _ => format!("EHLO localhost\r\n{login}EHLO client.example.org\r\nNOOP\r\n"),
    }
}

fn signs_in(serve: &Serve, protocol: &str, token: &str) {
    let mut client = serve.sign_in(protocol, token, "NOOP\r\n");
    let line = client.until(accepted(protocol));
    assert!(!line.is_empty());
}

#[test]
fn each_strategy_sends_exactly_its_login_and_then_what_was_pipelined() {
    for protocol in PROTOCOLS {
        for (strategy, login) in [
            ("login = \"sealed\"\n", plain(protocol, "", ALICE, PASSWORD)),
            (MASTER, plain(protocol, "", &format!("{ALICE}*proxy"), PASSWORD)),
            (AUTHZID, plain(protocol, ALICE, "proxy", PASSWORD)),
        ] {
            let (upstream, serve) = scene(protocol, strategy, vec![Act::Close]);
            let token = match strategy {
                MASTER | AUTHZID => serve.token(ALICE),
                _ => serve.sealed_token(ALICE, PASSWORD),
            };
            upstream.play(taking(protocol, Vec::new()));
            signs_in(&serve, protocol, &token);
            assert_eq!(upstream.ended("NOOP\r\n").text(), dialogue(protocol, &login), "{strategy}");
        }
    }
}

#[test]
fn a_trusting_server_is_told_the_user_and_a_password_that_means_nothing() {
    for protocol in ["imap", "pop3"] {
        let (upstream, serve) = scene(protocol, "login = \"trusted\"\n", taking(protocol, Vec::new()));
        signs_in(&serve, protocol, &serve.token(ALICE));
        let login = plain(protocol, "", ALICE, "trusted");
        assert_eq!(upstream.ended("NOOP\r\n").text(), dialogue(protocol, &login));
    }
    let script = vec![send("220 hello\r\n"), until("EHLO "), until("\r\n"), send("250 hello\r\n")];
    let (upstream, serve) = scene("smtp", "login = \"trusted\"\n", script);
    signs_in(&serve, "smtp", &serve.token(ALICE));
    assert_eq!(upstream.ended("NOOP\r\n").text(), "EHLO localhost\r\nNOOP\r\n");
}

#[test]
fn no_octet_of_the_client_goes_up_when_the_login_fails() {
    for protocol in PROTOCOLS {
        let answer = if protocol == "imap" { "L NO no\r\n" } else { "-ERR no\r\n" };
        let answer = if protocol == "smtp" { "535 no\r\n" } else { answer };
        let (upstream, serve) = scene(protocol, MASTER, crate::support::answering(protocol, answer));
        let mut client = serve.sign_in(protocol, &serve.token(ALICE), "NOOP\r\n");
        client.expect(needs_operator(protocol));
        assert!(!upstream.ended("AUTH").text().contains("NOOP"));
    }
}

#[test]
fn a_template_makes_the_login_name() {
    let more = format!("login_name = \"{{domain}}\\\\{{local}}\"\n{MASTER}");
    let (upstream, serve) = scene("imap", &more, taking("imap", Vec::new()));
    signs_in(&serve, "imap", &serve.token(ALICE));
    upstream.got(&plain("imap", "", "example.org\\alice*proxy", PASSWORD));
}

#[test]
fn a_name_with_the_master_separator_reaches_no_server() {
    for protocol in PROTOCOLS {
        let (upstream, serve) = scene(protocol, MASTER, taking(protocol, Vec::new()));
        let user = "bob*x@example.org";
        let token = serve.token(user);
        let before = upstream.connections();
        let mut client = serve.connect(protocol);
        let command = if protocol == "imap" { "a AUTHENTICATE" } else { "AUTH" };
        client.say(&format!("{command} XOAUTH2 {}", crate::support::xoauth2(user, &token)));
        client.expect(if protocol == "smtp" { "334 " } else { "+ " });
        client.say("");
        client.line();
        assert_eq!(upstream.connections(), before, "{protocol}");
        serve.wait_for_log(&["policy", "master separator"]);
    }
}

/// A sealed sign-in at a server that offers what `script` says; what it got.
fn sealed(protocol: &str, password: &str, script: Vec<Act>) -> String {
    let (upstream, serve) = scene(protocol, "login = \"sealed\"\n", vec![Act::Close]);
    let token = serve.sealed_token(ALICE, password);
    upstream.play(script);
    let mut client = serve.sign_in(protocol, &token, "NOOP\r\n");
    client.until(accepted(protocol));
    let text = upstream.got("NOOP\r\n").text();
    assert!(!serve.log().contains(password));
    text
}

fn imap(capabilities: &str, steps: &[(&str, &str)]) -> Vec<Act> {
    let mut script = vec![send(&format!("* OK [CAPABILITY IMAP4rev1 {capabilities}] hello\r\n"))];
    for (awaited, answer) in steps {
        script.extend([until(awaited), send(answer)]);
    }
    script.extend([until("\r\n"), login_taken("imap").remove(0)]);
    script
}

#[test]
fn imap_logs_in_by_what_the_server_offers() {
    let (name, password) = (base64(ALICE), base64(PASSWORD));
    let response = base64(format!("\0{ALICE}\0{PASSWORD}"));
    assert_eq!(
        sealed("imap", PASSWORD, imap("AUTH=PLAIN", &[("L AUTHENTICATE PLAIN\r\n", "+ \r\n")])),
        format!("L AUTHENTICATE PLAIN\r\n{response}\r\nNOOP\r\n")
    );
    let steps =
        [("L AUTHENTICATE LOGIN\r\n", "+ VXNlcg==\r\n"), (name.as_str(), ""), ("\r\n", "+ UGFzcw==\r\n")];
    assert_eq!(
        sealed("imap", PASSWORD, imap("AUTH=LOGIN", &steps)),
        format!("L AUTHENTICATE LOGIN\r\n{name}\r\n{password}\r\nNOOP\r\n")
    );
}

#[test]
fn imap_login_quotes_what_can_be_quoted_and_sends_the_rest_as_literals() {
    assert_eq!(
        sealed("imap", "a \"b\\c", imap("", &[])),
        format!("L LOGIN \"{ALICE}\" \"a \\\"b\\\\c\"\r\nNOOP\r\n")
    );
    let odd = "pässword";
    assert_eq!(
        sealed("imap", odd, imap("", &[("{9}\r\n", "+ go\r\n")])),
        format!("L LOGIN \"{ALICE}\" {{9}}\r\n{odd}\r\nNOOP\r\n")
    );
    let mut at_once = imap("LITERAL+", &[]);
    at_once.insert(1, until("{9+}\r\n"));
    assert_eq!(sealed("imap", odd, at_once), format!("L LOGIN \"{ALICE}\" {{9+}}\r\n{odd}\r\nNOOP\r\n"));
}

#[test]
fn pop3_and_smtp_log_in_by_what_the_server_offers() {
    let (name, password) = (base64(ALICE), base64(PASSWORD));
    let user_and_pass = vec![
        send("+OK hello\r\n"),
        until("CAPA\r\n"),
        send("-ERR what\r\n"),
        until("USER "),
        until("\r\n"),
        send("+OK\r\n"),
        until("PASS "),
        until("\r\n"),
        send("+OK welcome\r\n"),
    ];
    assert_eq!(
        sealed("pop3", PASSWORD, user_and_pass),
        format!("CAPA\r\nUSER {ALICE}\r\nPASS {PASSWORD}\r\nNOOP\r\n")
    );
    let auth_login = [
        vec![
            send("220 hello\r\n"),
            until("EHLO "),
            until("\r\n"),
            send("250-hello\r\n250 AUTH LOGIN\r\n"),
            until("AUTH LOGIN\r\n"),
            send("334 VXNlcm5hbWU6\r\n"),
            until("\r\n"),
            send("334 UGFzc3dvcmQ6\r\n"),
            until("\r\n"),
        ],
        login_taken("smtp"),
    ];
    assert_eq!(
        sealed("smtp", PASSWORD, auth_login.concat()),
        format!(
            "EHLO localhost\r\nAUTH LOGIN\r\n{name}\r\n{password}\r\nEHLO client.example.org\r\nNOOP\r\n"
        )
    );
}
