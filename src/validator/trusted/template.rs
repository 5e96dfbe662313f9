use std::fmt;

use crate::model::{Piece, pieces};

/// Fixed text and names in braces, each of which is replaced once by what it stands for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Template(Vec<Part>);

#[derive(Clone, Debug, PartialEq, Eq)]
enum Part {
    Fixed(String),
    Name(String),
}

impl Template {
    /// Reads `{name}` and fixed text.
    ///
    /// # Errors
    /// What is wrong, as an end of a sentence.
    pub fn parse(text: &str) -> Result<Self, &'static str> {
        let part = |piece| match piece {
            Piece::Fixed(text) if text.contains('}') => Err("holds a lone brace"),
            Piece::Fixed(text) => Ok(Part::Fixed(text.to_owned())),
            Piece::Place(name) if name.is_empty() || name.contains('{') => Err("holds braces without a name"),
            Piece::Place(name) => Ok(Part::Name(name.to_owned())),
        };
        let parts = pieces(text)
            .map_err(|_| "holds a lone brace")?
            .into_iter()
            .map(part)
            .collect::<Result<_, _>>()?;
        let made = Self(parts);
        if made.names().next().is_none() {
            return Err("holds no name in braces, so everybody would get the same");
        }
        Ok(made)
    }

    /// The value of one claim as it is.
    pub fn claim(name: &str) -> Self {
        Self(vec![Part::Name(name.to_owned())])
    }

    /// The names in it.
    pub fn names(&self) -> impl Iterator<Item = &str> {
        self.0.iter().filter_map(|part| match part {
            Part::Fixed(_) => None,
            Part::Name(name) => Some(name.as_str()),
        })
    }

    /// The text with each name's value. What a value holds is never read as a template.
    pub(in crate::validator) fn fill<E>(
        &self,
        value: impl Fn(&str) -> Result<String, E>,
    ) -> Result<String, E> {
        let mut text = String::new();
        for part in &self.0 {
            match part {
                Part::Fixed(fixed) => text.push_str(fixed),
                Part::Name(name) => text.push_str(&value(name)?),
            }
        }
        Ok(text)
    }
}

impl fmt::Display for Template {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.iter().try_for_each(|part| match part {
            Part::Fixed(fixed) => f.write_str(fixed),
            Part::Name(name) => write!(f, "{{{name}}}"),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_value_is_never_read_as_a_template() {
        let template = Template::parse("{a}-{b}@example.org").unwrap();
        let filled = template.fill(|name| Ok::<_, ()>(if name == "a" { "{b}" } else { "x" }.to_owned()));
        assert_eq!(filled.unwrap(), "{b}-x@example.org");
    }

    #[test]
    fn what_names_nothing_is_refused() {
        for bad in ["", "postmaster@example.org", "{}", "{a", "a}", "{a{b}}"] {
            assert!(Template::parse(bad).is_err(), "{bad}");
        }
    }
}
