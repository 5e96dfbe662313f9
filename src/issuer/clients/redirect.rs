use std::net::Ipv4Addr;

use thiserror::Error;

use super::Client;

/// A redirect URI that is in order, in exactly the octets in which it was written.
///
/// The parser knows only what may be registered (RFC 8252 §7), and refuses what a more forgiving reader would
/// take for something else: nothing is normalised, so nothing can become another URI by being normalised.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RedirectUri {
    text: String,
    target: Target,
}

/// Why a text is no redirect URI that may be registered.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
pub enum InvalidRedirectUri {
    /// It is too long.
    #[error("it has more than {} octets", RedirectUri::MAX)]
    Length,
    /// A character that no URI holds, or a fragment.
    #[error("it holds a character that is not allowed in a redirect URI, or a fragment")]
    Character,
    /// No scheme, or one that is not taken.
    #[error(
        "its scheme must be https, http for a loopback address, or a private one such as com.example.app, in lower case"
    )]
    Scheme,
    /// http to a host that is not this machine.
    #[error("http is only for 127.0.0.1, [::1] and localhost")]
    NotLoopback,
    /// User name, or a host or port that is not written in its one plain form.
    #[error("its host or port is not in the plain form: lower case, no user name, IDN in its ASCII form")]
    Authority,
    /// `.`, `..`, or percent-encoding of what needs none.
    #[error("its path holds dot segments, or percent-encoding of what needs none")]
    Path,
    /// Percent-encoding of what needs none, or a parameter that the answer itself uses.
    #[error("its query holds a parameter of the answer, or percent-encoding of what needs none")]
    Query,
}

#[derive(Clone, Debug, PartialEq, Eq)]
enum Target {
    /// `https`.
    Web { host: String, port: Option<u16> },
    /// `http` to this machine: the host as written, and what follows the authority.
    Loopback { host: String, rest: String },
    /// A private-use scheme.
    App { scheme: String },
}

impl RedirectUri {
    /// Longest redirect URI in octets.
    pub const MAX: usize = 512;

    /// Reads a redirect URI.
    ///
    /// # Errors
    /// [`InvalidRedirectUri`] says what is wrong.
    pub fn parse(text: &str) -> Result<Self, InvalidRedirectUri> {
        if text.len() > Self::MAX {
            return Err(InvalidRedirectUri::Length);
        }
        if !text.bytes().all(is_uri_octet) {
            return Err(InvalidRedirectUri::Character);
        }
        let (scheme, rest) = text.split_once(':').ok_or(InvalidRedirectUri::Scheme)?;
        let target = match scheme {
            "https" => web(rest)?,
            "http" => loopback(rest)?,
            _ => app(scheme, rest)?,
        };
        Ok(Self { text: text.to_owned(), target })
    }

    /// The URI, as it was written.
    pub fn as_str(&self) -> &str {
        &self.text
    }

    /// Where it leads, for people: a host, or the scheme of a program.
    pub fn host(&self) -> &str {
        match &self.target {
            Target::Web { host, .. } | Target::Loopback { host, .. } => host,
            Target::App { scheme } => scheme,
        }
    }

    /// Whether it leads to a program on the person's own machine: a loopback address or a private-use scheme.
    pub fn is_local(&self) -> bool {
        match &self.target {
            Target::Web { host, .. } => host == "localhost" || host == "127.0.0.1",
            Target::Loopback { .. } | Target::App { .. } => true,
        }
    }

    /// Its source expression for `form-action` (CSP3 §2.3.1). That grammar has no IPv6 address, and matches no
    /// IPv4 address but 127.0.0.1 (§6.7.2.8), so for others the scheme has to do.
    pub fn form_target(&self) -> String {
        match &self.target {
            Target::Web { host, .. }
                if host.parse::<Ipv4Addr>().is_ok_and(|ip| ip != Ipv4Addr::LOCALHOST) =>
            {
                "https:".to_owned()
            }
            Target::Web { host, port: None } => format!("https://{host}"),
            Target::Web { host, port: Some(port) } => format!("https://{host}:{port}"),
            Target::Loopback { host, .. } if host.starts_with('[') => "http:".to_owned(),
            Target::Loopback { host, .. } => format!("http://{host}:*"),
            Target::App { scheme } => format!("{scheme}:"),
        }
    }

