//! The strategies that prove something else than a password: the octets of each, and whose fault a refusal is.

use super::{PROTOCOLS, accepted, needs_operator, scene};
use crate::support::{ALICE, Act, base64, login_taken, send, until};

/// A server that offers `mechanisms` for SASL, up to the login.
fn offering(protocol: &str, mechanisms: &str) -> Vec<Act> {
    match protocol {
        "imap" => {
            let list: String = mechanisms.split(' ').map(|name| format!(" AUTH={name}")).collect();
            vec![
                send(&format!("* OK [CAPABILITY IMAP4rev1 SASL-IR{list}] hello\r\n")),
                until("L AUTHENTICATE "),
                until("\r\n"),
            ]
        }
        "pop3" => vec![
            send("+OK hello\r\n"),
            until("CAPA\r\n"),
            send(&format!("+OK\r\nSASL {mechanisms}\r\n.\r\n")),
            until("AUTH "),
            until("\r\n"),
        ],
        _ => vec![
            send("220 hello\r\n"),
            until("EHLO "),
            until("\r\n"),
            send(&format!("250-hello\r\n250 AUTH {mechanisms}\r\n")),
            until("AUTH "),
            until("\r\n"),
        ],
    }
}

fn no(protocol: &str) -> &'static str {
    match protocol {
        "imap" => "L NO [AUTHENTICATIONFAILED] no\r\n",
        "pop3" => "-ERR [AUTH] no\r\n",
        _ => "535 5.7.8 no\r\n",
    }
}

/// Everything that goes up for a login in one line with `NOOP` pipelined behind it.
fn dialogue(protocol: &str, login: &str) -> String {
    match protocol {
        "imap" => format!("L AUTHENTICATE {login}\r\nNOOP\r\n"),
        "pop3" => format!("CAPA\r\nAUTH {login}\r\nNOOP\r\n"),
        _ => format!("EHLO localhost\r\nAUTH {login}\r\nEHLO client.example.org\r\nNOOP\r\n"),
    }
}

#[test]
fn the_presented_token_is_sent_as_it_is_and_before_any_octet_of_the_client() {
    for protocol in PROTOCOLS {
        for mechanism in ["OAUTHBEARER", "XOAUTH2"] {
            let script = [offering(protocol, mechanism), login_taken(protocol)].concat();
            let (upstream, serve) = scene(protocol, "login = \"bearer\"\n", script);
            let token = serve.token(ALICE);
            serve.sign_in(protocol, &token, "NOOP\r\n").until(accepted(protocol));
            let response = if mechanism == "XOAUTH2" {
                base64(format!("user={ALICE}\x01auth=Bearer {token}\x01\x01"))
            } else {
                base64(format!("n,a={ALICE},\x01auth=Bearer {token}\x01\x01"))
            };
            let text = upstream.got("NOOP\r\n").text();
            // An access token may make the response longer than what a command may hold.
            let at_once = dialogue(protocol, &format!("{mechanism} {response}"));
            assert_eq!(text, at_once, "{protocol}");
            assert!(!serve.log().contains(&token));
        }
    }
}

#[test]
fn a_token_that_the_server_says_is_no_good_is_refused_to_the_client_too() {
    for protocol in PROTOCOLS {
        let challenge = base64(r#"{"status":"invalid_token"}"#);
        let more = if protocol == "smtp" { "334 " } else { "+ " };
        let script = [
            offering(protocol, "OAUTHBEARER"),
            vec![send(&format!("{more}{challenge}\r\n")), until("AQ==\r\n"), send(no(protocol))],
        ];
        let (upstream, serve) = scene(protocol, "login = \"bearer\"\n", script.concat());
        let mut client = serve.sign_in(protocol, &serve.token(ALICE), "");
        client.expect(more);
        assert!(upstream.got("AQ==").text().ends_with("AQ==\r\n"));
        serve.wait_for_log(&["takes no token that is good here"]);
        serve.wait_for_log(&["outcome=\"backend_refused\""]);
        // Without an error challenge nobody knows what is wrong with it.
        upstream.play(
            [
                offering(protocol, "OAUTHBEARER"),
                vec![send(
                    &no(protocol)
                        .replace("[AUTHENTICATIONFAILED] ", "")
                        .replace("[AUTH] ", "")
                        .replace("5.7.8 ", ""),
                )],
            ]
            .concat(),
        );
        serve.sign_in(protocol, &serve.token(ALICE), "").expect(needs_operator(protocol));
    }
}

#[test]
fn xclient_names_the_user_with_the_address_in_one_command_and_sends_no_auth() {
    let hello = |lines: &str| vec![until("EHLO "), until("\r\n"), send(lines)];
    let again = |lines: &str| {
        [
            vec![send("220 hello\r\n")],
            hello("250-hello\r\n250-AUTH PLAIN\r\n250 XCLIENT NAME ADDR PROTO HELO LOGIN PORT\r\n"),
            vec![until("XCLIENT "), until("\r\n"), send("220 again\r\n")],
            hello(lines),
        ]
        .concat()
    };
    let (upstream, serve) = scene("smtp", "login = \"xclient\"\n", again("250 hello\r\n"));
    serve.sign_in("smtp", &serve.token(ALICE), "NOOP\r\n").until("235 ");
    let text = upstream.got("NOOP\r\n").text();
    let lines: Vec<&str> = text.lines().collect();
    assert_eq!(lines.len(), 4, "{text}");
    let login = format!("XCLIENT ADDR=127.0.0.1 LOGIN={ALICE} PROTO=ESMTP PORT=");
    assert!(lines[1].starts_with(&login), "{text}");
    assert!(lines[1].ends_with("NAME=[UNAVAILABLE] HELO=client.example.org"), "{text}");
    // Still open to the client, without a login to give, silent about it, or saying no.
    let refused = [vec![send("220 hello\r\n")], hello("250-hello\r\n250 XCLIENT ADDR LOGIN\r\n")].concat();
    for script in [
        again("250-hello\r\n250 XCLIENT NAME\r\n"),
        [vec![send("220 hello\r\n")], hello("250-hello\r\n250 XCLIENT ADDR NAME\r\n")].concat(),
        [vec![send("220 hello\r\n")], hello("250-hello\r\n250 AUTH PLAIN\r\n")].concat(),
        [refused, vec![until("XCLIENT "), until("\r\n"), send("550 5.7.0 no\r\n")]].concat(),
    ] {
        let (upstream, serve) = scene("smtp", "login = \"xclient\"\n", script);
        serve.sign_in("smtp", &serve.token(ALICE), "NOOP\r\n").expect(needs_operator("smtp"));
        assert!(!upstream.ended("EHLO").text().contains("NOOP"));
    }
}

#[test]
fn a_user_without_a_kept_password_reaches_no_server() {
    for protocol in PROTOCOLS {
        let (upstream, serve) = scene(protocol, "login = \"secret\"\n", vec![Act::Close]);
        let token = serve.token(ALICE);
        let before = upstream.connections();
        let mut client = serve.sign_in(protocol, &token, "");
        client.expect(needs_operator(protocol));
        serve.wait_for_log(&["policy", "no password is kept for this user"]);
        assert_eq!(upstream.connections(), before);
    }
}
