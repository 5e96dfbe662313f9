//! Judged by another implementation: it writes commands that this one reads, and reads what this one writes.

#![allow(clippy::wildcard_enum_match_arm, reason = "the arm is a failure")]

use bearward::proto::TlsState;
use bearward::{model::Mechanism, proto::UpstreamPlan};
use imap_codec::{
    CommandCodec, GreetingCodec, ResponseCodec,
    decode::Decoder as _,
    encode::Encoder as _,
    imap_types::{
        auth::AuthMechanism,
        command::{Command, CommandBody},
        core::{AString, IString, Literal, NString},
        response::{Response, Status},
    },
};
use proptest::prelude::*;

use super::{client::*, upstream};

fn encode(tag: &str, body: CommandBody<'_>) -> Vec<u8> {
    CommandCodec::default().encode(&Command::new(tag, body).unwrap()).dump()
}

fn decode(command: &str) -> CommandBody<'static> {
    let (rest, command) = CommandCodec::default().decode_static(command.as_bytes()).unwrap();
    assert!(rest.is_empty());
    command.body
}

/// Anything that a string may hold: no NUL, and UTF-8 without controls for names.
fn text() -> impl Strategy<Value = String> {
    proptest::string::string_regex("[ -~äß€]{1,20}").unwrap()
}

#[test]
fn commands_without_arguments_are_read_alike() {
    for (body, answer) in [
        (CommandBody::Capability, "OK CAPABILITY completed"),
        (CommandBody::Noop, "OK NOOP completed"),
        (CommandBody::StartTLS, "BAD TLS is already active"),
        (CommandBody::Logout, "OK LOGOUT completed"),
    ] {
        let said = tls().say(&encode("A1", body));
        assert!(said[0].ends_with(&format!("A1 {answer}")), "{said:?}");
    }
}

#[test]
fn all_that_is_said_is_read_by_the_other() {
    let script = Script::new(TlsState::Encrypted, &Mechanism::ALL).answers(&invalid());
    let input = format!(
        "a CAPABILITY\r\nb ID NIL\r\nc FROB\r\n( x\r\nd AUTHENTICATE XOAUTH2\r\n{}\r\n\r\ne LOGIN u {{1}}\r\np\r\n",
        xoauth2("tok")
    );
    let mut read = 0;
    for line in script.say(input.as_bytes()) {
        if line.starts_with("handover") || line.starts_with("PLAIN ") || line.starts_with("XOAUTH2 ") {
            continue;
        }
        let line = format!("{line}\r\n");
        let mut rest = line.as_bytes();
        while !rest.is_empty() {
            let (next, response) =
                ResponseCodec::default().decode(rest).unwrap_or_else(|error| panic!("{line}: {error:?}"));
            if let Response::Status(Status::Tagged(tagged)) = response {
                assert!(!tagged.body.text.as_ref().is_empty());
            }
            rest = next;
            read += 1;
        }
    }
    assert_eq!(read, 12);
    let greeting = format!("* OK [CAPABILITY {CAPABILITIES}] mail.example.org Bearward ready\r\n");
    assert!(GreetingCodec::default().decode(greeting.as_bytes()).unwrap().0.is_empty());
}

