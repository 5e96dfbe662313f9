//! The two SMTP machines: the dialogues of the standards, clients and servers that break them, every split.

use std::sync::Arc;

use base64::{Engine as _, engine::general_purpose::STANDARD};
use bearward::{
    model::{Mechanism, Secret, SessionId},
    proto::{
        Accepted, Answer, Banner, ClientFacts, Credentials, Downstream, Failure, FrontConfig, LoginAs, Offer,
        Question, Refusal, RefusalKind, Step, TlsState, Upstream, UpstreamPlan, UpstreamStep,
        sasl::ClientPolicy,
        smtp::{SmtpDownstream, SmtpUpstream},
    },
};
use proptest::prelude::*;

fn config(tls: TlsState) -> FrontConfig {
    let lines =
        ["PIPELINING", "SIZE 1000", "ENHANCEDSTATUSCODES", "XCLIENT ADDR"].map(str::to_owned).to_vec();
    FrontConfig {
        hostname: "mail.example.org".into(),
        tls,
        mechanisms: Arc::new([Mechanism::OAuthBearer, Mechanism::XOAuth2]),
        offer: Arc::new(Offer { lines }),
        line_limit: 8 * 1024,
        sasl_limit: 16 * 1024,
        bad_commands: 10,
        failed_auth: 3,
    }
}

fn answer(token: &[u8]) -> Answer {
    let kind = match token {
        b"good" => return Answer::Accepted(Accepted::default()),
        b"down" => RefusalKind::Unavailable,
        b"ours" => RefusalKind::OperatorFault,
        b"policy" => RefusalKind::Policy,
        b"often" => RefusalKind::RateLimited,
        b"scope" => RefusalKind::InsufficientScope,
        _ => RefusalKind::InvalidToken,
    };
    Answer::Refused(Refusal {
        kind,
        scope: "mail".into(),
        openid_configuration: None,
        session: SessionId::new(1),
    })
}

/// What the machine says, with its questions and turns between `<` and `>`.
fn poll(machine: &mut SmtpDownstream, said: &mut String) {
    loop {
        match machine.poll() {
            Step::Ask(Question::Authenticate(attempt)) => {
                let Credentials::Bearer { token, authzid } = attempt.credentials else {
                    panic!("a password")
                };
                let name = attempt.client_name.unwrap_or_default();
                let (mechanism, authzid) = (attempt.mechanism, authzid.unwrap_or_default());
                *said += &format!("<{mechanism} {authzid} {} from {name}>", token.expose_str().unwrap());
                machine.answer(answer(token.expose()));
            }
            Step::Close(close) => {
                *said += &format!("<close: {close}>");
                return;
            }
            Step::Handover(octets) => *said += &format!("<handover>{}", String::from_utf8(octets).unwrap()),
            Step::NeedInput => return,
            Step::Spoiled { .. } => {}
            Step::Send(octets) => *said += &String::from_utf8(octets).unwrap(),
            Step::StartTls => {
                *said += "<tls>";
                return;
            }
        }
    }
}

/// Feeds phases, between which TLS starts, each cut into pieces by `cut`.
fn talk_cut(config: FrontConfig, phases: &[&[u8]], cut: impl Fn(&[u8]) -> Vec<Vec<u8>>) -> String {
    let mut machine = SmtpDownstream::new(Banner::Welcome, config);
    let mut said = String::new();
    poll(&mut machine, &mut said);
    for (number, phase) in phases.iter().enumerate() {
        let begun = said.len();
        if number > 0 {
            machine.tls_started();
            poll(&mut machine, &mut said);
        }
        for piece in cut(phase) {
            if said.contains("<handover>") {
                said += std::str::from_utf8(&piece).unwrap();
                continue;
            }
            if said.ends_with('>') && said.contains("<close") {
                break;
            }
            machine.receive(&piece);
            if !said[begun..].ends_with("<tls>") {
                poll(&mut machine, &mut said);
            }
        }
    }
    said
}

fn talk(config: &FrontConfig, phases: &[&[u8]]) -> String {
    let whole = talk_cut(config.clone(), phases, |phase| vec![phase.to_vec()]);
    let longest = phases.iter().map(|phase| phase.len()).max().unwrap();
    let step = (longest / 500).max(1);
    for at in (0..=longest).step_by(step) {
        let split = talk_cut(config.clone(), phases, |phase| {
            let (head, tail) = phase.split_at(at.min(phase.len()));
            vec![head.to_vec(), tail.to_vec()]
        });
        assert_eq!(split, whole, "split at {at}");
    }
    let octets = talk_cut(config.clone(), phases, |phase| phase.chunks(1).map(<[u8]>::to_vec).collect());
    assert_eq!(octets, whole, "octet by octet");
    whole
}

