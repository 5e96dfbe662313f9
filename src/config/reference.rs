//! What `config default` and `config schema` print, made from the structures that are read.
//!
//! The documentation of a key is the doc comment of its field, its value the default of its structure. Only the
//! order and the examples stand here, and a test compares this table with the schema, so neither can drift.

mod oidc;

use schemars::{Schema, schema_for};
use serde_json::Value;

use super::{raw, resolve};

const HEAD: &str = "\
Bearward's configuration. Every value below is the default, except hostname and the servers of [backend.main],
which are examples. What is commented out has no default.
Durations are written 90s, 15m, 1h, 30d; sizes 64KiB. Relative paths begin at the folder of this file.
Each key may stand in the environment instead: limits.per_ip as BEARWARD_LIMITS__PER_IP, the login of
[backend.main] as BEARWARD_BACKEND__MAIN__LOGIN, the bind of the first listener as BEARWARD_LISTENER__0__BIND.
A secret x may stand in a file of its own, which x_file names.";

const WIDTH: usize = 110;

/// How a key is shown.
enum Show {
    /// With its default.
    Default,
    /// Commented out, with this example.
    Example(&'static str),
    /// With this example, because the key must be there.
    Sample(&'static str),
}

use Show::{Default as D, Example as E, Sample as S};

/// One table of the file.
struct Section {
    /// `[tls]`; empty for the keys at the top.
    header: &'static str,
    /// The name of its structure in the schema.
    name: &'static str,
    /// Whether the whole section is an example, commented out.
    is_example: bool,
    keys: &'static [(&'static str, Show)],
}

const fn section(header: &'static str, name: &'static str, keys: &'static [(&'static str, Show)]) -> Section {
    Section { header, name, is_example: false, keys }
}

const fn example(header: &'static str, name: &'static str, keys: &'static [(&'static str, Show)]) -> Section {
    Section { header, name, is_example: true, keys }
}

