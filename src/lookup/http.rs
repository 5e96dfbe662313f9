//! Look-ups by HTTP, with the headers of nginx's `auth_http`
//! (<https://nginx.org/en/docs/mail/ngx_mail_auth_http_module.html#protocol>).
//!
//! The service is told a name, a protocol and an address, and never a password: who signs in has proved that
//! already. It answers with the server, and with the name and password to use there; fields of our own, `X-Bearward-…`,
//! tell the rest.

use std::time::Duration;

use async_trait::async_trait;
use reqwest::{
    Url,
    header::{HeaderMap, HeaderName, HeaderValue},
};

use super::{
    AuthMethodName, HttpConfig, Query,
    entry::{Found, items},
    guarded::{Fault, Source},
};
use crate::{
    http::{Answer, Client, Config, HttpError, Request},
    model::{Protocol, Secret},
};

/// The body says nothing; this much of it is read.
const BODY: usize = 64 * 1024;

/// A header field that proves who asks.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Header {
    name: HeaderName,
    /// Marked as sensitive, so that it is never shown.
    value: HeaderValue,
}

impl Header {
    /// Reads `Name: value`.
    ///
    /// # Errors
    /// One sentence that does not repeat the text.
    pub fn parse(text: &str) -> Result<Self, &'static str> {
        let (name, value) = text.split_once(':').ok_or("must be a name, a colon and a value")?;
        let name: HeaderName = name.trim().parse().map_err(|_| "has a name that no header field has")?;
        if is_ours(&name) {
            return Err("has a name that this look-up sends already");
        }
        let value = value.trim();
        let mut value =
            HeaderValue::from_str(value).map_err(|_| "has a value that no header field can have")?;
        if value.is_empty() {
            return Err("has no value");
        }
        value.set_sensitive(true);
        Ok(Self { name, value })
    }
}

fn is_ours(name: &HeaderName) -> bool {
    let name = name.as_str();
    name.starts_with("auth-")
        || matches!(name, "client-ip" | "host" | "content-length" | "connection" | "transfer-encoding")
}

/// The URL of a service, without a name and a password in it.
///
/// # Errors
/// One sentence that does not repeat the text.
pub fn url(text: &str) -> Result<Url, &'static str> {
    let url: Url = text.parse().map_err(|_| "must be an URL")?;
    if !matches!(url.scheme(), "http" | "https") || url.host_str().is_none() {
        return Err("must begin with https:// or http://");
    }
    if !url.username().is_empty() || url.password().is_some() {
        return Err("must hold no name and no password; a header can prove who asks");
    }
    Ok(url)
}

/// A service.
#[derive(Debug)]
pub(super) struct HttpSource {
    client: Client,
    config: HttpConfig,
}

impl HttpSource {
    /// Reads the authorities.
    pub(super) fn new(config: &HttpConfig, timeout: Duration) -> Result<Self, String> {
        let settings = Config { ca: config.ca.clone(), timeout, max_body: BODY, ..Config::default() };
        let client = Client::new(&settings).map_err(|error| error.to_string())?;
        Ok(Self { client: client.allowing_cleartext(config.allow_cleartext), config: config.clone() })
    }

    fn request(&self, query: &Query<'_>) -> Result<Request, Fault> {
        let mut headers = HeaderMap::new();
        let method = match self.config.method {
            AuthMethodName::External => "external",
            AuthMethodName::None => "none",
            AuthMethodName::Plain => "plain",
        };
        headers.insert("auth-method", HeaderValue::from_static(method));
        let user = HeaderValue::try_from(escaped(query.login.as_str()))
            .map_err(|_| Fault::Operator("the login name fits into no header".into()))?;
        headers.insert("auth-user", user);
        headers.insert("auth-pass", HeaderValue::from_static(""));
        // A service that knows nginx only expects one of its three.
        let protocol = match query.protocol {
            Some(Protocol::Pop3) => "pop3",
            Some(Protocol::Smtp) => "smtp",
            Some(Protocol::Sieve) => "sieve",
            Some(Protocol::Imap) | None => "imap",
        };
        headers.insert("auth-protocol", HeaderValue::from_static(protocol));
        headers.insert("auth-login-attempt", HeaderValue::from_static("1"));
        headers.insert("auth-ssl", HeaderValue::from_static("on"));
        if let Some(client) = query.client
            && let Ok(address) = HeaderValue::try_from(client.to_canonical().to_string())
        {
            headers.insert("client-ip", address);
        }
        if let Some(header) = &self.config.header {
            headers.insert(header.name.clone(), header.value.clone());
        }
        Ok(Request { headers, ..Request::default() })
    }
}

/// As nginx writes a name into a header field: what is no printable ASCII, blanks and `%` as `%XX`.
fn escaped(text: &str) -> String {
    text.bytes().fold(String::with_capacity(text.len()), |mut escaped, octet| {
        if octet.is_ascii_graphic() && octet != b'%' {
            escaped.push(char::from(octet));
        } else {
            escaped.push_str(&format!("%{octet:02X}"));
        }
        escaped
    })
}

#[async_trait]
impl Source for HttpSource {
    async fn ask(&self, query: &Query<'_>) -> Result<Option<Found>, Fault> {
        let request = self.request(query)?;
        let answer = self.client.send(&self.config.url, request).await.map_err(|error| match error {
            HttpError::Address(reason) | HttpError::File(reason) => Fault::Operator(reason),
            HttpError::TooLong { .. } => Fault::Operator(error.to_string()),
            HttpError::Unreachable(reason) => Fault::Unavailable(reason),
        })?;
        read(&answer)
    }

