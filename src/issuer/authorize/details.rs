use std::net::IpAddr;

use serde::{Deserialize, Serialize};

use crate::model::{ClientId, Scope, UnixTime};

/// What an authorization code is bound to: `details` of its row, as JSON. User, `auth_time` and end are the grant's.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(in crate::issuer) struct CodeDetails {
    /// The client; another one's use of the code is `invalid_grant`.
    pub client: ClientId,
    /// The redirect URI exactly as it came; the token request repeats it (RFC 6749 §4.1.3).
    pub redirect_uri: String,
    /// The S256 challenge: 43 characters of base64url (RFC 7636 §4.2).
    pub code_challenge: String,
    /// To be put into the ID token.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub nonce: Option<String>,
    /// What was allowed.
    pub scope: Scope,
    /// The scope parameter as it came; where it names more than was allowed, or was left out, the answer says so.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub requested_scope: Option<String>,
    /// The audience of every token that this code gives.
    pub audience: String,
    /// The resource indicators as they came (RFC 8707 §2); all mean `audience`.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub resource: Vec<String>,
    /// When the person gave the password.
    pub auth_time: UnixTime,
    /// The greatest age of the sign-in that the client asked for, in seconds: then the ID token says `auth_time`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub max_age: Option<u64>,
}

/// What a device code is bound to, beside what has a column: `details` of its row, as JSON.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(in crate::issuer) struct DeviceDetails {
    /// The address that asked, for the person who approves.
    pub address: IpAddr,
    /// The user code as the device shows it.
    pub user_code: String,
    /// The resource indicators as they came (RFC 8707 §2).
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub resource: Vec<String>,
}
