//! ManageSieve end to end: through `bearward try`, and in front of scripted mail servers.

use crate::support::{
    ALICE, Act, Client, Serve, Trial, Upstream, answering, base64, before_login, oauthbearer, send, taking,
    until, xoauth2,
};

const MASTER: &str =
    "login = \"master\"\n[backend.main.master]\nuser = \"proxy\"\npassword = \"upstream-secret\"\n";

/// A client behind STARTTLS that has read both greetings.
fn encrypted(trial: &Trial) -> Client {
    let mut client = Client::clear(trial.port("sieve"));
    client.until("\"STARTTLS\"");
    client.expect("OK");
    client.say("STARTTLS");
    client.expect("OK");
    let mut client = client.encrypt(trial.ca());
    client.until("\"SASL\" \"OAUTHBEARER XOAUTH2\"");
    client.until("OK");
    client
}

fn literal(text: &str) -> String {
    format!("{{{}+}}\r\n{text}", text.len())
}

#[test]
fn both_mechanisms_sign_in_with_and_without_an_initial_response() {
    let trial = Trial::start();
    for (mechanism, response) in
        [("XOAUTH2", xoauth2(ALICE, trial.token())), ("OAUTHBEARER", oauthbearer(ALICE, trial.token()))]
    {
        for string in [format!("\"{response}\""), literal(&response)] {
            let mut client = encrypted(&trial);
            client.say(&format!("AUTHENTICATE \"{mechanism}\" {string}"));
            client.expect("OK");
            client.say("CAPABILITY");
            client.until(&format!("\"OWNER\" \"{ALICE}\""));
            client.expect("OK");
            let mut client = encrypted(&trial);
            client.say(&format!("AUTHENTICATE \"{mechanism}\""));
            assert_eq!(client.line(), "\"\"");
            client.say(&string);
            client.expect("OK");
            client.say("LOGOUT");
            client.expect("OK");
            assert_eq!(client.rest(), "");
        }
    }
}

#[test]
fn a_wrong_an_expired_and_a_narrow_token_are_refused_and_the_next_attempt_is_taken() {
    let trial = Trial::start();
    let expired = trial.issue(&["--lifetime", "1s"]);
    let narrow = trial.issue(&["--scope", "imap"]);
    let own = trial.issue(&["--scope", "sieve"]);
    crate::support::wait(std::time::Duration::from_millis(2100));
    let mut client = encrypted(&trial);
    for token in ["not-a-token", &expired, &narrow] {
        client.say(&format!("AUTHENTICATE \"OAUTHBEARER\" \"{}\"", oauthbearer(ALICE, token)));
        client.expect("\"ey");
        client.say("\"AQ==\"");
        let line = client.expect("NO \"");
        assert!(line.contains("(session "), "{line}");
    }
    for outcome in ["invalid_token", "expired", "insufficient_scope"] {
        trial.wait_for_log(&["protocol=\"sieve\"", &format!("outcome=\"{outcome}\"")]);
    }
    client.say(&format!("AUTHENTICATE \"XOAUTH2\" \"{}\"", xoauth2(ALICE, &own)));
    client.expect("OK");
}

#[test]
fn a_script_comes_back_octet_by_octet_and_the_guard_stands_behind_a_pipelined_sign_in() {
    let trial = Trial::start();
    let script = "require \"fileinto\";\r\nUNAUTHENTICATE\r\n{5+}\r\n\"ä\r\n".repeat(10_000);
    let mut client = encrypted(&trial);
    let sign_in = format!("AUTHENTICATE \"XOAUTH2\" {}", literal(&xoauth2(ALICE, trial.token())));
    client.send(
        format!(
            "{sign_in}\r\nPUTSCRIPT \"a\" {}\r\nUNAUTHENTICATE\r\nAUTHENTICATE \"PLAIN\" {}\r\nSETACTIVE \"a\"\r\n\
             LISTSCRIPTS\r\nGETSCRIPT \"a\"\r\nDELETESCRIPT \"a\"\r\nNOOP \"x\"\r\nLOGOUT\r\n",
            literal(&script),
            literal("AGJvYkBleGFtcGxlLm9yZwB4"),
        )
        .as_bytes(),
    );
    let refused = "NO \"Already authenticated\"\r\n";
    assert_eq!(
        client.rest(),
        format!(
            "OK \"Signed in\"\r\nOK\r\n{refused}{refused}OK\r\n\"a\" ACTIVE\r\nOK\r\n{{{}}}\r\n{script}\r\nOK\r\n\
             NO (ACTIVE) \"the script is active\"\r\nOK (TAG \"x\") \"done\"\r\nOK \"bye\"\r\n",
            script.len()
        )
    );
}

