//! What a zone says of the services: RFC 6186, RFC 8314 §4, RFC 5804 §1.8, and where the documents are.

use std::fmt::Write as _;

use serde::Serialize;

use super::{Offer, Security, Service, digest_record, pacc};
use crate::model::Protocol;

/// How long a record may be kept, in seconds.
const TTL: u32 = 3600;

/// A record of a zone.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Record {
    /// The owner, absolute.
    pub name: String,
    /// Its lifetime in seconds.
    pub ttl: u32,
    /// `SRV`, `CNAME` or `TXT`.
    #[serde(rename = "type")]
    pub kind: &'static str,
    /// Its data; that of a TXT record without quotes.
    pub data: String,
}

/// Service label, protocol, TLS, and priority: implicit TLS goes before STARTTLS (RFC 8314 §4), IMAP before POP3 (RFC 6186
/// §3.4).
const LABELS: [(&str, Protocol, Security, u16); 7] = [
    ("_imaps", Protocol::Imap, Security::Tls, 0),
    ("_imap", Protocol::Imap, Security::StartTls, 10),
    ("_pop3s", Protocol::Pop3, Security::Tls, 20),
    ("_pop3", Protocol::Pop3, Security::StartTls, 30),
    ("_submissions", Protocol::Smtp, Security::Tls, 0),
    ("_submission", Protocol::Smtp, Security::StartTls, 10),
    ("_sieve", Protocol::Sieve, Security::StartTls, 0),
];

/// The records of a domain whose addresses have mailboxes here.
pub fn records(offer: &Offer, domain: &str) -> Vec<Record> {
    let record =
        |label: &str, kind, data| Record { name: format!("{label}.{domain}."), ttl: TTL, kind, data };
    let mut records: Vec<Record> = LABELS
        .into_iter()
        .map(|(label, protocol, security, priority)| {
            let is_it = |service: &&Service| service.protocol == protocol && service.security == security;
            let service = offer.services.iter().find(is_it);
            // A lone dot says that there is none (RFC 2782), so that nobody guesses.
            let data = service.map_or_else(
                || "0 0 0 .".to_owned(),
                |service| format!("{priority} 1 {} {}.", service.port, service.host),
            );
            record(&format!("{label}._tcp"), "SRV", data)
        })
        .collect();
    let Some(site) = &offer.site else { return records };
    if offer.takes_passwords() {
        records.push(record("_autodiscover._tcp", "SRV", format!("0 1 {} {}.", site.port, site.host)));
    }
    // Clients look for these at port 443 alone.
    if site.port == 443 {
        records.push(record("autoconfig", "CNAME", format!("{}.", site.host)));
        if let Some(document) = pacc(offer) {
            records.push(record("ua-auto-config", "CNAME", format!("{}.", site.host)));
            records.push(record("_ua-auto-config", "TXT", digest_record(&document)));
        }
    }
    records
}

/// Records as lines of a zone file (RFC 1035 §5.1).
pub fn zone(records: &[Record]) -> String {
    let width = records.iter().map(|record| record.name.len()).max().unwrap_or_default();
    let mut text = String::new();
    for Record { name, ttl, kind, data } in records {
        let data = if *kind == "TXT" { format!("\"{data}\"") } else { data.clone() };
        let _ = writeln!(text, "{name:width$} {ttl} IN {kind:5} {data}");
    }
    text
}
