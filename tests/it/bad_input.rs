//! Bad input to a running server: answered in the protocol's own words, and nothing but the one attempt lost.

use crate::support::{Client, Trial, base64, oauthbearer, xoauth2};

const ALICE: &str = "alice@example.org";

/// A client on implicit TLS that has read its greeting.
fn connect(trial: &Trial, service: &str, greeting: &str) -> Client {
    let mut client = Client::tls(trial.port(service), trial.ca());
    client.expect(greeting);
    client
}

fn imap(trial: &Trial) -> Client {
    connect(trial, "imaps", "* OK ")
}

fn smtp(trial: &Trial) -> Client {
    let mut client = connect(trial, "smtps", "220 ");
    client.say("EHLO client.example.org");
    client.until("250 ");
    client
}

fn pop3(trial: &Trial) -> Client {
    connect(trial, "pop3s", "+OK")
}

/// After whatever went wrong, the same connection still signs in.
fn imap_still_signs_in(client: &mut Client, trial: &Trial) {
    client.say(&format!("z AUTHENTICATE OAUTHBEARER {}", oauthbearer(ALICE, trial.token())));
    client.until("z OK");
    client.say("y SELECT INBOX");
    client.until("y OK");
}

fn decode_challenge(line: &str) -> serde_json::Value {
    use ::base64::{Engine, engine::general_purpose::STANDARD};
    let challenge = line.trim_start_matches(['+', '3', '4', ' ']);
    serde_json::from_slice(&STANDARD.decode(challenge).expect("base64")).expect("JSON")
}

#[test]
fn imap_answers_undecodable_responses_with_a_tagged_bad_and_goes_on() {
    let trial = Trial::start();
    let mut client = imap(&trial);
    let good = oauthbearer(ALICE, trial.token());
    let url_safe = good.replace('A', "-");
    for (index, bad) in
        ["!!!!", url_safe.as_str(), good.trim_end_matches('=').get(1..).unwrap()].iter().enumerate()
    {
        client.say(&format!("a{index} AUTHENTICATE OAUTHBEARER {bad}"));
        client.expect(&format!("a{index} BAD"));
    }
    imap_still_signs_in(&mut client, &trial);
}

#[test]
fn imap_takes_a_cancel_and_an_empty_response() {
    let trial = Trial::start();
    let mut client = imap(&trial);
    client.say("a AUTHENTICATE XOAUTH2");
    client.expect("+ ");
    client.say("*");
    client.expect("a BAD");
    client.say("b AUTHENTICATE OAUTHBEARER =");
    let challenge = decode_challenge(&client.expect("+ "));
    assert_eq!(challenge["status"], "invalid_request");
    client.say("AQ==");
    client.expect("b BAD");
    imap_still_signs_in(&mut client, &trial);
}

#[test]
fn imap_names_the_issuer_when_a_token_is_unknown_and_swallows_the_next_line() {
    let trial = Trial::start();
    for dummy in ["AQ==", "", "*", "=", "b AUTHENTICATE OAUTHBEARER whatever", "b SELECT INBOX"] {
        let mut client = imap(&trial);
        client.say(&format!("a AUTHENTICATE OAUTHBEARER {}", oauthbearer(ALICE, "unknown-token")));
        let challenge = decode_challenge(&client.expect("+ "));
        assert_eq!(challenge["status"], "invalid_token");
        assert_eq!(challenge["scope"], "urn:ietf:params:oauth:scope:mail");
        let discovery = challenge["openid-configuration"].as_str().expect("a discovery document");
        assert_eq!(discovery, format!("{}/.well-known/openid-configuration", trial.text("/issuer")));
        client.say(dummy);
        let answer = client.line();
        assert!(
            answer.starts_with("a NO") || (dummy == "*" && answer.starts_with("a BAD")),
            "{dummy}: {answer}"
        );
        imap_still_signs_in(&mut client, &trial);
    }
}