/// A dialogue on an encrypted connection, without the greeting and the answer to EHLO.
fn dialogue(input: &str) -> String {
    let said = talk(&config(TlsState::Encrypted), &[["EHLO laptop\r\n", input].concat().as_bytes()]);
    said.split_once("250 AUTH OAUTHBEARER XOAUTH2\r\n").unwrap().1.to_owned()
}

fn xoauth2(token: &str) -> String {
    STANDARD.encode(format!("user=alice@example.org\x01auth=Bearer {token}\x01\x01"))
}

fn oauthbearer(token: &str) -> String {
    STANDARD.encode(format!("n,a=alice@example.org,\x01auth=Bearer {token}\x01\x01"))
}

#[test]
fn ehlo_promises_what_the_mail_server_keeps_and_auth_only_over_tls() {
    assert_eq!(
        talk(&config(TlsState::Encrypted), &[b"EHLO laptop\r\nHELO laptop\r\n"]),
        "220 mail.example.org ESMTP Bearward\r\n250-mail.example.org\r\n250-PIPELINING\r\n250-SIZE 1000\r\n\
         250-ENHANCEDSTATUSCODES\r\n250 AUTH OAUTHBEARER XOAUTH2\r\n250 mail.example.org\r\n"
    );
    let clear = talk(&config(TlsState::ClearStartTls), &[b"EHLO laptop\r\n"]);
    assert!(clear.ends_with("250-ENHANCEDSTATUSCODES\r\n250 STARTTLS\r\n") && !clear.contains("AUTH"));
    let clear = talk(&config(TlsState::Clear), &[b"EHLO laptop\r\n"]);
    assert!(!clear.contains("STARTTLS") && !clear.contains("AUTH"), "{clear}");
}

#[test]
fn another_reader_reads_the_ehlo_answer() {
    let said = talk(&config(TlsState::Encrypted), &[b"EHLO laptop\r\n"]);
    let answer = said.split_once("\r\n").unwrap().1;
    let read = smtp_proto::EhloResponse::parse(&mut answer.as_bytes().iter()).unwrap();
    assert_eq!(read.hostname, "mail.example.org");
    assert_eq!(read.auth_mechanisms, smtp_proto::AUTH_OAUTHBEARER | smtp_proto::AUTH_XOAUTH2);
    assert_eq!(read.size, 1000);
    let expected = smtp_proto::EXT_PIPELINING | smtp_proto::EXT_SIZE | smtp_proto::EXT_ENHANCED_STATUS_CODES;
    assert_eq!(read.capabilities, expected | smtp_proto::EXT_AUTH);
}

#[test]
fn a_token_signs_in_with_and_without_an_initial_response() {
    let with = format!("AUTH XOAUTH2 {}\r\n", xoauth2("good"));
    let asked =
        "<XOAUTH2 alice@example.org good from laptop>235 2.7.0 Authentication succeeded\r\n<handover>";
    assert_eq!(dialogue(&with), asked);
    let without = format!("auth xoauth2\r\n{}\r\n", xoauth2("good"));
    assert_eq!(dialogue(&without), format!("334 \r\n{asked}"));
    let bearer = format!("AUTH OAUTHBEARER {}\r\n", oauthbearer("good"));
    assert!(dialogue(&bearer).starts_with("<OAUTHBEARER alice@example.org good from laptop>235 2.7.0 "));
}

#[test]
fn what_is_pipelined_behind_the_login_is_handed_over_as_it_is() {
    let behind = "MAIL FROM:<a>\r\nRCPT TO:<b>\r\nDATA\r\nhal\nf a line";
    let said = dialogue(&format!("AUTH XOAUTH2 {}\r\n{behind}", xoauth2("good")));
    assert!(said.ends_with(&format!("235 2.7.0 Authentication succeeded\r\n<handover>{behind}")), "{said}");
}

#[test]
fn the_line_behind_an_error_challenge_is_swallowed_whatever_it_holds() {
    let token = xoauth2("expired");
    for dummy in [
        "",
        "AQ==",
        "=",
        "garbage",
        "QUIT",
        "\x01AUTH XOAUTH2 x",
        "NOOP\0",
        &xoauth2("good"),
        &"x".repeat(40_000),
    ] {
        let said = dialogue(&format!("AUTH XOAUTH2 {token}\r\n{dummy}\r\nMAIL FROM:<a>\r\nNOOP\r\n"));
        let (challenge, rest) = said.split_once("334 ").unwrap().1.split_once("\r\n").unwrap();
        assert!(
            String::from_utf8(STANDARD.decode(challenge).unwrap()).unwrap().contains("\"status\":\"400\"")
        );
        assert_eq!(
            rest,
            "535 5.7.8 Authentication credentials invalid (session 0000000000000001)\r\n\
             530 5.7.0 Authentication required\r\n250 2.0.0 OK\r\n",
            "{dummy:.40}"
        );
    }
    let cancelled = dialogue(&format!("AUTH XOAUTH2 {token}\r\n*\r\nNOOP\r\n"));
    assert!(cancelled.ends_with("\r\n501 5.7.0 Authentication cancelled\r\n250 2.0.0 OK\r\n"), "{cancelled}");
}

