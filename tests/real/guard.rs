//! A signed-in SMTP client that wants to be somebody else, or to make two messages of one.

use crate::support::*;

/// What a bare Postfix of this age takes for the end of a message, and what it does not.
fn smuggled_by(servers: &Servers, arguments: &[&str]) -> Vec<usize> {
    let printed = python(&servers.folder, "smuggle.py", arguments).ok_text();
    printed.split_whitespace().map(|number| number.parse().unwrap()).collect()
}

#[test]
fn one_message_stays_one_however_its_end_is_disguised() {
    let servers = Servers::start("");
    let bearward = Bearward::start(&servers, Login::Sealed);
    let ca = servers.folder.ca();
    let ca = ca.to_str().unwrap();

    // Without Bearward: this Postfix is fooled by some of them, so the test can fail.
    let (submission, imap) = (servers.postfix.ports.submission.to_string(), servers.dovecot.imap.to_string());
    let directly =
        smuggled_by(&servers, &["direct", ca, &submission, &imap, ALICE, ALICE_PASSWORD, BOB, BOB_PASSWORD]);
    assert!(directly.iter().any(|count| *count > 1), "this Postfix is fooled by nothing: {directly:?}");

    let (smtps, imaps) = (bearward.target.smtps.to_string(), bearward.target.imaps.to_string());
    let (alice, bob) = (bearward.token(ALICE), bearward.token(BOB));
    let through = smuggled_by(&servers, &["through", ca, &smtps, &imaps, ALICE, &alice, BOB, &bob]);
    assert_eq!(through, vec![1; directly.len()], "directly it is {directly:?}");
}

#[test]
fn forbidden_verbs_reach_the_mail_server_in_no_disguise() {
    let servers = Servers::start("");
    // In clear, so that a STARTTLS that came through would be granted.
    let backend = Backend {
        smtp: format!("smtp://127.0.0.1:{}", servers.postfix.ports.submission),
        ..Backend::encrypted(&servers)
    };
    let bearward = Bearward::start_with(&servers.folder, Login::Sealed, &backend, "info");
    let (smtps, imaps) = (bearward.target.smtps.to_string(), bearward.target.imaps.to_string());
    let (alice, bob) = (bearward.token(ALICE), bearward.token(BOB));
    let ca = servers.folder.ca();
    let arguments = [ca.to_str().unwrap(), &smtps, &imaps, ALICE, &alice, BOB, &bob, BOB_PASSWORD];
    python(&servers.folder, "hostile.py", &arguments).ok();
    logged(&format!("sasl_username={ALICE}"), || servers.postfix.log());
    let log = servers.postfix.log();
    assert!(!log.contains(&format!("sasl_username={BOB}")), "{log}");
    // Postfix never saw them, not even to refuse them.
    for verb in ["AUTH", "STARTTLS", "XCLIENT", "XFORWARD"] {
        let counted = log.lines().filter(|line| line.contains("disconnect from") && counts(line, verb));
        let shown: Vec<_> = counted.collect();
        assert!(shown.is_empty(), "{verb}: {shown:#?}");
    }
}

/// Whether Postfix's statistics of a session count `verb` beyond the one AUTH that Bearward makes.
fn counts(line: &str, verb: &str) -> bool {
    let word = format!("{}=", verb.to_lowercase());
    let counted = line.split_whitespace().find_map(|field| field.strip_prefix(&word));
    let own = if verb == "AUTH" { "1" } else { "0" };
    counted.is_some_and(|count| count != own)
}

#[test]
fn a_mail_server_that_leaves_xclient_open_gets_no_client() {
    // The client's own address may use XCLIENT too, so the door would stay open behind the sign-in.
    let servers = Servers::start("127.0.0.0/8");
    let bearward = Bearward::start(&servers, Login::Sealed);
    let ca = servers.folder.ca();
    let smtps = bearward.target.smtps.to_string();
    let token = bearward.token(ALICE);
    let arguments = [ca.to_str().unwrap(), &smtps, ALICE, &token];
    let answer = python(&servers.folder, "sign_in_smtp.py", &arguments).ok_text();
    assert!(answer.starts_with("454 ") || answer.starts_with("451 "), "{answer}");
}