#[test]
fn a_client_that_answers_an_error_challenge_with_nothing_gets_its_answer_all_the_same() {
    let trial = Trial::start_with(&[("BEARWARD_LIMITS__DUMMY_RESPONSE_TIMEOUT", "1s")]);
    let mut client = imap(&trial);
    client.say(&format!("a AUTHENTICATE XOAUTH2 {}", xoauth2(ALICE, "unknown-token")));
    assert_eq!(decode_challenge(&client.expect("+ "))["status"], "400");
    client.expect("a NO [AUTHENTICATIONFAILED]");
    imap_still_signs_in(&mut client, &trial);
}

#[test]
fn a_raw_control_a_glued_to_the_next_command_ends_the_exchange_and_runs_nothing() {
    let trial = Trial::start();
    let mut client = imap(&trial);
    client.say(&format!("a AUTHENTICATE OAUTHBEARER {}", oauthbearer(ALICE, "unknown-token")));
    client.expect("+ ");
    client.say(&format!("\x01b AUTHENTICATE OAUTHBEARER {}", oauthbearer(ALICE, trial.token())));
    client.expect("a NO");
    client.say("c NOOP");
    client.expect("c OK");
    imap_still_signs_in(&mut client, &trial);
}

#[test]
fn a_token_used_as_somebody_else_is_refused() {
    let trial = Trial::start();
    let mut client = imap(&trial);
    client.say(&format!("a AUTHENTICATE OAUTHBEARER {}", oauthbearer("bob@example.org", trial.token())));
    client.expect("+ ");
    client.say("AQ==");
    client.expect("a NO [AUTHORIZATIONFAILED]");
    let event = trial.wait_for_log(&["policy", "OAUTHBEARER"]);
    assert!(!event.contains(trial.token()));
    imap_still_signs_in(&mut client, &trial);
}

#[test]
fn an_expired_and_a_wrong_scope_token_are_told_apart() {
    let trial = Trial::start();
    let expired = trial.issue(&["--lifetime", "1s"]);
    let smtp_only = trial.issue(&["--scope", "smtp"]);
    crate::support::wait(std::time::Duration::from_millis(2100));
    let mut client = imap(&trial);
    client.say(&format!("a AUTHENTICATE XOAUTH2 {}", xoauth2(ALICE, &expired)));
    assert_eq!(decode_challenge(&client.expect("+ "))["status"], "400");
    client.say("");
    client.expect("a NO [AUTHENTICATIONFAILED]");
    trial.wait_for_log(&["expired", "XOAUTH2", "imap"]);
    client.say(&format!("b AUTHENTICATE XOAUTH2 {}", xoauth2(ALICE, &smtp_only)));
    assert_eq!(decode_challenge(&client.expect("+ "))["status"], "403");
    client.say("");
    client.expect("b NO [AUTHENTICATIONFAILED]");
    trial.wait_for_log(&["insufficient_scope", "imap"]);
    let mut client = smtp(&trial);
    client.say(&format!("AUTH XOAUTH2 {}", xoauth2(ALICE, &smtp_only)));
    client.expect("235 ");
}

#[test]
fn a_token_over_the_limit_is_refused_before_it_is_looked_at() {
    let trial = Trial::start();
    let long = base64(format!("n,,\x01auth=Bearer {}\x01\x01", "x".repeat(20_000)));
    let mut client = imap(&trial);
    client.say(&format!("a AUTHENTICATE OAUTHBEARER {long}"));
    client.expect("a BAD");
    imap_still_signs_in(&mut client, &trial);
    let mut client = smtp(&trial);
    client.say(&format!("AUTH OAUTHBEARER {long}"));
    client.expect("500 5.5.6");
    client.say("NOOP");
    client.expect("250 ");
    let mut client = pop3(&trial);
    client.say(&format!("AUTH OAUTHBEARER {long}"));
    client.expect("-ERR");
    client.say("CAPA");
    client.expect("+OK");
}

#[test]
fn a_sign_in_that_breaks_the_protocol_is_an_event_of_its_own() {
    let trial = Trial::start();
    let mut client = imap(&trial);
    client.say("a AUTHENTICATE XOAUTH2 !!!!");
    client.expect("a BAD");
    let mut client = smtp(&trial);
    client.say("AUTH XOAUTH2 !!!!");
    client.expect("501 5.5.2");
    let mut client = pop3(&trial);
    client.say("AUTH XOAUTH2 !!!!");
    client.expect("-ERR");
    for protocol in ["imap", "smtp", "pop3"] {
        trial.wait_for_log(&["protocol_error", "XOAUTH2", &format!("protocol=\"{protocol}\"")]);
    }
}