#[test]
fn a_client_that_never_sends_that_line_is_told_in_the_end() {
    let mut machine = SmtpDownstream::new(Banner::Welcome, config(TlsState::Encrypted));
    let mut said = String::new();
    poll(&mut machine, &mut said);
    machine.dummy_response_timed_out();
    assert!(!machine.awaits_dummy_response());
    machine.receive(format!("EHLO a\r\nAUTH XOAUTH2 {}\r\n", xoauth2("expired")).as_bytes());
    poll(&mut machine, &mut said);
    assert!(machine.awaits_dummy_response());
    machine.dummy_response_timed_out();
    said.clear();
    poll(&mut machine, &mut said);
    assert!(said.starts_with("535 5.7.8 "), "{said}");
    machine.receive(b"NOOP\r\n");
    poll(&mut machine, &mut said);
    assert!(said.ends_with("250 2.0.0 OK\r\n"));
}

#[test]
fn each_blame_has_its_own_answer() {
    for (token, code) in [
        ("down", "454 4.7.0 "),
        ("ours", "454 4.7.0 "),
        ("often", "454 4.7.0 "),
        ("policy", "535 5.7.8 "),
        ("scope", "535 5.7.8 "),
        ("expired", "535 5.7.8 "),
    ] {
        let said = dialogue(&format!("AUTH XOAUTH2 {}\r\n\r\n", xoauth2(token)));
        let line = said.lines().find(|line| line.contains(code)).unwrap();
        assert!(line.ends_with("(session 0000000000000001)"), "{said}");
    }
}

#[test]
fn a_response_that_cannot_be_read_costs_the_attempt_alone() {
    let padded =
        ["good", "good1", "good12"].map(xoauth2).into_iter().find(|text| text.ends_with('=')).unwrap();
    for (input, code) in [
        ("AUTH XOAUTH2 !!!\r\n".to_owned(), "501 5.5.2 "),
        (format!("AUTH XOAUTH2 {}\r\n", padded.trim_end_matches('=')), "501 5.5.2 "),
        ("AUTH XOAUTH2\r\nab-_\r\n".to_owned(), "501 5.5.2 "),
        ("AUTH XOAUTH2\r\n*\r\n".to_owned(), "501 5.7.0 "),
        (format!("AUTH XOAUTH2 {}\r\n", "A".repeat(16 * 1024 + 4)), "500 5.5.6 "),
        (format!("AUTH XOAUTH2\r\n{}\r\n", "A".repeat(50_000)), "500 5.5.6 "),
        ("AUTH PLAIN AGEAYg==\r\n".to_owned(), "504 5.5.4 "),
        ("AUTH LOGIN\r\n".to_owned(), "504 5.5.4 "),
        ("AUTH NTLM\r\n".to_owned(), "504 5.5.4 "),
        ("AUTH\r\n".to_owned(), "501 5.5.4 "),
    ] {
        let said = dialogue(&format!("{input}NOOP\r\n"));
        let said = said.strip_prefix("334 \r\n").unwrap_or(&said);
        assert!(said.starts_with(code), "{input:.60}: {said}");
        assert!(said.ends_with("\r\n250 2.0.0 OK\r\n") && said.lines().count() == 2, "{input:.60}: {said}");
    }
}

#[test]
fn no_credential_is_taken_in_clear_or_before_ehlo() {
    let auth = format!("EHLO a\r\nAUTH XOAUTH2 {}\r\nMAIL FROM:<a>\r\n", xoauth2("good"));
    let said = talk(&config(TlsState::ClearStartTls), &[auth.as_bytes()]);
    assert!(said.ends_with("530 5.7.0 Must issue a STARTTLS command first\r\n".repeat(2).as_str()), "{said}");
    let said = talk(&config(TlsState::Clear), &[auth.as_bytes()]);
    assert!(
        said.contains("538 5.7.11 ") && said.ends_with("530 5.7.0 Authentication required\r\n"),
        "{said}"
    );
    let said = talk(&config(TlsState::Encrypted), &[&auth.as_bytes()[8..]]);
    assert!(said.contains("\r\n503 5.5.1 ") && !said.contains('<'), "{said}");
}