    /// Whether a request for `self` is one for what was `registered`: the same octets, or the same loopback
    /// address but for its port (RFC 8252 §7.3), where no path is the path `/`.
    fn matches(&self, registered: &Self) -> bool {
        if self.text == registered.text {
            return true;
        }
        match (&self.target, &registered.target) {
            (
                Target::Loopback { host, rest },
                Target::Loopback { host: registered_host, rest: registered_rest },
            ) => host == registered_host && rooted(rest) == rooted(registered_rest),
            (Target::Web { .. } | Target::Loopback { .. } | Target::App { .. }, _) => false,
        }
    }
}

impl Client {
    /// The redirect URI that a request names, if the client registered it.
    pub fn redirect(&self, requested: &str) -> Option<RedirectUri> {
        let requested = RedirectUri::parse(requested).ok()?;
        let registered = self.metadata.redirect_uris.iter().filter_map(|uri| RedirectUri::parse(uri).ok());
        registered.into_iter().any(|registered| requested.matches(&registered)).then_some(requested)
    }
}

fn web(rest: &str) -> Result<Target, InvalidRedirectUri> {
    let (host, port, rest) = authority(rest)?;
    if !is_host(host) {
        return Err(InvalidRedirectUri::Authority);
    }
    hierarchy(rest)?;
    Ok(Target::Web { host: host.to_owned(), port })
}

fn loopback(rest: &str) -> Result<Target, InvalidRedirectUri> {
    let (host, _, rest) = authority(rest)?;
    if !["127.0.0.1", "[::1]", "localhost"].contains(&host) {
        return Err(InvalidRedirectUri::NotLoopback);
    }
    hierarchy(rest)?;
    Ok(Target::Loopback { host: host.to_owned(), rest: rest.to_owned() })
}

/// RFC 8252 §7.1: a domain of the app's maker, backwards. `scheme://place` is not its form, but many use it.
fn app(scheme: &str, rest: &str) -> Result<Target, InvalidRedirectUri> {
    let is_domain = scheme.contains('.') && scheme.split('.').all(is_label);
    let top = scheme.split('.').next().unwrap_or_default();
    let is_top =
        top.len() > 1 && (top.bytes().all(|octet| octet.is_ascii_lowercase()) || top.starts_with("xn--"));
    if !is_domain || !is_top {
        return Err(InvalidRedirectUri::Scheme);
    }
    let rest = match rest.strip_prefix("//") {
        None if rest.starts_with('/') => rest,
        None => return Err(InvalidRedirectUri::Path),
        Some(rest) => {
            let (place, rest) = split_authority(rest);
            let is_plain = |octet: u8| octet.is_ascii_alphanumeric() || b"-._".contains(&octet);
            if place.is_empty() || !place.bytes().all(is_plain) || place.split('.').any(str::is_empty) {
                return Err(InvalidRedirectUri::Authority);
            }
            rest
        }
    };
    hierarchy(rest)?;
    Ok(Target::App { scheme: scheme.to_owned() })
}

/// Host, port, and what follows.
fn authority(rest: &str) -> Result<(&str, Option<u16>, &str), InvalidRedirectUri> {
    let rest = rest.strip_prefix("//").ok_or(InvalidRedirectUri::Authority)?;
    let (authority, rest) = split_authority(rest);
    let bracket = authority.rfind(']').map_or(0, |at| at + 1);
    let (_, behind) = authority.split_at_checked(bracket).ok_or(InvalidRedirectUri::Authority)?;
    let Some((_, port)) = behind.split_once(':') else { return Ok((authority, None, rest)) };
    let host = authority.strip_suffix(port).and_then(|host| host.strip_suffix(':'));
    let host = host.ok_or(InvalidRedirectUri::Authority)?;
    Ok((host, Some(plain_port(port).ok_or(InvalidRedirectUri::Authority)?), rest))
}