#[test]
fn mechanisms_that_are_not_offered_are_refused_by_name() {
    let trial = Trial::start();
    let plain = base64("\0alice@example.org\0password");
    let mut client = imap(&trial);
    client.say("a AUTHENTICATE GSSAPI");
    client.expect("a NO");
    client.say(&format!("b AUTHENTICATE PLAIN {plain}"));
    client.expect("b NO");
    let password = trial.text("/users/0/password");
    client.say(&format!("c LOGIN {ALICE} {password}"));
    client.expect("c NO");
    imap_still_signs_in(&mut client, &trial);
    let mut client = smtp(&trial);
    client.say(&format!("AUTH PLAIN {plain}"));
    client.expect("504 5.5.4");
    let mut client = pop3(&trial);
    client.say(&format!("USER {ALICE}"));
    client.expect("-ERR");
    client.say(&format!("PASS {password}"));
    client.expect("-ERR");
    client.say("QUIT");
    client.expect("+OK");
}

#[test]
fn no_credential_is_taken_on_a_clear_connection() {
    let trial = Trial::start();
    let response = oauthbearer(ALICE, trial.token());
    let mut client = Client::clear(trial.port("imap"));
    let greeting = client.expect("* OK ");
    assert!(
        greeting.contains("STARTTLS") && greeting.contains("LOGINDISABLED") && !greeting.contains("AUTH=")
    );
    client.say(&format!("a AUTHENTICATE OAUTHBEARER {response}"));
    client.expect("a NO [PRIVACYREQUIRED]");
    let mut client = Client::clear(trial.port("smtp"));
    client.expect("220 ");
    client.say("EHLO client.example.org");
    client.until("250 ");
    client.say(&format!("AUTH OAUTHBEARER {response}"));
    client.expect("530 5.7.0");
    let mut client = Client::clear(trial.port("pop3"));
    client.expect("+OK");
    client.say(&format!("AUTH OAUTHBEARER {response}"));
    client.expect("-ERR");
}

#[test]
fn octets_before_the_handshake_never_survive_it() {
    let trial = Trial::start();
    let mut client = Client::clear(trial.port("imap"));
    client.expect("* OK ");
    client.send(b"a STARTTLS\r\nb NOOP\r\nc ID NIL\r\n");
    client.expect("a OK");
    let mut client = client.encrypt(trial.ca());
    client.say("d NOOP");
    client.expect("d OK");
    imap_still_signs_in(&mut client, &trial);
    let mut client = Client::clear(trial.port("smtp"));
    client.expect("220 ");
    client.say("EHLO client.example.org");
    client.until("250 ");
    client.send(b"STARTTLS\r\nRSET\r\n");
    client.expect("220 ");
    let mut client = client.encrypt(trial.ca());
    client.say("EHLO client.example.org");
    let offered = std::iter::repeat_with(|| client.line());
    let mut offered = offered
        .scan(false, |last, line| (!std::mem::replace(last, line.starts_with("250 "))).then_some(line));
    assert!(offered.any(|line| line.contains("AUTH") && line.contains("XOAUTH2")));
    let mut client = Client::clear(trial.port("pop3"));
    client.expect("+OK");
    client.send(b"STLS\r\nQUIT\r\n");
    client.expect("+OK");
    let mut client = client.encrypt(trial.ca());
    client.say("CAPA");
    client.expect("+OK");
}

#[test]
fn a_literal_of_a_refused_command_is_not_executed() {
    let trial = Trial::start();
    let mut client = imap(&trial);
    let inner = "x LOGOUT\r\n";
    client.send(format!("a LOGIN {{{}+}}\r\n{inner} {{3+}}\r\nabc\r\n", inner.len()).as_bytes());
    client.expect("a ");
    client.send(b"b LOGIN {99999999}\r\n");
    client.expect("b ");
    client.say("c NOOP");
    client.expect("c OK");
    imap_still_signs_in(&mut client, &trial);
}