const SECTIONS: &[Section] = &[
    section("", "Root", &[("hostname", S("\"mail.example.org\"")), ("data_dir", D)]),
    section(
        "[tls]",
        "Tls",
        &[
            ("certificate", E("\"certs/fullchain.pem\"")),
            ("private_key", E("\"certs/privkey.pem\"")),
            ("min_version", D),
            ("client_ca", E("\"certs/client-ca.pem\"")),
        ],
    ),
    example(
        "[[tls.sni]]",
        "Sni",
        &[
            ("name", S("\"imap.example.net\"")),
            ("certificate", S("\"certs/example.net.pem\"")),
            ("private_key", S("\"certs/example.net.key\"")),
        ],
    ),
    example(
        "[tls.acme]",
        "Acme",
        &[
            ("directory", S("\"https://acme.example.com/directory\"")),
            ("contact", S("[\"mailto:postmaster@example.org\"]")),
            ("agree_terms", S("true")),
        ],
    ),
    section(
        "[[listener]]",
        "Listener",
        &[
            ("protocol", D),
            ("bind", D),
            ("tls", D),
            ("allow_cleartext", E("false")),
            ("mechanisms", E("[\"OAUTHBEARER\", \"XOAUTH2\", \"PLAIN\", \"LOGIN\"]")),
            ("client_certificates", E("false")),
            ("proxy_protocol_from", E("[\"10.0.0.0/8\"]")),
        ],
    ),
    section(
        "[backend.main]",
        "Backend",
        &[
            ("imap", S("[\"imap+starttls://10.0.0.5:143\"]")),
            ("smtp", S("[\"smtp+starttls://10.0.0.5:587\"]")),
            ("pop3", S("[\"pop3s://10.0.0.5:995\"]")),
            ("sieve", S("[\"sieve+starttls://10.0.0.5:4190\"]")),
            ("allow_cleartext", D),
            ("login", D),
            ("secrets", E("\"people\"")),
            ("mechanisms", E("[\"PLAIN\"]")),
            ("login_name", D),
            ("shared_login_name", E("'{domain}\\{local}\\{mailbox_local}'")),
            ("xclient", D),
            ("proxy_protocol", D),
            ("imap_id", D),
            ("timeout", D),
            ("balance", D),
            ("weights", E("{ \"10.0.0.5\" = 2 }")),
            ("slow_start", D),
            ("any_server", D),
            ("warm", D),
        ],
    ),
    example(
        "[backend.main.master]",
        "ServiceAccount",
        &[
            ("user", S("\"bearward\"")),
            ("password", S("\"…\"")),
            ("password_file", S("\"master.password\"")),
            ("separator", S("\"*\"")),
        ],
    ),
    example(
        "[backend.main.bearer]",
        "BackendBearer",
        &[
            ("url", S("\"https://login.example.org/token\"")),
            ("client_id", S("\"bearward\"")),
            ("client_secret", S("\"…\"")),
            ("client_secret_file", S("\"bearer.secret\"")),
            ("audience", S("\"mail\"")),
            ("scope", S("\"mail\"")),
            ("ca", S("\"certs/login-ca.pem\"")),
        ],
    ),
    section(
        "[backend.main.tls]",
        "BackendTls",
        &[
            ("ca", E("\"certs/mail-ca.pem\"")),
            ("pin", E("\"sha256//…\"")),
            ("server_name", E("\"mail.internal.example.org\"")),
            ("certificate", E("\"certs/client.pem\"")),
            ("private_key", E("\"certs/client.key\"")),
            ("verify", D),
        ],
    ),
    example(
        "[[route]]",
        "Route",
        &[
            ("domain", S("\"example.org\"")),
            ("user", E("\"alice@example.org\"")),
            ("listener", E("\"[::]:993\"")),
            ("sni", E("\"imap.example.net\"")),
            ("lookup", E("\"people\"")),
            ("backend", S("\"main\"")),
        ],
    ),
    example(
        "[lookup.people]",
        "Lookup",
        &[
            ("kind", S("\"file\"")),
            ("cache", S("\"30s\"")),
            ("timeout", S("\"5s\"")),
            ("path", S("\"people.toml\"")),
            ("url", S("\"ldaps://ldap.example.org\"")),
            ("url_file", S("\"people.url\"")),
            ("query", S("\"SELECT backend, server FROM people WHERE login = $1\"")),
            ("ca", S("\"certs/ldap-ca.pem\"")),
            ("allow_cleartext", S("false")),
            ("starttls", S("true")),
            ("bind_dn", S("\"cn=bearward,dc=example,dc=org\"")),
            ("bind_password", S("\"…\"")),
            ("bind_password_file", S("\"ldap.password\"")),
            ("base", S("\"ou=people,dc=example,dc=org\"")),
            ("scope", S("\"sub\"")),
            ("filter", S("\"(mail={user})\"")),
            ("backend_attribute", S("\"mailBackend\"")),
            ("server_attribute", S("\"mailHost\"")),
            ("login_name_attribute", S("\"uid\"")),
            ("password_attribute", S("\"mailPassword\"")),
            ("addresses_attribute", S("\"mailAlternateAddress\"")),
            ("mailboxes_attribute", S("\"mailDelegate\"")),
            ("header", S("\"X-Key: …\"")),
            ("header_file", S("\"lookup.header\"")),
            ("auth_method", S("\"plain\"")),
        ],
    ),
    section(
        "[issuer]",
        "Issuer",
        &[
            ("enabled", D),
            ("url", E("\"https://mail.example.org\"")),
            ("access_token_lifetime", D),
            ("refresh_token_lifetime", D),
            ("refresh_token_renew", D),
            ("refresh_grace", D),
            ("grant_lifetime", D),
            ("authorization_code_lifetime", D),
            ("device_code_lifetime", D),
            ("id_token_lifetime", D),
            ("max_sign_in_attempts", D),
            ("registration", D),
            ("key_rotation", D),
        ],
    ),
    example(
        "[[trusted_issuer]]",
        "TrustedIssuer",
        &[
            ("url", S("\"https://login.example.net/realms/main\"")),
            ("preset", E("\"microsoft\"")),
            ("audience", S("[\"imap.example.org\"]")),
            ("validate", S("\"jwt\"")),
            ("login_claim", S("\"email\"")),
            ("login_template", E("\"{preferred_username}@example.net\"")),
            ("login_lookup", E("\"people\"")),
            ("trust_email", D),
            ("domains", S("[\"example.net\"]")),
            ("allow_any_client", D),
            ("clients", D),
            ("required_claims", D),
            ("client_id", S("\"bearward\"")),
            ("client_secret", S("\"…\"")),
            ("client_secret_file", E("\"client.secret\"")),
            ("client_auth", E("\"basic\"")),
            ("client_key", E("\"client.key\"")),
            ("client_key_id", E("\"bearward-1\"")),
            ("client_key_algorithm", D),
            ("client_certificate", E("\"client.pem\"")),
            ("scopes", E("{ imap = \"mail.imap\" }")),
            ("scope_claims", D),
            ("algorithms", D),
            ("types", D),
            ("also", D),
            ("addresses_claim", E("\"email_aliases\"")),
            ("groups_claim", D),
            ("require_group", E("\"mail-users\"")),
            ("mailboxes_claim", E("\"mailboxes\"")),
            ("mailbox_group", E("\"mailbox:{mailbox}\"")),
            ("fetch_userinfo", D),
            ("sni", D),
            ("listener", D),
            ("discovery", E("\"https://login.example.net/discovery\"")),
            ("jwks_uri", E("\"https://login.example.net/keys\"")),
            ("introspection_endpoint", E("\"https://login.example.net/introspect\"")),
            ("userinfo_endpoint", E("\"https://login.example.net/userinfo\"")),
            ("tokeninfo_endpoint", E("\"https://login.example.net/tokeninfo\"")),
            ("ca", E("\"certs/issuer-ca.pem\"")),
            ("timeout", D),
            ("concurrency", D),
            ("leeway", D),
            ("stale_keys", D),
            ("cache", D),
            ("lifetime", D),
            ("recheck", E("\"5m\"")),
        ],
    ),
    section("[shared_mailboxes]", "SharedMailboxes", &[("lookup", E("\"people\""))]),
    section("[directory]", "Directory", &[("source", D)]),
    oidc::SECTION,
    section("[passwords]", "Passwords", &[("mode", D)]),
    example(
        "[[passwords.override]]",
        "PasswordOverride",
        &[
            ("network", S("[\"10.0.3.0/24\"]")),
            ("listener", S("[\"[::]:465\"]")),
            ("user", S("[\"scanner@example.org\"]")),
            ("domain", S("[\"example.org\"]")),
            ("mode", S("\"backend\"")),
        ],
    ),
    section("[session]", "Session", &[("on_token_expiry", D), ("expiry_grace", D), ("drain_timeout", D)]),
    section(
        "[submission]",
        "Submission",
        &[("bare_newline", D), ("sender", D), ("sender_lookup", E("\"aliases\""))],
    ),
    section(
        "[limits]",
        "Limits",
        &[
            ("connections", D),
            ("per_ip", D),
            ("per_prefix_v4", D),
            ("per_prefix_v6", D),
            ("handshake_timeout", D),
            ("pre_auth_timeout", D),
            ("dummy_response_timeout", D),
            ("bad_commands", D),
            ("failed_auth", D),
            ("pre_auth_line", D),
            ("sasl_response", D),
            ("idle_timeout", D),
            ("idle_timeout_pop3", D),
            ("idle_timeout_smtp", D),
        ],
    ),
    section("[store]", "Store", &[("url", D), ("url_file", E("\"store.url\"")), ("poll_interval", D)]),
    section("[telemetry]", "Telemetry", &[("log", D), ("format", D), ("metrics", D)]),
    section("[admin]", "Admin", &[("socket", D)]),
];