proptest! {
    #[test]
    fn authenticate_is_read_alike(token in "[A-Za-z0-9._~+/-]{1,40}", with_initial in any::<bool>()) {
        let message = format!("user=alice@example.org\x01auth=Bearer {token}\x01\x01").into_bytes();
        let input = if with_initial {
            encode("A1", CommandBody::authenticate_with_ir(AuthMechanism::XOAuth2, message))
        } else {
            [encode("A1", CommandBody::authenticate(AuthMechanism::XOAuth2)), format!("{}\r\n", xoauth2(&token)).into_bytes()].concat()
        };
        let said = tls().run(&[&input]);
        prop_assert!(said.contains(&format!("XOAUTH2 token {token} as alice@example.org")), "{:?}", said);
    }

    #[test]
    fn login_is_read_alike(user in text(), password in text(), literal in any::<[bool; 3]>()) {
        let string = |text: &str, literal: bool| -> AString<'static> {
            let octets = text.as_bytes().to_vec();
            match (literal || !text.is_ascii(), literal && text.len().is_multiple_of(2)) {
                (false, _) => AString::try_from(octets).unwrap(),
                (true, true) => AString::String(IString::Literal(Literal::try_from(octets).unwrap())),
                (true, false) => AString::String(IString::Literal(Literal::try_from(octets).unwrap().into_non_sync())),
            }
        };
        let body = CommandBody::login(string(&user, literal[0]), string(&password, literal[1])).unwrap();
        let said = passwords().run(&[&encode("A1", body)]);
        prop_assert!(said.contains(&format!("PLAIN password {user} {password}")), "{:?}", said);
    }

    #[test]
    fn id_is_read_alike(name in "[ -~]{1,20}", version in proptest::option::of("[ -~]{1,20}")) {
        let field = |text: &str| IString::try_from(text.to_owned()).unwrap();
        let parameters = vec![
            (field("name"), NString(Some(field(&name)))),
            (field("version"), NString(version.as_deref().map(field))),
            (field("x-originating-ip"), NString(Some(field("192.0.2.1")))),
        ];
        let login = encode("A2", CommandBody::authenticate_with_ir(AuthMechanism::XOAuth2, b"user=a\x01auth=Bearer t\x01\x01".to_vec()));
        let id = encode("A1", CommandBody::Id { parameters: Some(parameters) });
        let said = tls().run(&[&id, &login]);
        prop_assert_eq!(&said[0], "* ID (\"name\" \"Bearward\")\r\nA1 OK ID completed");
        let software: Vec<&str> = [Some(&*name), version.as_deref()].into_iter().flatten().filter(|part| !part.trim().is_empty()).collect();
        let with = if software.is_empty() { String::new() } else { format!(" with {}", software.join(" ")) };
        prop_assert_eq!(&said[1], &format!("XOAUTH2 token t as a{with}"));
    }

    #[test]
    fn the_login_sent_to_a_mail_server_is_read_alike(user in text(), password in text(), capabilities in "(AUTH=PLAIN SASL-IR|LITERAL[+]|LITERAL-|X)") {
        let greeting = format!("* OK [CAPABILITY IMAP4rev1 {capabilities}] hi\r\n+ ok\r\n+ ok\r\n");
        let said = upstream::run(upstream::plan(upstream::password(&user, &password)), &[greeting.as_bytes()]);
        let sent: String = said.into_iter().filter(|line| !line.starts_with("failed")).collect();
        match decode(&sent) {
            CommandBody::Login { username, password: secret } => {
                prop_assert_eq!(username.as_ref(), user.as_bytes());
                prop_assert_eq!(secret.declassify().as_ref(), password.as_bytes());
            }
            CommandBody::Authenticate { mechanism, initial_response } => {
                prop_assert_eq!(mechanism, AuthMechanism::Plain);
                let message = initial_response.unwrap();
                prop_assert_eq!(message.declassify().to_vec(), format!("\0{user}\0{password}").into_bytes());
            }
            other => prop_assert!(false, "{:?}", other),
        }
    }
}

#[test]
fn the_id_sent_to_a_mail_server_is_read_by_the_other() {
    let plan =
        UpstreamPlan { client: Some(upstream::client()), ..upstream::plan(upstream::password("u", "p")) };
    let said = upstream::run(plan, &[b"* OK [CAPABILITY ID] hi\r\n"]);
    let (id, login) = said[0].split_once("\r\n").unwrap();
    let CommandBody::Id { parameters: Some(parameters) } = decode(&format!("{id}\r\n")) else {
        panic!("no ID")
    };
    assert_eq!(parameters.len(), 7);
    assert_eq!(login, "L LOGIN \"u\" \"p\"\r\n");
}
