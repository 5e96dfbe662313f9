//! Every mechanism on every protocol, with and without an initial response: the octets of each login.

use std::num::NonZeroU32;

use aws_lc_rs::{digest, hmac, pbkdf2};
use base64::{Engine as _, engine::general_purpose::STANDARD};
use bearward::{
    model::{Protocol, Secret},
    proto::{
        self, Failure, LoginAs, UpstreamPlan, UpstreamStep,
        sasl::{ClientMechanism, ClientPolicy},
    },
};

use super::PASSWORD;
use crate::support::{ALICE, base64};

const MAIL: [Protocol; 3] = [Protocol::Imap, Protocol::Pop3, Protocol::Smtp];

/// What the mail server does with a response.
enum Verdict {
    Accept,
    Challenge(String),
    Refuse,
}

/// How a conversation ended, and the lines that were sent up to then.
#[derive(Debug)]
struct Talk {
    sent: Vec<String>,
    end: Result<(), Failure>,
}

/// A mail server that offers `mechanisms`, and answers each response of the client's as `server` says; `None` is a
/// command without an initial response. The machine gets its octets one by one.
fn talk(
    protocol: Protocol,
    plan: UpstreamPlan,
    mechanisms: &str,
    mut server: impl FnMut(Option<&str>) -> Verdict,
) -> Talk {
    let mut machine = proto::upstream(protocol, plan).expect("a machine");
    let mut talk = Talk { sent: Vec::new(), end: Err(Failure::Temporary("it never ended".into())) };
    let mut said = greeting(protocol, mechanisms);
    let mut begun = false;
    for _ in 0..20 {
        said.bytes().for_each(|octet| machine.receive(&[octet]));
        said.clear();
        loop {
            match machine.poll() {
                UpstreamStep::NeedInput => break,
                UpstreamStep::Ready(_) => {
                    talk.end = Ok(());
                    return talk;
                }
                UpstreamStep::Failed(failure) => {
                    talk.end = Err(failure);
                    return talk;
                }
                UpstreamStep::StartTls => unreachable!("it was not planned"),
                UpstreamStep::Send(octets) => {
                    let text = octets.expose_str().expect("text").to_owned();
                    let line = text.strip_suffix("\r\n").expect("a line");
                    said = answer(protocol, mechanisms, line, &mut begun, &mut server);
                    talk.sent.push(line.to_owned());
                }
            }
        }
    }
    talk
}

fn greeting(protocol: Protocol, mechanisms: &str) -> String {
    match protocol {
        Protocol::Imap => {
            let offered: String = mechanisms.split(' ').map(|name| format!(" AUTH={name}")).collect();
            format!("* OK [CAPABILITY IMAP4rev1 SASL-IR LOGINDISABLED{offered}] hi\r\n")
        }
        Protocol::Pop3 => "+OK hi\r\n".into(),
        Protocol::Sieve | Protocol::Smtp => "220 hi\r\n".into(),
    }
}

fn answer(
    protocol: Protocol,
    mechanisms: &str,
    line: &str,
    begun: &mut bool,
    server: &mut impl FnMut(Option<&str>) -> Verdict,
) -> String {
    match line {
        "CAPA" => return format!("+OK\r\nSASL {mechanisms}\r\n.\r\n"),
        _ if line.starts_with("EHLO ") => return format!("250-hi\r\n250 AUTH {mechanisms}\r\n"),
        _ => {}
    }
    let response = if *begun {
        Some(line)
    } else {
        let command = if protocol == Protocol::Imap { "L AUTHENTICATE " } else { "AUTH " };
        let rest = line.strip_prefix(command).unwrap_or_else(|| panic!("no login: {line}"));
        rest.split_once(' ').map(|(_, response)| response)
    };
    *begun = true;
    match (server(response), protocol) {
        (Verdict::Accept, Protocol::Imap) => "L OK [CAPABILITY IMAP4rev1] in\r\n".into(),
        (Verdict::Accept, Protocol::Pop3) => "+OK in\r\n".into(),
        (Verdict::Accept, _) => "235 2.7.0 in\r\n".into(),
        (Verdict::Challenge(text), Protocol::Imap | Protocol::Pop3) => format!("+ {text}\r\n"),
        (Verdict::Challenge(text), _) => format!("334 {text}\r\n"),
        (Verdict::Refuse, Protocol::Imap) => "L NO [AUTHENTICATIONFAILED] no\r\n".into(),
        (Verdict::Refuse, Protocol::Pop3) => "-ERR [AUTH] no\r\n".into(),
        (Verdict::Refuse, _) => "535 5.7.8 no\r\n".into(),
    }
}

