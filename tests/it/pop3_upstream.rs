#![allow(clippy::wildcard_enum_match_arm, reason = "the arm is a failure")]

use bearward::{
    model::{Secret, SessionId},
    proto::{
        ClientFacts, Failure, LoginAs, Ready, Upstream, UpstreamPlan, UpstreamStep,
        pop3::Pop3Upstream,
        sasl::{ClientPolicy, plain_response},
    },
};
use proptest::prelude::*;

const CAPA_PLAIN: &str = "+OK\r\nTOP\r\nUIDL\r\nSASL LOGIN PLAIN\r\nUSER\r\n.\r\n";

fn by_password(authcid: &str, authzid: Option<&str>, password: &str) -> LoginAs {
    LoginAs::Password {
        authcid: authcid.into(),
        authzid: authzid.map(Into::into),
        password: Secret::copy_of(password.as_bytes()),
    }
}

fn alice() -> LoginAs {
    by_password("alice@example.org", None, "secret")
}

fn plan(login: LoginAs) -> UpstreamPlan {
    UpstreamPlan {
        login,
        starttls: false,
        client: Some(ClientFacts {
            address: "[::ffff:192.0.2.7]:40000".parse().unwrap(),
            local: "192.0.2.1:995".parse().unwrap(),
            name: None,
            session: SessionId::new(7),
            encrypted: true,
            tls: None,
            utf8: false,
            ttl: 6,
        }),
        hostname: "mail.example.org".into(),
        xclient: true,
        imap_id: true,
        sasl: ClientPolicy::default(),
    }
}

/// What was sent, line by line, and how it ended.
#[derive(Debug)]
struct Outcome {
    sent: String,
    tls: u32,
    end: Option<Result<Ready, Failure>>,
}

fn run(plan: UpstreamPlan, pieces: &[&[u8]]) -> Outcome {
    let mut machine = Pop3Upstream::new(plan);
    let mut outcome = Outcome { sent: String::new(), tls: 0, end: None };
    for piece in std::iter::once(&&b""[..]).chain(pieces) {
        machine.receive(piece);
        loop {
            match machine.poll() {
                UpstreamStep::NeedInput => break,
                UpstreamStep::Send(octets) => outcome.sent.push_str(octets.expose_str().unwrap()),
                UpstreamStep::StartTls => {
                    outcome.tls += 1;
                    machine.tls_started();
                }
                UpstreamStep::Ready(ready) => {
                    outcome.end = Some(Ok(ready));
                    return outcome;
                }
                UpstreamStep::Failed(failure) => {
                    assert!(matches!(machine.poll(), UpstreamStep::Failed(again) if again == failure));
                    outcome.end = Some(Err(failure));
                    return outcome;
                }
            }
        }
    }
    outcome
}

/// Runs the script at every split of it.
fn at_every_split(login: impl Fn() -> LoginAs, script: &str) -> Outcome {
    let whole = run(plan(login()), &[script.as_bytes()]);
    for at in 0..=script.len() {
        let (first, second) = script.as_bytes().split_at(at);
        let same = run(plan(login()), &[first, second]);
        assert_eq!(same.sent, whole.sent, "{at}");
        match (&same.end, &whole.end) {
            (Some(Err(one)), Some(Err(other))) => assert_eq!(one, other),
            (Some(Ok(one)), Some(Ok(other))) => assert_eq!(one.offer, other.offer),
            (one, other) => assert_eq!(one.is_some(), other.is_some(), "{at}"),
        }
    }
    whole
}

#[track_caller]
fn ready(outcome: Outcome) -> Ready {
    outcome.end.expect("an end").expect("a login")
}

#[track_caller]
fn failure(outcome: Outcome) -> Failure {
    match outcome.end {
        Some(Err(failure)) => failure,
        other => panic!("no failure: {other:?}"),
    }
}

fn plain_line(authzid: &str, authcid: &str, password: &str) -> String {
    let response = plain_response(authzid, authcid, &Secret::copy_of(password.as_bytes()));
    format!("AUTH PLAIN {}\r\n", response.expose_str().unwrap())
}

