//! What clients may be promised before their login.

use crate::proto::Offer;

/// What both keep.
pub(super) fn intersection(kept: Option<Offer>, other: Offer) -> Offer {
    match kept {
        Some(kept) => kept.intersect(&other),
        None => other,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn offer(lines: &[&str]) -> Offer {
        Offer { lines: lines.iter().map(|line| (*line).to_owned()).collect() }
    }

    #[test]
    fn a_promise_is_what_every_server_keeps() {
        let kept =
            intersection(Some(offer(&["PIPELINING", "SIZE 100", "DSN"])), offer(&["SIZE 50", "PIPELINING"]));
        assert_eq!(kept.lines.len(), 2, "{kept:?}");
        for line in ["PIPELINING", "SIZE 50"] {
            assert!(kept.lines.iter().any(|own| own == line), "{line}: {kept:?}");
        }
    }
}
