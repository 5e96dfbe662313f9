use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// What clients may send by SMTP after the sign-in.
#[derive(Clone, Debug, Default, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub(in crate::config) struct Submission {
    /// What becomes of a message with a line end that is no CRLF, by which messages are smuggled past servers:
    /// `normalize` makes each CRLF, as curl and many scripts need it; `refuse` refuses the message with 550 and closes
    /// the connection. Octets sent by BDAT always pass as they are.
    pub(in crate::config) bare_newline: BareNewline,
    /// Whose address MAIL FROM may have: `any` leaves that to the mail server; with `own` it must be the login name, an
    /// address that the token vouches for, or one of the look-up below. The empty sender of notifications passes.
    pub(in crate::config) sender: Sender,
    /// A look-up whose `addresses` a user may send from too; `@example.org` among them stands for the whole domain.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(in crate::config) sender_lookup: Option<String>,
}

/// What becomes of a message with a bare CR or LF.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub(in crate::config) enum BareNewline {
    #[default]
    Normalize,
    Refuse,
}

/// Whose address a sender may have.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub(in crate::config) enum Sender {
    #[default]
    Any,
    Own,
}
