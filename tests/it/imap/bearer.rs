//! AUTHENTICATE with a bearer token.

use bearward::proto::RefusalKind;

use super::client::*;

#[test]
fn rfc_7628_4_1_signs_in_with_an_initial_response() {
    let said = tls().say(format!("t1 AUTHENTICATE OAUTHBEARER {RFC_IR}\r\n").as_bytes());
    assert_eq!(
        said,
        [
            "OAUTHBEARER token vF9dft4qmTc2Nvb3RlckBhbHRhdmlzdGEuY29tCg== as user@example.com",
            "t1 OK [CAPABILITY IMAP4rev1 MOVE] Logged in",
            "handover ",
        ]
    );
}

#[test]
fn rfc_7628_4_2_fails_with_the_error_challenge() {
    let script = tls().answers(&invalid());
    let said = script.say(
        format!("t0 CAPABILITY\r\nt1 AUTHENTICATE OAUTHBEARER {RFC_EMPTY}\r\nAQ==\r\nt2 NOOP\r\n").as_bytes(),
    );
    assert_eq!(said[0], format!("* CAPABILITY {CAPABILITIES}\r\nt0 OK CAPABILITY completed"));
    assert_eq!(
        said[1..],
        [
            "OAUTHBEARER token  as user@example.com".to_owned(),
            format!("+ {RFC_CHALLENGE}"),
            format!("t1 NO [AUTHENTICATIONFAILED] Authentication failed {SESSION}"),
            "t2 OK NOOP completed".to_owned(),
        ]
    );
}

#[test]
fn rfc_7628_4_3_cancels_after_the_error_challenge() {
    let said =
        tls().answers(&invalid()).say(format!("t1 AUTHENTICATE OAUTHBEARER {RFC_EMPTY}\r\n*\r\n").as_bytes());
    assert_eq!(said.last().unwrap(), "t1 BAD AUTHENTICATE cancelled");
}

#[test]
fn a_challenge_has_its_space_and_the_response_comes_behind_it() {
    let said = tls().say(format!("a authenticate xoauth2\r\n{}\r\n", xoauth2("tok")).as_bytes());
    assert_eq!(said[..2], ["+ ", "XOAUTH2 token tok as alice@example.org"]);
}

#[test]
fn octets_behind_the_login_are_handed_over_unread() {
    let input = format!("a AUTHENTICATE XOAUTH2 {}\r\nb SELECT INBOX\r\nc \0{{3+}}\nhalf", xoauth2("tok"));
    let said = tls().say(input.as_bytes());
    assert_eq!(said.last().unwrap(), "handover b SELECT INBOX\r\nc \0{3+}\nhalf");
}

#[test]
fn capabilities_are_repeated_untagged_for_a_client_that_asked_by_command() {
    let said = tls().say(format!("a CAPABILITY\r\nb AUTHENTICATE XOAUTH2 {}\r\n", xoauth2("tok")).as_bytes());
    assert_eq!(said[2], "* CAPABILITY IMAP4rev1 MOVE\r\nb OK [CAPABILITY IMAP4rev1 MOVE] Logged in");
}

#[test]
fn unknown_or_hostile_capabilities_are_not_repeated() {
    for capabilities in ["", "IMAP4rev1] x\r\n* BYE"] {
        let mut script = tls();
        script.capabilities = capabilities;
        let said =
            script.say(format!("a CAPABILITY\r\nb AUTHENTICATE XOAUTH2 {}\r\n", xoauth2("tok")).as_bytes());
        assert_eq!(said[2], "b OK Logged in");
    }
}

#[test]
fn each_refusal_has_its_own_code() {
    for (kind, dummy, answer) in [
        (RefusalKind::InvalidToken, "\r\n", "NO [AUTHENTICATIONFAILED] "),
        (RefusalKind::Pointless, "\r\n", "NO [AUTHENTICATIONFAILED] "),
        (RefusalKind::InsufficientScope, "\r\n", "NO [AUTHENTICATIONFAILED] "),
        (RefusalKind::NotAuthorized, "\r\n", "NO [AUTHORIZATIONFAILED] "),
        (RefusalKind::Unavailable, "", "NO [UNAVAILABLE] "),
        (RefusalKind::Undecided, "", "NO [UNAVAILABLE] "),
        (RefusalKind::OperatorFault, "", "NO [CONTACTADMIN] "),
        (RefusalKind::Policy, "", "NO [CONTACTADMIN] "),
        (RefusalKind::RateLimited, "", "NO [LIMIT] "),
    ] {
        let said = tls()
            .answers(&[Some(kind)])
            .say(format!("a AUTHENTICATE XOAUTH2 {}\r\n{dummy}", xoauth2("tok")).as_bytes());
        let last = said.last().unwrap();
        assert!(last.starts_with(&format!("a {answer}")) && last.ends_with(SESSION), "{kind:?}: {last}");
    }
}

