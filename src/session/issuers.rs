use std::{collections::BTreeMap, sync::Arc};

use crate::{
    model::{Login, Outcome, Protocol, Scope},
    telemetry::Validations,
};

/// The issuers whose tokens are taken: how each is counted, and which a client is sent to.
#[derive(Debug)]
pub struct Issuers {
    own: KnownIssuer,
    /// Whether the built-in issuer gives tokens out.
    is_issuing: bool,
    trusted: Vec<KnownIssuer>,
}

/// One issuer, as a session knows it.
#[derive(Debug)]
pub struct KnownIssuer {
    /// Its URL.
    pub url: Arc<str>,
    /// Its discovery document.
    pub openid_configuration: Arc<str>,
    /// Whom it serves.
    pub domains: Vec<String>,
    /// The scope to ask it for, where it is not the mail scope.
    pub scopes: BTreeMap<Protocol, Arc<str>>,
    /// Where decisions about its tokens are counted.
    pub validations: Validations,
}

/// What a client that failed is told of where to get a token (RFC 7628 §3.2.2).
pub(super) struct Challenge {
    pub(super) scope: Arc<str>,
    pub(super) openid_configuration: Option<Arc<str>>,
}

impl Issuers {
    /// The built-in issuer, which may give out nothing, and the trusted ones in the order of the configuration.
    pub const fn new(own: KnownIssuer, is_issuing: bool, trusted: Vec<KnownIssuer>) -> Self {
        Self { own, is_issuing, trusted }
    }

    pub(super) fn count(&self, issuer: &str, outcome: Outcome, cached: bool) {
        let known = self.trusted.iter().find(|known| *known.url == *issuer).unwrap_or(&self.own);
        known.validations.count(outcome, cached);
    }

    /// The trusted issuer of the user's domain, else the built-in one, else the first.
    pub(super) fn challenge(&self, user: Option<&str>, protocol: Protocol) -> Challenge {
        let login = user.and_then(|user| Login::parse(user).ok());
        let domain = login.as_ref().and_then(Login::domain);
        let serves = |known: &&KnownIssuer| {
            domain.is_some_and(|domain| known.domains.iter().any(|served| served == domain))
        };
        let own = self.is_issuing.then_some(&self.own);
        let known = self.trusted.iter().find(serves).or(own).or_else(|| self.trusted.first());
        let scope = known.and_then(|known| known.scopes.get(&protocol)).cloned();
        Challenge {
            scope: scope.unwrap_or_else(|| Scope::MAIL.into()),
            openid_configuration: known.map(|known| Arc::clone(&known.openid_configuration)),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::telemetry::Metrics;

    fn issuer(url: &str, domains: &[&str]) -> KnownIssuer {
        KnownIssuer {
            url: url.into(),
            openid_configuration: format!("{url}/.well-known/openid-configuration").into(),
            domains: domains.iter().map(|domain| (*domain).to_owned()).collect(),
            scopes: BTreeMap::new(),
            validations: Metrics::new().validations(url),
        }
    }

    #[test]
    fn a_client_is_sent_to_the_issuer_of_its_users_domain() {
        let trusted = || vec![issuer("https://a", &["a.example"]), issuer("https://b", &["b.example"])];
        let sent = |issuers: &Issuers, user| {
            issuers.challenge(user, Protocol::Imap).openid_configuration.unwrap().to_string()
        };
        let both = Issuers::new(issuer("https://own", &[]), true, trusted());
        assert!(sent(&both, Some("x@B.example")).starts_with("https://b/"));
        assert!(sent(&both, Some("x@c.example")).starts_with("https://own/"));
        assert!(sent(&both, None).starts_with("https://own/"));
        let outside = Issuers::new(issuer("https://own", &[]), false, trusted());
        assert!(sent(&outside, Some("x@c.example")).starts_with("https://a/"));
        assert!(sent(&outside, None).starts_with("https://a/"));
    }
}
