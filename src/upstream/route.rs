//! Which backend a session goes to.

use std::net::SocketAddr;

use super::{Route, RouteMatch};
use crate::model::Login;

/// What a route can look at.
#[derive(Clone, Copy, Debug)]
pub struct RouteKey<'a> {
    /// The user.
    pub login: &'a Login,
    /// The listener's configured address.
    pub listener: SocketAddr,
    /// The server name of the TLS handshake.
    pub sni: Option<&'a str>,
}

impl Route {
    /// Whether this route takes the session. Domains and server names compare without case.
    pub fn matches(&self, key: &RouteKey<'_>) -> bool {
        match &self.matches {
            RouteMatch::Domain(domain) => {
                key.login.domain().is_some_and(|own| own.eq_ignore_ascii_case(domain))
            }
            RouteMatch::Listener(address) => key.listener == *address,
            RouteMatch::Sni(name) => key.sni.is_some_and(|sni| sni.eq_ignore_ascii_case(name)),
            RouteMatch::User(user) => key.login.as_str() == user,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn route(matches: RouteMatch) -> Route {
        Route { matches, backend: "main".into() }
    }

    #[test]
    fn each_kind_of_route_looks_at_its_own_field() {
        let login = Login::parse("alice@Example.org").unwrap();
        let listener = "127.0.0.1:993".parse().unwrap();
        let key = RouteKey { login: &login, listener, sni: Some("Mail.example.org") };
        assert!(route(RouteMatch::Domain("EXAMPLE.org".into())).matches(&key));
        assert!(!route(RouteMatch::Domain("org".into())).matches(&key));
        assert!(route(RouteMatch::User("alice@example.org".into())).matches(&key));
        assert!(!route(RouteMatch::User("Alice@example.org".into())).matches(&key));
        assert!(route(RouteMatch::Sni("mail.EXAMPLE.org".into())).matches(&key));
        assert!(route(RouteMatch::Listener(listener)).matches(&key));
        assert!(!route(RouteMatch::Listener("127.0.0.1:994".parse().unwrap())).matches(&key));
    }
}
