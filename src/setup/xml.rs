//! Writes XML. Every text goes through [`escape`].

use std::fmt::Write as _;

use zeroize::Zeroizing;

use crate::model::Secret;

/// An XML document under construction, indented by two spaces.
pub(super) struct Xml {
    text: String,
    depth: usize,
}

impl Xml {
    /// Begins with the declaration. There is no byte order mark.
    pub(super) fn new() -> Self {
        Self { text: "<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n".to_owned(), depth: 0 }
    }

    /// A line of ours, as it is.
    pub(super) fn raw(&mut self, line: &str) {
        self.text.push_str(line);
        self.text.push('\n');
    }

    /// The same with room for a small document with a secret in it, so that none is left behind by growing.
    pub(super) fn secret() -> Self {
        const ROOM: usize = 16 * 1024;
        let Self { text, depth } = Self::new();
        let mut roomy = String::with_capacity(ROOM);
        roomy.push_str(&text);
        Self { text: roomy, depth }
    }

    /// An element around what `inside` writes.
    pub(super) fn element(
        &mut self,
        name: &str,
        attributes: &[(&str, &str)],
        inside: impl FnOnce(&mut Self),
    ) {
        self.indent();
        self.tag(name, attributes);
        self.text.push('\n');
        self.depth += 1;
        inside(self);
        self.depth -= 1;
        self.indent();
        let _ = writeln!(self.text, "</{name}>");
    }

    /// An element around a text.
    pub(super) fn leaf(&mut self, name: &str, text: &str) {
        self.leaf_with(name, &[], text);
    }

    /// The same with attributes.
    pub(super) fn leaf_with(&mut self, name: &str, attributes: &[(&str, &str)], text: &str) {
        self.indent();
        self.tag(name, attributes);
        let _ = writeln!(self.text, "{}</{name}>", escape(text));
    }

    /// A text that is secret: it goes where it stays and nowhere else, as far as the room of [`Self::secret`] reaches.
    pub(super) fn secret_leaf(&mut self, name: &str, text: &str) {
        self.indent();
        self.tag(name, &[]);
        escape_into(&mut self.text, text);
        let _ = writeln!(self.text, "</{name}>");
    }

    /// An element with nothing in it.
    pub(super) fn empty(&mut self, name: &str) {
        self.indent();
        let _ = writeln!(self.text, "<{name}/>");
    }

    /// The document as a secret; what it was written into is wiped.
    pub(super) fn finish_secret(self) -> Secret {
        let text = Zeroizing::new(self.text);
        Secret::copy_of(text.as_bytes())
    }

    pub(super) fn finish(self) -> String {
        self.text
    }

    fn tag(&mut self, name: &str, attributes: &[(&str, &str)]) {
        let _ = write!(self.text, "<{name}");
        for (key, value) in attributes {
            let _ = write!(self.text, " {key}=\"{}\"", escape(value));
        }
        self.text.push('>');
    }

    fn indent(&mut self) {
        self.text.extend(std::iter::repeat_n("  ", self.depth));
    }
}

/// A text that is text and nothing else, in an element or an attribute. What XML 1.0 §2.2 has no place for is left out.
pub(super) fn escape(text: &str) -> String {
    let mut escaped = String::with_capacity(text.len());
    escape_into(&mut escaped, text);
    escaped
}

fn escape_into(escaped: &mut String, text: &str) {
    for c in text.chars() {
        match c {
            '&' => escaped.push_str("&amp;"),
            '<' => escaped.push_str("&lt;"),
            '>' => escaped.push_str("&gt;"),
            '"' => escaped.push_str("&quot;"),
            '\'' => escaped.push_str("&#39;"),
            '\u{0}'..='\u{1F}' | '\u{7F}' | '\u{FFFE}' | '\u{FFFF}' => {}
            c => escaped.push(c),
        }
    }
}