fn split_authority(rest: &str) -> (&str, &str) {
    let end = rest.find(['/', '?']).unwrap_or(rest.len());
    rest.split_at_checked(end).unwrap_or((rest, ""))
}

/// A port from 1 on, without sign and leading zeros.
fn plain_port(text: &str) -> Option<u16> {
    let port: u16 = text.parse().ok()?;
    (port != 0 && port.to_string() == text).then_some(port)
}

/// A host name in lower case with a dot, `localhost`, or an IPv4 address as four numbers. What a browser would
/// read as an IPv4 address in another spelling (`0x7f.1`, `2130706433`) ends in a number and is none of these.
fn is_host(host: &str) -> bool {
    if host.parse::<Ipv4Addr>().is_ok_and(|ip| ip.to_string() == host) || host == "localhost" {
        return true;
    }
    let last = host.rsplit('.').next().unwrap_or_default();
    let is_number = last.starts_with(|first: char| first.is_ascii_digit());
    host.len() <= 253 && host.contains('.') && !is_number && host.split('.').all(is_label)
}

fn is_label(label: &str) -> bool {
    (1..=63).contains(&label.len())
        && label.bytes().all(|octet| octet.is_ascii_lowercase() || octet.is_ascii_digit() || octet == b'-')
        && !label.starts_with('-')
        && !label.ends_with('-')
}

/// Path and query.
fn hierarchy(rest: &str) -> Result<(), InvalidRedirectUri> {
    let (path, query) = rest.split_once('?').map_or((rest, None), |(path, query)| (path, Some(query)));
    let bare = |segment: &str| segment.split(';').next() == Some(".");
    if path.contains("..") || path.split('/').any(bare) || path.contains(['[', ']']) {
        return Err(InvalidRedirectUri::Path);
    }
    if !is_plainly_encoded(path, b"/\\%") {
        return Err(InvalidRedirectUri::Path);
    }
    let Some(query) = query else { return Ok(()) };
    // A second `code` or `state` would let whoever registered the URI answer in the place of this server.
    const OWN: [&str; 6] = ["code", "error", "error_description", "iss", "response", "state"];
    let mut names = query.split(['&', ';']).map(|pair| pair.split('=').next().unwrap_or_default());
    if !is_plainly_encoded(query, b"") || names.any(|name| OWN.contains(&name)) {
        return Err(InvalidRedirectUri::Query);
    }
    Ok(())
}

/// Whether each percent-encoding is whole, encodes what needs it (nothing unreserved, RFC 3986 §2.3, no control, and
/// nothing of `never`), and gives UTF-8.
fn is_plainly_encoded(text: &str, never: &[u8]) -> bool {
    let mut decoded = Vec::with_capacity(text.len());
    let mut octets = text.bytes();
    while let Some(octet) = octets.next() {
        if octet != b'%' {
            decoded.push(octet);
            continue;
        }
        let mut digit = || char::from(octets.next()?).to_digit(16);
        let (Some(high), Some(low)) = (digit(), digit()) else { return false };
        let Ok(value) = u8::try_from(high * 16 + low) else { return false };
        let is_unreserved = value.is_ascii_alphanumeric() || b"-._~".contains(&value);
        if is_unreserved || value.is_ascii_control() || never.contains(&value) {
            return false;
        }
        decoded.push(value);
    }
    std::str::from_utf8(&decoded).is_ok()
}

/// RFC 3986 §2, without `#`: a redirect URI has no fragment (RFC 6749 §3.1.2).
fn is_uri_octet(octet: u8) -> bool {
    octet.is_ascii_alphanumeric() || b"-._~:/?[]@!$&'()*+,;=%".contains(&octet)
}

fn rooted(rest: &str) -> (&str, Option<&str>) {
    let (path, query) = rest.split_once('?').map_or((rest, None), |(path, query)| (path, Some(query)));
    (if path.is_empty() { "/" } else { path }, query)
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "tests fail by panicking")]
#[path = "redirect_tests.rs"]
mod tests;