#[test]
fn a_command_injected_before_tls_is_not_answered_inside_it() {
    let trial = Trial::start();
    let mut client = Client::clear(trial.port("sieve"));
    client.until("OK");
    client.send(b"STARTTLS\r\nNOOP \"injected\"\r\n");
    client.expect("OK");
    let mut client = client.encrypt(trial.ca());
    client.until("OK \"TLS");
    client.say("NOOP \"own\"");
    client.expect("OK (TAG \"own\")");
}

#[test]
fn each_strategy_sends_exactly_its_login_and_then_what_was_pipelined() {
    let authzid = MASTER.replace("\"master\"", "\"authzid\"");
    for (strategy, password, login) in [
        ("login = \"sealed\"\n", Some("secret"), format!("\0{ALICE}\0secret")),
        (MASTER, None, format!("\0{ALICE}*proxy\0upstream-secret")),
        (&authzid, None, format!("{ALICE}\0proxy\0upstream-secret")),
        ("login = \"trusted\"\n", None, format!("\0{ALICE}\0trusted")),
    ] {
        let upstream = Upstream::start(vec![Act::Close]);
        let serve = Serve::start(&format!("sieve = [\"sieve://127.0.0.1:{}\"]\n{strategy}", upstream.port()));
        let token = match password {
            Some(password) => serve.sealed_token(ALICE, password),
            None => serve.token(ALICE),
        };
        upstream.play(taking("sieve", vec![until("NOOP"), send("OK\r\n")]));
        let mut client = serve.sign_in("sieve", &token, "NOOP\r\n");
        client.expect("OK \"Signed in\"");
        client.expect("OK");
        let text = upstream.got("NOOP\r\n").text();
        assert_eq!(text, format!("AUTHENTICATE \"PLAIN\" \"{}\"\r\nNOOP\r\n", base64(login)), "{strategy}");
        assert!(!serve.log().contains("upstream-secret"));
    }
}

#[test]
fn each_answer_of_the_mail_server_has_its_own_for_the_client() {
    for (answer, said, logged) in [
        ("NO (TRYLATER) \"later\"\r\n", "NO (TRYLATER) \"", "backend_unreachable"),
        ("BYE \"later\"\r\n", "NO (TRYLATER) \"", "backend_unreachable"),
        ("NO \"wrong\"\r\n", "NO (TRYLATER) \"The mail service needs", "backend_refused"),
        (
            "NO (REFERRAL \"sieve://x\") \"go\"\r\n",
            "NO (TRYLATER) \"The mail service needs",
            "backend_refused",
        ),
        ("+ what\r\n", "NO (TRYLATER) \"", "backend_unreachable"),
    ] {
        let upstream = Upstream::start(vec![Act::Close]);
        let serve = Serve::start(&format!("sieve = [\"sieve://127.0.0.1:{}\"]\n{MASTER}", upstream.port()));
        let token = serve.token(ALICE);
        upstream.play(answering("sieve", answer));
        let mut client = serve.sign_in("sieve", &token, "UNAUTHENTICATE\r\n");
        let line = client.expect(said);
        assert!(!line.contains("sieve://") && !line.contains("wrong"), "{line}");
        serve.wait_for_log(&["protocol=\"sieve\"", logged]);
        assert!(!upstream.ended("AUTHENTICATE").text().contains("UNAUTHENTICATE"));
    }
}

#[test]
fn a_session_that_the_operator_ends_is_told_so() {
    let upstream = Upstream::start(vec![Act::Close]);
    let serve = Serve::start(&format!("sieve = [\"sieve://127.0.0.1:{}\"]\n{MASTER}", upstream.port()));
    let token = serve.token(ALICE);
    upstream.play([before_login("sieve"), vec![send("OK\r\n")]].concat());
    let mut client = serve.sign_in("sieve", &token, "");
    client.expect("OK \"Signed in\"");
    let sessions: serde_json::Value =
        serde_json::from_str(&serve.succeed(&["--json", "session", "list"], "")).expect("JSON");
    let id = sessions.pointer("/0/session").or_else(|| sessions.pointer("/0/id")).and_then(|id| id.as_str());
    serve.succeed(&["session", "kill", id.expect("a session")], "");
    assert_eq!(client.clean_rest(), "BYE \"session ended by the server\"\r\n");
}
