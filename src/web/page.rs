use std::fmt::{self, Write};

use axum::{
    http::{StatusCode, header},
    response::{IntoResponse, Response},
};

use crate::model::{Mechanism, Protocol};

pub(super) const STYLE_PATH: &str = "/style.css";
const STYLE: &str = include_str!("../../static/style.css");
const HTML: &str = "text/html; charset=utf-8";

/// Where a mail client can connect.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Endpoint {
    /// What is spoken there.
    pub protocol: Protocol,
    /// The port.
    pub port: u16,
    /// How TLS starts.
    pub security: Security,
    /// How a client may sign in.
    pub mechanisms: Vec<Mechanism>,
}

/// How TLS starts at an endpoint.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Security {
    /// Never.
    None,
    /// By STARTTLS or STLS.
    StartTls,
    /// From the first octet.
    Tls,
}

/// The page at `/`.
#[derive(Clone)]
pub(super) struct Page(bytes::Bytes);

impl Page {
    pub(super) fn render(hostname: &str, endpoints: &[Endpoint], has_issuer: bool) -> Self {
        let mut html = String::new();
        // Writing into a string does not fail.
        let _ = write_page(&mut html, hostname, endpoints, has_issuer);
        Self(html.into())
    }

    pub(super) fn respond(&self) -> Response {
        ([(header::CONTENT_TYPE, HTML), (header::CACHE_CONTROL, "no-cache")], self.0.clone()).into_response()
    }
}

pub(super) fn style() -> Response {
    let headers =
        [(header::CONTENT_TYPE, "text/css; charset=utf-8"), (header::CACHE_CONTROL, "public, max-age=3600")];
    (headers, STYLE).into_response()
}

/// An answer that only says its status.
pub(super) fn refusal(status: StatusCode) -> Response {
    let reason = status.canonical_reason().unwrap_or("refused");
    (status, [(header::CONTENT_TYPE, "text/plain; charset=utf-8")], format!("{reason}\n")).into_response()
}

fn write_page(
    html: &mut String,
    hostname: &str,
    endpoints: &[Endpoint],
    has_issuer: bool,
) -> Result<(), fmt::Error> {
    let name = Escaped(hostname);
    write!(
        html,
        "<!doctype html>\n<html lang=\"en\">\n<head>\n<meta charset=\"utf-8\">\n\
         <meta name=\"viewport\" content=\"width=device-width\">\n<title>{name}</title>\n\
         <link rel=\"stylesheet\" href=\"{STYLE_PATH}\">\n</head>\n<body>\n<main>\n<h1>{name}</h1>\n\
         <p>This server lets mail clients sign in with OAuth bearer tokens. It passes signed-in sessions on to \
         the mail server behind it.</p>\n"
    )?;
    if !endpoints.is_empty() {
        html.write_str(
            "<table>\n<caption>Settings for a mail client</caption>\n<thead><tr><th scope=\"col\">Protocol</th>\
             <th scope=\"col\">Server</th><th scope=\"col\">Port</th><th scope=\"col\">Security</th>\
             <th scope=\"col\">Sign-in</th></tr></thead>\n<tbody>\n",
        )?;
        for (index, endpoint) in endpoints.iter().enumerate() {
            // Listeners on several addresses are one to a client.
            if !endpoints.iter().take(index).any(|earlier| earlier == endpoint) {
                write_endpoint(html, hostname, endpoint)?;
            }
        }
        html.write_str("</tbody>\n</table>\n")?;
    }
    if has_issuer {
        html.write_str(
            "<p>OAuth clients find every address in the \
             <a href=\"/.well-known/oauth-authorization-server\">server metadata</a>.</p>\n",
        )?;
    }
    html.write_str("</main>\n</body>\n</html>\n")
}

fn write_endpoint(html: &mut String, hostname: &str, endpoint: &Endpoint) -> Result<(), fmt::Error> {
    let protocol = match endpoint.protocol {
        Protocol::Imap => "IMAP",
        Protocol::Pop3 => "POP3",
        Protocol::Sieve => "ManageSieve",
        Protocol::Smtp => "SMTP submission",
    };
    let security = match endpoint.security {
        Security::None => "none",
        Security::StartTls => "STARTTLS",
        Security::Tls => "TLS",
    };
    let mechanisms: Vec<&str> = endpoint.mechanisms.iter().map(|mechanism| mechanism.as_str()).collect();
    writeln!(
        html,
        "<tr><td>{protocol}</td><td>{}</td><td>{}</td><td>{security}</td><td>{}</td></tr>",
        Escaped(hostname),
        endpoint.port,
        mechanisms.join(", ")
    )
}

/// Shows a text inside HTML, attribute values included.
struct Escaped<'a>(&'a str);

impl fmt::Display for Escaped<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for c in self.0.chars() {
            match c {
                '&' => f.write_str("&amp;")?,
                '<' => f.write_str("&lt;")?,
                '>' => f.write_str("&gt;")?,
                '"' => f.write_str("&quot;")?,
                '\'' => f.write_str("&#39;")?,
                _ => f.write_char(c)?,
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_hostname_stays_text() {
        let page = Page::render("<script>\"'&", &[], false);
        let html = std::str::from_utf8(&page.0).unwrap();
        assert!(html.contains("<h1>&lt;script&gt;&quot;&#39;&amp;</h1>"), "{html}");
        assert!(!html.contains("<script"));
    }

    #[test]
    fn the_same_port_on_two_addresses_is_one_row() {
        let endpoint = Endpoint {
            protocol: Protocol::Imap,
            port: 993,
            security: Security::Tls,
            mechanisms: vec![Mechanism::XOAuth2],
        };
        let other = Endpoint { port: 143, security: Security::StartTls, ..endpoint.clone() };
        let page = Page::render("mail.example.org", &[endpoint.clone(), other, endpoint], true);
        assert_eq!(std::str::from_utf8(&page.0).unwrap().matches("<tr><td>").count(), 2);
    }

    #[test]
    fn a_row_says_how_to_set_up_a_client() {
        let endpoint = Endpoint {
            protocol: Protocol::Smtp,
            port: 587,
            security: Security::StartTls,
            mechanisms: vec![Mechanism::OAuthBearer, Mechanism::XOAuth2],
        };
        let page = Page::render("mail.example.org", &[endpoint], true);
        let row = "<tr><td>SMTP submission</td><td>mail.example.org</td><td>587</td><td>STARTTLS</td>\
                   <td>OAUTHBEARER, XOAUTH2</td></tr>";
        assert!(std::str::from_utf8(&page.0).unwrap().contains(row));
    }
}
