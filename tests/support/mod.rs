//! What the tests share: a running `bearward try` or `bearward serve`, a client that sends raw octets and a mail server
//! that does, neither of which knows a protocol.

mod client;
#[cfg(feature = "server")]
mod issuer;
pub(crate) mod ports;
#[cfg(feature = "server")]
mod postgres;
mod serve;
mod trial;
mod upstream;

pub(crate) use client::{Client, base64, oauthbearer, xoauth2};
#[cfg(feature = "server")]
pub(crate) use issuer::{HostileIssuer, forged, sign_with};
pub(crate) use ports::Ports;
#[cfg(feature = "server")]
pub(crate) use postgres::{Cluster, Muted, PASSWORD as POSTGRES_PASSWORD};
pub(crate) use serve::{ALICE, Serve};
pub(crate) use trial::{Trial, wait};
pub(crate) use upstream::{Act, Gate, Upstream, answering, before_login, login_taken, send, taking, until};
