//! One test binary; a file per topic. Tests are named as sentences.
#![allow(
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::panic,
    clippy::unwrap_used,
    missing_docs,
    reason = "tests fail by panicking"
)]

mod net;
mod outside_sessions;
mod relay;
#[path = "../support/mod.rs"]
mod support;
mod tls;
mod tls_client_certificates;
mod tls_upstream;

mod app_passwords;
mod attacks;
#[cfg(feature = "server")]
mod authorize;
mod bad_input;
mod cli;
mod cli_issuer;
mod cli_serve;
mod cli_store;
#[cfg(feature = "server")]
mod clients;
mod config;
mod config_oidc;
mod config_passwords;
mod config_store;
mod conformance;
mod exchange;
#[cfg(feature = "server")]
mod federated;
#[cfg(feature = "server")]
mod full_disk;
mod guard_settings;
mod guards;
mod hooked;
mod imap;
mod introduced;
#[cfg(feature = "server")]
mod issuer;
mod kill;
mod logout_notice;
mod lookup;
mod many_sessions;
mod mutual_tls;
#[cfg(feature = "server")]
mod outside;
mod pop3_downstream;
mod pop3_upstream;
#[cfg(feature = "server")]
mod postgres;
mod proxy_header;
mod races;
mod sample;
mod sasl;
mod sasl_oracle;
#[cfg(feature = "server")]
mod sealing;
mod sessions;
mod sieve_downstream;
mod sieve_guard;
mod sieve_served;
mod sieve_upstream;
mod signing_keys;
mod smtp;
mod smtp_guard;
mod smtp_model;
#[cfg(feature = "server")]
mod store;
#[cfg(feature = "server")]
mod telemetry;
#[cfg(feature = "server")]
mod trusted;
#[cfg(feature = "server")]
mod unknown_keys;
mod upstreams;
#[cfg(feature = "server")]
mod validator;
mod validator_jwt;
#[cfg(feature = "server")]
mod web;
#[cfg(feature = "server")]
mod web_clients;
#[cfg(feature = "server")]
mod web_flow;
#[cfg(feature = "server")]
mod web_limits;
#[cfg(feature = "server")]
mod web_pages;
#[cfg(feature = "server")]
mod web_tls;