#[test]
fn plain_is_taken_where_it_is_offered() {
    let outcome = at_every_split(alice, &format!("+OK <1.2@host> ready\r\n{CAPA_PLAIN}+OK Logged in.\r\n"));
    assert_eq!(outcome.sent, format!("CAPA\r\n{}", plain_line("", "alice@example.org", "secret")));
    assert_eq!(ready(outcome).offer.lines, ["TOP", "UIDL"]);
}

#[test]
fn the_rfc_5034_example_is_sent() {
    let outcome = run(
        plan(by_password("tim", None, "tanstaaftanstaaf")),
        &[b"+OK hi\r\n+OK\r\nSASL PLAIN\r\n.\r\n+OK Maildrop locked and ready\r\n"],
    );
    assert_eq!(outcome.sent, "CAPA\r\nAUTH PLAIN AHRpbQB0YW5zdGFhZnRhbnN0YWFm\r\n");
}

#[test]
fn a_service_account_becomes_the_user_by_plain_alone() {
    let login = || by_password("proxy", Some("user@example.com"), "secret");
    let outcome = at_every_split(login, &format!("+OK hi\r\n{CAPA_PLAIN}+OK\r\n"));
    assert_eq!(outcome.sent, "CAPA\r\nAUTH PLAIN dXNlckBleGFtcGxlLmNvbQBwcm94eQBzZWNyZXQ=\r\n");
    for capa in ["+OK\r\nUSER\r\nSASL LOGIN\r\n.\r\n", "-ERR what?\r\n"] {
        let outcome = run(plan(login()), &[format!("+OK hi\r\n{capa}").as_bytes()]);
        assert_eq!(outcome.sent, "CAPA\r\n", "no password was sent");
        assert!(matches!(failure(outcome), Failure::Operator(_)));
    }
}

#[test]
fn a_long_response_waits_for_the_prompt() {
    let password = "x".repeat(200);
    let login = || by_password("alice", None, &password);
    let outcome = at_every_split(login, &format!("+OK hi\r\n{CAPA_PLAIN}+\r\n+OK in\r\n"));
    let line = plain_line("", "alice", &password);
    let response = line.strip_prefix("AUTH PLAIN ").unwrap();
    assert_eq!(outcome.sent, format!("CAPA\r\nAUTH PLAIN\r\n{response}"));
    ready(outcome);
    // The longest that still fits: 255 octets with its line end.
    let outcome = run(
        plan(by_password("alice", None, &"x".repeat(173))),
        &[format!("+OK hi\r\n{CAPA_PLAIN}+OK\r\n").as_bytes()],
    );
    assert_eq!(outcome.sent.lines().last().unwrap().len(), 251);
    let outcome = run(
        plan(by_password("alice", None, &"x".repeat(174))),
        &[format!("+OK hi\r\n{CAPA_PLAIN}+ \r\n+OK\r\n").as_bytes()],
    );
    assert!(outcome.sent.contains("AUTH PLAIN\r\n"));
}

#[test]
fn an_old_server_gets_user_and_pass() {
    for capa in ["-ERR unknown\r\n", "+OK\r\nUSER\r\n.\r\n"] {
        let outcome = at_every_split(alice, &format!("+OK hi\r\n{capa}+OK\r\n+OK\r\n"));
        assert_eq!(outcome.sent, "CAPA\r\nUSER alice@example.org\r\nPASS secret\r\n");
        ready(outcome);
    }
}

#[test]
fn a_trusting_server_is_told_the_user() {
    let login = || LoginAs::Trusted { user: "alice".into(), placeholder: Secret::copy_of(b"x") };
    let outcome = at_every_split(login, "+OK hi\r\n-ERR\r\n+OK\r\n+OK\r\n");
    assert_eq!(outcome.sent, "CAPA\r\nUSER alice\r\nPASS x\r\n");
    let outcome = at_every_split(login, &format!("+OK hi\r\n{CAPA_PLAIN}+OK\r\n"));
    assert_eq!(outcome.sent, format!("CAPA\r\n{}", plain_line("", "alice", "x")));
}

#[test]
fn a_check_asks_and_sends_no_login() {
    let outcome = at_every_split(|| LoginAs::Nobody, &format!("+OK hi\r\n{CAPA_PLAIN}"));
    assert_eq!(outcome.sent, "CAPA\r\n");
    assert_eq!(ready(outcome).offer.lines, ["TOP", "UIDL"]);
    assert!(ready(run(plan(LoginAs::Nobody), &[b"+OK hi\r\n-ERR\r\n"])).offer.lines.is_empty());
}

