use std::fmt::{self, Write};

/// Shows a text from outside on one line, bounded: at most [`Clean::MAX`] octets of it, and every character
/// that could end a line, move a cursor, or reorder what a reader sees written as `\u{…}`.
#[derive(Clone, Copy, Debug)]
pub struct Clean<'a>(pub &'a str);

impl Clean<'_> {
    /// Longest text shown, in octets of the original; the longest legal client identifier.
    pub const MAX: usize = 512;
}

impl fmt::Display for Clean<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (at, c) in self.0.char_indices() {
            if at + c.len_utf8() > Self::MAX {
                return f.write_char('…');
            }
            match is_harmless(c) {
                true => f.write_char(c)?,
                false => write!(f, "{}", c.escape_unicode())?,
            }
        }
        Ok(())
    }
}

fn is_harmless(c: char) -> bool {
    let reorders_or_hides = matches!(c,
        '\u{ad}' | '\u{61c}' | '\u{180e}' | '\u{200b}'..='\u{200f}' | '\u{2028}'..='\u{202e}'
        | '\u{2060}'..='\u{206f}' | '\u{feff}' | '\u{fff9}'..='\u{fffb}' | '\u{e0000}'..='\u{e007f}');
    !c.is_control() && !reorders_or_hides
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_control_character_is_shown_by_its_number() {
        assert_eq!(
            Clean("a\r\nb\0\u{1b}[31m\u{9b}\u{7f}").to_string(),
            r"a\u{d}\u{a}b\u{0}\u{1b}[31m\u{9b}\u{7f}"
        );
    }

    #[test]
    fn a_character_that_reorders_the_line_is_shown_by_its_number() {
        assert_eq!(Clean("a\u{202e}b\u{2028}c\u{200b}").to_string(), r"a\u{202e}b\u{2028}c\u{200b}");
    }

    #[test]
    fn letters_of_every_script_stay() {
        assert_eq!(Clean("jürgen@例え.jp").to_string(), "jürgen@例え.jp");
    }

    #[test]
    fn a_long_text_is_cut_between_characters() {
        let long = "ä".repeat(10_000);
        let shown = Clean(&long).to_string();
        assert_eq!(shown, format!("{}…", "ä".repeat(256)));
        assert_eq!(Clean(&"x".repeat(512)).to_string(), "x".repeat(512));
    }
}
