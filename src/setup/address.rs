/// A mail address that a client sent, fit to stand in a document once it is escaped.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Address(String);

impl Address {
    /// Longest address in octets (RFC 5321 §4.5.3.1.3, without the brackets).
    pub const LONGEST: usize = 254;
    /// Longest local part in octets (RFC 5321 §4.5.3.1.1).
    const LONGEST_LOCAL: usize = 64;

    /// Reads an address; its domain becomes lower case.
    ///
    /// `None` for what is too long, has no domain, or holds spaces, control characters, or what turns text about.
    pub fn parse(text: &str) -> Option<Self> {
        if text.len() > Self::LONGEST {
            return None;
        }
        let (local, domain) = text.rsplit_once('@')?;
        let is_local = |c: char| {
            !c.is_control()
                && !c.is_whitespace()
                && !matches!(c, '@' | '<' | '>' | '"' | '\u{200B}'..='\u{200F}' | '\u{202A}'..='\u{202E}' | '\u{2060}'..='\u{206F}' | '\u{FEFF}' | '\u{FFFE}' | '\u{FFFF}')
        };
        let is_address = !local.is_empty()
            && local.len() <= Self::LONGEST_LOCAL
            && local.chars().all(is_local)
            && is_domain(domain);
        is_address.then(|| Self(format!("{local}@{}", domain.to_ascii_lowercase())))
    }

    /// The whole address.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// What stands behind the `@`, in lower case.
    pub fn domain(&self) -> &str {
        self.0.rsplit_once('@').map_or("", |(_, domain)| domain)
    }
}

/// A host name in ASCII (RFC 1123 §2.1): an internationalised one is written as A-labels.
fn is_domain(text: &str) -> bool {
    let is_label = |label: &str| {
        (1..=63).contains(&label.len())
            && !label.starts_with('-')
            && !label.ends_with('-')
            && label.bytes().all(|octet| octet.is_ascii_alphanumeric() || octet == b'-')
    };
    text.len() <= 253 && text.split('.').all(is_label)
}
