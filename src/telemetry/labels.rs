use std::fmt;

use prometheus_client::encoding::{EncodeLabelValue, LabelValueEncoder};

use crate::model::{Mechanism, Outcome, Protocol};

/// What a listener speaks, as a label.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Front {
    /// HTTPS.
    Https,
    /// A mail protocol.
    Mail(Protocol),
}

impl Front {
    /// Its name in metrics.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Https => "https",
            Self::Mail(protocol) => protocol.as_str(),
        }
    }
}

impl From<Protocol> for Front {
    fn from(protocol: Protocol) -> Self {
        Self::Mail(protocol)
    }
}

/// Which way relayed octets went.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Direction {
    /// From the mail server to the client.
    ToClient,
    /// From the client to the mail server.
    ToServer,
}

impl Direction {
    /// Its name in metrics.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::ToClient => "to_client",
            Self::ToServer => "to_server",
        }
    }
}

/// What an access token was issued for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Grant {
    /// An authorization code (RFC 6749 §4.1).
    AuthorizationCode,
    /// A client's own credentials (RFC 6749 §4.4).
    ClientCredentials,
    /// A device code (RFC 8628).
    DeviceCode,
    /// An operator, on the command line.
    Operator,
    /// A refresh token (RFC 6749 §6).
    RefreshToken,
}

impl Grant {
    /// Its name in metrics.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::AuthorizationCode => "authorization_code",
            Self::ClientCredentials => "client_credentials",
            Self::DeviceCode => "device_code",
            Self::Operator => "operator",
            Self::RefreshToken => "refresh_token",
        }
    }
}

/// A negotiated TLS version.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum TlsVersion {
    /// TLS 1.2 (RFC 5246).
    Tls12,
    /// TLS 1.3 (RFC 8446).
    Tls13,
}

impl TlsVersion {
    /// Its name in metrics.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Tls12 => "1.2",
            Self::Tls13 => "1.3",
        }
    }
}

macro_rules! label_by_its_name {
    ($($label:ty),+) => {$(
        impl EncodeLabelValue for $label {
            fn encode(&self, encoder: &mut LabelValueEncoder<'_>) -> Result<(), fmt::Error> {
                EncodeLabelValue::encode(&self.as_str(), encoder)
            }
        }
    )+};
}

label_by_its_name!(Direction, Front, Grant, Mechanism, Outcome, Protocol, TlsVersion);