#[test]
fn a_second_attempt_on_the_same_connection_may_succeed() {
    let line = format!("a AUTHENTICATE XOAUTH2 {}\r\n", xoauth2("tok"));
    let said = tls().answers(&invalid()).say(format!("{line}\r\n{line}").as_bytes());
    assert_eq!(said.last().unwrap(), "handover ");
}

#[test]
fn too_many_failures_end_the_connection() {
    for (kind, dummy) in [(RefusalKind::InvalidToken, "\r\n"), (RefusalKind::Undecided, "")] {
        let line = format!("a AUTHENTICATE XOAUTH2 {}\r\n{dummy}", xoauth2("tok"));
        let said = tls().answers(&[Some(kind); 3]).say(line.repeat(4).as_bytes());
        assert_eq!(said[said.len() - 2..], ["* BYE Too many failed sign-ins", "close TooManyFailures"]);
        assert_eq!(said.iter().filter(|line| line.starts_with("XOAUTH2")).count(), 3);
    }
}

#[test]
fn an_outage_is_no_failure_of_the_client() {
    let line = format!("a AUTHENTICATE XOAUTH2 {}\r\n", xoauth2("tok"));
    let said = tls().answers(&[Some(RefusalKind::Unavailable); 6]).say(line.repeat(7).as_bytes());
    assert_eq!(said.last().unwrap(), "handover ");
}

#[test]
fn only_mechanisms_that_are_configured_are_dispatched() {
    let said =
        tls().say(b"a AUTHENTICATE PLAIN AGEAYg==\r\nb AUTHENTICATE GSSAPI\r\nc AUTHENTICATE EXTERNAL =\r\n");
    assert_eq!(said, ["a", "b", "c"].map(|tag| format!("{tag} NO The mechanism is not offered here")));
}

#[test]
fn bad_responses_are_answered_bad_and_nothing_else_is_lost() {
    for response in ["####", "AB", "AA=A", "_-8=", "*", "AQ==", ""] {
        let said = tls().say(format!("a AUTHENTICATE OAUTHBEARER\r\n{response}\r\nb NOOP\r\n").as_bytes());
        // A message that was decoded and is malformed gets the error challenge, which takes a line.
        let end = said.last().unwrap();
        assert!(end == "b OK NOOP completed" || said[1].starts_with("+ "), "{response}: {said:?}");
        assert!(said.iter().any(|line| line.starts_with("a BAD ")), "{response}: {said:?}");
    }
}

#[test]
fn a_response_with_a_bare_lf_or_a_nul_is_no_response() {
    for end in ["\n", "\r\r\n", "\0\r\n"] {
        let said =
            tls().say(format!("a AUTHENTICATE XOAUTH2\r\n{}{end}b NOOP\r\n", xoauth2("tok")).as_bytes());
        assert!(said[1].starts_with("a BAD "), "{end:?}: {said:?}");
        assert_eq!(said[2], "b OK NOOP completed", "{end:?}");
    }
}

#[test]
fn a_response_beyond_the_limit_is_refused_wherever_it_stands() {
    let long = "A".repeat(1028);
    for input in
        [format!("a AUTHENTICATE XOAUTH2 {long}\r\n"), format!("a AUTHENTICATE XOAUTH2\r\n{long}\r\n")]
    {
        let said = tls().say(format!("{input}b NOOP\r\n").as_bytes());
        assert_eq!(said[said.len() - 2..], ["a BAD The response is too long", "b OK NOOP completed"]);
    }
    let said =
        tls().run(&[format!("a AUTHENTICATE XOAUTH2 {}\r\nb NOOP\r\n", "A".repeat(100_000)).as_bytes()]);
    assert_eq!(said, ["a BAD The line is too long", "b OK NOOP completed"]);
}

#[test]
fn a_response_at_the_limit_is_read() {
    let token = "t".repeat(1024 / 4 * 3 - "user=alice@example.org..auth=Bearer ..".len());
    assert_eq!(xoauth2(&token).len(), 1024);
    let said = tls().say(format!("a AUTHENTICATE XOAUTH2 {}\r\n", xoauth2(&token)).as_bytes());
    assert_eq!(said.last().unwrap(), "handover ");
}

#[test]
fn blanks_before_the_line_end_do_no_harm() {
    let said = tls().say(format!("a AUTHENTICATE XOAUTH2 {} \t\r\n", xoauth2("tok")).as_bytes());
    assert_eq!(said.last().unwrap(), "handover ");
    let said = tls().say(format!("a AUTHENTICATE XOAUTH2 \r\n{}\r\n", xoauth2("tok")).as_bytes());
    assert_eq!(said.last().unwrap(), "handover ");
}
