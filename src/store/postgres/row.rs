use sqlx::{Decode, Postgres, Row, Type, postgres::PgRow};

use super::fault::{corrupt, fault};
use crate::{
    model::{CredentialKind, GrantId, Login, Scope, TokenHash, TokenKind, UnixTime},
    store::{
        CodeRecord, DeviceRecord, DeviceState, Grant, GrantEnd, RevocationReason, SealedCredential,
        StoreError, TokenRecord, app_password::networks_of,
    },
};

/// The columns that [`grant`] reads, of a table that is called `g`.
macro_rules! grant_columns {
    () => {
        "g.id, g.login, g.client_id, g.scope, g.created_at, g.expires_at, g.revoked_at, g.revoked_reason,
         g.public_key, g.audience, g.auth_time, g.mailboxes"
    };
}
pub(super) use grant_columns;

pub(super) fn column<'r, T>(row: &'r PgRow, name: &str) -> Result<T, StoreError>
where
    T: Decode<'r, Postgres> + Type<Postgres>,
{
    row.try_get(name).map_err(|error| fault(&error))
}

fn time(row: &PgRow, name: &str) -> Result<UnixTime, StoreError> {
    column(row, name).map(UnixTime)
}

fn some_time(row: &PgRow, name: &str) -> Result<Option<UnixTime>, StoreError> {
    Ok(column::<Option<i64>>(row, name)?.map(UnixTime))
}

fn scope(row: &PgRow, name: &str) -> Result<Scope, StoreError> {
    column::<&str>(row, name)?.parse().map_err(|_| corrupt("scope"))
}

fn octets32(row: &PgRow, name: &str, what: &str) -> Result<[u8; 32], StoreError> {
    column::<&[u8]>(row, name)?.try_into().map_err(|_| corrupt(what))
}

pub(super) fn some_hash(row: &PgRow, name: &str) -> Result<Option<TokenHash>, StoreError> {
    column::<Option<&[u8]>>(row, name)?
        .map(|octets| octets.try_into().map(TokenHash::new).map_err(|_| corrupt("hash")))
        .transpose()
}

pub(super) fn grant_id(row: &PgRow, name: &str) -> Result<GrantId, StoreError> {
    GrantId::from_slice(column(row, name)?).map_err(|_| corrupt("grant"))
}

/// A login name as it was written: already normalised.
pub(super) fn login(row: &PgRow, name: &str) -> Result<Login, StoreError> {
    let text: &str = column(row, name)?;
    let login = Login::parse(text).map_err(|_| corrupt("login name"))?;
    if login.as_str() == text { Ok(login) } else { Err(corrupt("normalised login name")) }
}

pub(super) fn grant(row: &PgRow) -> Result<Grant, StoreError> {
    let revoked = match (some_time(row, "revoked_at")?, column::<Option<&str>>(row, "revoked_reason")?) {
        (Some(at), Some(reason)) => {
            let reason = RevocationReason::from_name(reason).ok_or_else(|| corrupt("revocation reason"))?;
            Some(GrantEnd { at, reason })
        }
        (None, None) => None,
        (Some(_), None) | (None, Some(_)) => return Err(corrupt("whole revocation")),
    };
    Ok(Grant {
        id: grant_id(row, "id")?,
        user: login(row, "login")?,
        client: column::<&str>(row, "client_id")?.parse().map_err(|_| corrupt("client"))?,
        scope: scope(row, "scope")?,
        created_at: time(row, "created_at")?,
        expires_at: some_time(row, "expires_at")?,
        revoked,
        audience: column(row, "audience")?,
        auth_time: some_time(row, "auth_time")?,
        mailboxes: column::<&str>(row, "mailboxes")?.split_whitespace().map(str::to_owned).collect(),
        public_key: octets32(row, "public_key", "public key")?,
    })
}

/// A token with its grant, from one row for each of the grant's credentials.
pub(super) fn token(lookup: &TokenHash, rows: &[PgRow]) -> Result<Option<TokenRecord>, StoreError> {
    let Some(row) = rows.first() else { return Ok(None) };
    Ok(Some(TokenRecord {
        lookup: *lookup,
        kind: TokenKind::from_name(column(row, "token_kind")?).ok_or_else(|| corrupt("token kind"))?,
        scope: scope(row, "token_scope")?,
        audience: column(row, "token_audience")?,
        certificate: column::<Option<&[u8]>>(row, "certificate")?
            .map(|octets| octets.try_into().map_err(|_| corrupt("certificate")))
            .transpose()?,
        created_at: time(row, "token_created_at")?,
        expires_at: time(row, "token_expires_at")?,
        revoked_at: some_time(row, "token_revoked_at")?,
        used_at: some_time(row, "used_at")?,
        answer: column(row, "answer")?,
        wrapped_key: column(row, "wrapped_key")?,
        networks: networks_of(column::<Option<&str>>(row, "networks")?.unwrap_or_default())?,
        grant: grant(row)?,
        credentials: rows.iter().filter_map(|row| credential(row).transpose()).collect::<Result<_, _>>()?,
    }))
}

/// The credential of a joined row; `None` where the grant has none.
fn credential(row: &PgRow) -> Result<Option<SealedCredential>, StoreError> {
    let Some(backend) = column::<Option<String>>(row, "backend")? else { return Ok(None) };
    let kind = CredentialKind::from_name(column(row, "kind")?).ok_or_else(|| corrupt("credential kind"))?;
    Ok(Some(SealedCredential { backend, kind, sealed: column(row, "sealed")? }))
}

pub(super) fn code(row: &PgRow) -> Result<CodeRecord, StoreError> {
    Ok(CodeRecord {
        details: column(row, "details")?,
        expires_at: time(row, "code_expires_at")?,
        used_at: some_time(row, "used_at")?,
        wrapped_key: column(row, "wrapped_key")?,
        grant: grant(row)?,
    })
}

pub(super) fn device(row: &PgRow) -> Result<DeviceRecord, StoreError> {
    Ok(DeviceRecord {
        lookup: TokenHash::new(octets32(row, "lookup", "hash")?),
        client: column::<&str>(row, "client_id")?.parse().map_err(|_| corrupt("client"))?,
        scope: scope(row, "scope")?,
        audience: column(row, "audience")?,
        public_key: octets32(row, "public_key", "public key")?,
        details: column(row, "details")?,
        created_at: time(row, "created_at")?,
        expires_at: time(row, "expires_at")?,
        state: DeviceState::from_name(column(row, "state")?).ok_or_else(|| corrupt("device state"))?,
    })
}
