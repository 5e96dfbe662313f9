//! The client that logs in to an IMAP server. What the server says is tried at every split of it.

use bearward::{
    model::{Secret, SessionId},
    proto::{
        ClientFacts, Failure, LoginAs, Upstream as _, UpstreamPlan, UpstreamStep, imap::ImapUpstream,
        sasl::ClientPolicy,
    },
};

pub(super) fn password(authcid: &str, password: &str) -> LoginAs {
    LoginAs::Password { authcid: authcid.into(), authzid: None, password: Secret::from(password.to_owned()) }
}

pub(super) fn alice() -> LoginAs {
    password("alice", "pass")
}

pub(super) fn plan(login: LoginAs) -> UpstreamPlan {
    UpstreamPlan {
        login,
        starttls: false,
        client: None,
        hostname: "proxy".into(),
        xclient: false,
        imap_id: true,
        sasl: ClientPolicy::default(),
    }
}

pub(super) fn client() -> ClientFacts {
    ClientFacts {
        address: "[::ffff:192.0.2.7]:51000".parse().unwrap(),
        local: "[2001:db8::1]:993".parse().unwrap(),
        name: None,
        session: SessionId::new(0xab),
        encrypted: true,
        tls: None,
        utf8: false,
        ttl: 6,
    }
}

/// All that the machine says while the server says these pieces.
pub(super) fn run(plan: UpstreamPlan, pieces: &[&[u8]]) -> Vec<String> {
    let mut machine = ImapUpstream::new(plan);
    let mut said: Vec<String> = Vec::new();
    for piece in std::iter::once(&&b""[..]).chain(pieces) {
        if let Some(ready) = said.last_mut().filter(|line| line.starts_with("ready ")) {
            ready.push_str(&String::from_utf8_lossy(piece));
            continue;
        }
        machine.receive(piece);
        loop {
            match machine.poll() {
                UpstreamStep::NeedInput => break,
                UpstreamStep::Send(octets) => {
                    said.push(String::from_utf8_lossy(octets.expose()).into_owned())
                }
                UpstreamStep::StartTls => {
                    said.push("starttls".into());
                    machine.tls_started();
                }
                UpstreamStep::Ready(ready) => {
                    let leftover = String::from_utf8_lossy(&ready.leftover).into_owned();
                    said.push(format!(
                        "ready {} | {} | {leftover}",
                        ready.capabilities,
                        ready.offer.lines.join(" ")
                    ));
                }
                UpstreamStep::Failed(failure) => {
                    said.push(format!("failed {failure:?}"));
                    return said;
                }
            }
        }
    }
    said
}

fn say(plan: impl Fn() -> UpstreamPlan, input: &str) -> Vec<String> {
    let whole = run(plan(), &[input.as_bytes()]);
    for at in 0..=input.len() {
        let (one, other) = input.as_bytes().split_at(at);
        assert_eq!(run(plan(), &[one, other]), whole, "split at {at}");
    }
    let octets: Vec<&[u8]> = input.as_bytes().chunks(1).collect();
    assert_eq!(run(plan(), &octets), whole, "octet by octet");
    whole
}

/// A conversation that logs Alice in where the server lists these capabilities.
pub(super) fn greeted(capabilities: &str, rest: &str) -> Vec<String> {
    say(|| plan(alice()), &format!("* OK [CAPABILITY {capabilities}] hi\r\n{rest}"))
}

#[test]
fn plain_goes_along_with_the_command_where_the_server_takes_that() {
    let said = greeted(
        "IMAP4rev1 SASL-IR AUTH=PLAIN",
        "L OK [CAPABILITY IMAP4rev1 SASL-IR AUTH=PLAIN IDLE X-Y] Logged in\r\n* 3 EXISTS\r\n",
    );
    assert_eq!(
        said,
        [
            "L AUTHENTICATE PLAIN AGFsaWNlAHBhc3M=\r\n",
            "ready IMAP4rev1 IDLE X-Y | IMAP4rev1 IDLE | * 3 EXISTS\r\n",
        ]
    );
    assert_eq!(greeted("IMAP4rev2 AUTH=PLAIN", "")[0], said[0]);
}