#[test]
fn only_what_may_be_promised_is_learned() {
    let capa = "+OK\r\nTOP\r\nUIDL\r\nEXPIRE 60\r\nLOGIN-DELAY 10\r\nUTF8 USER\r\nLANG\r\nPIPELINING\r\nSTLS\r\n\
                RESP-CODES\r\nIMPLEMENTATION Secret-1.0\r\nSASL PLAIN\r\nXFOO\r\nTOP \x1b[2J\r\n.\r\n";
    let offer = ready(run(plan(LoginAs::Nobody), &[b"+OK hi\r\n", capa.as_bytes()])).offer;
    assert_eq!(offer.lines, ["TOP", "UIDL", "EXPIRE 60", "LOGIN-DELAY 10", "UTF8", "LANG", "PIPELINING"]);
}

/// RFC 6856 §2: UTF8 belongs before the login.
#[test]
fn a_client_that_asked_for_utf_8_gets_it_before_its_login_or_not_at_all() {
    let utf8 = || {
        let plan = plan(alice());
        let client = plan.client.clone().map(|client| ClientFacts { utf8: true, ..client });
        UpstreamPlan { client, ..plan }
    };
    let hello: &[u8] = b"+OK hi\r\n+OK\r\nUTF8\r\nSASL PLAIN\r\n.\r\n";
    let sent = "CAPA\r\nUTF8\r\nAUTH PLAIN AGFsaWNlQGV4YW1wbGUub3JnAHNlY3JldA==\r\n";
    let outcome = run(utf8(), &[hello, b"+OK\r\n", b"+OK\r\n"]);
    assert_eq!(outcome.sent, sent);
    ready(outcome);
    let outcome = run(utf8(), &[hello, b"-ERR no\r\n"]);
    assert!(matches!(outcome.end, Some(Err(Failure::Operator(_)))), "{outcome:?}");
    assert_eq!(outcome.sent, "CAPA\r\nUTF8\r\n", "no login without it");
}

#[test]
fn the_clients_address_goes_to_a_server_that_asks_for_it() {
    let told = "XCLIENT ADDR=192.0.2.7 PORT=40000 DESTADDR=192.0.2.1 DESTPORT=995 \
                SESSION=0000000000000007 TTL=6 CLIENT-TRANSPORT=TLS\r\nCAPA\r\n";
    for reply in ["+OK Updated", "-ERR You are not from trusted IP"] {
        let outcome =
            at_every_split(alice, &format!("+OK [XCLIENT] hi\r\n{reply}\r\n-ERR\r\n+OK\r\n+OK\r\n"));
        assert_eq!(outcome.sent, format!("{told}USER alice@example.org\r\nPASS secret\r\n"));
    }
    let silent = UpstreamPlan { xclient: false, ..plan(alice()) };
    assert_eq!(run(silent, &[b"+OK [XCLIENT] hi\r\n"]).sent, "CAPA\r\n");
    let unknown = UpstreamPlan { client: None, ..plan(alice()) };
    assert_eq!(run(unknown, &[b"+OK [XCLIENT] hi\r\n"]).sent, "CAPA\r\n");
    assert_eq!(run(plan(alice()), &[b"+OK hi [XCLIENT]\r\n"]).sent, "CAPA\r\n");
}

fn with_tls() -> UpstreamPlan {
    UpstreamPlan { starttls: true, ..plan(alice()) }
}

#[test]
fn tls_comes_before_anything_else() {
    let outcome = run(with_tls(), &[b"+OK hi\r\n", b"+OK go\r\n", CAPA_PLAIN.as_bytes(), b"+OK\r\n"]);
    assert_eq!(outcome.tls, 1);
    assert_eq!(outcome.sent, format!("STLS\r\nCAPA\r\n{}", plain_line("", "alice@example.org", "secret")));
    ready(outcome);
    let outcome = run(with_tls(), &[b"+OK [XCLIENT] hi\r\n", b"+OK go\r\n"]);
    assert!(outcome.sent.starts_with("STLS\r\nXCLIENT ADDR="));
}

