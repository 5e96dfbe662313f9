//! Which backend a session goes to.

use std::net::{Ipv4Addr, SocketAddr};

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

/// The names of the backends that this user's sessions may go to, the likeliest first. Routes by listener and
/// server name are all taken for possible, because the session that they would be judged by does not exist yet.
pub fn possible_backends<'a>(routes: &'a [Route], login: &Login) -> Vec<&'a str> {
    let nowhere = SocketAddr::from((Ipv4Addr::UNSPECIFIED, 0));
    let key = RouteKey { login, listener: nowhere, sni: None };
    let mut names: Vec<&str> = Vec::new();
    for route in routes {
        let decides = route.matches(&key);
        if decides {
            names.insert(0, &route.backend);
            break;
        }
        if matches!(route.matches, RouteMatch::Listener(_) | RouteMatch::Sni(_)) {
            names.push(&route.backend);
        }
    }
    let mut seen: Vec<&str> = Vec::new();
    names.retain(|name| {
        !seen.contains(name) && {
            seen.push(name);
            true
        }
    });
    names
}

#[cfg(test)]
mod tests {
    use super::*;

    fn route(matches: RouteMatch) -> Route {
        Route { matches, backend: "main".into() }
    }

    #[test]
    fn a_user_may_go_wherever_a_route_that_cannot_be_judged_yet_leads() {
        let login = Login::parse("alice@example.org").unwrap();
        let to = |matches, backend: &str| Route { matches, backend: backend.into() };
        let listener = RouteMatch::Listener("127.0.0.1:993".parse().unwrap());
        let routes = [
            to(listener, "one"),
            to(RouteMatch::Domain("example.net".into()), "two"),
            to(RouteMatch::Domain("example.org".into()), "three"),
            to(RouteMatch::Sni("mail.example.org".into()), "four"),
        ];
        assert_eq!(possible_backends(&routes, &login), ["three", "one"]);
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
