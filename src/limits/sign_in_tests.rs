#![allow(clippy::unwrap_used, reason = "tests fail by panicking")]

use super::*;

const NOW: UnixTime = UnixTime(1_800_000_000);

fn later(seconds: i64) -> UnixTime {
    UnixTime(NOW.0 + seconds)
}

fn limits() -> SignInLimits {
    SignInLimits::new(&SignInConfig::default())
}

fn ip(text: &str) -> IpAddr {
    text.parse().unwrap()
}

fn v4(number: u32) -> IpAddr {
    IpAddr::from((0x0a00_0000 + number).to_be_bytes())
}

fn login(text: &str) -> Login {
    Login::parse(text).unwrap()
}

impl SignInLimits {
    fn guess(&self, user: &str, address: IpAddr, now: UnixTime) -> Result<(), TooMany> {
        self.begin_password(&login(user), address, b"request", now).map(|attempt| attempt.wrong(now))
    }

    fn is_open(&self, user: &str, address: IpAddr, now: UnixTime) -> bool {
        let attempt = self.begin_password(&login(user), address, b"request", now);
        attempt.map(|attempt| attempt.not_tried(now)).is_ok()
    }

    fn sign_in(&self, user: &str, address: IpAddr, now: UnixTime) {
        self.begin_password(&login(user), address, b"request", now).unwrap().right(now);
    }
}

/// How many guesses get through until the first refusal.
fn guesses(mut guess: impl FnMut(u32) -> Result<(), TooMany>) -> u32 {
    (0..100_000).find(|number| guess(*number).is_err()).unwrap()
}

#[test]
fn a_pair_gets_six_guesses_and_then_waits_that_double() {
    let limits = limits();
    assert_eq!(guesses(|_| limits.guess("alice@example.org", v4(1), NOW)), 6);
    assert_eq!(limits.guess("alice@example.org", v4(1), NOW), Err(TooMany { retry_after: 30 }));
    assert!(!limits.is_open("alice@example.org", v4(1), later(29)));
    limits.guess("alice@example.org", v4(1), later(30)).unwrap();
    assert_eq!(limits.guess("alice@example.org", v4(1), later(30)), Err(TooMany { retry_after: 60 }));
}

#[test]
fn an_address_that_tries_many_accounts_is_held_back() {
    let limits = limits();
    assert_eq!(guesses(|number| limits.guess(&format!("user{number}"), v4(1), NOW)), 21);
    assert!(limits.is_open("user0", v4(2), NOW));
}

#[test]
fn a_network_is_held_back_though_no_address_of_it_is() {
    let limits = limits();
    let spread = guesses(|number| limits.guess(&format!("user{number}"), v4(number % 256), NOW));
    assert_eq!(spread, 101);
    assert!(limits.is_open("someone", v4(256), NOW));
    let v6 = |number: u32| ip(&format!("2001:db8:1:{number:x}::{number:x}"));
    assert_eq!(guesses(|number| limits.guess(&format!("person{number}"), v6(number), NOW)), 101);
}

#[test]
fn one_ipv6_subnet_is_one_address_and_a_mapped_one_is_ipv4() {
    let limits = limits();
    let v6 = |number: u32| ip(&format!("2001:db8::{number:x}"));
    assert_eq!(guesses(|number| limits.guess(&format!("user{number}"), v6(number), NOW)), 21);
    assert_eq!(guesses(|_| limits.guess("alice", v4(1), NOW)), 6);
    assert!(!limits.is_open("alice", ip("::ffff:10.0.0.1"), NOW));
}

#[test]
fn all_addresses_together_get_few_guesses_for_one_account() {
    let limits = limits();
    let spread = guesses(|number| limits.guess("alice@example.org", v4(number * 256), NOW));
    assert_eq!(spread, 31);
    assert!(limits.is_open("bob@example.org", v4(99), NOW));
}

#[test]
fn another_spelling_of_a_name_gets_no_guesses_of_its_own() {
    let limits = limits();
    let spellings = ["alice@example.org", "ALICE@example.org", "Alice@EXAMPLE.org", "aLice@example.org"];
    let spread = guesses(|number| limits.guess(spellings[number as usize % 4], v4(1), NOW));
    assert_eq!(spread, 6);
}

