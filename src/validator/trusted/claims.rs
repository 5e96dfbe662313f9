//! What a token must say, and what it must not, before it is believed.

use std::sync::Arc;

use serde_json::{Map, Value};

use super::{Config, Validate, person};
use crate::{
    model::{ClientId, Scope, UnixTime},
    token::{JoseError, check_times, parse_thumbprint, time},
    validator::{
        Rejection,
        explain::{StepName, Trace},
    },
};

/// What an ID token or a logout token says and an access token does not (OpenID Connect Core §2, §3.1.3.6).
const MARKS: [&str; 5] = ["nonce", "at_hash", "c_hash", "s_hash", "events"];
/// Where issuers say to which client a token was given: RFC 9068 §2.2, OpenID Connect Core §2, and in the manner of
/// Microsoft and of Okta.
const CLIENTS: [&str; 4] = ["client_id", "azp", "appid", "cid"];
/// The rest of what is looked at here.
const OTHERS: [&str; 13] = [
    "iss",
    "sub",
    "sid",
    "aud",
    "exp",
    "nbf",
    "iat",
    "cnf",
    "typ",
    "token_type",
    "token_use",
    "email",
    "email_verified",
];
/// Longest `sub` and `sid`, in octets.
const MAX_NAME: usize = 512;

/// What is known of a token that is good as far as its issuer is concerned.
pub(in crate::validator) struct Evidence {
    /// Its claims, by its signature or from the issuer's answer.
    pub(super) claims: Map<String, Value>,
    /// What userinfo says beside them.
    pub(super) userinfo: Option<Map<String, Value>>,
    /// Whether its type says no more than that it is a JWT.
    pub(super) plain: bool,
    pub(super) seen_at: UnixTime,
}

/// What a token's claims mean here, protocol and mailbox apart.
#[derive(Debug)]
pub(in crate::validator) struct Facts {
    pub(in crate::validator) subject: Option<Arc<str>>,
    pub(in crate::validator) session: Option<Arc<str>>,
    pub(in crate::validator) client: ClientId,
    pub(in crate::validator) scope: Scope,
    pub(in crate::validator) certificate: Option<[u8; 32]>,
    /// When it was made. Of one that does not say so, when its issuer last called it good, if that was asked.
    pub(in crate::validator) issued_at: Option<UnixTime>,
    pub(in crate::validator) expires_at: UnixTime,
    /// What names the user: the login name, or what a look-up finds it by.
    pub(in crate::validator) named: String,
    pub(in crate::validator) addresses: Vec<String>,
    pub(in crate::validator) groups: Vec<String>,
    pub(in crate::validator) mailboxes: Vec<String>,
}

impl Evidence {
    /// Keeps of the claims what is ever looked at, so that what is remembered stays small.
    pub(super) fn new(
        config: &Config,
        mut claims: Map<String, Value>,
        mut userinfo: Option<Map<String, Value>>,
        plain: bool,
        now: UnixTime,
    ) -> Self {
        let mapping = &config.mapping;
        let named = mapping
            .login
            .names()
            .chain(mapping.addresses_claim.as_deref())
            .chain(mapping.mailboxes_claim.as_deref())
            .chain([mapping.groups_claim.as_str()])
            .chain(config.required_claims.keys().map(String::as_str))
            .chain(config.scope_claims.iter().map(String::as_str));
        let named: Vec<&str> =
            named.flat_map(|name| [name, name.split('.').next().unwrap_or(name)]).collect();
        let is_used = |name: &String| {
            let name = name.as_str();
            MARKS.contains(&name)
                || CLIENTS.contains(&name)
                || OTHERS.contains(&name)
                || named.contains(&name)
        };
        claims.retain(|name, _| is_used(name));
        if let Some(userinfo) = &mut userinfo {
            userinfo.retain(|name, _| is_used(name));
        }
        Self { claims, userinfo, plain, seen_at: now }
    }

    /// When the token ends, as its issuer says, or as long after it was seen as is configured.
    pub(super) fn end(&self, config: &Config) -> Result<UnixTime, JoseError> {
        Ok(time(&self.claims, "exp")?.unwrap_or_else(|| self.seen_at.after(config.lifetime)))
    }
}

/// Every check of the claims. Whoever shows a foreign or dead token learns only that, before any name is looked at.
pub(super) fn check(
    config: &Config,
    evidence: &Evidence,
    now: UnixTime,
    trace: &mut Trace,
) -> Result<Facts, Rejection> {
    let claims = &evidence.claims;
    issuer(config, claims, trace)?;
    sort(evidence, trace)?;
    audience(config, claims, trace)?;
    let client = client(config, claims, trace)?;
    let expires_at = life(config, evidence, now, trace)?;
    let (subject, session, certificate) = names(config, evidence, trace)?;
    required(config, evidence, trace)?;
    let person = person::read(config, evidence, trace)?;
    let asked_at = (config.validate != Validate::Jwt).then_some(evidence.seen_at);
    Ok(Facts {
        subject,
        session,
        client,
        scope: scope(config, claims),
        certificate,
        issued_at: time(claims, "iat").ok().flatten().or(asked_at),
        expires_at,
        named: person.named,
        addresses: person.addresses,
        groups: person.groups,
        mailboxes: person.mailboxes,
    })
}

