//! Subjects of certificates (RFC 8705 §2.1.2): read from DER, and from the text in which a client registers its own.
//!
//! Both readers know the attribute types that RFC 4514 §3 names, in UTF-8, printable or IA5 strings, one to a level;
//! whatever else there is gives no name at all, and so equals nothing.

/// Attribute types (RFC 4514 §3): name, and octets of the object identifier.
const TYPES: [(&str, &[u8]); 9] = [
    ("CN", &[0x55, 4, 3]),
    ("C", &[0x55, 4, 6]),
    ("L", &[0x55, 4, 7]),
    ("ST", &[0x55, 4, 8]),
    ("STREET", &[0x55, 4, 9]),
    ("O", &[0x55, 4, 10]),
    ("OU", &[0x55, 4, 11]),
    ("DC", &[0x09, 0x92, 0x26, 0x89, 0x93, 0xF2, 0x2C, 0x64, 1, 25]),
    ("UID", &[0x09, 0x92, 0x26, 0x89, 0x93, 0xF2, 0x2C, 0x64, 1, 1]),
];

const INTEGER: u8 = 0x02;
const OBJECT_IDENTIFIER: u8 = 0x06;
const UTF8_STRING: u8 = 0x0C;
const PRINTABLE_STRING: u8 = 0x13;
const IA5_STRING: u8 = 0x16;
const SEQUENCE: u8 = 0x30;
const SET: u8 = 0x31;
const VERSION: u8 = 0xA0;

/// A distinguished name: types and values, the most general first. Values are compared octet by octet.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Name(Vec<(&'static str, String)>);

impl Name {
    /// Reads the text of RFC 4514, which begins with the most particular; spaces behind commas are taken.
    pub(super) fn parse(text: &str) -> Option<Self> {
        let mut levels = Vec::new();
        let mut rest = Some(text);
        while let Some(level) = rest {
            let (kind, value) = level.trim_start_matches(' ').split_once('=')?;
            let (kind, _) = TYPES.into_iter().find(|(name, _)| name.eq_ignore_ascii_case(kind))?;
            let (value, behind) = unescaped(value)?;
            levels.push((kind, value));
            rest = behind;
        }
        levels.reverse();
        Some(Self(levels))
    }

    /// The subject of a certificate (RFC 5280 §4.1).
    pub(super) fn of_certificate(der: &[u8]) -> Option<Self> {
        let mut certificate = whole(der, SEQUENCE)?;
        let mut body = expect(&mut certificate, SEQUENCE)?;
        if body.first() == Some(&VERSION) {
            expect(&mut body, VERSION)?;
        }
        // Serial number, algorithm, issuer, validity.
        for tag in [INTEGER, SEQUENCE, SEQUENCE, SEQUENCE] {
            expect(&mut body, tag)?;
        }
        let mut subject = expect(&mut body, SEQUENCE)?;
        let mut levels = Vec::new();
        while !subject.is_empty() {
            let mut attribute = whole(expect(&mut subject, SET)?, SEQUENCE)?;
            let kind = expect(&mut attribute, OBJECT_IDENTIFIER)?;
            let (kind, _) = TYPES.into_iter().find(|(_, octets)| *octets == kind)?;
            let (tag, value) = element(&mut attribute)?;
            if !attribute.is_empty() || ![UTF8_STRING, PRINTABLE_STRING, IA5_STRING].contains(&tag) {
                return None;
            }
            levels.push((kind, std::str::from_utf8(value).ok()?.to_owned()));
        }
        (!levels.is_empty()).then_some(Self(levels))
    }
}

/// One value, and what stands behind the comma that ends it (RFC 4514 §3).
fn unescaped(text: &str) -> Option<(String, Option<&str>)> {
    if text.starts_with([' ', '#']) {
        return None;
    }
    let mut octets = Vec::new();
    let mut left = text.char_indices();
    let mut behind = None;
    while let Some((at, c)) = left.next() {
        match c {
            ',' => {
                behind = text.get(at + 1..);
                break;
            }
            '\\' => octets.push(escape(&mut left)?),
            '"' | '+' | ';' | '<' | '>' | '\0' => return None,
            c => octets.extend_from_slice(c.encode_utf8(&mut [0; 4]).as_bytes()),
        }
    }
    let value = String::from_utf8(octets).ok()?;
    // A space at the end must be escaped; one that was not is nobody's intention.
    (!value.is_empty() && !value.ends_with(' ')).then_some((value, behind))
}

/// A special character, or two hexadecimal digits.
fn escape(left: &mut std::str::CharIndices<'_>) -> Option<u8> {
    let (_, first) = left.next()?;
    if let Some(high) = first.to_digit(16) {
        let low = left.next()?.1.to_digit(16)?;
        return u8::try_from(high * 16 + low).ok();
    }
    if r##" "#+,;<=>\"##.contains(first) { u8::try_from(first).ok() } else { None }
}