#[test]
fn else_it_waits_for_the_plus_with_or_without_a_space() {
    for plus in ["+", "+ ", "+ go ahead"] {
        let said =
            greeted("IMAP4rev1 AUTH=PLAIN AUTH=LOGIN", &format!("{plus}\r\nL OK [CAPABILITY IDLE] in\r\n"));
        assert_eq!(said, ["L AUTHENTICATE PLAIN\r\n", "AGFsaWNlAHBhc3M=\r\n", "ready IDLE | IDLE | "]);
    }
}

#[test]
fn auth_login_answers_two_prompts() {
    let said = greeted(
        "IMAP4rev1 SASL-IR AUTH=LOGIN",
        "+ VXNlcm5hbWU6\r\n+ UGFzc3dvcmQ6\r\nL OK [CAPABILITY IDLE] in\r\n",
    );
    assert_eq!(said, ["L AUTHENTICATE LOGIN\r\n", "YWxpY2U=\r\n", "cGFzcw==\r\n", "ready IDLE | IDLE | "]);
}

#[test]
fn login_quotes_what_can_be_quoted() {
    let plan = || plan(password("a\"l\\ice", ""));
    let said = say(plan, "* OK [CAPABILITY IMAP4rev1] hi\r\nL OK [CAPABILITY IDLE] in\r\n");
    assert_eq!(said, ["L LOGIN \"a\\\"l\\\\ice\" \"\"\r\n", "ready IDLE | IDLE | "]);
}

#[test]
fn login_sends_the_rest_as_literals_and_waits_where_it_must() {
    let plan = || plan(password("älice", "pä"));
    let said = say(plan, "* OK [CAPABILITY IMAP4rev1] hi\r\n+ \r\n+ ok\r\nL OK [CAPABILITY IDLE] in\r\n");
    assert_eq!(said, ["L LOGIN {6}\r\n", "älice {3}\r\n", "pä\r\n", "ready IDLE | IDLE | "]);
    for plus in ["LITERAL+", "LITERAL-"] {
        let said = say(plan, &format!("* OK [CAPABILITY IMAP4rev1 {plus}] hi\r\n"));
        assert_eq!(said, ["L LOGIN {6+}\r\nälice {3+}\r\npä\r\n"]);
    }
}

#[test]
fn literal_minus_ends_at_4096_octets() {
    let long = "ä".repeat(2049);
    let plan = || plan(password("alice", &long));
    let said = run(plan(), &[b"* OK [CAPABILITY IMAP4rev1 LITERAL-] hi\r\n"]);
    assert_eq!(said, ["L LOGIN \"alice\" {4098}\r\n"]);
    let said = run(plan(), &[b"* OK [CAPABILITY IMAP4rev1 LITERAL+] hi\r\n"]);
    assert!(said[0].starts_with("L LOGIN \"alice\" {4098+}\r\n"));
}

#[test]
fn a_line_break_or_nul_in_a_name_or_password_is_never_sent() {
    // What SASL wraps may hold a line break: it is not seen as one.
    let said = run(plan(password("a", "p\n")), &[b"* OK [CAPABILITY IMAP4rev1] hi\r\n"]);
    assert!(matches!(&said[..], [failed] if failed.starts_with("failed Operator")), "{said:?}");
    for (user, pass) in [("a\r\nb", "p"), ("a\0b", "p"), ("a", "p\0q")] {
        for capabilities in ["IMAP4rev1", "IMAP4rev1 AUTH=PLAIN SASL-IR", "IMAP4rev1 AUTH=LOGIN"] {
            let said = run(
                plan(password(user, pass)),
                &[format!("* OK [CAPABILITY {capabilities}] hi\r\n").as_bytes()],
            );
            assert!(matches!(&said[..], [failed] if failed.starts_with("failed Operator")), "{said:?}");
        }
    }
}