/// Two issuers never speak in each other's name, not even when they share keys.
fn issuer(config: &Config, claims: &Map<String, Value>, trace: &mut Trace) -> Result<(), Rejection> {
    match claims.get("iss") {
        None if config.validate != Validate::Jwt => Ok(()),
        Some(Value::String(iss)) if **iss == *config.url || config.also.contains(iss) => Ok(()),
        Some(_) | None => {
            let detail = format!("it does not say that it is from {}", config.url);
            trace.fail(StepName::Issuer, Rejection::Malformed, detail)
        }
    }
}

/// That it is an access token, and one that its bearer may use.
fn sort(evidence: &Evidence, trace: &mut Trace) -> Result<(), Rejection> {
    let claims = &evidence.claims;
    if evidence.plain && MARKS.iter().any(|mark| claims.contains_key(*mark)) {
        return trace.fail(
            StepName::Claims,
            Rejection::Malformed,
            "it says what an ID token says; send the access token".to_owned(),
        );
    }
    let says = |name: &str, meant: &[&str]| match claims.get(name) {
        None => true,
        Some(Value::String(text)) => meant.iter().any(|one| one.eq_ignore_ascii_case(text)),
        Some(_) => false,
    };
    if !says("typ", &["Bearer", "at+jwt"]) || !says("token_use", &["access"]) {
        return trace.fail(StepName::Claims, Rejection::Malformed, "it is no access token".to_owned());
    }
    if !says("token_type", &["Bearer", "access_token"]) {
        let detail = "it is no bearer token".to_owned();
        return trace.fail(StepName::Binding, Rejection::BoundElsewhere, detail);
    }
    trace.pass(StepName::Claims, || "it is an access token".to_owned());
    Ok(())
}

/// That it is for this service. A token for another one, shown here by that service, is not taken.
fn audience(config: &Config, claims: &Map<String, Value>, trace: &mut Trace) -> Result<(), Rejection> {
    let is_ours = |one: &Value| one.as_str().is_some_and(|one| config.audience.iter().any(|own| own == one));
    let (is_meant, detail) = match claims.get("aud") {
        Some(Value::Array(several)) => (several.iter().any(is_ours), "it is for others"),
        Some(one @ Value::String(_)) => (is_ours(one), "it is for another service"),
        None => (config.allow_any_client, "it does not say whom it is for"),
        Some(Value::Null | Value::Bool(_) | Value::Number(_) | Value::Object(_)) => {
            (false, "its \"aud\" is malformed")
        }
    };
    // Whoever named no audience has said that any will do.
    let any = config.audience.is_empty() && config.allow_any_client;
    if is_meant || any {
        trace.pass(StepName::Audience, || {
            if claims.contains_key("aud") && !any { "it is for this service" } else { "any will do" }
                .to_owned()
        });
        return Ok(());
    }
    let detail = format!("{detail}, this is {}", config.audience.join(" or "));
    trace.fail(StepName::Audience, Rejection::WrongAudience, detail)
}

fn client(config: &Config, claims: &Map<String, Value>, trace: &mut Trace) -> Result<ClientId, Rejection> {
    let mut given = Vec::new();
    for value in CLIENTS.iter().filter_map(|name| claims.get(*name)) {
        match value.as_str().map(str::parse::<ClientId>) {
            Some(Ok(client)) => given.push(client),
            Some(Err(_)) | None => {
                let detail = "it names its client in a way that cannot be read".to_owned();
                return trace.fail(StepName::Client, Rejection::Malformed, detail);
            }
        }
    }
    let is_listed = |client: &ClientId| config.clients.iter().any(|listed| listed == client.as_str());
    if !config.clients.is_empty() && (given.is_empty() || !given.iter().all(is_listed)) {
        let names: Vec<_> = given.iter().map(ClientId::as_str).collect();
        let detail = format!("it was given to {:?}, which is not among clients", names.join(", "));
        return trace.fail(StepName::Client, Rejection::WrongAudience, detail);
    }
    let client = given.into_iter().next();
    trace.pass(StepName::Client, || match &client {
        Some(client) => format!("it was given to {client}"),
        None => "it does not say to which client it was given".to_owned(),
    });
    match client {
        Some(client) => Ok(client),
        None => "unnamed".parse().map_err(|_| Rejection::Malformed),
    }
}

