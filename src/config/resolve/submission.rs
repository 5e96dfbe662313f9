//! `[submission]`.

use crate::{
    config::{ConfigError, document::Document, raw},
    proto::smtp::BareNewline,
    session,
};

pub(super) fn submission(
    document: &Document<'_>,
    raw: &raw::Root,
) -> Result<session::Submission, ConfigError> {
    if let Some(name) = &raw.submission.sender_lookup {
        super::lookups::must_exist(document, raw, "submission.sender_lookup", name)?;
    }
    let raw = &raw.submission;
    let own_senders = raw.sender == raw::Sender::Own;
    if raw.sender_lookup.is_some() && !own_senders {
        return Err(document
            .error("submission.sender_lookup", "has no effect, because any sender is allowed")
            .help("write sender = \"own\" beside it, or remove it"));
    }
    Ok(session::Submission {
        bare_newline: match raw.bare_newline {
            raw::BareNewline::Normalize => BareNewline::Normalize,
            raw::BareNewline::Refuse => BareNewline::Refuse,
        },
        own_senders,
        sender_lookup: raw.sender_lookup.as_deref().map(Into::into),
    })
}
