//! HTTP requests that this server makes: to trusted issuers, to look-ups, to the issuers of mail servers.
//!
//! Invariants:
//! - no redirect is followed, no proxy of the environment is used, no cookie is kept;
//! - clear HTTP goes to this machine only, unless the operator allows more by name;
//! - an answer is bounded in octets and in time, however slowly or long the peer talks;
//! - an error names the place and never what was sent.
//!
//! It must not know what a request is for.

use std::{path::PathBuf, time::Duration};

use reqwest::{Certificate, Identity, Method, header::HeaderMap, redirect};
use thiserror::Error;

pub use reqwest::{Url, header};

use crate::model::Secret;

/// Settings of a [`Client`].
#[derive(Clone, Debug)]
pub struct Config {
    /// PEM file of the authorities that are trusted instead of the system's.
    pub ca: Option<PathBuf>,
    /// PEM files of a client certificate and its key.
    pub identity: Option<(PathBuf, PathBuf)>,
    /// Time for a whole request.
    pub timeout: Duration,
    /// The longest answer taken, in octets.
    pub max_body: usize,
}

impl Default for Config {
    fn default() -> Self {
        Self { ca: None, identity: None, timeout: Duration::from_secs(5), max_body: 256 * 1024 }
    }
}

/// Makes requests.
#[derive(Clone, Debug)]
pub struct Client {
    inner: reqwest::Client,
    max_body: usize,
    allow_cleartext: bool,
}

/// What to send.
#[derive(Debug, Default)]
pub struct Request {
    /// Header fields; values that hold secrets are marked sensitive by the caller.
    pub headers: HeaderMap,
    /// The body of a POST, with its content type; without it a GET is sent.
    pub body: Option<(&'static str, Secret)>,
}

/// What came back.
#[derive(Debug)]
pub struct Answer {
    /// The status code.
    pub status: u16,
    /// The header fields.
    pub headers: HeaderMap,
    /// The body, as far as it is not longer than allowed.
    pub body: Vec<u8>,
}

/// There is no answer.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
pub enum HttpError {
    /// A file of the settings cannot be used.
    #[error("{0}")]
    File(String),
    /// The address is not one that may be asked.
    #[error("{0}")]
    Address(String),
    /// It did not answer, or not in time, or its certificate is not trusted.
    #[error("{0}")]
    Unreachable(String),
    /// Its answer is longer than allowed.
    #[error("{place} answers with more than {limit} octets")]
    TooLong {
        /// Who answered.
        place: String,
        /// How much is taken.
        limit: usize,
    },
}

impl Client {
    /// With the settings' authorities and limits.
    ///
    /// # Errors
    /// [`HttpError::File`] when a file cannot be used.
    pub fn new(config: &Config) -> Result<Self, HttpError> {
        let mut builder = reqwest::Client::builder()
            .redirect(redirect::Policy::none())
            .no_proxy()
            .referer(false)
            .timeout(config.timeout)
            .connect_timeout(config.timeout)
            .pool_max_idle_per_host(8);
        if let Some(path) = &config.ca {
            let pem = read(path)?;
            let unusable = |error| HttpError::File(format!("{}: {error}", path.display()));
            let authorities = Certificate::from_pem_bundle(&pem).map_err(unusable)?;
            if authorities.is_empty() {
                return Err(HttpError::File(format!("{} holds no certificate", path.display())));
            }
            builder = builder.tls_certs_only(authorities);
        }
        if let Some((certificate, key)) = &config.identity {
            let mut pem = read(certificate)?;
            // A file need not end its last line.
            pem.push(b'\n');
            pem.extend_from_slice(&read(key)?);
            let pem = Secret::from(pem);
            let unusable = |error| HttpError::File(format!("{}: {error}", certificate.display()));
            builder = builder.identity(Identity::from_pem(pem.expose()).map_err(unusable)?);
        }
        let inner = builder
            .build()
            .map_err(|error| HttpError::File(format!("no HTTP client can be made: {error}")))?;
        Ok(Self { inner, max_body: config.max_body, allow_cleartext: false })
    }

