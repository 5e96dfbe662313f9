//! What the tests share: a running `bearward try` or `bearward serve`, a client that sends raw octets and a mail server
//! that does, neither of which knows a protocol.

mod client;
#[cfg(feature = "server")]
mod issuer;
#[cfg(feature = "server")]
mod keys;
mod ports;
#[cfg(feature = "server")]
mod postgres;
mod serve;
#[cfg(feature = "server")]
mod slapd;
mod trial;
mod upstream;

pub(crate) use client::{Client, base64, oauthbearer, xoauth2};
#[cfg(feature = "server")]
pub(crate) use issuer::{Asked, HostileIssuer, forged, sign_with};
#[cfg(feature = "server")]
pub(crate) use keys::PrivateKey;
pub(crate) use ports::Ports;
#[cfg(feature = "server")]
pub(crate) use postgres::{Cluster, Muted, PASSWORD as POSTGRES_PASSWORD};
pub(crate) use serve::{ALICE, Serve};
#[cfg(feature = "server")]
pub(crate) use slapd::{BASE, BIND_DN, BIND_PASSWORD, Slapd};
pub(crate) use trial::{Trial, wait};
pub(crate) use upstream::{Act, Gate, Upstream, answering, before_login, login_taken, send, taking, until};
