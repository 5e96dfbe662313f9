//! Look-ups against real and scripted directories, and what a session makes of their answers.

mod http;
mod ldap;
mod openldap;
mod settings;
mod sql;
mod wire;

use std::{net::IpAddr, time::Duration};

use bearward::{
    lookup::{Config, Entry, Kind, LookupError, Lookups, Query},
    model::{Login, Protocol},
};

/// A look-up of that kind, without a cache.
fn lookups(kind: Kind) -> Lookups {
    let name = "people".into();
    Lookups::new(&[Config { name, cache: Duration::ZERO, timeout: Duration::from_secs(2), kind }]).unwrap()
}

async fn find(lookups: &Lookups, login: &str) -> Result<Option<Entry>, LookupError> {
    let login = Login::parse(login).unwrap();
    let client: IpAddr = "192.0.2.7".parse().unwrap();
    let query = Query { login: &login, protocol: Some(Protocol::Imap), client: Some(client) };
    lookups.get("people").unwrap().find(&query).await
}

fn is_operator(result: &Result<Option<Entry>, LookupError>) -> bool {
    matches!(result, Err(LookupError::Operator { .. }))
}

fn is_unavailable(result: &Result<Option<Entry>, LookupError>) -> bool {
    matches!(result, Err(LookupError::Unavailable { .. }))
}

/// Login names that would be something else if they were ever read as a part of a question.
const EVIL: [&str; 8] = [
    "'or'1'='1'--@example.org",
    "';DROP/**/TABLE/**/people;--@example.org",
    "$1@example.org",
    "*@example.org",
    "*)(uid=*@example.org",
    "a\\2a\u{e4}@example.org",
    "%0d%0aAuth-Status:%20OK@example.org",
    "\"x\":OK@example.org",
];