fn plan(login: LoginAs, encrypted: bool) -> UpstreamPlan {
    UpstreamPlan {
        login,
        starttls: false,
        client: None,
        hostname: "proxy".into(),
        xclient: false,
        imap_id: false,
        sasl: ClientPolicy { encrypted, ..ClientPolicy::default() },
    }
}

fn password(authzid: Option<&str>) -> LoginAs {
    LoginAs::Password {
        authcid: ALICE.into(),
        authzid: authzid.map(Into::into),
        password: Secret::copy_of(PASSWORD.as_bytes()),
    }
}

fn bearer() -> LoginAs {
    LoginAs::Bearer { user: ALICE.into(), token: Secret::copy_of(b"to.ken") }
}

/// The lines of a login, without what comes before it and after it.
fn login(protocol: Protocol, talk: &Talk) -> Vec<String> {
    let command = if protocol == Protocol::Imap { "L AUTHENTICATE " } else { "AUTH " };
    let begin = talk.sent.iter().position(|line| line.starts_with(command)).expect("a login");
    let mut lines: Vec<String> = talk.sent[begin..].to_vec();
    lines[0] = lines[0].split_off(command.len());
    lines.retain(|line| !line.starts_with("EHLO "));
    lines
}

/// The login at a server that has these challenges and then takes it.
fn lines(protocol: Protocol, plan: UpstreamPlan, mechanisms: &str, challenges: &[&str]) -> Vec<String> {
    let mut due = challenges.iter();
    let talk = talk(protocol, plan, mechanisms, |_| {
        due.next().map_or(Verdict::Accept, |text| Verdict::Challenge((*text).to_owned()))
    });
    assert_eq!(talk.end, Ok(()), "{:?}", talk.sent);
    login(protocol, &talk)
}

#[test]
fn each_mechanism_says_the_same_on_every_protocol() {
    let oauthbearer = base64(format!("n,a={ALICE},\x01auth=Bearer to.ken\x01\x01"));
    let xoauth2 = base64(format!("user={ALICE}\x01auth=Bearer to.ken\x01\x01"));
    let external = |user: &str| LoginAs::External { user: user.into() };
    for protocol in MAIL {
        let first = |login, encrypted, mechanisms| lines(protocol, plan(login, encrypted), mechanisms, &[]);
        let plain = format!("PLAIN {}", base64(format!("\0{ALICE}\0{PASSWORD}")));
        assert_eq!(first(password(None), true, "SCRAM-SHA-256 CRAM-MD5 LOGIN PLAIN"), [plain.as_str()]);
        assert_eq!(first(password(None), false, "LOGIN PLAIN"), [plain]);
        let become_bob = format!("PLAIN {}", base64(format!("bob\0{ALICE}\0{PASSWORD}")));
        assert_eq!(first(password(Some("bob")), true, "LOGIN CRAM-MD5 PLAIN"), [become_bob]);
        assert_eq!(
            first(bearer(), true, "PLAIN XOAUTH2 OAUTHBEARER"),
            [format!("OAUTHBEARER {oauthbearer}")]
        );
        assert_eq!(first(bearer(), true, "PLAIN XOAUTH2"), [format!("XOAUTH2 {xoauth2}")]);
        assert_eq!(first(external(ALICE), true, "PLAIN EXTERNAL"), [format!("EXTERNAL {}", base64(ALICE))]);
        assert_eq!(first(external(""), true, "EXTERNAL"), ["EXTERNAL ="]);
        let by_login =
            lines(protocol, plan(password(None), true), "LOGIN CRAM-MD5", &["VXNlcg==", "UGFzcw=="]);
        assert_eq!(by_login, ["LOGIN".to_owned(), base64(ALICE), base64(PASSWORD)]);
        let challenge = "<1896.697170952@postoffice.example.net>";
        let by_cram = lines(protocol, plan(password(None), false), "PLAIN CRAM-MD5", &[&base64(challenge)]);
        let [command, response] = by_cram.as_slice() else { panic!("{by_cram:?}") };
        let response = String::from_utf8(STANDARD.decode(response).unwrap()).unwrap();
        let (name, digest) = response.rsplit_once(' ').unwrap();
        assert_eq!((command.as_str(), name, digest.len()), ("CRAM-MD5", ALICE, 32));
    }
}