#[test]
fn only_plain_carries_another_identity() {
    let plan = || {
        plan(LoginAs::Password {
            authcid: "proxy".into(),
            authzid: Some("user@example.com".into()),
            password: Secret::from("secret".to_owned()),
        })
    };
    let said = say(plan, "* OK [CAPABILITY IMAP4rev1 SASL-IR AUTH=PLAIN] hi\r\n");
    assert_eq!(said, ["L AUTHENTICATE PLAIN dXNlckBleGFtcGxlLmNvbQBwcm94eQBzZWNyZXQ=\r\n"]);
    let said = say(plan, "* OK [CAPABILITY IMAP4rev1 AUTH=LOGIN] hi\r\n");
    assert!(said[0].starts_with("failed Operator"), "{said:?}");
}

#[test]
fn a_trusted_login_names_the_user_and_sends_the_placeholder() {
    let plan =
        || plan(LoginAs::Trusted { user: "alice".into(), placeholder: Secret::from("pass".to_owned()) });
    let said = say(plan, "* OK [CAPABILITY IMAP4rev1 SASL-IR AUTH=PLAIN] hi\r\n");
    assert_eq!(said, ["L AUTHENTICATE PLAIN AGFsaWNlAHBhc3M=\r\n"]);
}

#[test]
fn nobody_logs_in_and_still_learns_what_is_offered() {
    let said =
        say(|| plan(LoginAs::Nobody), "* OK hi\r\n* CAPABILITY IMAP4rev1 MOVE AUTH=PLAIN\r\nC OK done\r\n");
    assert_eq!(said, ["C CAPABILITY\r\n", "ready  | IMAP4rev1 MOVE | "]);
}

#[test]
fn the_clients_address_goes_along_in_one_write() {
    let plan = || UpstreamPlan { client: Some(client()), ..plan(alice()) };
    let id = "I ID (\"x-session-id\" \"00000000000000ab\" \"x-originating-ip\" \"192.0.2.7\" \
        \"x-originating-port\" \"51000\" \"x-connected-ip\" \"2001:db8::1\" \"x-connected-port\" \"993\" \
        \"x-proxy-ttl\" \"6\" \"x-client-transport\" \"TLS\")\r\n";
    let said = say(
        plan,
        "* OK [CAPABILITY ID SASL-IR AUTH=PLAIN] hi\r\n* ID (\"name\" {8}\r\nL NO x\r\n \"os\" {2}\r\n\r\n)\r\nI OK id\r\nL OK [CAPABILITY IDLE] in\r\n* x",
    );
    assert_eq!(said, [&format!("{id}L AUTHENTICATE PLAIN AGFsaWNlAHBhc3M=\r\n"), "ready IDLE | IDLE | * x"]);
    // A server that answers the other way round, or refuses ID.
    let said = say(
        plan,
        "* OK [CAPABILITY ID SASL-IR AUTH=PLAIN] hi\r\nL OK [CAPABILITY IDLE] in\r\nI BAD id\r\n* x",
    );
    assert_eq!(said[1], "ready IDLE | IDLE | * x");
    // Not where ID is not offered or not wanted.
    assert!(say(plan, "* OK [CAPABILITY SASL-IR AUTH=PLAIN] hi\r\n")[0].starts_with("L "));
    let unwanted = || UpstreamPlan { imap_id: false, ..plan() };
    assert!(say(unwanted, "* OK [CAPABILITY ID SASL-IR AUTH=PLAIN] hi\r\n")[0].starts_with("L "));
}

#[test]
fn capabilities_come_from_the_answer_or_before_it_or_are_asked_for() {
    let said = greeted("SASL-IR AUTH=PLAIN X-OLD", "* CAPABILITY IMAP4rev1 MOVE SASL-IR\r\nL OK in\r\n");
    assert_eq!(said[1], "ready IMAP4rev1 MOVE | IMAP4rev1 MOVE | ");
    let said = greeted(
        "SASL-IR AUTH=PLAIN X-OLD",
        "L OK in\r\n* OK note\r\n* CAPABILITY IMAP4rev1 IDLE\r\nD OK done\r\n* 1 EXISTS\r\n",
    );
    assert_eq!(said[1..], ["D CAPABILITY\r\n", "ready IMAP4rev1 IDLE | IMAP4rev1 IDLE | * 1 EXISTS\r\n"]);
}