#[test]
fn guessing_from_elsewhere_keeps_nobody_out_where_they_signed_in_before() {
    let limits = limits();
    limits.sign_in("alice@example.org", v4(0xff_ffff), NOW);
    guesses(|number| limits.guess("alice@example.org", v4(number * 256), NOW));
    assert!(!limits.is_open("alice@example.org", v4(77 * 256), NOW));
    assert!(limits.is_open("alice@example.org", v4(0xff_ffff), NOW));
    // Nor does a neighbour behind the same address who guesses at others.
    guesses(|number| limits.guess(&format!("user{number}"), v4(0xff_ffff), NOW));
    assert!(limits.is_open("alice@example.org", v4(0xff_ffff), NOW));
    assert!(!limits.is_open("bob@example.org", v4(0xff_ffff), NOW));
    let days_91 = later(91 * 24 * 60 * 60);
    guesses(|number| limits.guess("alice@example.org", v4(number * 256), days_91));
    assert!(!limits.is_open("alice@example.org", v4(0xff_ffff), days_91));
}

#[test]
fn who_is_known_at_an_address_can_still_not_guess_there() {
    let limits = limits();
    limits.sign_in("alice@example.org", v4(1), NOW);
    assert_eq!(guesses(|_| limits.guess("alice@example.org", v4(1), NOW)), 6);
}

#[test]
fn an_own_account_pays_for_no_guesses_at_others() {
    let limits = limits();
    let spread = guesses(|number| {
        if limits.is_open("mallory@example.org", v4(1), NOW) {
            limits.sign_in("mallory@example.org", v4(1), NOW);
        }
        limits.guess(&format!("user{number}"), v4(1), NOW)
    });
    assert_eq!(spread, 21);
}

#[test]
fn a_right_password_forgives_the_slips_before_it() {
    let limits = limits();
    for _ in 0..3 {
        for _ in 0..5 {
            limits.guess("alice@example.org", v4(1), NOW).unwrap();
        }
        limits.sign_in("alice@example.org", v4(1), NOW);
    }
}

#[test]
fn what_was_not_tried_counts_for_nothing_and_what_was_broken_off_as_wrong() {
    let limits = limits();
    for _ in 0..1000 {
        assert!(limits.is_open("alice@example.org", v4(1), NOW));
    }
    let broken_off = |_| limits.begin_password(&login("alice"), v4(1), b"request", NOW).map(drop);
    assert_eq!(guesses(broken_off), 6);
}

#[test]
fn guesses_at_the_same_time_are_bounded_by_every_key() {
    let limits = limits();
    let begin = |user: &str, address| limits.begin_password(&login(user), address, user.as_bytes(), NOW);
    let pair: Vec<_> = (0..20).filter_map(|_| begin("alice", v4(1)).ok()).collect();
    assert_eq!(pair.len(), 3);
    assert_eq!(pair.iter().map(Attempt::at_once).collect::<Vec<_>>(), [1, 2, 3]);
    let address: Vec<_> =
        (0..20).filter_map(|number| begin(&format!("user{number}"), v4(512)).ok()).collect();
    assert_eq!(address.len(), 8);
    let account: Vec<_> = (4..24).filter_map(|number| begin("bob", v4(number * 256)).ok()).collect();
    assert_eq!(account.len(), 8);
}

#[test]
fn loopback_is_exempt_only_where_that_is_set() {
    let exempt = SignInLimits::new(&SignInConfig { exempt_loopback: true, ..SignInConfig::default() });
    for address in ["127.0.0.1", "::1", "::ffff:127.0.0.1"] {
        for _ in 0..500 {
            exempt.guess("alice", ip(address), NOW).unwrap();
            exempt.begin_code(ip(address), NOW).unwrap().wrong(NOW);
        }
        let strict = limits();
        assert_eq!(guesses(|_| strict.guess("alice", ip(address), NOW)), 6);
    }
    assert_eq!(guesses(|_| exempt.guess("alice", v4(1), NOW)), 6);
}

#[test]
fn user_codes_are_bounded_by_address_network_and_in_all() {
    let limits = limits();
    let guess = |address, now| limits.begin_code(address, now).map(|attempt| attempt.wrong(now));
    assert_eq!(guesses(|_| guess(v4(1), NOW)), 11);
    assert_eq!(guesses(|number| guess(v4(256 + number % 256), NOW)), 51);
    let total = guesses(|number| guess(v4(1024 + number * 256), NOW));
    assert_eq!(total, 1001 - 11 - 51);
    assert!(guess(v4(0x7f_0000), NOW).is_err());
    assert!(guess(v4(0x7f_0000), later(60)).is_ok());
    let right = |now| limits.begin_code(v4(0x7e_0000), now).map(|attempt| attempt.right(now));
    for minute in 10..40 {
        right(later(minute * 60)).unwrap();
    }
}
