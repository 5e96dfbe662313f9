//! What the pages say, one value of [`Messages`] for each language, and which language a person reads.
//!
//! A new language is a file with one constant and an entry in [`LANGUAGES`]; the compiler asks for every text.

mod account;
mod english;
mod german;
mod guides;

use std::fmt::Display;

pub(super) use account::Account;
pub(super) use guides::Guides;

use crate::model::Scope;

/// Every language; the first is for people whose own is not here.
const LANGUAGES: [&Messages; 2] = [&english::ENGLISH, &german::GERMAN];
/// Languages of a wish list that are looked at.
const WISHES: usize = 16;

/// The texts of one language.
pub(super) struct Messages {
    /// Its tag (RFC 5646), a primary language alone.
    pub(super) lang: &'static str,
    /// How its speakers call it.
    pub(super) name: &'static str,

    pub(super) sign_in_title: &'static str,
    /// The gap is the client's name.
    pub(super) client_asks: Sentence,
    pub(super) name_unchecked: &'static str,
    pub(super) login_label: &'static str,
    pub(super) password_label: &'static str,
    pub(super) password_help: &'static str,
    pub(super) sign_in_button: &'static str,
    pub(super) wrong: &'static str,
    /// The gap is a span of time.
    pub(super) too_many: Sentence,
    pub(super) unavailable: &'static str,

    /// The gap is the name of an outside provider, here and in the next three.
    pub(super) outside_button: Sentence,
    pub(super) outside_unavailable: Sentence,
    pub(super) outside_refused: Sentence,
    pub(super) outside_nobody: Sentence,
    pub(super) outside_or: &'static str,
    pub(super) mailbox_title: &'static str,
    pub(super) mailbox_why: &'static str,
    pub(super) mailbox_button: &'static str,

    pub(super) consent_title: &'static str,
    /// The gap is the login name.
    pub(super) signed_in_as: Sentence,
    /// The gap is the client's name; a list of scopes follows.
    pub(super) client_wants: Sentence,
    /// The gap is a host.
    pub(super) goes_to: Sentence,
    pub(super) goes_to_app: &'static str,
    pub(super) allow: &'static str,
    pub(super) deny: &'static str,
    pub(super) device_warning: &'static str,
    pub(super) device_compare: &'static str,
    pub(super) device_place: &'static str,
    pub(super) device_time: &'static str,
    /// The gap is a span of time.
    pub(super) ago: Sentence,
    /// A span of time, rounded, from seconds.
    pub(super) span: fn(u64) -> String,

    pub(super) leave_title: &'static str,
    pub(super) leave_text: &'static str,
    /// The gap is a host.
    pub(super) leave_warning: Sentence,
    pub(super) leave_button: &'static str,
    pub(super) leave_stay: &'static str,

    pub(super) device_title: &'static str,
    pub(super) device_label: &'static str,
    pub(super) device_help: &'static str,
    pub(super) device_button: &'static str,
    pub(super) device_unknown: &'static str,
    pub(super) device_phone: &'static str,
    pub(super) device_qr: &'static str,

    pub(super) device_allowed: Text,
    pub(super) device_denied: Text,
    pub(super) logged_out: Text,

    pub(super) bad_request: Text,
    pub(super) stale: Text,
    pub(super) answered: Text,
    pub(super) dead: Text,
    pub(super) too_many_failures: Text,
    pub(super) not_now: Text,

    pub(super) form_post_title: &'static str,
    pub(super) form_post_button: &'static str,

    pub(super) home_intro: &'static str,
    pub(super) home_caption: &'static str,
    pub(super) home_protocol: &'static str,
    pub(super) home_server: &'static str,
    pub(super) home_port: &'static str,
    pub(super) home_security: &'static str,
    pub(super) home_sign_in: &'static str,
    /// The gap is a link, named by the next text.
    pub(super) home_metadata: Sentence,
    pub(super) home_metadata_link: &'static str,
    pub(super) guides: Guides,

    pub(super) account: Account,

    pub(super) scopes: Scopes,
}

/// A heading and what follows it.
#[derive(Clone, Copy)]
pub(super) struct Text {
    pub(super) title: &'static str,
    pub(super) body: &'static str,
}

/// A sentence with one gap, written `{}`.
#[derive(Clone, Copy)]
pub(super) struct Sentence(&'static str);

impl Sentence {
    /// What stands before the gap.
    pub(super) fn before(self) -> &'static str {
        self.0.split_once("{}").map_or(self.0, |(before, _)| before)
    }

    /// What stands behind it.
    pub(super) fn after(self) -> &'static str {
        self.0.split_once("{}").map_or("", |(_, after)| after)
    }

    /// The sentence with its gap filled.
    pub(super) fn with(self, value: impl Display) -> String {
        format!("{}{value}{}", self.before(), self.after())
    }
}

/// What each scope value lets a client do.
pub(super) struct Scopes {
    mail: &'static str,
    imap: &'static str,
    smtp: &'static str,
    pop3: &'static str,
    sieve: &'static str,
    openid: &'static str,
    profile: &'static str,
    email: &'static str,
    offline_access: &'static str,
}

