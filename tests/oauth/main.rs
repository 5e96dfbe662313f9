//! Independent OAuth client libraries, unmodified, and a real browser against a running issuer.
//!
//! Each test starts its own `bearward try` and runs one part of a script of `node/` or `python/` against it. They need
//! what `tests/run` installs.
#![allow(
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::panic,
    clippy::unwrap_used,
    dead_code,
    unused_imports,
    missing_docs,
    reason = "tests fail by panicking; of what the tests share not everything is needed here"
)]

#[path = "../support/mod.rs"]
mod support;

mod authlib;
mod chromium;
mod client_auth;
mod federated;
mod oauth4webapi;
mod oidc_provider;
mod openid_client;
mod python_issuer;

mod script;
mod terminal;
