//! What an operator writes with places for something else in it, such as `{local}@mail.example.org`.

/// A part of a text with places.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Piece<'a> {
    /// It stands for itself. Never empty; a closing brace without an opening one is in it.
    Fixed(&'a str),
    /// What stood in braces: the name of what is to be put there. May be empty.
    Place(&'a str),
}

/// The pieces of `text`, in their order.
///
/// # Errors
/// The end of a sentence, when an opening brace has no closing one.
pub fn pieces(text: &str) -> Result<Vec<Piece<'_>>, &'static str> {
    let mut pieces = Vec::new();
    let mut rest = text;
    while let Some((fixed, after)) = rest.split_once('{') {
        let (place, after) = after.split_once('}').ok_or("has an opening brace without a closing one")?;
        pieces.extend((!fixed.is_empty()).then_some(Piece::Fixed(fixed)));
        pieces.push(Piece::Place(place));
        rest = after;
    }
    pieces.extend((!rest.is_empty()).then_some(Piece::Fixed(rest)));
    Ok(pieces)
}

#[cfg(test)]
mod tests {
    use super::{
        Piece::{Fixed, Place},
        *,
    };

    #[test]
    fn places_stand_between_what_is_fixed() {
        assert_eq!(pieces("a{b}c"), Ok(vec![Fixed("a"), Place("b"), Fixed("c")]));
        assert_eq!(pieces("{a}{}"), Ok(vec![Place("a"), Place("")]));
        assert_eq!(pieces("a}b"), Ok(vec![Fixed("a}b")]));
        assert_eq!(pieces("{a{b}"), Ok(vec![Place("a{b")]));
        assert_eq!(pieces(""), Ok(vec![]));
    }

    #[test]
    fn an_opening_brace_needs_a_closing_one() {
        for text in ["{", "a{b", "{a}{b", "}{"] {
            assert!(pieces(text).is_err(), "{text}");
        }
    }
}
