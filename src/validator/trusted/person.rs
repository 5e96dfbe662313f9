//! Who a token speaks for, and what it says of them.

use serde_json::{Map, Value};

use super::{
    Config,
    claims::{Evidence, at, texts},
};
use crate::{
    model::Login,
    validator::{
        Rejection,
        explain::{StepName, Trace},
    },
};

/// Most addresses, groups and mailboxes taken from a token, each.
const MOST: usize = 1000;

pub(super) struct Person {
    pub(super) named: String,
    pub(super) addresses: Vec<String>,
    pub(super) groups: Vec<String>,
    pub(super) mailboxes: Vec<String>,
}

pub(super) fn read(config: &Config, evidence: &Evidence, trace: &mut Trace) -> Result<Person, Rejection> {
    let mapping = &config.mapping;
    let groups = list(evidence, Some(&mapping.groups_claim));
    if let Some(wanted) = mapping.require_group.as_ref().filter(|wanted| !groups.contains(wanted)) {
        let detail = format!("its user is not in the group \"{wanted}\"");
        return trace.fail(StepName::Login, Rejection::NotAuthorized, detail);
    }
    let named = match named(config, evidence) {
        Ok(named) => named,
        Err(detail) => return trace.fail(StepName::Login, Rejection::NotAuthorized, detail),
    };
    let email = text(config, evidence, "email").ok();
    let mut addresses = list(evidence, mapping.addresses_claim.as_deref());
    addresses.extend(email);
    addresses.retain(|address| login(config, address).is_ok());
    Ok(Person { named, addresses, groups, mailboxes: list(evidence, mapping.mailboxes_claim.as_deref()) })
}

/// What the mapping makes of the claims.
pub(super) fn named(config: &Config, evidence: &Evidence) -> Result<String, String> {
    config.mapping.login.fill(|name| text(config, evidence, name))
}

/// A claim that names the user. An address that nobody has verified names nobody.
fn text(config: &Config, evidence: &Evidence, name: &str) -> Result<String, String> {
    let holders = [Some(&evidence.claims), evidence.userinfo.as_ref()];
    let Some((holder, value)) =
        holders.into_iter().flatten().find_map(|claims| Some((claims, at(claims, name)?)))
    else {
        return Err(format!("nobody says the user's \"{name}\""));
    };
    let Value::String(text) = value else {
        return Err(format!("its claim \"{name}\" is no text"));
    };
    if name == "email" && !config.mapping.trust_email && !is_verified(holder) {
        return Err("its email is not verified (email_verified is not true)".to_owned());
    }
    if text.is_empty() { Err(format!("its claim \"{name}\" is empty")) } else { Ok(text.clone()) }
}

/// By whoever says the address.
fn is_verified(claims: &Map<String, Value>) -> bool {
    claims.get("email_verified") == Some(&Value::Bool(true))
}

fn list(evidence: &Evidence, name: Option<&str>) -> Vec<String> {
    let Some(name) = name else { return Vec::new() };
    let holders = [Some(&evidence.claims), evidence.userinfo.as_ref()];
    let value = holders.into_iter().flatten().find_map(|claims| at(claims, name));
    value.map(texts).unwrap_or_default().into_iter().take(MOST).map(str::to_owned).collect()
}

/// The login name `text`, if this issuer may speak for it. Domains are compared octet by octet in lower case, so a
/// letter that only looks like another is another.
pub(super) fn login(config: &Config, text: &str) -> Result<Login, String> {
    let login = Login::parse(text).map_err(|error| error.to_string())?;
    if login.is_client() || login.local().is_empty() || login.local().contains('@') {
        return Err(format!("{login} can be no user's login name"));
    }
    if speaks_for(config, login.domain()) {
        return Ok(login);
    }
    Err(format!("it speaks for {login}, whose domain is not among those of {}", config.url))
}

/// Whether the issuer's word counts for a domain.
pub(super) fn speaks_for(config: &Config, domain: Option<&str>) -> bool {
    config.domains.is_empty() || domain.is_some_and(|domain| config.domains.iter().any(|own| own == domain))
}