/// The content of an element of that kind that is all there is.
fn whole(der: &[u8], tag: u8) -> Option<&[u8]> {
    let mut rest = der;
    let content = expect(&mut rest, tag)?;
    rest.is_empty().then_some(content)
}

fn expect<'a>(rest: &mut &'a [u8], tag: u8) -> Option<&'a [u8]> {
    let (found, content) = element(rest)?;
    (found == tag).then_some(content)
}

/// One element of DER (ITU-T X.690 §8.1): its tag and its content.
fn element<'a>(rest: &mut &'a [u8]) -> Option<(u8, &'a [u8])> {
    let (&[tag, first], mut behind) = rest.split_first_chunk::<2>()?;
    let length = match first {
        0..=0x7F => usize::from(first),
        0x81..=0x83 => {
            let (octets, after) = behind.split_at_checked(usize::from(first & 0x7F))?;
            behind = after;
            octets.iter().fold(0, |length, octet| length << 8 | usize::from(*octet))
        }
        0x80 | 0x84..=0xFF => return None,
    };
    let (content, after) = behind.split_at_checked(length)?;
    *rest = after;
    Some((tag, content))
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "tests fail by panicking")]
mod tests {
    use proptest::prelude::*;
    use rcgen::{CertificateParams, DnType, KeyPair};

    use super::*;

    fn certificate(subject: &[(DnType, &str)]) -> Vec<u8> {
        let mut params = CertificateParams::default();
        params.distinguished_name = rcgen::DistinguishedName::new();
        for (kind, value) in subject {
            params.distinguished_name.push(kind.clone(), *value);
        }
        params.self_signed(&KeyPair::generate().unwrap()).unwrap().der().to_vec()
    }

    fn is_same(text: &str, subject: &[(DnType, &str)]) -> bool {
        let registered = Name::parse(text);
        assert!(registered.is_some(), "{text}");
        registered == Name::of_certificate(&certificate(subject))
    }

    #[test]
    fn a_subject_equals_its_text_in_reverse_order() {
        let subject = [
            (DnType::CountryName, "DE"),
            (DnType::OrganizationName, "Beispiel, Söhne"),
            (DnType::CommonName, "archiver"),
        ];
        assert!(is_same("CN=archiver,O=Beispiel\\, Söhne,C=DE", &subject));
        assert!(is_same("cn=archiver, o=Beispiel\\2C S\\C3\\B6hne, c=DE", &subject));
        for other in [
            "C=DE,O=Beispiel\\, Söhne,CN=archiver",
            "CN=Archiver,O=Beispiel\\, Söhne,C=DE",
            "CN=archiver,C=DE",
            "CN=archiver",
            "CN=archiver,O=Beispiel\\, Söhne,C=DE,C=DE",
            "CN=archiver,O=Beispiel\\, Söhne\\,C\\=DE",
        ] {
            assert!(!is_same(other, &subject), "{other}");
        }
    }

    #[test]
    fn a_value_that_looks_like_more_levels_is_one_value() {
        assert!(!is_same("CN=admin,O=Example", &[(DnType::CommonName, "admin,O=Example")]));
        assert!(is_same("CN=admin\\,O\\=Example", &[(DnType::CommonName, "admin,O=Example")]));
    }

    #[test]
    fn a_text_that_is_no_name_is_refused() {
        for bad in [
            "",
            "CN",
            "CN=",
            "CN= a",
            "CN=a ",
            "CN=#0403",
            "CN=a+O=b",
            "XX=a",
            "2.5.4.3=a",
            "CN=a;O=b",
            "CN=a,",
            "CN=a\\",
            "CN=a\\4",
            "CN=a\\q",
            "CN=\"a\"",
            ",CN=a",
            "CN=\\FF",
            "CN =a",
        ] {
            assert_eq!(Name::parse(bad), None, "{bad}");
        }
    }

    #[test]
    fn a_certificate_without_a_plain_subject_has_no_name() {
        assert_eq!(Name::of_certificate(&certificate(&[])), None);
        let odd = DnType::CustomDnType(vec![1, 2, 3]);
        assert_eq!(Name::of_certificate(&certificate(&[(DnType::CommonName, "a"), (odd, "b")])), None);
        let good = certificate(&[(DnType::CommonName, "a")]);
        for length in 0..good.len() {
            assert_eq!(Name::of_certificate(&good[..length]), None);
        }
    }

    proptest! {
        #[test]
        fn whatever_octets_are_read_nothing_breaks(octets in prop::collection::vec(any::<u8>(), 0..300)) {
            let _ = Name::of_certificate(&octets);
        }

        #[test]
        fn whatever_text_is_read_nothing_breaks(text in "(CN=|O=|\\PC|,|\\\\){0,40}") {
            let _ = Name::parse(&text);
        }
    }
}
