//! Which server of a group a user belongs to: rendezvous hashing (Thaler and Ravishankar, "Using name-based mappings
//! to increase hit rates").
//!
//! Every server has a score for every user, and the highest wins. A server that is added takes only the users that it
//! wins, and one that is removed gives away only its own, so that a change of n servers moves about one user in n.
//! The scores come from SHA-256 and names alone: every process, now and after an update, finds the same server.

use aws_lc_rs::digest::{SHA256, digest};

/// The score of the server `identity` for the mailbox `user`: the higher, the sooner. A server of weight two wins
/// twice as many users as one of weight one.
pub(super) fn score(identity: &str, weight: u32, user: &str) -> f64 {
    // -w / ln(u) with u in (0, 1) keeps the shares exact for any weights.
    -f64::from(weight) / fraction(b"server", identity, user).ln()
}

/// Where `user` stands among the users of the server `identity`, in (0, 1): a server that may take only a share of
/// them takes those below it, and always the same ones.
pub(super) fn position(identity: &str, user: &str) -> f64 {
    fraction(b"share", identity, user)
}

/// A number in (0, 1) that depends on all three and is as good as random.
fn fraction(purpose: &[u8], identity: &str, user: &str) -> f64 {
    // Mail servers take names in any case for the same mailbox.
    let user = user.to_lowercase();
    let text = [purpose, identity.as_bytes(), user.as_bytes()].join(&0);
    let hash = digest(&SHA256, &text);
    let high = hash.as_ref().first_chunk::<4>().map_or(0, |octets| u32::from_be_bytes(*octets));
    (f64::from(high) + 0.5) / (f64::from(u32::MAX) + 1.0)
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "tests fail by panicking")]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn winner<'a>(servers: &[(&'a str, u32)], user: &str) -> &'a str {
        let best = servers.iter().max_by(|a, b| score(a.0, a.1, user).total_cmp(&score(b.0, b.1, user)));
        best.unwrap().0
    }

    fn users() -> impl Iterator<Item = String> {
        (0..4000).map(|number| format!("user{number}@example.org"))
    }

    #[test]
    fn the_choice_is_the_same_in_every_version() {
        let servers = [("a.example.org", 1), ("b.example.org", 1), ("c.example.org", 1)];
        let found: Vec<&str> =
            ["alice@example.org", "bob@example.org", "carol@example.org", "dave@example.org"]
                .map(|user| winner(&servers, user))
                .into();
        assert_eq!(found, KNOWN);
    }

    const KNOWN: [&str; 4] = ["a.example.org", "a.example.org", "b.example.org", "a.example.org"];

    #[test]
    fn the_case_of_a_name_moves_nobody() {
        assert_eq!(
            score("a", 1, "Alice@Example.ORG").to_bits(),
            score("a", 1, "alice@example.org").to_bits()
        );
    }

    #[test]
    fn users_are_shared_by_weight() {
        let servers = [("a", 1), ("b", 1), ("c", 2)];
        let of_c = users().filter(|user| winner(&servers, user) == "c").count();
        assert!((1850..2150).contains(&of_c), "{of_c}");
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(24))]
        #[test]
        fn a_new_server_takes_its_share_and_moves_nobody_else(
            mut names in proptest::collection::btree_set("[a-z]{1,8}", 2..9)
        ) {
            let all: Vec<(String, u32)> = std::mem::take(&mut names).into_iter().map(|name| (name, 1)).collect();
            let all: Vec<(&str, u32)> = all.iter().map(|(name, weight)| (name.as_str(), *weight)).collect();
            let (new, fewer) = all.split_last().unwrap();
            let mut moved = 0_usize;
            for user in users() {
                let (before, after) = (winner(fewer, &user), winner(&all, &user));
                if before != after {
                    prop_assert_eq!(after, new.0);
                    moved += 1;
                }
            }
            let share = 4000 / all.len();
            prop_assert!((share * 4 / 5..share * 6 / 5).contains(&moved), "{} of {}", moved, share);
        }
    }
}