#[test]
fn no_octet_survives_the_tls_handshake() {
    let auth = format!("AUTH XOAUTH2 {}\r\n", xoauth2("good"));
    for injected in
        ["NOOP\r\n", "EHLO evil\r\n", "NO", &"x".repeat(300_000), "EHLO evil\r\nMAIL FROM:<a>\r\n"]
    {
        let before = format!("EHLO plain\r\nSTARTTLS\r\n{injected}");
        let after = format!("{auth}EHLO laptop\r\nSTARTTLS\r\n{auth}");
        let phases = [before.as_bytes(), after.as_bytes()];
        let said = talk_cut(config(TlsState::ClearStartTls), &phases, |phase| vec![phase.to_vec()]);
        let split = talk_cut(config(TlsState::ClearStartTls), &phases, |phase| {
            phase.chunks(1).map(<[u8]>::to_vec).collect()
        });
        assert_eq!(split, said, "{injected:.40}");
        let after_tls = said.split_once("220 2.0.0 Ready to start TLS\r\n<tls>").unwrap().1;
        assert!(
            after_tls.starts_with("503 5.5.1 Send EHLO first\r\n250-mail.example.org\r\n"),
            "{after_tls}"
        );
        assert!(
            after_tls
                .contains("503 5.5.1 TLS already active\r\n<XOAUTH2 alice@example.org good from laptop>235")
        );
    }
    let said = talk(&config(TlsState::ClearStartTls), &[b"STARTTLS now\r\nNOOP\r\n"]);
    assert!(said.contains("501 5.5.4 ") && said.ends_with("250 2.0.0 OK\r\n"));
}

#[test]
fn a_bare_lf_cr_or_nul_makes_no_command() {
    for line in ["QUIT\n", "QUIT\rNOOP\r\n", "QUIT\0\r\n", "\n"] {
        let said = dialogue(&format!("{line}NOOP\r\n"));
        assert!(said.starts_with("500 5.5.2 ") && said.ends_with("250 2.0.0 OK\r\n"), "{line:?}: {said}");
        assert!(!said.contains("<close"));
    }
    assert_eq!(dialogue("\r\nNOOP\r\n"), "500 5.5.2 Unknown command\r\n250 2.0.0 OK\r\n");
    let long = dialogue(&format!("NOOP {}\r\nNOOP\r\n", "x".repeat(8 * 1024)));
    assert_eq!(long, "500 5.5.2 Line too long\r\n250 2.0.0 OK\r\n");
}

#[test]
fn a_name_that_could_be_spoken_as_something_else_is_refused() {
    for name in ["", "a b", "<a>", "a\tb", "a;b", "x=y", "a\u{e4}"] {
        let said = dialogue(&format!("EHLO {name}\r\n"));
        assert!(said.starts_with("501 5.5.4 "), "{name:?}: {said}");
    }
    let said = dialogue(&format!("EHLO [192.168.0.7]\r\nAUTH XOAUTH2 {}\r\n", xoauth2("good")));
    assert!(said.contains("from [192.168.0.7]>"), "{said}");
}

#[test]
fn too_much_of_anything_ends_the_connection() {
    let said = dialogue(&"WHAT\r\n".repeat(20));
    assert!(said.ends_with("421 4.7.0 Too many bad commands\r\n<close: too many bad commands>"), "{said}");
    assert_eq!(said.matches("500 5.5.2").count(), 9);
    let said = dialogue(&format!("AUTH XOAUTH2 {}\r\n\r\n", xoauth2("expired")).repeat(5));
    assert!(
        said.ends_with("421 4.7.0 Too many failed sign-ins\r\n<close: too many failed sign-ins>"),
        "{said}"
    );
    assert_eq!(said.matches("535 5.7.8").count(), 3);
    let said = dialogue(&format!("AUTH XOAUTH2 {}\r\n", xoauth2("down")).repeat(20));
    assert_eq!(said.matches("454 4.7.0").count(), 20, "an outage counts for nothing");
    let flood = talk_cut(config(TlsState::Encrypted), &[&[b'x'; 400_000]], |phase| {
        phase.chunks(999).map(<[u8]>::to_vec).collect()
    });
    assert!(flood.ends_with("<close: a command beyond all limits>"), "{flood}");
    assert_eq!(
        talk_cut(config(TlsState::Encrypted), &[&[b'x'; 400_000]], |phase| vec![phase.to_vec()]),
        flood
    );
}

