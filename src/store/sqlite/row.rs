use sqlx::{Decode, Row, Sqlite, Type, sqlite::SqliteRow};

use super::fault::{corrupt, fault};
use crate::{
    model::{ClientId, GrantId, Login, Scope, TokenHash, UnixTime},
    store::{Grant, GrantEnd, RevocationReason, StoreError},
};

/// The columns of a grant that [`grant_of`] reads, of a table that is called `g`.
macro_rules! grant_columns {
    () => {
        "g.id, g.user, g.client_id, g.scope, g.created_at, g.expires_at, g.revoked_at, g.revoked_reason,
         g.public_key, g.audience, g.auth_time, g.mailboxes"
    };
}
pub(super) use grant_columns;

pub(super) fn column<'r, T>(row: &'r SqliteRow, name: &str) -> Result<T, StoreError>
where
    T: Decode<'r, Sqlite> + Type<Sqlite>,
{
    row.try_get(name).map_err(fault)
}

pub(super) fn grant_of(row: &SqliteRow) -> Result<Grant, StoreError> {
    let revoked = match (time_of(row, "revoked_at")?, column::<Option<&str>>(row, "revoked_reason")?) {
        (Some(at), Some(reason)) => {
            let reason = RevocationReason::from_name(reason).ok_or_else(|| corrupt("revocation reason"))?;
            Some(GrantEnd { at, reason })
        }
        (None, None) => None,
        (Some(_), None) | (None, Some(_)) => return Err(corrupt("whole revocation")),
    };
    Ok(Grant {
        id: grant_id_of(column(row, "id")?)?,
        user: login_of(row, "user")?,
        client: client_of(row, "client_id")?,
        scope: scope_of(row, "scope")?,
        created_at: UnixTime(column(row, "created_at")?),
        expires_at: time_of(row, "expires_at")?,
        revoked,
        audience: column(row, "audience")?,
        auth_time: time_of(row, "auth_time")?,
        mailboxes: column::<&str>(row, "mailboxes")?
            .split(' ')
            .filter(|name| !name.is_empty())
            .map(str::to_owned)
            .collect(),
        public_key: public_key_of(row)?,
    })
}

pub(super) fn grant_id_of(octets: &[u8]) -> Result<GrantId, StoreError> {
    GrantId::from_slice(octets).map_err(|_| corrupt("grant"))
}

pub(super) fn login_of(row: &SqliteRow, name: &str) -> Result<Login, StoreError> {
    let text: &str = column(row, name)?;
    let login = Login::parse(text).map_err(|_| corrupt("login name"))?;
    if login.as_str() == text { Ok(login) } else { Err(corrupt("normalised login name")) }
}

pub(super) fn client_of(row: &SqliteRow, name: &str) -> Result<ClientId, StoreError> {
    column::<&str>(row, name)?.parse().map_err(|_| corrupt("client"))
}

pub(super) fn scope_of(row: &SqliteRow, name: &str) -> Result<Scope, StoreError> {
    column::<&str>(row, name)?.parse().map_err(|_| corrupt("scope"))
}

pub(super) fn public_key_of(row: &SqliteRow) -> Result<[u8; 32], StoreError> {
    column::<&[u8]>(row, "public_key")?.try_into().map_err(|_| corrupt("public key"))
}

pub(super) fn hash_of(octets: &[u8]) -> Result<TokenHash, StoreError> {
    octets.try_into().map(TokenHash::new).map_err(|_| corrupt("hash"))
}

pub(super) fn time_of(row: &SqliteRow, name: &str) -> Result<Option<UnixTime>, StoreError> {
    Ok(column::<Option<i64>>(row, name)?.map(UnixTime))
}
