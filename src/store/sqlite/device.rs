//! Device codes (RFC 8628).

use sqlx::{SqlitePool, query, query_scalar, sqlite::SqliteRow};

use super::{
    code,
    fault::{corrupt, fault},
    grant,
    row::{client_of, column, grant_columns, grant_id_of, grant_of, hash_of, public_key_of, scope_of},
    token,
    transaction::{Changes, Transaction},
};
use crate::{
    model::{ClientId, TokenHash, UnixTime},
    store::{
        Decided, DevicePoll, DeviceRecord, DeviceState, NewDevice, NewGrant, NewToken, Redeemed, StoreError,
    },
};

/// What a question that came too early adds to the interval, in seconds (RFC 8628 §3.5).
const SLOWER: i64 = 5;

pub(super) async fn create(transaction: &mut Transaction, device: NewDevice) -> Result<(), StoreError> {
    query(
        "INSERT INTO devices (lookup, user_code, client_id, scope, audience, public_key, details, created_at,
                              expires_at, interval, state)
         VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11)",
    )
    .bind(device.lookup.as_bytes().as_slice())
    .bind(device.user_code.as_bytes().as_slice())
    .bind(device.client.as_str())
    .bind(device.scope.to_string())
    .bind(device.audience)
    .bind(device.public_key.as_slice())
    .bind(device.details)
    .bind(device.created_at.0)
    .bind(device.expires_at.0)
    .bind(device.interval)
    .bind(DeviceState::Pending.as_str())
    .execute(transaction.writing().await?)
    .await
    .map_err(fault)?;
    Ok(())
}

pub(super) async fn by_user_code(
    readers: &SqlitePool,
    user_code: &TokenHash,
    now: UnixTime,
) -> Result<Option<DeviceRecord>, StoreError> {
    query(
        "SELECT lookup, client_id, scope, audience, public_key, details, created_at, expires_at, state
         FROM devices WHERE user_code = ?1 AND expires_at > ?2",
    )
    .bind(user_code.as_bytes().as_slice())
    .bind(now.0)
    .fetch_optional(readers)
    .await
    .map_err(fault)?
    .map(|row| device_of(&row))
    .transpose()
}

pub(super) fn device_of(row: &SqliteRow) -> Result<DeviceRecord, StoreError> {
    Ok(DeviceRecord {
        lookup: hash_of(column(row, "lookup")?)?,
        client: client_of(row, "client_id")?,
        scope: scope_of(row, "scope")?,
        audience: column(row, "audience")?,
        public_key: public_key_of(row)?,
        details: column(row, "details")?,
        created_at: UnixTime(column(row, "created_at")?),
        expires_at: UnixTime(column(row, "expires_at")?),
        state: state_of(row)?,
    })
}

fn state_of(row: &SqliteRow) -> Result<DeviceState, StoreError> {
    DeviceState::from_name(column(row, "state")?).ok_or_else(|| corrupt("device state"))
}

/// Whether a device still waits for a decision.
async fn undecided(
    transaction: &mut Transaction,
    user_code: &TokenHash,
    now: UnixTime,
) -> Result<Decided, StoreError> {
    let row = query("SELECT state FROM devices WHERE user_code = ?1 AND expires_at > ?2")
        .bind(user_code.as_bytes().as_slice())
        .bind(now.0)
        .fetch_optional(transaction.reading())
        .await
        .map_err(fault)?;
    Ok(match row.map(|row| state_of(&row)).transpose()? {
        None => Decided::Unknown,
        Some(DeviceState::Pending) => Decided::Done,
        Some(DeviceState::Denied | DeviceState::Approved | DeviceState::Used) => Decided::Before,
    })
}

pub(super) async fn approve(
    transaction: &mut Transaction,
    user_code: TokenHash,
    grant: NewGrant,
    now: UnixTime,
) -> Result<Decided, StoreError> {
    let decided = undecided(transaction, &user_code, now).await?;
    if decided != Decided::Done {
        return Ok(decided);
    }
    grant::create(transaction, &grant).await?;
    query("UPDATE devices SET state = ?2, grant_id = ?3 WHERE user_code = ?1")
        .bind(user_code.as_bytes().as_slice())
        .bind(DeviceState::Approved.as_str())
        .bind(grant.id.as_bytes().as_slice())
        .execute(transaction.writing().await?)
        .await
        .map_err(fault)?;
    Ok(Decided::Done)
}

pub(super) async fn deny(
    transaction: &mut Transaction,
    user_code: TokenHash,
    now: UnixTime,
) -> Result<Decided, StoreError> {
    let decided = undecided(transaction, &user_code, now).await?;
    if decided != Decided::Done {
        return Ok(decided);
    }
    query("UPDATE devices SET state = ?2 WHERE user_code = ?1")
        .bind(user_code.as_bytes().as_slice())
        .bind(DeviceState::Denied.as_str())
        .execute(transaction.writing().await?)
        .await
        .map_err(fault)?;
    Ok(Decided::Done)
}