#[test]
fn what_is_no_mail_client_is_left_alone() {
    for input in [
        &b"GET / HTTP/1.1\r\nHost: a\r\n\r\n"[..],
        b"POST / HTTP/1.1\r\n",
        b"\x16\x03\x01\x02\x00\x01\x00\r\n",
    ] {
        let said = talk(&config(TlsState::ClearStartTls), &[input]);
        assert_eq!(
            said,
            "220 mail.example.org ESMTP Bearward\r\n<close: not a mail client>",
            "{}",
            input.escape_ascii()
        );
    }
    let mut busy = SmtpDownstream::new(Banner::Busy, config(TlsState::Clear));
    let mut said = String::new();
    poll(&mut busy, &mut said);
    assert!(said.starts_with("421 4.3.2 ") && said.ends_with("<close: too many connections>"));
    assert_eq!(busy.goodbye("idle\r\n250 x"), b"421 4.3.2 mail.example.org idle??250 x\r\n");
}

#[test]
fn commands_that_need_a_login_say_so() {
    for command in ["MAIL FROM:<a>", "RCPT TO:<b>", "DATA", "BDAT 5 LAST", "VRFY a", "EXPN a"] {
        assert_eq!(dialogue(&format!("{command}\r\n")), "530 5.7.0 Authentication required\r\n", "{command}");
    }
    for command in ["XCLIENT ADDR=1.2.3.4", "XFORWARD NAME=a", "TURN", "ETRN a", "BURL a"] {
        assert!(dialogue(&format!("{command}\r\n")).starts_with("502 5.5.1 "), "{command}");
    }
    assert_eq!(dialogue("QUIT\r\nNOOP\r\n"), "221 2.0.0 Bye\r\n<close: the client left>");
}

proptest! {
    #[test]
    fn any_client_gets_the_same_answers_however_its_octets_come(
        lines in proptest::collection::vec(prop_oneof![
            proptest::sample::select(vec!["EHLO a", "AUTH XOAUTH2", "AUTH OAUTHBEARER", "AUTH", "*", "", "AQ==", "=", "NOOP", "QUIT", "STARTTLS", "MAIL FROM:<a>", "HELO", " NOOP"]).prop_map(|line| line.as_bytes().to_vec()),
            proptest::sample::select(vec!["good", "expired", "down"]).prop_map(|token| xoauth2(token).into_bytes()),
            proptest::sample::select(vec!["good", "scope"]).prop_map(|token| format!("AUTH OAUTHBEARER {}", oauthbearer(token)).into_bytes()),
            proptest::collection::vec(0_u8..128, 0..20),
        ], 0..20),
        size in 1_usize..30,
    ) {
        let input = lines.join(&b"\r\n"[..]);
        let whole = talk_cut(config(TlsState::Encrypted), &[&input], |phase| vec![phase.to_vec()]);
        let split = talk_cut(config(TlsState::Encrypted), &[&input], |phase| phase.chunks(size).map(<[u8]>::to_vec).collect());
        prop_assert_eq!(split, whole);
    }

    #[test]
    fn another_reader_reads_the_same_command(
        line in "(EHLO|AUTH|MAIL FROM:|NOOP|QUIT|RSET|STARTTLS|DATA|VRFY|XCLIENT|FOO)( ?)(laptop|XOAUTH2|OAUTHBEARER ab=|<a@b>|)",
    ) {
        use smtp_proto::Request;
        let ours = dialogue(&format!("{line}\r\n"));
        let whole = format!("{line}\r\n");
        let theirs = Request::parse(&mut whole.as_bytes().iter());
        // Where the other reader finds a command that needs nothing of a login, we have taken it as the same.
        match theirs {
            Ok(Request::Ehlo { .. }) if line.contains('=') || line.contains('<') => prop_assert!(ours.starts_with("501 "), "{}: {}", line, ours),
            Ok(Request::Ehlo { .. }) => prop_assert!(ours.starts_with("250-"), "{}: {}", line, ours),
            Ok(Request::Quit) => prop_assert!(ours.starts_with("221 "), "{}: {}", line, ours),
            Ok(Request::Noop { .. } | Request::Rset) => prop_assert!(ours.starts_with("250 2.0.0"), "{}: {}", line, ours),
            Ok(Request::Mail { .. } | Request::Data | Request::Vrfy { .. }) => prop_assert!(ours.starts_with("530 "), "{}: {}", line, ours),
            Ok(Request::StartTls) => prop_assert!(ours.starts_with("503 "), "{}: {}", line, ours),
            Ok(Request::Auth { mechanism: 0, .. }) => prop_assert!(ours.starts_with("50"), "{}: {}", line, ours),
            Ok(Request::Auth { initial_response, .. }) if initial_response.is_empty() => prop_assert!(ours.starts_with("334 \r\n"), "{}: {}", line, ours),
            _ => prop_assert!(!ours.starts_with("334 \r\n") && !ours.starts_with("250"), "{}: {}", line, ours),
        }
    }
}

