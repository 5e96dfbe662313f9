//! LOGIN with a password.

use bearward::proto::RefusalKind;

use super::client::*;

#[test]
fn rfc_9051_6_2_3_signs_in_with_atoms_quoted_strings_and_literals() {
    for (arguments, plus) in [
        ("SMITH \"SE\\\"SAME\\\\ \"", 0),
        ("\"SMITH\" {9}\r\nSE\"SAME\\ ", 1),
        ("{5+}\r\nSMITH {9+}\r\nSE\"SAME\\ ", 0),
        ("{5}\r\nSMITH {9}\r\nSE\"SAME\\ ", 2),
    ] {
        let said = passwords().say(format!("a001 LOGIN {arguments}\r\nb NOOP\r\n").as_bytes());
        assert_eq!(said.iter().filter(|line| *line == "+ OK").count(), plus);
        assert_eq!(
            said[plus..],
            [
                "PLAIN password SMITH SE\"SAME\\ ",
                "a001 OK [CAPABILITY IMAP4rev1 MOVE] Logged in",
                "handover b NOOP\r\n",
            ]
        );
    }
}

#[test]
fn a_literal_may_hold_lines_and_is_never_a_command() {
    let said = passwords()
        .answers(&[Some(RefusalKind::InvalidToken)])
        .say(b"a LOGIN u {10+}\r\n\r\nb NOOP\r\n\r\nc NOOP\r\n");
    assert_eq!(
        said,
        [
            "PLAIN password u \r\nb NOOP\r\n".to_owned(),
            format!("a NO [AUTHENTICATIONFAILED] Authentication failed {SESSION}"),
            "c OK NOOP completed".to_owned(),
        ]
    );
}

#[test]
fn it_is_refused_without_a_question_where_passwords_are_off() {
    let said = tls()
        .say(b"a LOGIN u p\r\nb LOGIN {1}\r\nc LOGIN {1+}\r\nu {18+}\r\na AUTHENTICATE X\r\n\r\nd NOOP\r\n");
    let no = "NO [CONTACTADMIN] Passwords are not accepted here; sign in with OAuth";
    assert_eq!(said, [format!("a {no}"), format!("b {no}"), format!("c {no}"), "d OK NOOP completed".into()]);
}

#[test]
fn what_is_no_login_is_bad() {
    for arguments in [
        "",
        " u",
        " u p x",
        " \"u p",
        " u  p",
        " u \"a\\x\"",
        " u p(",
        " \"\" p",
        " u \"\"",
        " \u{1} p",
        " {1+}\r\n\0 p",
        " u {1+}\r\n\0",
        " {1-}\r\nu p",
    ] {
        let said = passwords().say(format!("a LOGIN{arguments}\r\n").as_bytes());
        assert_eq!(said.len(), 1, "{arguments:?}: {said:?}");
        assert!(said[0].starts_with("a BAD "), "{arguments:?}: {said:?}");
    }
    let said = passwords().say(b"a LOGIN {1+}\r\n\xff p\r\n");
    assert_eq!(said, ["a BAD The user name is malformed"]);
}
