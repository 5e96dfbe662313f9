//! The token endpoint and its neighbours: what a client that has authenticated can do.

use std::net::IpAddr;

use super::Params;
use crate::model::{Secret, UnixTime};

/// Who is at the other end of a request, as far as the connection tells.
#[derive(Clone, Debug)]
pub struct Caller {
    /// The address.
    pub address: IpAddr,
    /// The certificate that the connection has proved to hold (RFC 8705).
    pub certificate: Option<ClientCertificate>,
}

/// A certificate whose private key the other end has.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ClientCertificate {
    /// The whole certificate, DER.
    pub der: Vec<u8>,
    /// SHA-256 of it (`x5t#S256`, RFC 8705 §3.1).
    pub thumbprint: [u8; 32],
}

/// A client's request to an endpoint that it authenticates to.
#[derive(Debug)]
pub struct Call<'a> {
    /// The body's parameters.
    pub params: &'a Params,
    /// The value of the header `Authorization`.
    pub authorization: Option<&'a Secret>,
    /// Who sent it.
    pub caller: &'a Caller,
    /// The moment.
    pub now: UnixTime,
}
