//! Durations, sizes and secrets as they are written.

use std::{borrow::Cow, fmt, str::FromStr, time::Duration};

use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::{Deserialize, Deserializer, Serialize, Serializer, de};
use zeroize::Zeroizing;

/// What stands in place of a secret when the configuration is shown.
pub(super) const MASK: &str = "********";

/// A span of time: `500ms`, `90s`, `15m`, `1h`, `30d`. At most a hundred years, so that no clock overflows.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Span(pub(super) Duration);

impl Span {
    const UNITS: [(&'static str, u64); 5] =
        [("d", 86_400_000), ("h", 3_600_000), ("m", 60_000), ("s", 1_000), ("ms", 1)];
    const MAX: u64 = 36_500 * 86_400_000;

    pub(super) const fn millis(millis: u64) -> Self {
        Self(Duration::from_millis(millis))
    }

    pub(super) const fn seconds(seconds: u64) -> Self {
        Self(Duration::from_secs(seconds))
    }

    pub(super) const fn minutes(minutes: u64) -> Self {
        Self::seconds(minutes * 60)
    }

    pub(super) const fn hours(hours: u64) -> Self {
        Self::minutes(hours * 60)
    }

    pub(super) const fn days(days: u64) -> Self {
        Self::hours(days * 24)
    }
}

impl FromStr for Span {
    type Err = &'static str;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        const WRONG: &str = "must be a duration such as \"90s\", \"15m\", \"1h\" or \"30d\"";
        let (number, unit) = number_and_unit(text).ok_or(WRONG)?;
        let (_, factor) = Self::UNITS.iter().find(|(name, _)| *name == unit).ok_or(WRONG)?;
        let millis = number.checked_mul(*factor).filter(|millis| *millis <= Self::MAX);
        millis.map(|millis| Self(Duration::from_millis(millis))).ok_or("must be at most 36500d")
    }
}

impl fmt::Display for Span {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let millis = u64::try_from(self.0.as_millis()).unwrap_or(u64::MAX);
        let fits = Self::UNITS.iter().find(|(_, factor)| millis > 0 && millis.is_multiple_of(*factor));
        match fits {
            Some((unit, factor)) => write!(f, "{}{unit}", millis / factor),
            None => f.write_str("0s"),
        }
    }
}

/// A number of octets: `512B`, `64KiB`, `10MiB`, `1GiB`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Size(pub(super) usize);

impl Size {
    const UNITS: [(&'static str, usize); 4] =
        [("GiB", 1 << 30), ("MiB", 1 << 20), ("KiB", 1 << 10), ("B", 1)];
}

impl FromStr for Size {
    type Err = &'static str;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        const WRONG: &str = "must be a size such as \"512B\", \"64KiB\" or \"10MiB\"";
        let (number, unit) = number_and_unit(text).ok_or(WRONG)?;
        let (_, factor) = Self::UNITS.iter().find(|(name, _)| *name == unit).ok_or(WRONG)?;
        let octets = usize::try_from(number).ok().and_then(|number| number.checked_mul(*factor));
        octets.map(Self).ok_or("is too large")
    }
}

impl fmt::Display for Size {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let fits = Self::UNITS.iter().find(|(_, factor)| self.0 > 0 && self.0.is_multiple_of(*factor));
        match fits {
            Some((unit, factor)) => write!(f, "{}{unit}", self.0 / factor),
            None => f.write_str("0B"),
        }
    }
}

fn number_and_unit(text: &str) -> Option<(u64, &str)> {
    let text = text.trim();
    let (number, unit) = text.split_at_checked(text.find(|c: char| !c.is_ascii_digit())?)?;
    Some((number.parse().ok()?, unit.trim_start()))
}

/// A lifetime, or `never`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Limit {
    After(Span),
    Never,
}

impl FromStr for Limit {
    type Err = &'static str;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        if text == "never" {
            return Ok(Self::Never);
        }
        text.parse().map(Self::After).map_err(|_| "must be \"never\" or a duration such as \"365d\"")
    }
}

impl fmt::Display for Limit {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::After(span) => span.fmt(f),
            Self::Never => f.write_str("never"),
        }
    }
}

/// A secret text; shown and serialised as [`MASK`], wiped when dropped.
#[derive(Clone)]
pub(super) struct Hidden(pub(super) Zeroizing<String>);

impl fmt::Debug for Hidden {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(MASK)
    }
}

impl Serialize for Hidden {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(MASK)
    }
}

impl<'de> Deserialize<'de> for Hidden {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        String::deserialize(deserializer).map(|text| Self(Zeroizing::new(text)))
    }
}

impl JsonSchema for Hidden {
    fn inline_schema() -> bool {
        true
    }

    fn schema_name() -> Cow<'static, str> {
        "Secret".into()
    }

    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        json_schema!({ "type": "string", "writeOnly": true })
    }
}

macro_rules! written_as_text {
    ($type:ident, $pattern:literal) => {
        impl Serialize for $type {
            fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
                serializer.collect_str(self)
            }
        }

        impl<'de> Deserialize<'de> for $type {
            fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
                String::deserialize(deserializer)?.parse().map_err(de::Error::custom)
            }
        }

        impl JsonSchema for $type {
            fn inline_schema() -> bool {
                true
            }

            fn schema_name() -> Cow<'static, str> {
                stringify!($type).into()
            }

            fn json_schema(_: &mut SchemaGenerator) -> Schema {
                json_schema!({ "type": "string", "pattern": $pattern })
            }
        }
    };
}

written_as_text!(Span, "^[0-9]+ *(ms|s|m|h|d)$");
written_as_text!(Size, "^[0-9]+ *(B|KiB|MiB|GiB)$");
written_as_text!(Limit, "^(never|[0-9]+ *(ms|s|m|h|d))$");

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn durations_are_a_number_and_a_unit() {
        assert_eq!("90s".parse(), Ok(Span::seconds(90)));
        assert_eq!("15m".parse(), Ok(Span::minutes(15)));
        assert_eq!("1h".parse(), Ok(Span::hours(1)));
        assert_eq!("30d".parse(), Ok(Span::days(30)));
        for bad in ["", "s", "10", "-1s", "1.5h", "1w", "1 h m", "99999999999999999999s", "36501d"] {
            assert!(bad.parse::<Span>().is_err(), "{bad}");
        }
    }

    #[test]
    fn durations_and_sizes_are_shown_in_the_largest_unit_that_fits() {
        for text in ["90s", "15m", "1h", "30d", "1500ms", "0s"] {
            assert_eq!(text.parse::<Span>().unwrap().to_string(), text);
        }
        for text in ["64KiB", "10MiB", "1GiB", "1000B", "0B"] {
            assert_eq!(text.parse::<Size>().unwrap().to_string(), text);
        }
    }

    #[test]
    fn a_size_that_overflows_is_refused() {
        assert!("18446744073709551615GiB".parse::<Size>().is_err());
        assert!("64KB".parse::<Size>().is_err());
    }

    #[test]
    fn a_secret_shows_nothing_of_itself() {
        let hidden = Hidden(Zeroizing::new("hunter2".to_owned()));
        assert_eq!(format!("{hidden:?}"), MASK);
        assert_eq!(serde_json::to_string(&hidden).unwrap(), format!("\"{MASK}\""));
    }
}