/// The server's side of SCRAM-SHA-256, written from RFC 5802 alone.
struct Scram {
    rounds: u32,
    first: Option<(String, String)>,
    steps: u32,
    wrong_proof: bool,
}

impl Scram {
    fn new() -> Self {
        Self { rounds: 4096, first: None, steps: 0, wrong_proof: false }
    }

    fn answer(&mut self, response: Option<&str>) -> Verdict {
        let Some(response) = response else { return Verdict::Challenge(String::new()) };
        let message = String::from_utf8(STANDARD.decode(response).unwrap()).unwrap();
        self.steps += 1;
        match &self.first {
            None => {
                let bare = message.splitn(3, ',').nth(2).unwrap().to_owned();
                let nonce = bare.split_once(",r=").unwrap().1;
                let first = format!("r={nonce}SERVER,s={},i={}", base64("salt"), self.rounds);
                self.first = Some((bare, first.clone()));
                Verdict::Challenge(base64(first))
            }
            Some((bare, first)) if self.steps == 2 => {
                let (without, proof) = message.rsplit_once(",p=").unwrap();
                let signed = format!("{bare},{first},{without}");
                let mut salted = [0; 32];
                let rounds = NonZeroU32::new(self.rounds).unwrap();
                pbkdf2::derive(pbkdf2::PBKDF2_HMAC_SHA256, rounds, b"salt", PASSWORD.as_bytes(), &mut salted);
                let mac = |key: &[u8], text: &[u8]| {
                    hmac::sign(&hmac::Key::new(hmac::HMAC_SHA256, key), text).as_ref().to_vec()
                };
                let client_key = mac(&salted, b"Client Key");
                let stored = digest::digest(&digest::SHA256, &client_key);
                let signature = mac(stored.as_ref(), signed.as_bytes());
                let recovered: Vec<u8> =
                    STANDARD.decode(proof).unwrap().iter().zip(&signature).map(|(a, b)| a ^ b).collect();
                assert_eq!(digest::digest(&digest::SHA256, &recovered).as_ref(), stored.as_ref());
                let mut own = mac(&mac(&salted, b"Server Key"), signed.as_bytes());
                own[0] ^= u8::from(self.wrong_proof);
                Verdict::Challenge(base64(format!("v={}", STANDARD.encode(own))))
            }
            Some(_) => Verdict::Accept,
        }
    }
}

#[test]
fn scram_proves_the_password_without_saying_it_and_carries_another_identity() {
    for protocol in MAIL {
        for authzid in [None, Some("bob")] {
            let mut scram = Scram::new();
            let talk = talk(protocol, plan(password(authzid), false), "PLAIN SCRAM-SHA-256", |text| {
                scram.answer(text)
            });
            let lines = login(protocol, &talk);
            let first = lines[0].strip_prefix("SCRAM-SHA-256 ").expect("SCRAM");
            let first = String::from_utf8(STANDARD.decode(first).unwrap()).unwrap();
            let header = format!("n,{},", authzid.map(|name| format!("a={name}")).unwrap_or_default());
            assert!(first.starts_with(&format!("{header}n={ALICE},r=")), "{first}");
            assert!(!talk.sent.concat().contains(&base64(PASSWORD)));
            assert_eq!(talk.end, Ok(()), "{protocol}: {lines:?}");
        }
    }
}

#[test]
fn a_server_that_does_not_prove_itself_or_asks_too_much_is_not_logged_in_to() {
    for protocol in MAIL {
        let mut impostor = Scram { wrong_proof: true, ..Scram::new() };
        let ended =
            talk(protocol, plan(password(None), false), "SCRAM-SHA-256", |text| impostor.answer(text));
        assert!(matches!(ended.end, Err(Failure::Protocol(_))), "{ended:?}");
        let mut hasty = Scram::new();
        let ended =
            talk(protocol, plan(password(None), false), "SCRAM-SHA-256", |text| match hasty.answer(text) {
                Verdict::Challenge(_) if hasty.steps == 2 => Verdict::Accept,
                verdict @ (Verdict::Accept | Verdict::Challenge(_) | Verdict::Refuse) => verdict,
            });
        assert!(matches!(ended.end, Err(Failure::Protocol(_))), "{ended:?}");
        for rounds in [1, 4095, 600_001, u32::MAX] {
            let mut greedy = Scram { rounds, ..Scram::new() };
            let ended =
                talk(protocol, plan(password(None), false), "SCRAM-SHA-256", |text| greedy.answer(text));
            assert!(
                matches!(ended.end, Err(Failure::Protocol(_))) && greedy.steps == 1,
                "{rounds}: {ended:?}"
            );
        }
    }
}