/// The JSON Schema of the configuration.
pub fn schema() -> Schema {
    let mut schema = schema_for!(raw::Root);
    schema.insert("title".to_owned(), "Bearward".into());
    schema
}

/// A file that holds every key, its documentation and its default.
pub fn reference() -> String {
    let schema = schema();
    let mut text = String::new();
    HEAD.lines().for_each(|line| text.push_str(&format!("# {line}\n")));
    for section in SECTIONS {
        write_section(&mut text, section, &schema);
    }
    text
}

fn write_section(text: &mut String, section: &Section, schema: &Schema) {
    let definition = definition(schema, section.name);
    let mut body = String::new();
    if section.header == "[[listener]]" {
        write_listeners(&mut body, section, definition);
    } else {
        if !section.header.is_empty() {
            body.push_str(section.header);
            body.push('\n');
        }
        write_keys(&mut body, section.keys, definition, &defaults(section.name));
    }
    text.push('\n');
    if !section.header.is_empty() {
        comment(text, &description(definition));
    }
    if !section.is_example {
        text.push_str(&body);
        return;
    }
    // Whoever takes away the first mark of each line has a section with its comments.
    for line in body.lines() {
        text.push_str("# ");
        text.push_str(line);
        text.push('\n');
    }
}

fn write_keys(text: &mut String, keys: &[(&str, Show)], definition: &Value, defaults: &Value) {
    for (key, show) in keys {
        comment(text, &description(property(definition, key)));
        match show {
            Show::Default => {
                let value = defaults.get(*key).map(inline).unwrap_or_default();
                text.push_str(&format!("{key} = {value}\n"));
            }
            Show::Example(value) => text.push_str(&format!("# {key} = {value}\n")),
            Show::Sample(value) => text.push_str(&format!("{key} = {value}\n")),
        }
    }
}