    fn asks_for_protocol(&self) -> bool {
        true
    }
}

fn read(answer: &Answer) -> Result<Option<Found>, Fault> {
    match answer.status {
        200..=299 => {}
        429 | 500..=599 => {
            return Err(Fault::Unavailable(format!("it answers with status {}", answer.status)));
        }
        status => return Err(Fault::Operator(format!("it answers with status {status} instead of 200"))),
    }
    let field = |name: &str| one(&answer.headers, name);
    let Some(status) = field("auth-status")? else {
        return Err(Fault::Operator("it answers without Auth-Status".into()));
    };
    if status != "OK" {
        // A wait alone says nothing: services send it with every refusal, to slow down guessing.
        let code = field("auth-error-code")?.unwrap_or_default();
        let is_temporary = code.starts_with('4')
            || status.get(..9).is_some_and(|start| start.eq_ignore_ascii_case("temporary"));
        return if is_temporary {
            Err(Fault::Unavailable(format!("it says: {}", status.escape_debug())))
        } else {
            Ok(None)
        };
    }
    let port = field("auth-port")?;
    let server = match (field("auth-server")?, port) {
        (Some(host), None) => Some(host),
        (Some(host), Some(port)) if host.contains(':') => Some(format!("[{host}]:{port}")),
        (Some(host), Some(port)) => Some(format!("{host}:{port}")),
        (None, Some(_)) => {
            return Err(Fault::Operator("it answers with Auth-Port, without Auth-Server".into()));
        }
        (None, None) => None,
    };
    let list = |name: &str| Ok::<_, Fault>(field(name)?.map(|text| items(&text)).unwrap_or_default());
    Ok(Some(Found {
        backend: field("x-bearward-backend")?,
        server,
        login_name: field("auth-user")?,
        password: field("auth-pass")?.map(Secret::from),
        addresses: list("x-bearward-addresses")?,
        mailboxes: list("x-bearward-mailboxes")?,
    }))
}

/// A field that may stand there once. Of two, nobody knows which is meant, or who added the other.
fn one(headers: &HeaderMap, name: &str) -> Result<Option<String>, Fault> {
    let mut values = headers.get_all(name).iter();
    let Some(value) = values.next() else { return Ok(None) };
    if values.next().is_some() {
        return Err(Fault::Operator(format!("it answers with {name} twice")));
    }
    let text = std::str::from_utf8(value.as_bytes())
        .map_err(|_| Fault::Operator(format!("it answers with a {name} that is not UTF-8")))?;
    Ok((!text.is_empty()).then(|| text.to_owned()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_name_becomes_another_header_field() {
        assert_eq!(escaped("a@b"), "a@b");
        assert_eq!(escaped("a\r\nAuth-Status: OK"), "a%0D%0AAuth-Status:%20OK");
        assert_eq!(escaped("50%@b"), "50%25@b");
        assert_eq!(escaped("ä"), "%C3%A4");
    }

    #[test]
    fn a_header_that_proves_who_asks_is_not_shown() {
        let header = Header::parse("X-Key: hunter2").unwrap();
        assert!(!format!("{header:?}").contains("hunter2"));
        for bad in ["X-Key", "X Key: a", "X-Key: a\r\nAuth-User: b", "Auth-User: root", "X-Key:", "Host: a"] {
            assert!(Header::parse(bad).is_err(), "{bad:?}");
        }
    }

    fn answer(status: u16, fields: &[(&'static str, &'static str)]) -> Answer {
        let headers = fields
            .iter()
            .map(|(name, value)| (HeaderName::from_static(name), HeaderValue::from_static(value)))
            .collect();
        Answer { status, headers, body: Vec::new() }
    }

    #[test]
    fn a_refusal_with_a_wait_is_no_outage() {
        let refused = answer(200, &[("auth-status", "Invalid login or password"), ("auth-wait", "3")]);
        assert!(matches!(read(&refused), Ok(None)));
        let busy = answer(200, &[("auth-status", "try later"), ("auth-error-code", "451 4.3.0")]);
        assert!(matches!(read(&busy), Err(Fault::Unavailable(_))));
        let busy = answer(200, &[("auth-status", "Temporary server problem, try again later")]);
        assert!(matches!(read(&busy), Err(Fault::Unavailable(_))));
    }

    #[test]
    fn what_is_no_answer_is_the_operators_fault() {
        for (status, fields) in [
            (200, &[][..]),
            (301, &[("auth-status", "OK")]),
            (404, &[]),
            (401, &[("auth-status", "OK")]),
            (200, &[("auth-status", "OK"), ("auth-status", "OK")]),
            (200, &[("auth-status", "OK"), ("auth-port", "143")]),
        ] {
            let fields: Vec<_> = fields.to_vec();
            let mut given = answer(status, &[]);
            for (name, value) in fields {
                given.headers.append(HeaderName::from_static(name), HeaderValue::from_static(value));
            }
            assert!(matches!(read(&given), Err(Fault::Operator(_))), "{status} {:?}", given.headers);
        }
        assert!(matches!(read(&answer(503, &[])), Err(Fault::Unavailable(_))));
    }
}