    /// The same, and clear HTTP may go to other machines too, because the operator said so.
    #[must_use]
    pub fn allowing_cleartext(self, allow: bool) -> Self {
        Self { allow_cleartext: allow, ..self }
    }

    /// Sends a request and reads the whole answer, whatever its status.
    ///
    /// # Errors
    /// [`HttpError`].
    pub async fn send(&self, url: &Url, request: Request) -> Result<Answer, HttpError> {
        let place = place(url);
        let is_allowed = may_be_asked(url) || (self.allow_cleartext && url.scheme() == "http");
        if !is_allowed {
            return Err(HttpError::Address(format!("{place} is not https, and not on this machine")));
        }
        let method = if request.body.is_some() { Method::POST } else { Method::GET };
        let mut builder = self.inner.request(method, url.clone()).headers(request.headers);
        if let Some((content_type, body)) = request.body {
            builder = builder.header(header::CONTENT_TYPE, content_type).body(body.expose().to_vec());
        }
        let lost = |error: reqwest::Error| HttpError::Unreachable(format!("{place}: {}", reason(&error)));
        let mut response = builder.send().await.map_err(lost)?;
        let (status, headers) = (response.status().as_u16(), response.headers().clone());
        let mut body = Vec::new();
        while let Some(chunk) = response.chunk().await.map_err(lost)? {
            if body.len().saturating_add(chunk.len()) > self.max_body {
                return Err(HttpError::TooLong { place, limit: self.max_body });
            }
            body.extend_from_slice(&chunk);
        }
        Ok(Answer { status, headers, body })
    }
}

/// Whether a request may go there: by https anywhere, by http to this machine.
pub fn may_be_asked(url: &Url) -> bool {
    match url.scheme() {
        "https" => url.host_str().is_some(),
        "http" => url.host_str().is_some_and(is_this_machine),
        _ => false,
    }
}

fn is_this_machine(host: &str) -> bool {
    let address = host.trim_start_matches('[').trim_end_matches(']').parse::<std::net::IpAddr>();
    address
        .map_or_else(|_| host == "localhost" || host.ends_with(".localhost"), |address| address.is_loopback())
}

/// Scheme, host, port and path: a query may hold what is nobody's business.
fn place(url: &Url) -> String {
    let port = url.port().map(|port| format!(":{port}")).unwrap_or_default();
    format!("{}://{}{port}{}", url.scheme(), url.host_str().unwrap_or_default(), url.path())
}

/// The innermost reason, which alone says what went wrong; the outer ones repeat the address with its query.
fn reason(error: &reqwest::Error) -> String {
    if error.is_timeout() {
        return "no answer in time".to_owned();
    }
    let mut source: &dyn std::error::Error = error;
    while let Some(inner) = source.source() {
        source = inner;
    }
    source.to_string()
}

fn read(path: &std::path::Path) -> Result<Vec<u8>, HttpError> {
    std::fs::read(path).map_err(|error| HttpError::File(format!("cannot read {}: {error}", path.display())))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn clear_http_goes_to_this_machine_only() {
        let may = |text: &str| may_be_asked(&text.parse().unwrap());
        assert!(may("https://login.example.net/token"));
        for here in ["http://localhost/", "http://127.0.0.1:8080/x", "http://[::1]/", "http://a.localhost/"] {
            assert!(may(here), "{here}");
        }
        for elsewhere in [
            "http://example.org/",
            "http://localhost.example.org/",
            "http://10.0.0.1/",
            "http://[2001:db8::1]/",
            "file:///etc/passwd",
            "ftp://localhost/",
        ] {
            assert!(!may(elsewhere), "{elsewhere}");
        }
    }

    #[test]
    fn a_place_says_nothing_of_the_query() {
        let url = "https://user:pw@example.org:8443/path?token=secret#x".parse().unwrap();
        assert_eq!(place(&url), "https://example.org:8443/path");
    }
}
