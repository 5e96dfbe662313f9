//! Bearward: lets mail clients sign in to unmodified mail servers with OAuth bearer tokens.
//!
//! It stands at the network edge, terminates TLS for IMAP, SMTP submission, POP3 and ManageSieve, takes a token by SASL
//! OAUTHBEARER (RFC 7628) or XOAUTH2, validates it, logs the session in to the mail server in a way that server
//! already understands, and relays. `docs/architecture.md` draws the way of one session through these rooms.
#![forbid(unsafe_code)]

pub mod model;
pub mod proto;
pub mod token;

#[cfg(feature = "server")]
pub mod admin;
#[cfg(feature = "server")]
pub mod app;
#[cfg(feature = "server")]
pub mod cli;
#[cfg(feature = "server")]
pub mod config;
#[cfg(feature = "server")]
pub mod directory;
#[cfg(feature = "server")]
pub mod http;
#[cfg(feature = "server")]
pub mod issuer;
#[cfg(feature = "server")]
pub mod limits;
#[cfg(feature = "server")]
pub mod lookup;
#[cfg(feature = "server")]
pub mod net;
#[cfg(feature = "server")]
pub mod relay;
#[cfg(feature = "server")]
pub mod sample;
#[cfg(feature = "server")]
pub mod session;
#[cfg(feature = "server")]
pub mod setup;
#[cfg(feature = "server")]
pub mod store;
#[cfg(feature = "server")]
pub mod telemetry;
#[cfg(feature = "server")]
pub mod tls;
#[cfg(feature = "server")]
pub mod upstream;
#[cfg(feature = "server")]
pub mod validator;
#[cfg(feature = "server")]
pub mod web;