impl Messages {
    /// What a scope value lets a client do; one that is not known is shown as it is.
    pub(super) fn scope<'a>(&self, value: &'a str) -> &'a str {
        let scopes = &self.scopes;
        match value {
            Scope::MAIL => scopes.mail,
            "imap" => scopes.imap,
            "smtp" => scopes.smtp,
            "pop3" => scopes.pop3,
            "sieve" => scopes.sieve,
            "openid" => scopes.openid,
            "profile" => scopes.profile,
            "email" => scopes.email,
            "offline_access" => scopes.offline_access,
            _ => value,
        }
    }

    /// Every language, the first one first.
    pub(super) fn all() -> impl Iterator<Item = &'static Self> {
        LANGUAGES.into_iter()
    }

    /// The language named by a tag, its region aside.
    pub(super) fn named(tag: &str) -> Option<&'static Self> {
        let primary = tag.split(['-', '_']).next().unwrap_or(tag);
        Self::all().find(|messages| messages.lang.eq_ignore_ascii_case(primary))
    }

    /// What a client asks for: language tags in order of preference (OpenID Connect Core §3.1.2.1, `ui_locales`).
    pub(super) fn of_locales(locales: &str) -> Option<&'static Self> {
        locales.split_ascii_whitespace().take(WISHES).find_map(Self::named)
    }

    /// What a browser asks for (RFC 9110 §12.5.4), or the first language.
    pub(super) fn of_header(accept_language: &str) -> &'static Self {
        let mut best = (0, LANGUAGES[0]);
        for wish in accept_language.split(',').take(WISHES) {
            let (tag, weight) = wish.split_once(';').map_or((wish, 1000), |(tag, rest)| (tag, weight(rest)));
            // A later wish of the same weight does not win.
            if let Some(messages) = Self::named(tag.trim()).filter(|_| weight > best.0) {
                best = (weight, messages);
            }
        }
        best.1
    }
}

/// Thousandths of `q=0.7`; zero for what is no weight.
fn weight(parameter: &str) -> u32 {
    let Some(value) = parameter.trim().strip_prefix("q=") else { return 0 };
    let (whole, rest) = value.split_once('.').unwrap_or((value, ""));
    let thousandths = rest
        .bytes()
        .chain([b'0'; 3])
        .take(3)
        .try_fold(0, |sum, octet| octet.is_ascii_digit().then(|| sum * 10 + u32::from(octet - b'0')));
    match (whole, thousandths) {
        ("0", Some(thousandths)) => thousandths,
        ("1", _) => 1000,
        _ => 0,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_browser_gets_the_language_that_it_likes_best() {
        for (header, lang) in [
            ("", "en"),
            ("de", "de"),
            ("de-AT,en;q=0.9", "de"),
            ("en-GB,en;q=0.9,de;q=0.8", "en"),
            ("fr-FR,de;q=0.5,en;q=0.3", "de"),
            ("fr, de;q=0.123, en;q=0.124", "en"),
            ("de;q=0", "en"),
            ("de;q=x,*", "en"),
            ("DE", "de"),
            (",;,=;q=", "en"),
        ] {
            assert_eq!(Messages::of_header(header).lang, lang, "{header}");
        }
    }

    #[test]
    fn a_client_names_languages_in_order() {
        assert_eq!(Messages::of_locales("fr-CA de en").map(|m| m.lang), Some("de"));
        assert_eq!(Messages::of_locales("fr xx").map(|m| m.lang), None);
    }

    #[test]
    fn every_sentence_has_one_gap() {
        for m in Messages::all() {
            let sentences = [
                m.client_asks,
                m.too_many,
                m.outside_button,
                m.outside_unavailable,
                m.outside_refused,
                m.outside_nobody,
                m.signed_in_as,
                m.client_wants,
                m.goes_to,
                m.ago,
                m.leave_warning,
                m.home_metadata,
                m.guides.add_on,
                m.guides.preferences,
                m.account.disconnect_what,
                m.account.close_what,
                m.account.ends_days,
                m.account.history_times,
            ];
            for sentence in sentences {
                assert_eq!(sentence.0.matches("{}").count(), 1, "{}: {}", m.lang, sentence.0);
            }
        }
    }

    #[test]
    fn every_scope_that_this_server_knows_has_plain_words() {
        for m in Messages::all() {
            for value in Scope::KNOWN {
                assert_ne!(m.scope(value), value, "{}", m.lang);
            }
            assert_eq!(m.scope("x-other"), "x-other");
        }
    }

    #[test]
    fn spans_of_time_are_words() {
        for (seconds, english, german) in [
            (1, "1 second", "1 Sekunde"),
            (59, "59 seconds", "59 Sekunden"),
            (61, "2 minutes", "2 Minuten"),
            (60, "1 minute", "1 Minute"),
            (3601, "2 hours", "2 Stunden"),
            (172_800, "2 days", "2 Tagen"),
        ] {
            assert_eq!((english::ENGLISH.span)(seconds), english);
            assert_eq!((german::GERMAN.span)(seconds), german);
        }
    }
}
