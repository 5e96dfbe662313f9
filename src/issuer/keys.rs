use super::IssuerError;
use crate::{
    model::UnixTime,
    store::{SigningKeyRecord, Store},
    token::{Algorithm, CryptoError, ServerKey, SigningKey},
};

/// The signing keys in the store; one is made where there is none.
pub(super) async fn load(
    store: &dyn Store,
    server_key: &ServerKey,
    now: UnixTime,
) -> Result<Vec<SigningKey>, IssuerError> {
    let mut records = store.signing_keys().await?;
    if records.is_empty() {
        let key = SigningKey::generate(Algorithm::Es256)?;
        let record = SigningKeyRecord {
            kid: key.kid().to_owned(),
            algorithm: key.algorithm().as_str().to_owned(),
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
    let algorithm = Algorithm::from_name(&record.algorithm).ok_or(CryptoError::BadKey)?;
    SigningKey::open(&record.sealed, algorithm, &record.kid, server_key).map_err(|error| match error {
        CryptoError::NotAuthentic => IssuerError::WrongServerKey,
        CryptoError::BadKey | CryptoError::Library | CryptoError::NotJson | CryptoError::PasswordTooLong => {
            error.into()
        }
    })
}