fn plan(login: LoginAs) -> UpstreamPlan {
    UpstreamPlan {
        login,
        starttls: false,
        client: Some(ClientFacts {
            address: "192.0.2.7:4711".parse().unwrap(),
            local: "198.51.100.1:465".parse().unwrap(),
            name: Some("laptop".to_owned()),
            session: SessionId::new(0xAB),
            encrypted: true,
            tls: None,
            utf8: false,
            ttl: 3,
        }),
        hostname: "proxy.example.org".into(),
        xclient: true,
        imap_id: false,
        sasl: ClientPolicy::default(),
    }
}

fn password(authzid: Option<&str>) -> LoginAs {
    LoginAs::Password {
        authcid: "tim".to_owned(),
        authzid: authzid.map(str::to_owned),
        password: Secret::copy_of(b"tanstaaftanstaaf"),
    }
}

#[derive(Debug, Default, PartialEq, Eq)]
struct Talk {
    sent: Vec<String>,
    offer: Option<Vec<String>>,
    failure: Option<Failure>,
}

fn ask(plan: UpstreamPlan, replies: &[&str], size: usize) -> Talk {
    let (mut machine, mut talk) = (SmtpUpstream::new(plan), Talk::default());
    for reply in replies {
        for piece in reply.as_bytes().chunks(size) {
            machine.receive(piece);
        }
        loop {
            match machine.poll() {
                UpstreamStep::NeedInput => break,
                UpstreamStep::Send(octets) => talk.sent.push(octets.expose_str().unwrap().to_owned()),
                UpstreamStep::StartTls => {
                    talk.sent.push("<tls>".to_owned());
                    machine.tls_started();
                }
                UpstreamStep::Ready(ready) => talk.offer = Some(ready.offer.lines),
                UpstreamStep::Failed(failure) => {
                    talk.failure = Some(failure);
                    return talk;
                }
            }
        }
    }
    talk
}

/// The mail server answers each command with the next reply.
fn log_in(plan: impl Fn() -> UpstreamPlan, replies: &[&str]) -> Talk {
    let whole = ask(plan(), replies, 4096);
    for size in 1..20 {
        assert_eq!(ask(plan(), replies, size), whole, "pieces of {size}");
    }
    whole
}

const BANNER: &str = "220-smtp.example.com\r\n220 ESMTP ready\r\n";
const EHLO: &str =
    "250-smtp.example.com Hello\r\n250-AUTH LOGIN PLAIN\r\n250-PIPELINING\r\n250-SIZE 5\r\n250 VRFY\r\n";
const RESPONSE: &str = "AHRpbQB0YW5zdGFhZnRhbnN0YWFm";

#[test]
fn plain_logs_in_with_its_initial_response() {
    // RFC 4954 §6, the response of its example; and the client's own name behind the login.
    let talk =
        log_in(|| plan(password(None)), &[BANNER, EHLO, "235 2.7.0 Authentication successful\r\n", EHLO]);
    assert_eq!(
        talk.sent,
        ["EHLO proxy.example.org\r\n", &format!("AUTH PLAIN {RESPONSE}\r\n"), "EHLO laptop\r\n"]
    );
    assert_eq!(talk.offer.unwrap(), ["PIPELINING", "SIZE 5"]);
}

#[test]
fn a_response_too_long_for_a_command_line_goes_without() {
    let long = || {
        plan(LoginAs::Password {
            authcid: "a".repeat(200),
            authzid: None,
            password: Secret::new(vec![b'p'; 300]),
        })
    };
    let talk = log_in(long, &[BANNER, EHLO, "334 \r\n", "235 ok\r\n", EHLO]);
    assert_eq!(talk.sent[1], "AUTH PLAIN\r\n");
    assert!(talk.sent[2].len() > 600 && talk.offer.is_some());
    assert!(talk.sent.iter().filter(|sent| sent.starts_with("AUTH")).all(|sent| sent.len() <= 512));
}

#[test]
fn login_is_spoken_where_plain_is_not_offered_and_never_for_another() {
    let ehlo = "250-a\r\n250 AUTH=LOGIN\r\n";
    let replies = [BANNER, ehlo, "334 VXNlcm5hbWU6\r\n", "334 UGFzc3dvcmQ6\r\n", "235 ok\r\n", ehlo];
    let talk = log_in(|| plan(password(None)), &replies);
    assert_eq!(talk.sent[1..4], ["AUTH LOGIN\r\n", "dGlt\r\n", "dGFuc3RhYWZ0YW5zdGFhZg==\r\n"]);
    assert!(talk.offer.is_some());
    let talk = log_in(|| plan(password(Some("alice"))), &replies[..2]);
    assert!(matches!(talk.failure, Some(Failure::Operator(_))));
    let talk = log_in(|| plan(password(Some("alice"))), &[BANNER, EHLO, "235 ok\r\n", EHLO]);
    assert_eq!(talk.sent[1], format!("AUTH PLAIN {}\r\n", STANDARD.encode("alice\0tim\0tanstaaftanstaaf")));
    for ehlo in ["250 a\r\n", "250-a\r\n250 AUTH GSSAPI\r\n", "250-a\r\n250 AUTH\r\n"] {
        let talk = log_in(|| plan(password(None)), &[BANNER, ehlo]);
        assert!(matches!(talk.failure, Some(Failure::Operator(_))), "{ehlo}");
    }
}

