use askama::Template;
use axum::{
    http::{HeaderValue, header},
    response::{IntoResponse, Response},
};
use bytes::Bytes;

use super::{
    account::ACCOUNT_PATH,
    html::{HomeHtml, Row},
    policy,
};
use crate::{
    model::{Mechanism, Protocol},
    web::messages::Messages,
};

pub(in crate::web) const STYLE_PATH: &str = "/style.css";
const STYLE: &str = include_str!("../../../static/style.css");

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

/// The page at `/`, in every language.
#[derive(Clone)]
pub(in crate::web) struct Home(Vec<(&'static str, Bytes)>);

impl Home {
    /// `device_path` is that of the page for devices; without it there is no issuer.
    pub(in crate::web) fn new(host: &str, endpoints: &[Endpoint], device_path: Option<&str>) -> Self {
        let page = |m: &'static Messages| {
            let html = HomeHtml {
                m,
                host,
                rows: rows(endpoints, m),
                has_issuer: device_path.is_some(),
                device_path: device_path.unwrap_or_default(),
                account_path: ACCOUNT_PATH,
            };
            // Writing into a string does not fail.
            (m.lang, html.render().unwrap_or_default().into())
        };
        Self(Messages::all().map(page).collect())
    }

    pub(in crate::web) fn respond(&self, messages: &Messages) -> Response {
        let page = self.0.iter().find(|(lang, _)| *lang == messages.lang);
        let body = page.map(|(_, body)| body.clone()).unwrap_or_default();
        let headers = [
            (header::CONTENT_TYPE, "text/html; charset=utf-8"),
            (header::CACHE_CONTROL, "no-cache"),
            (header::VARY, "Accept-Language, Cookie"),
        ];
        let mut response = (headers, body).into_response();
        if let Ok(policy) = HeaderValue::from_str(&policy("'none'", None)) {
            response.headers_mut().insert(header::CONTENT_SECURITY_POLICY, policy);
        }
        response
    }
}

pub(in crate::web) fn style() -> Response {
    let headers =
        [(header::CONTENT_TYPE, "text/css; charset=utf-8"), (header::CACHE_CONTROL, "public, max-age=3600")];
    (headers, STYLE).into_response()
}

fn rows(endpoints: &[Endpoint], m: &Messages) -> Vec<Row> {
    // Listeners on several addresses are one to a client.
    let is_first = |(index, endpoint): &(usize, &Endpoint)| {
        !endpoints.iter().take(*index).any(|earlier| earlier == *endpoint)
    };
    endpoints.iter().enumerate().filter(is_first).map(|(_, endpoint)| row(endpoint, m)).collect()
}

fn row(endpoint: &Endpoint, m: &Messages) -> Row {
    let mechanisms: Vec<&str> = endpoint.mechanisms.iter().map(|mechanism| mechanism.as_str()).collect();
    Row {
        protocol: match endpoint.protocol {
            Protocol::Imap => "IMAP",
            Protocol::Pop3 => "POP3",
            Protocol::Sieve => "ManageSieve",
            Protocol::Smtp => "SMTP submission",
        },
        port: endpoint.port,
        security: match endpoint.security {
            Security::None => m.home_none,
            Security::StartTls => "STARTTLS",
            Security::Tls => "TLS",
        },
        mechanisms: mechanisms.join(", "),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn english(home: &Home) -> &str {
        std::str::from_utf8(home.0.first().map(|(_, body)| body).expect("a language")).expect("UTF-8")
    }

    #[test]
    fn a_hostname_stays_text() {
        let home = Home::new("<script>\"'&", &[], None);
        assert!(english(&home).contains("<h1>&#60;script&#62;&#34;&#39;&#38;</h1>"), "{}", english(&home));
        assert!(!english(&home).contains("<script"));
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
        let home = Home::new("mail.example.org", &[endpoint.clone(), other, endpoint], Some("/device"));
        assert_eq!(english(&home).matches("<tr><td>").count(), 2);
    }

    #[test]
    fn a_row_says_how_to_set_up_a_client() {
        let endpoint = Endpoint {
            protocol: Protocol::Smtp,
            port: 587,
            security: Security::StartTls,
            mechanisms: vec![Mechanism::OAuthBearer, Mechanism::XOAuth2],
        };
        let row = "<tr><td>SMTP submission</td><td>mail.example.org</td><td>587</td><td>STARTTLS</td>\
                   <td>OAUTHBEARER, XOAUTH2</td></tr>";
        let home = Home::new("mail.example.org", &[endpoint], Some("/device"));
        assert!(english(&home).contains(row), "{}", english(&home));
    }
}