fn life(
    config: &Config,
    evidence: &Evidence,
    now: UnixTime,
    trace: &mut Trace,
) -> Result<UnixTime, Rejection> {
    let must_say = config.validate == Validate::Jwt;
    if let Err(error) = check_times(&evidence.claims, now, config.leeway, must_say) {
        let rejection = if error == JoseError::Expired { Rejection::Expired } else { Rejection::Malformed };
        return trace.fail(StepName::Expiry, rejection, error.to_string());
    }
    let Ok(end) = evidence.end(config) else {
        return trace.fail(StepName::Expiry, Rejection::Malformed, "its end cannot be read".to_owned());
    };
    trace.pass(StepName::Expiry, || format!("it ends at {}, in {} s", end.0, now.until(end).as_secs()));
    Ok(end)
}

type Names = (Option<Arc<str>>, Option<Arc<str>>, Option<[u8; 32]>);

/// The person and their sign-in at the issuer, and the certificate that the token is bound to.
fn names(config: &Config, evidence: &Evidence, trace: &mut Trace) -> Result<Names, Rejection> {
    let text = |claims: &Map<String, Value>, name| match claims.get(name) {
        None => Ok(None),
        Some(Value::String(text)) if !text.is_empty() && text.len() <= MAX_NAME => Ok(Some(text.clone())),
        Some(_) => Err(()),
    };
    let read = || -> Result<_, ()> {
        let own = text(&evidence.claims, "sub")?;
        let told = evidence.userinfo.as_ref().map(|userinfo| text(userinfo, "sub")).transpose()?;
        Ok((own, told, text(&evidence.claims, "sid")?))
    };
    let Ok((subject, told, session)) = read() else {
        return trace.fail(StepName::Claims, Rejection::Malformed, "its sub or sid is malformed".to_owned());
    };
    // OpenID Connect Core §5.3.2: else a token could borrow another person's data.
    if told.is_some_and(|told| told.is_none() || told != subject) {
        let detail = "userinfo speaks of another person than the token".to_owned();
        return trace.fail(StepName::Userinfo, Rejection::Malformed, detail);
    }
    if subject.is_none() && matches!(config.validate, Validate::Jwt | Validate::Userinfo) {
        return trace.fail(StepName::Claims, Rejection::Malformed, "it names no person (sub)".to_owned());
    }
    let certificate = match evidence.claims.get("cnf") {
        None | Some(Value::Null) => None,
        Some(confirmation) => match bound_to(confirmation) {
            Some(thumbprint) => Some(thumbprint),
            None => {
                let detail = "it is bound to what cannot be shown here".to_owned();
                return trace.fail(StepName::Binding, Rejection::BoundElsewhere, detail);
            }
        },
    };
    Ok((subject.map(Into::into), session.map(Into::into), certificate))
}

/// RFC 8705 §3.1; a key of another sort cannot be shown in SASL.
fn bound_to(confirmation: &Value) -> Option<[u8; 32]> {
    let members = confirmation.as_object().filter(|members| members.len() == 1)?;
    members.get("x5t#S256")?.as_str().and_then(parse_thumbprint)
}

fn required(config: &Config, evidence: &Evidence, trace: &mut Trace) -> Result<(), Rejection> {
    for (name, wanted) in &config.required_claims {
        let is_it = |value: &Value| match value {
            Value::String(text) => text == wanted,
            Value::Bool(flag) => *wanted == if *flag { "true" } else { "false" },
            Value::Number(number) => number.as_i64().is_some_and(|own| wanted.parse() == Ok(own)),
            Value::Null | Value::Array(_) | Value::Object(_) => false,
        };
        let is_there = match at(&evidence.claims, name) {
            Some(Value::Array(several)) => several.iter().any(is_it),
            Some(value) => is_it(value),
            None => false,
        };
        if !is_there {
            let detail = format!("its claim \"{name}\" is not {wanted:?}");
            return trace.fail(StepName::Claims, Rejection::NotAuthorized, detail);
        }
    }
    Ok(())
}

/// Its scopes, as far as they can be written; what cannot is none that anybody asked for.
fn scope(config: &Config, claims: &Map<String, Value>) -> Scope {
    let mut text = String::new();
    for value in config.scope_claims.iter().filter_map(|name| at(claims, name)) {
        for one in texts(value) {
            let fits = text.len().saturating_add(one.len()).saturating_add(1) <= Scope::MAX;
            if fits && one.parse::<Scope>().is_ok() {
                text.push(' ');
                text.push_str(one);
            }
        }
    }
    text.parse().unwrap_or_default()
}

/// The claim of that name, or, where the name has dots, the member inside of it.
pub(super) fn at<'a>(claims: &'a Map<String, Value>, name: &str) -> Option<&'a Value> {
    if let Some(value) = claims.get(name) {
        return Some(value);
    }
    let mut steps = name.split('.');
    let mut value = claims.get(steps.next()?)?;
    for step in steps {
        value = value.as_object()?.get(step)?;
    }
    Some(value)
}

/// A text, or the texts of a list.
pub(super) fn texts(value: &Value) -> Vec<&str> {
    match value {
        Value::String(text) => vec![text],
        Value::Array(several) => several.iter().filter_map(Value::as_str).collect(),
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::Object(_) => Vec::new(),
    }
}