#[test]
fn starttls_is_required_where_it_is_planned_and_forgets_everything() {
    let planned = || UpstreamPlan { starttls: true, ..plan(password(None)) };
    let offering = "250-a\r\n250-AUTH PLAIN\r\n250 STARTTLS\r\n";
    let talk = log_in(planned, &[BANNER, offering, "220 go\r\n", EHLO, "235 ok\r\n", EHLO]);
    assert_eq!(
        talk.sent[..4],
        ["EHLO proxy.example.org\r\n", "STARTTLS\r\n", "<tls>", "EHLO proxy.example.org\r\n"]
    );
    assert!(talk.offer.is_some());
    let talk = log_in(planned, &[BANNER, EHLO]);
    assert!(matches!(talk.failure, Some(Failure::Operator(_))) && talk.sent.len() == 1);
    let talk = log_in(planned, &[BANNER, offering, "454 not now\r\n"]);
    assert!(matches!(talk.failure, Some(Failure::Temporary(_))));
    // What was offered in clear is no offer of the server behind TLS.
    let talk = log_in(planned, &[BANNER, offering, "220 go\r\n", "250 a\r\n"]);
    assert!(talk.failure.is_some() && !talk.sent.iter().any(|sent| sent.contains("AUTH")), "{:?}", talk.sent);
    for injected in ["250 a\r\n", "2", "220 go\r\n"] {
        let talk = log_in(planned, &[BANNER, offering, &format!("220 go\r\n{injected}")]);
        assert!(matches!(talk.failure, Some(Failure::Protocol(_))), "{injected}");
        assert!(!talk.sent.iter().any(|sent| sent.contains("AUTH")));
    }
}

#[test]
fn xclient_tells_who_the_client_is_before_the_login() {
    let offering = "250-a\r\n250-AUTH PLAIN\r\n250 XCLIENT NAME ADDR PORT HELO LOGIN\r\n";
    let replies = [BANNER, offering, "220 a\r\n", EHLO, "235 ok\r\n", EHLO];
    let talk = log_in(|| plan(password(None)), &replies);
    assert_eq!(
        talk.sent[1..4],
        [
            "XCLIENT ADDR=192.0.2.7 PORT=4711 NAME=[UNAVAILABLE] HELO=laptop\r\n",
            "EHLO laptop\r\n",
            &format!("AUTH PLAIN {RESPONSE}\r\n")
        ]
    );
    assert!(talk.offer.is_some());
    let talk = log_in(|| plan(password(None)), &[BANNER, offering, "550 5.7.0 no\r\n"]);
    assert!(matches!(talk.failure, Some(Failure::Operator(_))));
}

#[test]
fn a_server_that_still_offers_xclient_is_refused() {
    let offering = "250-a\r\n250-AUTH PLAIN\r\n250 XCLIENT ADDR\r\n";
    let without_address = "250-a\r\n250-AUTH PLAIN\r\n250 xclient LOGIN\r\n";
    let never = || UpstreamPlan { xclient: false, ..plan(password(None)) };
    let unknown = || UpstreamPlan { client: None, ..plan(password(None)) };
    let trusted = || plan(LoginAs::Trusted { user: "tim".to_owned(), placeholder: Secret::default() });
    for talk in [
        log_in(|| plan(password(None)), &[BANNER, offering, "220 a\r\n", offering, "235 ok\r\n", offering]),
        log_in(|| plan(password(None)), &[BANNER, without_address, "235 ok\r\n", without_address]),
        log_in(never, &[BANNER, offering, "235 ok\r\n", offering]),
        log_in(unknown, &[BANNER, offering, "235 ok\r\n", offering]),
        log_in(trusted, &[BANNER, offering, "220 a\r\n", offering]),
        log_in(|| plan(password(None)), &[BANNER, EHLO, "235 ok\r\n", offering]),
    ] {
        assert!(matches!(talk.failure, Some(Failure::Operator(_))), "{talk:?}");
        assert!(talk.offer.is_none());
    }
    let talk = log_in(trusted, &[BANNER, EHLO]);
    assert!(talk.offer.is_some() && talk.sent.len() == 1);
    // A check asks no more than what is offered, and nobody will be spoken for.
    let talk = log_in(|| plan(LoginAs::Nobody), &[BANNER, offering]);
    assert!(talk.offer.is_some() && talk.sent.len() == 1);
}