#[test]
fn a_server_without_tls_gets_no_password() {
    for (reply, temporary) in
        [("-ERR no", false), ("-ERR [SYS/PERM] no", false), ("-ERR [SYS/TEMP] later", true)]
    {
        let outcome = run(with_tls(), &[b"+OK hi\r\n", reply.as_bytes(), b"\r\n"]);
        assert_eq!(outcome.sent, "STLS\r\n");
        match failure(outcome) {
            Failure::Operator(_) => assert!(!temporary),
            Failure::Temporary(_) => assert!(temporary),
            other => panic!("{other:?}"),
        }
    }
}

#[test]
fn octets_in_clear_behind_stls_are_an_attack() {
    for script in ["+OK hi\r\n+OK go\r\n+OK\r\n", "+OK hi\r\n+OK go\r\nx"] {
        let outcome = run(with_tls(), &[script.as_bytes()]);
        assert_eq!((outcome.sent.as_str(), outcome.tls), ("STLS\r\n", 0));
        assert!(matches!(failure(outcome), Failure::Protocol(_)));
    }
    let mut machine = Pop3Upstream::new(with_tls());
    machine.receive(b"+OK hi\r\n");
    assert!(matches!(machine.poll(), UpstreamStep::Send(_)));
    machine.receive(b"+OK go\r\n");
    assert!(matches!(machine.poll(), UpstreamStep::StartTls));
    machine.receive(b"+OK injected\r\n");
    machine.tls_started();
    assert!(matches!(machine.poll(), UpstreamStep::Failed(Failure::Protocol(_))));
}

#[test]
fn a_refused_login_is_told_apart() {
    let login =
        |reply: &str| failure(at_every_split(alice, &format!("+OK hi\r\n{CAPA_PLAIN}-ERR {reply}\r\n")));
    assert_eq!(login("[AUTH] no"), Failure::WrongPassword("[AUTH] no".into()));
    assert_eq!(login("[auth]"), Failure::WrongPassword("[auth]".into()));
    assert_eq!(login("[SYS/TEMP] x"), Failure::Temporary("[SYS/TEMP] x".into()));
    assert_eq!(login("[SYS/TEMP/disk] x"), Failure::Temporary("[SYS/TEMP/disk] x".into()));
    assert_eq!(login("[IN-USE] x"), Failure::Temporary("[IN-USE] x".into()));
    assert_eq!(login("[LOGIN-DELAY] x"), Failure::Temporary("[LOGIN-DELAY] x".into()));
    assert_eq!(login("[SYS/PERM] x"), Failure::Operator("[SYS/PERM] x".into()));
    assert_eq!(login("no"), Failure::Refused("no".into()));
    assert_eq!(login(""), Failure::Refused(String::new()));
    assert_eq!(login("[AUTHX] no"), Failure::Refused("[AUTHX] no".into()));
    assert_eq!(login("no [AUTH]"), Failure::Refused("no [AUTH]".into()));
}

#[test]
fn a_refusal_before_the_password_was_sent_is_no_wrong_password() {
    let user = "+OK hi\r\n-ERR\r\n-ERR [AUTH] Plaintext authentication disallowed\r\n";
    assert!(matches!(failure(run(plan(alice()), &[user.as_bytes()])), Failure::Refused(_)));
    let prompt = format!("+OK hi\r\n{CAPA_PLAIN}-ERR [AUTH] no\r\n");
    let long = plan(by_password("alice", None, &"x".repeat(200)));
    assert!(matches!(failure(run(long, &[prompt.as_bytes()])), Failure::Refused(_)));
    assert!(matches!(failure(run(plan(alice()), &[b"-ERR [AUTH] go away\r\n"])), Failure::Temporary(_)));
    assert!(matches!(failure(run(plan(alice()), &[b"-ERR [SYS/PERM] broken\r\n"])), Failure::Operator(_)));
}

