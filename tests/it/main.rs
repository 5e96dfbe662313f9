//! One test binary; a file per topic. Tests are named as sentences.
#![allow(
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::panic,
    clippy::unwrap_used,
    missing_docs,
    reason = "tests fail by panicking"
)]

#[path = "../support/mod.rs"]
mod support;

mod bad_input;
mod cli;
mod cli_store;
mod config;
mod imap;
mod pop3_downstream;
mod pop3_upstream;
mod proxy_header;
mod sample;
mod sasl;
mod sasl_oracle;
mod sessions;
mod smtp;
mod smtp_guard;
mod smtp_model;
#[cfg(feature = "server")]
mod telemetry;
#[cfg(feature = "server")]
mod web;