#[test]
fn nul_bare_lf_and_long_lines_are_errors_and_no_commands() {
    let trial = Trial::start();
    let mut client = imap(&trial);
    client.send(b"a NO\0OP\r\n");
    assert!(client.line().contains(" BAD"));
    client.send(b"b NOOP\nc NOOP\r\n");
    assert!(client.line().contains(" BAD"));
    client.send(format!("d {}\r\n", "x".repeat(9000)).as_bytes());
    assert!(client.until("d ").contains("BAD"));
    imap_still_signs_in(&mut client, &trial);
    let mut client = smtp(&trial);
    client.send(b"NOOP\0\r\n");
    client.expect("50");
    client.say("");
    client.expect("500 5.5.2");
    client.say("NOOP");
    client.expect("250");
}

#[test]
fn http_on_a_mail_port_is_cut_off() {
    let trial = Trial::start();
    for service in ["imaps", "smtps", "pop3s"] {
        let mut client = Client::tls(trial.port(service), trial.ca());
        client.line();
        client.send(b"POST / HTTP/1.1\r\nHost: localhost\r\nContent-Length: 0\r\n\r\n");
        let rest = client.rest();
        assert!(rest.lines().count() <= 1, "{service}: {rest:?}");
    }
}

#[test]
fn too_many_bad_commands_and_too_many_failed_sign_ins_end_the_connection() {
    let trial = Trial::start();
    let mut client = imap(&trial);
    for index in 0..10 {
        client.say(&format!("a{index} XYZZY"));
    }
    assert!(client.rest().contains("* BYE"));
    let mut client = smtp(&trial);
    for _ in 0..6 {
        client.say(&format!("AUTH XOAUTH2 {}", xoauth2(ALICE, "unknown-token")));
        client.expect("334 ");
        client.say("");
        client.expect("535 5.7.8");
    }
    assert!(client.rest().starts_with("421 "));
}

#[test]
fn octets_pipelined_behind_the_login_go_upstream_after_it() {
    let trial = Trial::start();
    let mut client = imap(&trial);
    client.say(&format!(
        "a AUTHENTICATE OAUTHBEARER {}\r\nb SELECT INBOX\r\nc NOOP",
        oauthbearer(ALICE, trial.token())
    ));
    client.until("a OK");
    client.until("b OK");
    client.until("c OK");
    let mut client = pop3(&trial);
    client.say(&format!("AUTH XOAUTH2 {}\r\nSTAT\r\nNOOP", xoauth2(ALICE, trial.token())));
    client.expect("+OK");
    client.expect("+OK ");
    client.expect("+OK");
}

#[test]
fn a_client_that_leaves_in_the_middle_disturbs_nobody() {
    let trial = Trial::start();
    for cut in [
        "a",
        "a AUTHENTICATE",
        "a AUTHENTICATE OAUTHBEARER",
        "a AUTHENTICATE OAUTHBEARER bixhPW",
        "a LOGIN {5}\r\n",
    ] {
        let mut client = imap(&trial);
        client.send(cut.as_bytes());
        drop(client);
    }
    imap_still_signs_in(&mut imap(&trial), &trial);
}

#[test]
fn discovery_without_a_token_works_as_the_rfc_describes() {
    let trial = Trial::start();
    let mut client = imap(&trial);
    client.say(&format!("a AUTHENTICATE OAUTHBEARER {}", base64(format!("n,a={ALICE},\x01auth=\x01\x01"))));
    let challenge = decode_challenge(&client.expect("+ "));
    assert_eq!(challenge["status"], "invalid_token");
    assert!(challenge["openid-configuration"].is_string());
    client.say("AQ==");
    client.expect("a NO");
}

#[test]
fn an_identity_left_out_is_taken_from_the_token() {
    let trial = Trial::start();
    let mut client = imap(&trial);
    let response = base64(format!("n,,\x01auth=Bearer {}\x01\x01", trial.token()));
    client.say(&format!("a AUTHENTICATE OAUTHBEARER {response}"));
    client.until("a OK");
}
