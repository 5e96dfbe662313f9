//! What the tests share: a running `bearward try`, and a client that sends raw octets and knows no protocol.

mod client;
mod trial;

pub(crate) use client::{Client, base64, oauthbearer, xoauth2};
pub(crate) use trial::{Trial, wait};
