//! Real mail servers behind Bearward and real mail clients before it.
//!
//! Each test starts its own mail servers, which know passwords only, and its own Bearward. They need what
//! `tests/run` installs, and root, because the mail servers change their user.
#![allow(
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::panic,
    clippy::unwrap_used,
    missing_docs,
    reason = "tests fail by panicking"
)]

mod addresses;
mod app_passwords;
mod clients;
mod everywhere;
mod guard;
mod secrets;
mod servers;
mod sessions;
mod support;
