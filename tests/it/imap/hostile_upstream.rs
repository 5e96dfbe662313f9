//! A mail server that breaks the protocol, by mistake or on purpose.

use bearward::proto::{Failure, Upstream as _, UpstreamPlan, UpstreamStep, imap::ImapUpstream};
use proptest::prelude::*;

use super::upstream::*;

fn fails(rest: &str) {
    let said = greeted("SASL-IR AUTH=PLAIN", rest);
    assert!(said.last().unwrap().starts_with("failed Protocol"), "{rest}: {said:?}");
}

#[test]
fn what_breaks_the_protocol_ends_the_login() {
    for rest in [
        "X OK in\r\n",
        "l OK in\r\n",
        "LL OK in\r\n",
        "D OK in\r\n",
        "+ more\r\n",
        "L OK in\n",
        "L \0OK in\r\n",
        "L PREAUTH in\r\n",
        "* PREAUTH x\r\n",
        "L OK in\r\nD OK no list\r\n",
        "L OK in\r\nD NO\r\n",
        "I OK\r\n",
        "* X {70000}\r\n",
        "* X {99999999999999999999}\r\n",
    ] {
        fails(rest);
    }
}

#[test]
fn a_success_before_the_password_was_sent_is_none() {
    let said = greeted("AUTH=LOGIN", "+ VXNlcm5hbWU6\r\nL OK [CAPABILITY IDLE] in\r\n");
    assert!(said.last().unwrap().starts_with("failed Protocol"), "{said:?}");
}

#[test]
fn a_literals_octets_are_no_response() {
    let said = greeted(
        "SASL-IR AUTH=PLAIN",
        "* X {9}\r\nL OK in\r\n {3+}\r\n\n\0\r\r\nL NO [AUTHENTICATIONFAILED]\r\n",
    );
    assert!(said[1].starts_with("failed WrongPassword"), "{said:?}");
}

#[test]
fn endless_talk_ends_the_login() {
    for word in ["* OK\r\n", "* X\r\n", &"x".repeat(1000), "* X {4000}\r\n"] {
        let mut machine = ImapUpstream::new(plan(alice()));
        machine.receive(b"* OK [CAPABILITY SASL-IR AUTH=PLAIN] hi\r\n");
        let mut rounds = 0;
        loop {
            match machine.poll() {
                UpstreamStep::Failed(Failure::Protocol(_)) => break,
                UpstreamStep::NeedInput => machine.receive(word.as_bytes()),
                UpstreamStep::Send(_) => {}
                step @ (UpstreamStep::Failed(_) | UpstreamStep::Ready(_) | UpstreamStep::StartTls) => {
                    panic!("{step:?}")
                }
            }
            rounds += 1;
            assert!(rounds < 20_000);
            if word.starts_with('x') && rounds > 200 {
                // An endless line is thrown away as it comes, and ends the login with its line end.
                machine.receive(b"\r\n");
            }
        }
    }
}

#[test]
fn debug_shows_no_password() {
    let mut machine = ImapUpstream::new(plan(password("alice", "hunter2")));
    assert!(!format!("{machine:?}").contains("hunter2"));
    machine.receive(b"* OK [CAPABILITY AUTH=PLAIN SASL-IR] hi\r\n");
    let step = machine.poll();
    assert!(!format!("{machine:?} {step:?}").contains("AGFsaWNl"));
}

fn reply() -> impl Strategy<Value = Vec<u8>> {
    let known: Vec<&[u8]> = vec![
        b"* OK ",
        b"[CAPABILITY AUTH=PLAIN SASL-IR] ",
        b"[CAPABILITY ID IDLE]",
        b"\r\n",
        b"\r\n",
        b"\r\n",
        b"L OK ",
        b"L NO ",
        b"I OK",
        b"C OK",
        b"D OK",
        b"* CAPABILITY IDLE",
        b"+ ",
        b"+\r\n",
        b"* BYE",
        b"{3}\r\n",
        b"\n",
        b"\0",
        b"[UNAVAILABLE]",
        b"x",
    ];
    prop_oneof![
        8 => proptest::sample::select(known).prop_map(<[u8]>::to_vec),
        1 => proptest::collection::vec(any::<u8>(), 0..6),
    ]
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(300))]
    #[test]
    fn splitting_the_replies_changes_nothing(words in proptest::collection::vec(reply(), 0..30), cuts in proptest::collection::vec(0usize..300, 0..10)) {
        let input = [b"* OK [CAPABILITY AUTH=PLAIN ID] hi\r\n".to_vec(), words.concat()].concat();
        let plan = || UpstreamPlan { client: Some(client()), ..plan(alice()) };
        let whole = run(plan(), &[&input]);
        let mut cuts: Vec<usize> = cuts.into_iter().map(|cut| cut.min(input.len())).collect();
        cuts.extend([0, input.len()]);
        cuts.sort_unstable();
        let pieces: Vec<&[u8]> = cuts.windows(2).map(|pair| &input[pair[0]..pair[1]]).collect();
        prop_assert_eq!(&run(plan(), &pieces), &whole);
        let octets: Vec<&[u8]> = input.chunks(1).collect();
        prop_assert_eq!(run(plan(), &octets), whole);
    }
}
