use super::IssuerError;
use crate::{
    model::UnixTime,
    store::{SigningKeyRecord, Store},
    token::{CryptoError, ServerKey, SigningKey},
};

/// The signing keys in the store; one is made where there is none.
pub(super) async fn load(
    store: &dyn Store,
    server_key: &ServerKey,
    now: UnixTime,
) -> Result<Vec<SigningKey>, IssuerError> {
    let mut records = store.signing_keys().await?;
    if records.is_empty() {
        let key = SigningKey::generate()?;
        let record = SigningKeyRecord {
            kid: key.kid().to_owned(),
            algorithm: SigningKey::ALGORITHM.to_owned(),
            sealed: key.seal(server_key)?,
            created_at: now,
            signs_from: now,
            retires_at: None,
        };
        store.add_signing_key(record, None).await?;
        // Another process may have been first; what is stored counts.
        records = store.signing_keys().await?;
    }
    records.iter().map(|record| open(record, server_key)).collect()
}

fn open(record: &SigningKeyRecord, server_key: &ServerKey) -> Result<SigningKey, IssuerError> {
    SigningKey::open(&record.sealed, &record.kid, server_key).map_err(|error| match error {
        CryptoError::NotAuthentic => IssuerError::WrongServerKey,
        CryptoError::BadKey | CryptoError::Library | CryptoError::PasswordTooLong => error.into(),
    })
}