/// The standard listeners of the sample backend; the documentation of the keys stands at the first.
fn write_listeners(text: &mut String, section: &Section, definition: &Value) {
    for (index, listener) in resolve::standard_listeners(|_| true).iter().enumerate() {
        let values = serde_json::to_value(listener).unwrap_or_default();
        if index > 0 {
            text.push('\n');
        }
        text.push_str("[[listener]]\n");
        if index == 0 {
            write_keys(text, section.keys, definition, &values);
            continue;
        }
        for (key, _) in section.keys {
            if let Some(value) = values.get(*key) {
                text.push_str(&format!("{key} = {}\n", inline(value)));
            }
        }
    }
}

/// The default of each key of a structure.
fn defaults(name: &str) -> Value {
    let value = match name {
        "Backend" => serde_json::to_value(raw::Backend::default()),
        "BackendTls" => serde_json::to_value(raw::BackendTls::default()),
        "Root" => serde_json::to_value(raw::Root::default()),
        "TrustedIssuer" => serde_json::to_value(raw::TrustedIssuer::default()),
        "Store" => {
            serde_json::to_value(raw::Store { url: Some(resolve::SQLITE.into()), ..raw::Store::default() })
        }
        section => serde_json::to_value(raw::Root::default())
            .map(|root| root.get(section.to_ascii_lowercase()).cloned().unwrap_or_default()),
    };
    value.unwrap_or_default()
}

/// A JSON value as TOML on one line.
fn inline(value: &Value) -> String {
    match value {
        Value::Array(items) => format!("[{}]", items.iter().map(inline).collect::<Vec<_>>().join(", ")),
        Value::String(text) => toml::Value::String(text.clone()).to_string(),
        Value::Bool(_) | Value::Null | Value::Number(_) | Value::Object(_) => value.to_string(),
    }
}

fn definition<'a>(schema: &'a Schema, name: &str) -> &'a Value {
    if name == "Root" {
        return schema.as_value();
    }
    schema.get("$defs").and_then(|definitions| definitions.get(name)).unwrap_or(&Value::Null)
}

fn property<'a>(definition: &'a Value, key: &str) -> &'a Value {
    definition.get("properties").and_then(|properties| properties.get(key)).unwrap_or(&Value::Null)
}

fn description(schema: &Value) -> String {
    schema.get("description").and_then(Value::as_str).unwrap_or_default().to_owned()
}

/// Writes `words` as comment lines of at most [`WIDTH`] columns.
fn comment(text: &mut String, words: &str) {
    let mut column = 0;
    for word in words.split_whitespace() {
        if column > 0 && column + 1 + word.len() > WIDTH {
            text.push('\n');
            column = 0;
        }
        text.push_str(if column == 0 { "# " } else { " " });
        text.push_str(word);
        column += word.len() + if column == 0 { 2 } else { 1 };
    }
    if column > 0 {
        text.push('\n');
    }
}

#[cfg(test)]
mod tests;
