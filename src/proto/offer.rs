//! What several mail servers keep together.

use super::Offer;

impl Offer {
    /// What both keep. Where a line has a figure, the one that binds both.
    #[must_use]
    pub fn intersect(&self, other: &Self) -> Self {
        let kept = |line: &String| other.lines.iter().find_map(|theirs| both(line, theirs));
        let mut lines: Vec<String> = self.lines.iter().filter_map(kept).collect();
        // RFC 3030 §3: a message in BINARYMIME can be sent by BDAT alone.
        if !lines.iter().any(|line| line.eq_ignore_ascii_case("CHUNKING")) {
            lines.retain(|line| !line.eq_ignore_ascii_case("BINARYMIME"));
        }
        Self { lines }
    }
}

/// What is left of two lines with the same keyword.
fn both(one: &str, other: &str) -> Option<String> {
    let ((keyword, mine), (same, theirs)) = (split(one), split(other));
    if !keyword.eq_ignore_ascii_case(same) {
        return None;
    }
    match keyword.to_ascii_uppercase().as_str() {
        // Without a figure, or with zero, there is no limit that the server knows (RFC 1870 §4).
        "SIZE" => {
            let size = |text: &str| if text.is_empty() { Some(0) } else { text.parse::<u64>().ok() };
            let (mine, theirs) = (size(mine)?, size(theirs)?);
            let binding = if mine == 0 || theirs == 0 { mine.max(theirs) } else { mine.min(theirs) };
            Some(format!("SIZE {binding}"))
        }
        // Days for which a message is kept at least, or NEVER (RFC 2449 §6.7).
        "EXPIRE" => {
            let (mine, theirs) = (Figure::parse(mine)?, Figure::parse(theirs)?);
            Some(mine.with(&theirs, mine.value.min(theirs.value)).line("EXPIRE"))
        }
        // Seconds between two logins (RFC 2449 §6.5).
        "LOGIN-DELAY" => {
            let (mine, theirs) = (Figure::parse(mine)?, Figure::parse(theirs)?);
            Some(mine.with(&theirs, mine.value.max(theirs.value)).line("LOGIN-DELAY"))
        }
        _ => mine.eq_ignore_ascii_case(theirs).then(|| one.to_owned()),
    }
}

/// A figure of POP3, and whether it differs from user to user.
#[derive(Clone, Copy)]
struct Figure {
    /// `u64::MAX` for NEVER.
    value: u64,
    by_user: bool,
}

impl Figure {
    fn parse(text: &str) -> Option<Self> {
        let mut words = text.split(' ').filter(|word| !word.is_empty());
        let value = words.next()?;
        let value = if value.eq_ignore_ascii_case("NEVER") { u64::MAX } else { value.parse().ok()? };
        Some(Self { value, by_user: words.any(|word| word.eq_ignore_ascii_case("USER")) })
    }

    const fn with(self, other: &Self, value: u64) -> Self {
        Self { value, by_user: self.by_user || other.by_user }
    }

    fn line(self, keyword: &str) -> String {
        let user = if self.by_user { " USER" } else { "" };
        if self.value == u64::MAX {
            format!("{keyword} NEVER{user}")
        } else {
            format!("{keyword} {}{user}", self.value)
        }
    }
}

fn split(line: &str) -> (&str, &str) {
    let (keyword, rest) = line.split_once(' ').unwrap_or((line, ""));
    (keyword, rest.trim())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_promise_is_what_both_keep() {
        let offer = |lines: &[&str]| Offer { lines: lines.iter().map(|line| (*line).to_owned()).collect() };
        for (one, other, both) in [
            (&["PIPELINING", "DSN"][..], &["8bitmime", "pipelining"][..], &["PIPELINING"][..]),
            (&["SIZE 100"], &["size 50"], &["SIZE 50"]),
            (&["SIZE"], &["SIZE 50"], &["SIZE 50"]),
            (&["SIZE 0"], &["SIZE"], &["SIZE 0"]),
            (&["SIZE 10"], &["DSN"], &[]),
            (&["SIZE 10"], &["SIZE ten"], &[]),
            (&["CHUNKING", "BINARYMIME"], &["BINARYMIME", "CHUNKING"], &["CHUNKING", "BINARYMIME"]),
            (&["CHUNKING", "BINARYMIME"], &["BINARYMIME"], &[]),
            (&["EXPIRE 60"], &["EXPIRE 30 USER"], &["EXPIRE 30 USER"]),
            (&["EXPIRE NEVER"], &["EXPIRE 0"], &["EXPIRE 0"]),
            (&["EXPIRE NEVER"], &["expire never"], &["EXPIRE NEVER"]),
            (&["EXPIRE NEVER"], &[], &[]),
            (&["LOGIN-DELAY 10"], &["LOGIN-DELAY 900"], &["LOGIN-DELAY 900"]),
            (&["IMAP4rev2", "IDLE"], &["IDLE"], &["IDLE"]),
            (&["SIEVE a", "SIEVE b"], &["SIEVE b", "SIEVE c"], &["SIEVE b"]),
        ] {
            assert_eq!(offer(one).intersect(&offer(other)), offer(both), "{one:?} {other:?}");
        }
    }
}
