use askama::Template;
use axum::{
    http::{HeaderValue, header},
    response::{IntoResponse, Response},
};
use bytes::Bytes;

use super::{
    account::ACCOUNT_PATH,
    guides::guides,
    html::{HomeHtml, Row},
    policy,
};
use crate::{
    model::Protocol,
    setup::{Offer, Security, Service},
    web::messages::Messages,
};

pub(in crate::web) const STYLE_PATH: &str = "/style.css";
const STYLE: &str = include_str!("../../../static/style.css");

/// The page at `/`, in every language.
#[derive(Clone)]
pub(in crate::web) struct Home(Vec<(&'static str, Bytes)>);

impl Home {
    /// `device_path` is that of the page for devices; without it there is no issuer.
    pub(in crate::web) fn new(offer: &Offer, device_path: Option<&str>) -> Self {
        let page = |m: &'static Messages| {
            let html = HomeHtml {
                m,
                host: &offer.hostname,
                rows: offer.services.iter().map(row).collect(),
                guides: guides(offer, m),
                oauth: offer.oauth.as_ref(),
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
        if let Ok(policy) = HeaderValue::from_str(&policy("'self'", None)) {
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

fn row(service: &Service) -> Row<'_> {
    let mechanisms: Vec<&str> = service.mechanisms.iter().map(|mechanism| mechanism.as_str()).collect();
    Row {
        protocol: match service.protocol {
            Protocol::Imap => "IMAP",
            Protocol::Pop3 => "POP3",
            Protocol::Sieve => "ManageSieve",
            Protocol::Smtp => "SMTP submission",
        },
        host: &service.host,
        port: service.port,
        security: match service.security {
            Security::StartTls => "STARTTLS",
            Security::Tls => "TLS",
        },
        mechanisms: mechanisms.join(", "),
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::*;
    use crate::{
        model::Mechanism,
        setup::{OAuth, Provider},
    };

    fn offer(hostname: &str, services: Vec<Service>) -> Offer {
        Offer {
            hostname: hostname.into(),
            site: None,
            provider: Provider { name: "Example Mail".into(), short_name: "Example".into() },
            domains: vec!["example.org".into(), "example.net".into()],
            services,
            oauth: None,
        }
    }

    fn service(protocol: Protocol, port: u16, security: Security, mechanisms: &[Mechanism]) -> Service {
        Service { protocol, host: "mail.example.org".into(), port, security, mechanisms: mechanisms.to_vec() }
    }

    fn oauth() -> OAuth {
        let url = |path: &str| -> Arc<str> { format!("https://mail.example.org{path}").into() };
        OAuth {
            issuer: url(""),
            authorization_endpoint: url("/authorize"),
            token_endpoint: url("/token"),
            device_authorization_endpoint: Some(url("/device_authorization")),
            scope: "mail".into(),
            client_id: "open".into(),
            is_public: true,
        }
    }

    fn english(home: &Home) -> &str {
        std::str::from_utf8(home.0.first().map(|(_, body)| body).expect("a language")).expect("UTF-8")
    }

    #[test]
    fn a_hostname_stays_text() {
        let home = Home::new(&offer("<script>\"'&", Vec::new()), None);
        assert!(english(&home).contains("<h1>&#60;script&#62;&#34;&#39;&#38;</h1>"), "{}", english(&home));
        assert!(!english(&home).contains("<script"));
    }

    #[test]
    fn a_row_says_how_to_set_up_a_client() {
        let service =
            service(Protocol::Smtp, 587, Security::StartTls, &[Mechanism::OAuthBearer, Mechanism::XOAuth2]);
        let row = "<tr><td>SMTP submission</td><td>mail.example.org</td><td>587</td><td>STARTTLS</td>\
                   <td>OAUTHBEARER, XOAUTH2</td></tr>";
        let home = Home::new(&offer("mail.example.org", vec![service]), Some("/device"));
        assert!(english(&home).contains(row), "{}", english(&home));
    }

    #[test]
    fn every_client_has_steps_with_the_names_of_this_server() {
        let bearer = &[Mechanism::OAuthBearer, Mechanism::XOAuth2];
        let services = vec![
            service(Protocol::Imap, 1993, Security::Tls, bearer),
            service(Protocol::Smtp, 1587, Security::StartTls, bearer),
        ];
        let offer = Offer { oauth: Some(oauth()), ..offer("mail.example.org", services) };
        let home = Home::new(&offer, Some("/device"));
        let page = english(&home);
        for client in [
            "Thunderbird",
            "Thunderbird for Android",
            "Apple Mail",
            "Outlook",
            "Gmail app",
            "Evolution",
            "KMail",
            "mutt",
            "aerc",
            "himalaya",
            "mbsync",
            "msmtp",
            "fetchmail",
            "Roundcube",
        ] {
            assert!(page.contains(&format!("<summary>{client}</summary>")), "{client}");
        }
        for line in [
            "set folder = imaps://mail.example.org:1993/",
            "set smtp_url = smtp://you@example.org@mail.example.org:1587",
            "source = imaps+oauthbearer://you%40example.org@mail.example.org:1993",
            "SSLType IMAPS",
            "tls_starttls on",
            "imap port 1993",
            "[&#39;smtp_host&#39;] = &#39;tls://mail.example.org:1587&#39;",
            "<dd>https://mail.example.org/device_authorization</dd>",
        ] {
            assert!(page.contains(line), "{line}: {page}");
        }
        assert!(page.contains("this server takes none"), "{page}");
        assert!(!page.contains("<form"), "no profile where no password is taken");
    }

    #[test]
    fn where_passwords_are_taken_the_page_offers_a_profile() {
        let both = &[Mechanism::XOAuth2, Mechanism::Plain];
        let services = vec![
            service(Protocol::Imap, 993, Security::Tls, both),
            service(Protocol::Smtp, 465, Security::Tls, both),
        ];
        let home = Home::new(&offer("mail.example.org", services), None);
        let page = english(&home);
        assert!(page.contains("<form action=\"/mail/apple.mobileconfig\" method=\"get\">"), "{page}");
        assert!(!page.contains("mutt"), "nobody gets tokens here");
        assert!(!page.contains("thunderbird.xpi"));
    }
}