/// Whether there is such a device code at all: guesses are not to keep the writer busy.
pub(super) async fn is_known(
    readers: &SqlitePool,
    lookup: &TokenHash,
    client: &ClientId,
) -> Result<bool, StoreError> {
    let known: Option<i64> = query_scalar("SELECT 1 FROM devices WHERE lookup = ?1 AND client_id = ?2")
        .bind(lookup.as_bytes().as_slice())
        .bind(client.as_str())
        .fetch_optional(readers)
        .await
        .map_err(fault)?;
    Ok(known.is_some())
}

pub(super) async fn poll(
    transaction: &mut Transaction,
    lookup: TokenHash,
    client: ClientId,
    now: UnixTime,
) -> Result<DevicePoll, StoreError> {
    let row = query(
        "SELECT d.state, d.grant_id, d.expires_at, d.polled_at + d.interval AS not_before
         FROM devices d WHERE d.lookup = ?1 AND d.client_id = ?2",
    )
    .bind(lookup.as_bytes().as_slice())
    .bind(client.as_str())
    .fetch_optional(transaction.reading())
    .await
    .map_err(fault)?;
    let Some(row) = row else { return Ok(DevicePoll::Unknown) };
    let state = state_of(&row)?;
    if state == DeviceState::Used {
        return Ok(DevicePoll::Used(grant_id_of(column(&row, "grant_id")?)?));
    }
    if column::<i64>(&row, "expires_at")? <= now.0 {
        return Ok(DevicePoll::Expired);
    }
    match state {
        DeviceState::Denied => Ok(DevicePoll::Denied),
        DeviceState::Approved | DeviceState::Used => approved(transaction, column(&row, "grant_id")?).await,
        DeviceState::Pending => {
            let too_early = column::<Option<i64>>(&row, "not_before")?.is_some_and(|time| now.0 < time);
            asked(transaction, &lookup, too_early, now).await
        }
    }
}

async fn approved(transaction: &mut Transaction, grant: &[u8]) -> Result<DevicePoll, StoreError> {
    let row = query(concat!("SELECT ", grant_columns!(), " FROM grants g WHERE g.id = ?1"))
        .bind(grant)
        .fetch_one(transaction.reading())
        .await
        .map_err(fault)?;
    Ok(DevicePoll::Approved(Box::new(grant_of(&row)?)))
}

/// Remembers a question to which there is no answer yet.
async fn asked(
    transaction: &mut Transaction,
    lookup: &TokenHash,
    too_early: bool,
    now: UnixTime,
) -> Result<DevicePoll, StoreError> {
    query("UPDATE devices SET polled_at = ?2, interval = interval + ?3 WHERE lookup = ?1")
        .bind(lookup.as_bytes().as_slice())
        .bind(now.0)
        .bind(if too_early { SLOWER } else { 0 })
        .execute(transaction.writing().await?)
        .await
        .map_err(fault)?;
    Ok(if too_early { DevicePoll::SlowDown } else { DevicePoll::Pending })
}

pub(super) async fn redeem(
    transaction: &mut Transaction,
    device: TokenHash,
    tokens: Vec<NewToken>,
    now: UnixTime,
) -> Result<Redeemed, StoreError> {
    let row = query(
        "SELECT d.state, d.grant_id, d.expires_at > ?2 AS unexpired,
                g.revoked_at IS NULL AND (g.expires_at IS NULL OR g.expires_at > ?2) AS live
         FROM devices d LEFT JOIN grants g ON g.id = d.grant_id WHERE d.lookup = ?1",
    )
    .bind(device.as_bytes().as_slice())
    .bind(now.0)
    .fetch_optional(transaction.reading())
    .await
    .map_err(fault)?;
    let Some(row) = row else { return Ok(Redeemed::Unknown) };
    let state = state_of(&row)?;
    if state == DeviceState::Used {
        return code::replayed(transaction, grant_id_of(column(&row, "grant_id")?)?, now).await;
    }
    if !column::<bool>(&row, "unexpired")? {
        return Ok(Redeemed::Expired);
    }
    if state != DeviceState::Approved || !column::<bool>(&row, "live")? {
        return Ok(Redeemed::GrantEnded);
    }
    let used = Changes::default()
        .and("UPDATE devices SET state = ? WHERE lookup = ?")
        .bind(DeviceState::Used.as_str())
        .bind(device.as_bytes().as_slice());
    let grant = grant_id_of(column(&row, "grant_id")?)?;
    token::with_tokens(used, grant, &tokens, None).execute(transaction).await?;
    Ok(Redeemed::Done)
}
