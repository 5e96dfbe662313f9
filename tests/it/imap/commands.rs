//! The commands that carry no credential, and what is no command.

use bearward::proto::TlsState;

use super::client::*;

#[test]
fn rfc_9051_6_1_noop_and_logout() {
    let said = tls().say(b"a002 NOOP\r\nA023 LOGOUT\r\nA024 NOOP\r\n");
    assert_eq!(
        said,
        ["a002 OK NOOP completed", "* BYE Logging out\r\nA023 OK LOGOUT completed", "close ClientLeft",]
    );
}

#[test]
fn rfc_2971_3_1_the_client_is_known_by_name_and_version() {
    let id = b"a023 ID (\"name\" \"sodr\" \"Version\" \"19.34\" \"vendor\" \"Pink Floyd Music Limited\" \"x-originating-ip\" \"10.0.0.1\")\r\n";
    let said =
        tls().say(&[&id[..], format!("a AUTHENTICATE XOAUTH2 {}\r\n", xoauth2("t")).as_bytes()].concat());
    assert_eq!(
        said[..2],
        [
            "* ID (\"name\" \"Bearward\")\r\na023 OK ID completed",
            "XOAUTH2 token t as alice@example.org with sodr 19.34",
        ]
    );
}

#[test]
fn an_id_may_be_nil_or_empty_or_hold_literals_and_nils() {
    for id in ["NIL", "()", "(\"os\" NIL)", "(\"name\" {3+}\r\nabc)", "({4}\r\nname {3+}\r\nabc \"a\" nil)"] {
        let said = tls().say(format!("a ID {id}\r\n").as_bytes());
        assert!(said.last().unwrap().ends_with("a OK ID completed"), "{id}: {said:?}");
    }
}

#[test]
fn an_id_beyond_rfc_2971_is_bad() {
    let many: Vec<String> = (0..31).map(|n| format!("\"{n}\" NIL")).collect();
    for id in [
        "",
        " ",
        " (",
        " (\"name\")",
        " (\"name\" \"a\" \"NAME\" \"b\")",
        " (NIL NIL)",
        " ((\"a\" \"b\"))",
        " (\"a\" \"b\") x",
        &format!(" ({})", many.join(" ")),
        &format!(" (\"{}\" NIL)", "k".repeat(31)),
        " (\"a\" \"b\"\"c\" \"d\")",
        " (\"a\" {1025+}\r\nx",
        " (\"a\" \"b",
        " (a b)",
    ] {
        let mut script = tls();
        script.config.line_limit = 2000;
        let said = script.run(&[format!("a ID{id}\r\n").as_bytes()]);
        // The open literal waits for its octets.
        assert!(
            said.is_empty() == id.contains('{') && said.iter().all(|line| line.starts_with("a BAD ")),
            "{id}: {said:?}"
        );
    }
    let said = tls().run(&[format!("a ID (\"a\" {{1025+}}\r\n{})\r\n", "x".repeat(1025)).as_bytes()]);
    assert_eq!(said, ["a BAD an ID field is too long"]);
}

#[test]
fn ten_thousand_parentheses_cost_nothing() {
    let said = tls().run(&[format!("a ID {}\r\nb NOOP\r\n", "(".repeat(10_000)).as_bytes()]);
    assert_eq!(said, ["a BAD The line is too long", "b OK NOOP completed"]);
    let mut script = tls();
    script.config.line_limit = 20_000;
    let said = script.run(&[format!("a ID {}\r\nb NOOP\r\n", "(".repeat(10_000)).as_bytes()]);
    assert_eq!(said, ["a BAD ID takes NIL or a list of pairs", "b OK NOOP completed"]);
}

#[test]
fn what_needs_a_login_or_is_unknown_is_bad() {
    let said =
        tls().say(b"a SELECT INBOX\r\nb ENABLE CONDSTORE\r\nc UNAUTHENTICATE\r\nd FROB\r\ne NOOP x\r\nf\r\n");
    let bad = "BAD Unknown command, or not allowed before login";
    assert_eq!(
        said,
        [
            format!("a {bad}"),
            format!("b {bad}"),
            format!("c {bad}"),
            format!("d {bad}"),
            "e BAD The command takes no arguments".to_owned(),
            format!("f {bad}"),
        ]
    );
}

#[test]
fn a_tag_is_checked_before_it_is_repeated() {
    let long = "t".repeat(65);
    for line in [
        "",
        " NOOP",
        "+ NOOP",
        "* NOOP",
        "a(b NOOP",
        "a%n NOOP",
        "a\"b NOOP",
        "a\x07 NOOP",
        "\u{e4} NOOP",
        &format!("{long} NOOP"),
    ] {
        let said = tls().say(format!("{line}\r\n").as_bytes());
        assert_eq!(said, ["* BAD The command has no valid tag"], "{line:?}");
    }
    let said = tls().say(format!("{} NOOP\r\n", "t".repeat(64)).as_bytes());
    assert_eq!(said, [format!("{} OK NOOP completed", "t".repeat(64))]);
}

#[test]
fn nul_and_bare_line_ends_are_bad_and_execute_nothing() {
    let said = tls().say(b"a NO\0OP\r\nb NOOP\nc NO\rOP\r\nd NOOP\r\n");
    assert_eq!(
        said,
        [
            "a BAD A line holds no NUL",
            "b BAD A line ends with CR LF and holds neither alone",
            "c BAD A line ends with CR LF and holds neither alone",
            "d OK NOOP completed",
        ]
    );
}

#[test]
fn a_line_too_long_is_bad_under_its_tag_and_is_not_kept() {
    let said =
        tls().say(format!("a {}\r\n\u{e4} {}\r\nb NOOP\r\n", "x".repeat(300), "x".repeat(300)).as_bytes());
    assert_eq!(
        said,
        ["a BAD The line is too long", "* BAD The command has no valid tag", "b OK NOOP completed"]
    );
    let said = tls().run(&[format!("a {}\r\nb NOOP\r\n", "x".repeat(1_000_000)).as_bytes()]);
    assert_eq!(said, ["a BAD The line is too long", "b OK NOOP completed"]);
}

#[test]
fn too_many_bad_commands_end_the_connection() {
    let said = tls().say("x\r\n".repeat(12).as_bytes());
    assert_eq!(said.len(), 12);
    assert_eq!(said[10..], ["* BYE Too many bad commands", "close TooManyBadCommands"]);
}

#[test]
fn http_and_a_tls_handshake_are_no_mail() {
    for tls_state in [TlsState::ClearStartTls, TlsState::Encrypted] {
        for input in [
            &b"GET / HTTP/1.1\r\nHost: x\r\n"[..],
            b"POST /x HTTP/1.0\r\n",
            b"Host: x\r\n",
            b"\x16\x03\x01\x02\x00\x01",
        ] {
            assert_eq!(Script::new(tls_state, OAUTH).say(input), ["close NotMail"]);
        }
    }
}
