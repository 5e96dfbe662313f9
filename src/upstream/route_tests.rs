#![allow(clippy::unwrap_used, reason = "tests fail by panicking")]

use std::net::Ipv4Addr;

use async_trait::async_trait;

use super::*;
use crate::{
    lookup::Lookup,
    tls,
    upstream::{LoginName, Security, Server},
};

fn here() -> IpAddr {
    Ipv4Addr::LOCALHOST.into()
}

fn backend(name: &str) -> Config {
    let server = |protocol| Server { protocol, host: "localhost".into(), port: 1, security: Security::Clear };
    Config {
        name: name.into(),
        servers: vec![server(Protocol::Imap), server(Protocol::Smtp)],
        login: crate::upstream::Login::Sealed,
        login_name: LoginName::whole(),
        shared_login_name: None,
        mechanisms: [].into(),
        tls: tls::UpstreamConfig::default(),
        xclient: true,
        proxy_protocol: false,
        imap_id: true,
        timeout: std::time::Duration::from_secs(1),
    }
}

fn to(matches: RouteMatch, backend: &str) -> Route {
    Route { matches, backend: (!backend.is_empty()).then(|| backend.into()) }
}

fn router(routes: Vec<Route>) -> Router {
    let backends = ["one", "two", "three", "four"].map(backend);
    let answers: Arc<dyn Lookup> = Arc::new(Answers("people".into()));
    Router::new(routes, &backends, std::iter::once(answers).collect())
}

/// Knows `NAME@backend.example`, whose backend has that name.
#[derive(Debug)]
struct Answers(Arc<str>);

#[async_trait]
impl Lookup for Answers {
    fn name(&self) -> &Arc<str> {
        &self.0
    }

    async fn find(&self, query: &Query<'_>) -> Result<Option<Entry>, LookupError> {
        match query.login.as_str() {
            "down@example.org" => {
                Err(LookupError::Unavailable { name: Arc::clone(&self.0), reason: "down".into() })
            }
            "nowhere@example.org" => Ok(Some(Entry::default())),
            "split@example.org" => {
                let backend = if query.protocol == Some(Protocol::Smtp) { "four" } else { "three" };
                Ok(Some(Entry { backend: Some(backend.into()), ..Entry::default() }))
            }
            _ => Ok(query.login.as_str().strip_suffix("@backend.example").map(|name| Entry {
                backend: Some(name.into()),
                server: Some((format!("{name}.example"), None)),
                ..Entry::default()
            })),
        }
    }
}

async fn routed(router: &Router, login: &str) -> Result<Target, RouteError> {
    let login = Login::parse(login).unwrap();
    let listener = "127.0.0.1:993".parse().unwrap();
    let key = RouteKey {
        login: &login,
        listener,
        sni: Some("Mail.example.org"),
        protocol: Protocol::Imap,
        client: here(),
    };
    router.route(&key).await
}

async fn possible(router: &Router, login: &str) -> Result<Vec<String>, RouteError> {
    let targets = router.possible(&Login::parse(login).unwrap(), here()).await?;
    Ok(targets.into_iter().map(|target| target.backend.to_string()).collect())
}

fn people() -> RouteMatch {
    RouteMatch::Lookup("people".into())
}

#[tokio::test]
async fn a_user_may_go_wherever_a_route_that_cannot_be_judged_yet_leads() {
    let listener = RouteMatch::Listener("127.0.0.1:993".parse().unwrap());
    let router = router(vec![
        to(listener, "one"),
        to(RouteMatch::Domain("example.net".into()), "two"),
        to(RouteMatch::Domain("example.org".into()), "three"),
        to(RouteMatch::Sni("mail.example.org".into()), "four"),
    ]);
    assert_eq!(possible(&router, "alice@example.org").await.unwrap(), ["three", "one"]);
}

#[tokio::test]
async fn each_kind_of_route_looks_at_its_own_field() {
    let listener = |address: &str| RouteMatch::Listener(address.parse().unwrap());
    for (matches, takes) in [
        (RouteMatch::Domain("EXAMPLE.org".into()), true),
        (RouteMatch::Domain("org".into()), false),
        (RouteMatch::User("alice@example.org".into()), true),
        (RouteMatch::User("Alice@example.org".into()), false),
        (RouteMatch::Sni("mail.EXAMPLE.org".into()), true),
        (RouteMatch::Sni("example.org".into()), false),
        (listener("127.0.0.1:993"), true),
        (listener("127.0.0.1:994"), false),
    ] {
        let shown = format!("{matches:?}");
        let result = routed(&router(vec![to(matches, "one")]), "alice@Example.org").await;
        assert_eq!(result.is_ok(), takes, "{shown}");
    }
}

#[tokio::test]
async fn a_look_up_names_the_backend_and_its_server() {
    let router = router(vec![to(people(), "")]);
    let target = routed(&router, "two@backend.example").await.unwrap();
    assert_eq!(&*target.backend, "two");
    assert_eq!(target.entry.unwrap().server, Some(("two.example".into(), None)));
}

#[tokio::test]
async fn whom_a_look_up_does_not_know_goes_on_to_the_next_route() {
    let router = router(vec![to(people(), "one"), to(RouteMatch::Domain("example.org".into()), "two")]);
    assert_eq!(&*routed(&router, "alice@example.org").await.unwrap().backend, "two");
    assert_eq!(routed(&router, "alice@example.net").await.unwrap_err(), RouteError::NoRoute);
    assert_eq!(possible(&router, "alice@example.org").await.unwrap(), ["two"]);
    assert!(possible(&router, "alice@example.net").await.unwrap().is_empty());
}

#[tokio::test]
async fn a_look_up_that_cannot_be_asked_is_not_the_end_of_the_way() {
    let router = router(vec![to(people(), "one"), to(RouteMatch::Domain("example.org".into()), "two")]);
    let down = routed(&router, "down@example.org").await.unwrap_err();
    assert!(matches!(down, RouteError::Lookup(LookupError::Unavailable { .. })), "{down:?}");
    assert_eq!(possible(&router, "down@example.org").await.unwrap_err(), down);
}

#[tokio::test]
async fn a_backend_that_does_not_exist_is_a_fault_and_no_default() {
    let router = router(vec![to(people(), "one"), to(RouteMatch::Domain("backend.example".into()), "two")]);
    let unknown = routed(&router, "five@backend.example").await.unwrap_err();
    let expected = RouteError::UnknownBackend { lookup: "people".into(), backend: "five".into() };
    assert_eq!(unknown, expected);
}

#[tokio::test]
async fn the_routes_backend_serves_where_the_look_up_names_none() {
    let with = router(vec![to(people(), "one")]);
    assert_eq!(&*routed(&with, "nowhere@example.org").await.unwrap().backend, "one");
    let without = router(vec![to(people(), "")]);
    let error = routed(&without, "nowhere@example.org").await.unwrap_err();
    assert_eq!(error, RouteError::NoBackend("people".into()));
}

#[tokio::test]
async fn a_look_up_may_send_each_protocol_elsewhere() {
    let router = router(vec![to(people(), "")]);
    assert_eq!(possible(&router, "split@example.org").await.unwrap(), ["three", "four"]);
}
