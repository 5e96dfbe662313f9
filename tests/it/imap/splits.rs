//! Any input at any split, and what is kept of it.

use bearward::proto::{
    Accepted, Answer, Banner, Close, Downstream as _, RefusalKind, Step, TlsState, imap::ImapDownstream,
};
use proptest::prelude::*;

use super::client::*;

#[test]
fn a_question_that_is_open_bounds_what_it_keeps() {
    let mut machine = ImapDownstream::new(Banner::Welcome, config(TlsState::Encrypted, OAUTH));
    machine.receive(format!("a AUTHENTICATE XOAUTH2 {}\r\n", xoauth2("tok")).as_bytes());
    while !matches!(machine.poll(), Step::Ask(_)) {}
    for _ in 0..100 {
        machine.receive(&[b'x'; 4096]);
    }
    assert!(matches!(machine.poll(), Step::Send(_)));
    assert!(matches!(machine.poll(), Step::Close(Close::Flood)));
    machine.answer(Answer::Accepted(Accepted::default()));
    assert!(matches!(machine.poll(), Step::Close(Close::Flood)));
}

#[test]
fn debug_shows_no_credential() {
    let mut machine = ImapDownstream::new(Banner::Welcome, config(TlsState::Encrypted, ALL));
    machine.receive(b"a LOGIN u {20+}\r\nhunter2hunter2");
    while !matches!(machine.poll(), Step::NeedInput) {}
    assert!(!format!("{machine:?}").contains("hunter2"));
    machine.receive(b"hunter\r\n");
    let _ = machine.poll();
    assert!(!format!("{machine:?}").contains("hunter2"));
}

fn word() -> impl Strategy<Value = Vec<u8>> {
    let known: Vec<&[u8]> = vec![
        b"a ",
        b"NOOP",
        b"LOGIN ",
        b"ID ",
        b"AUTHENTICATE ",
        b"XOAUTH2 ",
        b"PLAIN",
        b"CAPABILITY",
        b"\r\n",
        b"\r\n",
        b"\r\n",
        b"\n",
        b"\r",
        b"\0",
        b"{3+}\r\n",
        b"{3}\r\n",
        b"{99999+}",
        b"\"",
        b"(",
        b")",
        b"*",
        b"AQ==",
        b"\x01",
        b"AGEAYg==",
        b"u p",
        b" ",
    ];
    prop_oneof![
        4 => proptest::sample::select(known).prop_map(<[u8]>::to_vec),
        1 => proptest::collection::vec(any::<u8>(), 0..6),
        1 => proptest::collection::vec(Just(b'x'), 0..400),
    ]
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(300))]
    #[test]
    fn splitting_the_input_changes_nothing(words in proptest::collection::vec(word(), 0..40), cuts in proptest::collection::vec(0usize..2000, 0..10)) {
        let input = words.concat();
        let mut script = passwords().answers(&[Some(RefusalKind::InvalidToken), Some(RefusalKind::Unavailable)]);
        script.config.sasl_limit = 300;
        let whole = script.run(&[&input]);
        let mut cuts: Vec<usize> = cuts.into_iter().map(|cut| cut.min(input.len())).collect();
        cuts.extend([0, input.len()]);
        cuts.sort_unstable();
        let pieces: Vec<&[u8]> = cuts.windows(2).map(|pair| &input[pair[0]..pair[1]]).collect();
        prop_assert_eq!(&script.run(&pieces), &whole);
        let octets: Vec<&[u8]> = input.chunks(1).collect();
        prop_assert_eq!(script.run(&octets), whole);
    }
}