#[test]
fn unauthenticate_is_hidden_and_asks_for_a_guard_which_compression_would_blind() {
    for (list, shown) in [("IDLE", "IDLE COMPRESS=DEFLATE"), ("unauthenticate IDLE", "IDLE")] {
        let mut machine = ImapUpstream::new(plan(alice()));
        machine.receive(b"* OK [CAPABILITY SASL-IR AUTH=PLAIN] hi\r\n");
        assert!(matches!(machine.poll(), UpstreamStep::Send(_)));
        machine.receive(format!("L OK [CAPABILITY {list} COMPRESS=DEFLATE] in\r\n").as_bytes());
        let UpstreamStep::Ready(ready) = machine.poll() else { panic!("not ready: {list}") };
        assert_eq!(ready.capabilities, shown);
        assert_eq!(ready.unauthenticate, shown == "IDLE", "{list}");
    }
    let mut machine = ImapUpstream::new(plan(alice()));
    machine.receive(b"* OK [CAPABILITY SASL-IR AUTH=PLAIN UNAUTHENTICATE] hi\r\n");
    let _ = machine.poll();
    machine.receive(b"* CAPABILITY IDLE COMPRESS=DEFLATE\r\nL OK in\r\n");
    let UpstreamStep::Ready(ready) = machine.poll() else { panic!("not ready") };
    assert_eq!((ready.capabilities.as_str(), ready.unauthenticate), ("IDLE", true));
}

#[test]
fn each_refusal_has_its_culprit() {
    for (answer, class) in [
        ("L NO [AUTHENTICATIONFAILED] no", "WrongPassword(\"[AUTHENTICATIONFAILED] no\")"),
        ("L NO [EXPIRED] old", "WrongPassword(\"[EXPIRED] old\")"),
        ("L NO [UNAVAILABLE] later", "Temporary"),
        ("L NO [INUSE] later", "Temporary"),
        ("L NO [LIMIT] later", "Temporary"),
        ("L NO [ServerBug] later", "Temporary"),
        ("* BYE [ALERT] shutting down", "Temporary(\"[ALERT] shutting down\")"),
        ("L NO [AUTHORIZATIONFAILED] x", "Operator"),
        ("L NO [CONTACTADMIN] x", "Operator"),
        ("L NO [PRIVACYREQUIRED] x", "Operator"),
        ("L BAD what", "Operator(\"what\")"),
        ("L NO Login failed", "Refused(\"Login failed\")"),
        ("L NO", "Refused(\"\")"),
        ("L NO [ALERT] x", "Refused"),
        ("L NO [AUTHENTICATIONFAILED no", "Refused"),
    ] {
        let said = greeted("SASL-IR AUTH=PLAIN", &format!("{answer}\r\n"));
        assert!(said[1].starts_with(&format!("failed {class}")), "{answer}: {said:?}");
    }
}

#[test]
fn what_a_server_says_is_printable_and_short_in_a_failure() {
    let said = run(
        plan(alice()),
        &[b"* OK [CAPABILITY AUTH=PLAIN SASL-IR] hi\r\nL NO \x1b[31m", &[0xff; 500], b"\r\n"],
    );
    let failure = Failure::Refused(format!("?[31m{}", "?".repeat(195)));
    assert_eq!(said[1], format!("failed {failure:?}"));
}

#[test]
fn a_server_that_offers_no_way_needs_its_operator() {
    let said = greeted("IMAP4rev1 LOGINDISABLED AUTH=GSSAPI", "");
    assert!(said[0].starts_with("failed Operator"), "{said:?}");
}