#[test]
fn a_refusal_is_blamed_on_whom_it_belongs_to() {
    type Blame = fn(&Failure) -> bool;
    let wrong: Blame = |failure| matches!(failure, Failure::WrongPassword(_));
    let refused: Blame = |failure| matches!(failure, Failure::Refused(_));
    let temporary: Blame = |failure| matches!(failure, Failure::Temporary(_));
    let operator: Blame = |failure| matches!(failure, Failure::Operator(_));
    let protocol: Blame = |failure| matches!(failure, Failure::Protocol(_));
    for (reply, blame) in [
        ("535 5.7.8 Error: authentication failed\r\n", wrong),
        ("535-5.7.8 no\r\n535 5.7.8 see a.example\r\n", wrong),
        ("535 Authentication failed\r\n", refused),
        ("535 5.7.3 unsuccessful\r\n", refused),
        ("535 5.7.80 x\r\n", refused),
        ("454 4.7.0 Temporary authentication failure\r\n", temporary),
        ("421 4.3.2 shutting down\r\n", temporary),
        ("534 5.7.9 too weak\r\n", operator),
        ("538 5.7.11 encrypt\r\n", operator),
        ("504 5.5.4 what\r\n", operator),
        ("530 5.7.0 Must issue a STARTTLS command first\r\n", operator),
        ("250 what\r\n", protocol),
        ("334 e30=\r\n", protocol),
    ] {
        let talk = log_in(|| plan(password(None)), &[BANNER, EHLO, reply]);
        assert!(blame(talk.failure.as_ref().unwrap()), "{reply}: {:?}", talk.failure);
    }
    for (banner, blame) in [
        ("421 busy\r\n", temporary),
        ("450 busy\r\n", temporary),
        ("554 no SMTP here\r\n", operator),
        ("354 what\r\n", protocol),
        ("SSH-2.0-OpenSSH_9\r\n", protocol),
        ("220 a\n", protocol),
        ("220-a\r\n250 b\r\n", protocol),
    ] {
        let talk = log_in(|| plan(password(None)), &[banner]);
        assert!(blame(talk.failure.as_ref().unwrap()), "{banner}: {:?}", talk.failure);
    }
}

#[test]
fn a_server_without_end_is_not_listened_to() {
    let line = "2".repeat(10_000);
    let lines = "250-x\r\n".repeat(1000);
    for replies in [vec![line.as_str()], vec![BANNER, &lines]] {
        let talk = ask(plan(password(None)), &replies, 100);
        assert!(matches!(talk.failure, Some(Failure::Protocol(_))));
    }
    let said = format!("535 {}\u{7}\r\n", "x".repeat(1000));
    let Some(Failure::Refused(text)) = ask(plan(password(None)), &[BANNER, EHLO, &said], 100).failure else {
        panic!()
    };
    assert!(text.len() <= 200 && text.is_ascii());
}

#[test]
fn what_the_client_calls_itself_costs_no_session() {
    let talk = log_in(|| plan(password(None)), &[BANNER, EHLO, "235 ok\r\n", "501 5.5.4 bad name\r\n", EHLO]);
    assert_eq!(talk.sent[2..], ["EHLO laptop\r\n", "EHLO proxy.example.org\r\n"]);
    assert!(talk.offer.is_some());
    let hostile = || {
        let mut plan = plan(password(None));
        plan.client.as_mut().unwrap().name = Some("a\r\nMAIL FROM:<>".to_owned());
        plan
    };
    let talk = log_in(hostile, &[BANNER, EHLO, "235 ok\r\n", EHLO]);
    assert_eq!(talk.sent[2], "EHLO proxy.example.org\r\n");
}

proptest! {
    #[test]
    fn no_server_makes_the_machine_panic_or_forget_its_plan(
        replies in proptest::collection::vec(prop_oneof![
            proptest::sample::select(vec![BANNER, EHLO, "235 ok\r\n", "334 \r\n", "220 go\r\n", "250-a\r\n250 STARTTLS\r\n", "535 5.7.8 x\r\n", "250 XCLIENT ADDR\r\n", "\r\n", "250-"]).prop_map(str::to_owned),
            "[ -~\r\n]{0,20}",
        ], 0..12),
    ) {
        let replies: Vec<&str> = replies.iter().map(String::as_str).collect();
        let talk = ask(UpstreamPlan { starttls: true, ..plan(password(None)) }, &replies, 7);
        let tls = talk.sent.iter().position(|sent| sent == "<tls>");
        let auth = talk.sent.iter().position(|sent| sent.starts_with("AUTH"));
        prop_assert!(auth.is_none() || tls < auth && tls.is_some(), "{:?}", talk);
        prop_assert!(talk.offer.is_none() || auth.is_some());
    }
}
