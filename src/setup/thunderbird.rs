//! What tells Thunderbird of an OAuth provider that is not built into it. It reads no metadata, and `<oAuth2>` of
//! autoconfig only where it knows the mail host already.

use std::{collections::BTreeSet, fmt::Write as _};

use serde_json::json;

use super::{OAuth, Offer, zip};
use crate::model::Protocol;

/// The first version with the manifest key `oauth_provider`.
const FIRST_VERSION: &str = "140.0";
/// A redirection that the window of Thunderbird sees before anything is sent to it. `https://localhost` would do too,
/// but stands at the beginning of other addresses.
const REDIRECTION: &str = "http://127.0.0.1";

/// An add-on (`.xpi`) that tells it where to get tokens; `None` where nobody can.
///
/// It holds nothing but keys that every version since 140 knows: an unknown one would be refused.
pub fn add_on(offer: &Offer) -> Option<Vec<u8>> {
    let oauth = offer.oauth.as_ref()?;
    let hosts: BTreeSet<&str> = offer
        .services
        .iter()
        .filter(|service| service.protocol != Protocol::Sieve && service.takes_tokens())
        .map(|service| &*service.host)
        .collect();
    if hosts.is_empty() {
        return None;
    }
    let manifest = json!({
        "manifest_version": 2,
        "name": format!("Sign-in for {}", offer.provider.name),
        "description": format!("Lets Thunderbird sign in at {}.", offer.hostname),
        "version": "1.0",
        "browser_specific_settings": {
            "gecko": { "id": format!("oauth@{}", offer.hostname), "strict_min_version": FIRST_VERSION },
        },
        "oauth_provider": {
            "issuer": issuer_name(oauth),
            "clientId": oauth.client_id,
            "authorizationEndpoint": oauth.authorization_endpoint,
            "tokenEndpoint": oauth.token_endpoint,
            "redirectionEndpoint": REDIRECTION,
            "usePKCE": true,
            "hostnames": hosts,
            "scopes": oauth.scope,
        },
    });
    let manifest = serde_json::to_string_pretty(&manifest).ok()? + "\n";
    zip::archive(&[("manifest.json", manifest.as_bytes())])
}

/// The same as preferences, for an account that is there already; `None` where nobody gets tokens.
pub fn preferences(offer: &Offer) -> Option<String> {
    let oauth = offer.oauth.as_ref()?;
    let mut text = format!(
        "# Sign-in of Thunderbird at {}, without an add-on, by preferences (Settings, General, Config Editor).\n\
         # Needs Thunderbird 155 or later. Put the numbers of your account in place of serverN and smtpN.\n",
        offer.hostname
    );
    for (branch, protocols) in [
        ("mail.server.serverN", &[Protocol::Imap, Protocol::Pop3][..]),
        ("mail.smtpserver.smtpN", &[Protocol::Smtp]),
    ] {
        if !offer.services.iter().any(|service| protocols.contains(&service.protocol)) {
            continue;
        }
        // The number of OAuth2.
        let _ = writeln!(text, "{branch}.authMethod = 10");
        let _ = writeln!(text, "{branch}.oauth2.useCustomDetails = true");
        for (key, value) in [
            ("issuer", issuer_name(oauth)),
            ("clientId", &*oauth.client_id),
            ("authorizationEndpoint", &*oauth.authorization_endpoint),
            ("tokenEndpoint", &*oauth.token_endpoint),
            ("redirectionEndpoint", REDIRECTION),
            ("scopes", &*oauth.scope),
        ] {
            let _ = writeln!(text, "{branch}.oauth2.{key} = {value}");
        }
        let _ = writeln!(text, "{branch}.oauth2.usePKCE = true");
    }
    Some(text)
}

/// The host of the issuer, under which Thunderbird keeps what it is given.
fn issuer_name(oauth: &OAuth) -> &str {
    let rest = oauth.issuer.split_once("://").map_or(&*oauth.issuer, |(_, rest)| rest);
    rest.split(['/', ':']).next().unwrap_or(rest)
}
