//! What clients may be promised before their login.

use crate::proto::Offer;

/// What both keep. `SIZE n` lines become the smaller size.
pub(super) fn intersection(kept: Option<Offer>, other: Offer) -> Offer {
    let Some(kept) = kept else { return other };
    let size =
        |offer: &Offer| offer.lines.iter().find_map(|line| line.strip_prefix("SIZE ")?.parse::<u64>().ok());
    let smaller =
        size(&kept).zip(size(&other)).map(|(a, b)| if a == 0 || b == 0 { a.max(b) } else { a.min(b) });
    let mut lines: Vec<String> = kept.lines.into_iter().filter(|line| other.lines.contains(line)).collect();
    if let Some(size) = smaller {
        lines.retain(|line| !line.starts_with("SIZE "));
        lines.push(format!("SIZE {size}"));
    }
    Offer { lines }
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
        assert_eq!(kept, offer(&["PIPELINING", "SIZE 50"]));
    }

    #[test]
    fn a_size_without_limit_gives_way_to_one_with() {
        assert_eq!(intersection(Some(offer(&["SIZE 0"])), offer(&["SIZE 50"])), offer(&["SIZE 50"]));
    }
}
