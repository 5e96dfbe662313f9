use serde::{Deserialize, Serialize};

use super::{Client, ClientMetadata, Standing};
use crate::store::{ClientRecord, StoreError};

/// What the issuer keeps in a client's row, as JSON.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(super) struct Kept {
    /// Who vouches for it.
    pub(super) standing: Standing,
    /// Whether it was seen to have been allowed something, so that its row stays.
    #[serde(default)]
    pub(super) is_used: bool,
    /// What it registered.
    pub(super) metadata: ClientMetadata,
}

impl Kept {
    pub(super) fn read(record: &ClientRecord) -> Result<Self, StoreError> {
        serde_json::from_str(&record.metadata)
            .map_err(|error| StoreError::Corrupt(format!("the metadata of client {}: {error}", record.id)))
    }

    pub(super) fn write(&self) -> Result<String, StoreError> {
        // Only a map with keys that are no strings cannot be written, and there is none.
        serde_json::to_string(self).map_err(|error| StoreError::Corrupt(error.to_string()))
    }
}

impl Client {
    pub(super) fn from_record(record: &ClientRecord) -> Result<Self, StoreError> {
        let Kept { standing, metadata, .. } = Kept::read(record)?;
        Ok(Self { id: record.id.clone(), standing, metadata, secret: record.secret })
    }
}