#[test]
fn greetings_other_than_ok_are_no_welcome() {
    for (greeting, class) in [
        ("* PREAUTH [CAPABILITY IMAP4rev1] hi", "Operator"),
        ("* BYE too many", "Temporary(\"too many\")"),
        ("* NO x", "Protocol"),
        ("* CAPABILITY IMAP4rev1", "Protocol"),
        ("220 smtp.example.org ESMTP", "Protocol"),
        ("+OK POP3 ready", "Protocol"),
        ("L OK in", "Protocol"),
        ("", "Protocol"),
    ] {
        let said = say(|| plan(alice()), &format!("{greeting}\r\n"));
        assert!(
            matches!(&said[..], [failed] if failed.starts_with(&format!("failed {class}"))),
            "{greeting}: {said:?}"
        );
    }
}

mod start_tls {
    use super::*;

    fn starttls() -> UpstreamPlan {
        UpstreamPlan { starttls: true, ..plan(alice()) }
    }

    #[test]
    fn nothing_but_starttls_is_said_in_clear_and_nothing_heard_there_is_believed() {
        let said = run(
            starttls(),
            &[
                b"* OK [CAPABILITY IMAP4rev1 STARTTLS AUTH=PLAIN SASL-IR] hi\r\n",
                b"* CAPABILITY AUTH=EVIL\r\nS OK go\r\n",
                b"* CAPABILITY IMAP4rev1 AUTH=LOGIN\r\nC OK done\r\n",
            ],
        );
        assert_eq!(said, ["S STARTTLS\r\n", "starttls", "C CAPABILITY\r\n", "L AUTHENTICATE LOGIN\r\n"]);
    }

    #[test]
    fn a_server_that_offers_nothing_behind_tls_is_not_logged_in_to_by_what_it_offered_in_clear() {
        let clear = b"* OK [CAPABILITY IMAP4rev1 STARTTLS AUTH=PLAIN SASL-IR] hi\r\n";
        for behind in ["C OK done\r\n", "* CAPABILITY IMAP4rev1 LOGINDISABLED\r\nC OK done\r\n"] {
            let said = run(starttls(), &[clear, b"S OK go\r\n", behind.as_bytes()]);
            assert!(said.last().unwrap().starts_with("failed"), "{said:?}");
            assert!(said.iter().all(|line| !line.starts_with("L ")), "{said:?}");
        }
    }

    #[test]
    fn octets_behind_the_answer_are_an_attack() {
        for injected in ["*", "* CAPABILITY AUTH=PLAIN\r\n", "C OK\r\nL OK in\r\n"] {
            let said = run(starttls(), &[b"* OK hi\r\n", format!("S OK go\r\n{injected}").as_bytes()]);
            assert!(said[1].starts_with("failed Protocol"), "{said:?}");
        }
    }

    #[test]
    fn octets_that_come_before_the_handshake_begins_are_one_too() {
        let mut machine = ImapUpstream::new(starttls());
        machine.receive(b"* OK hi\r\nS OK go\r\n");
        while !matches!(machine.poll(), UpstreamStep::StartTls) {}
        machine.receive(b"* CAPABILITY AUTH=PLAIN\r\n");
        assert!(matches!(machine.poll(), UpstreamStep::Failed(Failure::Protocol(_))));
        machine.tls_started();
        assert!(matches!(machine.poll(), UpstreamStep::Failed(Failure::Protocol(_))));
    }

    #[test]
    fn a_server_without_it_is_never_logged_in_to() {
        for input in [
            "* OK [CAPABILITY IMAP4rev1 AUTH=PLAIN] hi\r\n",
            "* OK hi\r\nS NO\r\n",
            "* OK hi\r\nS BAD what\r\n",
        ] {
            let said = say(starttls, input);
            assert!(said.last().unwrap().starts_with("failed Operator"), "{said:?}");
            assert!(said.iter().all(|line| !line.contains("AUTHENTICATE")), "{said:?}");
        }
        let said = say(starttls, "* PREAUTH hi\r\nS OK go\r\n");
        assert!(said[0].starts_with("failed Operator"), "{said:?}");
    }
}
