#![allow(clippy::unwrap_used, reason = "tests fail by panicking")]
use std::{collections::BTreeSet, path::Path};

use super::*;
use crate::config::{TOP, parse};

fn keys(value: &Value) -> BTreeSet<String> {
    value["properties"].as_object().unwrap().keys().cloned().collect()
}

#[test]
fn every_key_of_the_schema_is_in_the_reference_and_the_other_way_round() {
    let schema = schema();
    let tables = [
        "tls",
        "listener",
        "backend",
        "route",
        "lookup",
        "issuer",
        "trusted_issuer",
        "directory",
        "passwords",
    ]
    .into_iter()
    .chain([
        "shared_mailboxes",
        "session",
        "submission",
        "limits",
        "store",
        "telemetry",
        "admin",
        "sni",
        "acme",
        "master",
        "bearer",
        "oidc",
        "override",
    ]);
    let tables: BTreeSet<String> = tables.map(str::to_owned).collect();
    let mut seen = BTreeSet::new();
    for section in SECTIONS {
        let shown: BTreeSet<String> = section.keys.iter().map(|(key, _)| (*key).to_owned()).collect();
        let mut known = keys(definition(&schema, section.name));
        known.retain(|key| shown.contains(key) || !tables.contains(key));
        assert_eq!(shown, known, "{}", section.name);
        seen.insert(section.name);
    }
    for (name, definition) in schema.get("$defs").unwrap().as_object().unwrap() {
        assert!(definition.get("properties").is_none() || seen.contains(name.as_str()), "{name}");
    }
}

#[test]
fn every_key_has_documentation() {
    let schema = schema();
    for section in SECTIONS {
        for (key, _) in section.keys {
            assert!(!description(property(definition(&schema, section.name), key)).is_empty(), "{key}");
        }
    }
}

#[test]
fn the_keys_of_the_environment_are_those_of_the_file() {
    let top: BTreeSet<String> = TOP.iter().copied().map(str::to_owned).collect();
    assert_eq!(top, keys(schema().as_value()));
}

#[test]
fn the_reference_says_nothing_but_the_defaults() {
    let file = Path::new("bearward.toml");
    let reference = parse(&reference(), file, []).unwrap();
    let minimal = "hostname = \"mail.example.org\"\n[backend.main]\n\
        imap = [\"imap+starttls://10.0.0.5:143\"]\nsmtp = [\"smtp+starttls://10.0.0.5:587\"]\n\
        pop3 = [\"pop3s://10.0.0.5:995\"]\nsieve = [\"sieve+starttls://10.0.0.5:4190\"]\n";
    let minimal = parse(minimal, file, []).unwrap();
    assert_eq!(reference.to_json(), minimal.to_json());
    assert_eq!(format!("{:?}", reference.config), format!("{:?}", minimal.config));
}
