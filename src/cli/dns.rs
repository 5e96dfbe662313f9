use std::{path::Path, sync::Arc};

use serde::Serialize;

use super::{Failure, Output, open};
use crate::setup::{Record, records, zone};

/// A domain and what its zone should say.
#[derive(Serialize)]
struct Domain {
    domain: Arc<str>,
    records: Vec<Record>,
}

pub(super) fn run(domain: Option<&str>, file: Option<&Path>, output: Output) -> Result<(), Failure> {
    let offer = open::load(file)?.setup;
    let wanted = match domain.map(|domain| domain.trim_end_matches('.')) {
        None => offer.domains.clone(),
        Some(domain) => vec![Arc::clone(offer.served(domain).ok_or_else(|| {
            Failure::failed(format!("no mailboxes of {domain} are here"))
                .help("add it to setup.domains in the configuration")
        })?)],
    };
    let domains: Vec<Domain> =
        wanted.into_iter().map(|domain| Domain { records: records(&offer, &domain), domain }).collect();
    if output.json {
        output.document(&domains);
        return Ok(());
    }
    let text: Vec<String> =
        domains.iter().map(|entry| format!("; {}\n{}", entry.domain, zone(&entry.records))).collect();
    output.text(&text.join("\n"));
    Ok(())
}