#[test]
fn a_hostile_reply_is_a_broken_protocol() {
    let endless = "x".repeat(5000);
    let list = format!("+OK hi\r\n+OK\r\n{}", "TOP\r\n".repeat(65));
    let scripts = [
        "* OK IMAP ready\r\n",
        "220 smtp\r\n",
        "+OKAY\r\n",
        "+ \r\n",
        "+OK hi\n",
        "+OK h\0i\r\n",
        "+OK h\ri\r\n",
        "+OK hi\r\n+ \r\n",
        "+OK hi\r\n-ERR\r\n+ \r\n",
        "+OK hi\r\n-ERR\r\n+OK\r\n+ \r\n",
        "+OK hi\r\n+OK\r\nSASL PLAIN\r\n.\r\n+ \r\n",
        &format!("+OK {endless}\r\n"),
        &list,
    ];
    for script in scripts {
        let failed = failure(at_every_split(alice, script));
        assert!(matches!(failed, Failure::Protocol(_)), "{script:?}: {failed:?}");
    }
}

#[test]
fn an_endless_reply_is_not_kept() {
    let mut machine = Pop3Upstream::new(plan(alice()));
    machine.receive(b"+OK ");
    for _ in 0..1000 {
        machine.receive(&[b'x'; 1000]);
        assert!(matches!(machine.poll(), UpstreamStep::NeedInput));
        let shown = format!("{machine:?}");
        let kept = shown.split_once("Lines(").unwrap().1.split(' ').next().unwrap();
        assert!(kept.parse::<usize>().unwrap() < 2048);
    }
}

#[test]
fn what_could_be_spoken_as_another_command_is_never_sent() {
    let old = "+OK hi\r\n-ERR\r\n+OK\r\n+OK\r\n";
    let new = format!("+OK hi\r\n{CAPA_PLAIN}+OK\r\n");
    let names = ["alice\r\nDELE 1", "alice\nx", "al\0ice", "", "al\u{85}ice"];
    for name in names {
        for script in [old, &new] {
            let outcome = run(plan(by_password(name, None, "secret")), &[script.as_bytes()]);
            assert_eq!(outcome.sent, "CAPA\r\n", "{name:?}");
            assert!(matches!(failure(outcome), Failure::Operator(_)));
        }
    }
    let victim = by_password("proxy", Some("victim\0proxy"), "secret");
    assert_eq!(run(plan(victim), &[new.as_bytes()]).sent, "CAPA\r\n");
    for (name, password) in
        [("al ice", "secret"), ("alice", "a\r\nDELE 1"), ("alice", "a\nb"), ("alice", "a\0b")]
    {
        let outcome = run(plan(by_password(name, None, password)), &[old.as_bytes()]);
        assert_eq!(outcome.sent, "CAPA\r\n", "{name:?} {password:?}");
        assert!(matches!(failure(outcome), Failure::Operator(_)));
    }
}

#[test]
fn a_failure_is_printable_and_short_and_a_machine_shows_no_password() {
    let long = format!("+OK hi\r\n{CAPA_PLAIN}-ERR \x1b[31m{}\r\n", "y".repeat(900));
    let Failure::Refused(text) = failure(run(plan(alice()), &[long.as_bytes()])) else { panic!() };
    assert!(text.len() == 200 && text.starts_with("?[31my"));

    let machine = Pop3Upstream::new(plan(alice()));
    assert!(!format!("{machine:?}").contains("secret"));
}

#[test]
fn what_the_server_sends_behind_its_answer_belongs_to_the_client() {
    let script = format!("+OK hi\r\n{CAPA_PLAIN}+OK in\r\n+OK 0 0\r\nhalf");
    assert_eq!(ready(run(plan(alice()), &[script.as_bytes()])).leftover, b"+OK 0 0\r\nhalf");
}

proptest! {
    #[test]
    fn no_replies_make_the_client_panic_or_send_a_broken_line(
        words in proptest::collection::vec(
            prop_oneof![
                Just("+OK\r\n".to_owned()),
                Just("-ERR [AUTH]\r\n".to_owned()),
                Just("+ \r\n".to_owned()),
                Just("SASL PLAIN\r\n.\r\n".to_owned()),
                Just("+OK [XCLIENT]\r\n".to_owned()),
                "\\PC{0,30}",
            ],
            0..10,
        ),
        starttls in any::<bool>(),
    ) {
        let pieces: Vec<&[u8]> = words.iter().map(|word| word.as_bytes()).collect();
        let outcome = run(UpstreamPlan { starttls, ..plan(alice()) }, &pieces);
        for line in outcome.sent.split_terminator("\r\n") {
            prop_assert!(!line.is_empty() && !line.contains(['\r', '\n']));
        }
    }
}