#[test]
fn a_refused_token_is_told_apart_by_the_error_challenge_which_gets_its_answer() {
    for protocol in MAIL {
        for (mechanism, dummy) in [("OAUTHBEARER", "AQ=="), ("XOAUTH2", "")] {
            for (status, is_of_token) in
                [("invalid_token", true), ("401", true), ("insufficient_scope", false)]
            {
                let challenge = base64(format!(r#"{{"status":"{status}","scope":"mail"}}"#));
                let mut challenges = vec![challenge];
                let ended = talk(protocol, plan(bearer(), true), mechanism, |_| {
                    challenges.pop().map_or(Verdict::Refuse, Verdict::Challenge)
                });
                assert_eq!(ended.sent.last().map(String::as_str), Some(dummy), "{mechanism}");
                match ended.end {
                    Err(Failure::WrongPassword(_)) => assert!(is_of_token, "{status}"),
                    Err(Failure::Operator(_)) => assert!(!is_of_token, "{status}"),
                    end => panic!("{status}: {end:?}"),
                }
            }
            // A success behind an error is none.
            let mut challenges = vec![base64(r#"{"status":"invalid_token"}"#)];
            let ended = talk(protocol, plan(bearer(), true), mechanism, |_| {
                challenges.pop().map_or(Verdict::Accept, Verdict::Challenge)
            });
            assert!(matches!(ended.end, Err(Failure::Protocol(_))), "{ended:?}");
        }
    }
}

#[test]
fn what_no_mechanism_can_carry_reaches_no_server() {
    let odd = |login| plan(login, true);
    for protocol in MAIL {
        for (login, offered) in [
            (password(Some("bob")), "LOGIN CRAM-MD5"),
            (bearer(), "PLAIN LOGIN SCRAM-SHA-256"),
            (LoginAs::External { user: ALICE.into() }, "PLAIN"),
            (LoginAs::Bearer { user: "a\x01auth=Bearer x".into(), token: Secret::copy_of(b"t") }, "XOAUTH2"),
            (LoginAs::Bearer { user: ALICE.into(), token: Secret::copy_of(b"t\x01user=bob") }, "XOAUTH2"),
            (LoginAs::External { user: "a\r\nb".into() }, "EXTERNAL"),
        ] {
            let ended = talk(protocol, odd(login), offered, |_| panic!("a login was sent"));
            assert!(matches!(ended.end, Err(Failure::Operator(_))), "{protocol}: {ended:?}");
        }
        // A password that SASLprep might change is not proved by SCRAM, since the server may hold another key.
        let login = LoginAs::Password {
            authcid: ALICE.into(),
            authzid: None,
            password: Secret::copy_of("pass\u{2168}".as_bytes()),
        };
        let said = lines(protocol, plan(login, false), "SCRAM-SHA-256 PLAIN", &[]);
        assert!(said[0].starts_with("PLAIN "), "{said:?}");
    }
}

#[test]
fn the_operator_may_narrow_the_choice() {
    for protocol in MAIL {
        let allowed = |mechanism| UpstreamPlan {
            sasl: ClientPolicy { allowed: [mechanism].into(), encrypted: true, ..ClientPolicy::default() },
            ..plan(password(None), true)
        };
        let said = lines(protocol, allowed(ClientMechanism::CramMd5), "PLAIN CRAM-MD5", &["PEE+"]);
        assert_eq!(said[0], "CRAM-MD5");
        let ended =
            talk(protocol, allowed(ClientMechanism::ScramSha256), "PLAIN", |_| panic!("a login was sent"));
        assert!(matches!(ended.end, Err(Failure::Operator(_))), "{ended:?}");
    }
}
