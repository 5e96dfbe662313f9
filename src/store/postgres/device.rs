use sqlx::{PgConnection, query, query_as};

use super::{
    exchange::replayed,
    fault::corrupt,
    grants::{self, lock_grant_of},
    row,
    runner::Done,
};
use crate::{
    model::{ClientId, GrantId, TokenHash, UnixTime},
    store::{
        Decided, DevicePoll, DeviceRecord, DeviceState, NewDevice, NewGrant, NewToken, Redeemed, StoreError,
    },
};

/// RFC 8628 §3.5: what is added to the interval of a device that asks too often, in seconds.
const SLOWER: i64 = 5;

pub(super) async fn create(connection: &mut PgConnection, device: &NewDevice) -> Done<()> {
    query(
        "INSERT INTO devices
           (lookup, user_code, client_id, scope, audience, public_key, details, created_at, expires_at,
            poll_interval)
         VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10)",
    )
    .bind(device.lookup.as_bytes().as_slice())
    .bind(device.user_code.as_bytes().as_slice())
    .bind(device.client.as_str())
    .bind(device.scope.to_string())
    .bind(device.audience.as_str())
    .bind(device.public_key.as_slice())
    .bind(device.details.as_str())
    .bind(device.created_at.0)
    .bind(device.expires_at.0)
    .bind(i64::from(device.interval))
    .execute(connection)
    .await?;
    Ok(())
}

pub(super) async fn by_user_code(
    connection: &mut PgConnection,
    (user_code, now): &(TokenHash, UnixTime),
) -> Done<Option<DeviceRecord>> {
    let found = query(
        "SELECT lookup, client_id, scope, audience, public_key, details, created_at, expires_at, state
         FROM devices WHERE user_code = $1 AND expires_at > $2",
    )
    .bind(user_code.as_bytes().as_slice())
    .bind(now.0)
    .fetch_optional(connection)
    .await?;
    Ok(found.map(|found| row::device(&found)).transpose()?)
}

/// Locks a device that shows this code and has not expired.
async fn lock(
    connection: &mut PgConnection,
    user_code: &TokenHash,
    now: UnixTime,
) -> Done<Option<DeviceState>> {
    let state: Option<(String,)> =
        query_as("SELECT state FROM devices WHERE user_code = $1 AND expires_at > $2 FOR NO KEY UPDATE")
            .bind(user_code.as_bytes().as_slice())
            .bind(now.0)
            .fetch_optional(connection)
            .await?;
    let Some((state,)) = state else { return Ok(None) };
    Ok(Some(state_of(&state)?))
}

fn state_of(name: &str) -> Result<DeviceState, StoreError> {
    DeviceState::from_name(name).ok_or_else(|| corrupt("device state"))
}

pub(super) async fn approve(
    connection: &mut PgConnection,
    (user_code, grant, now): &(TokenHash, NewGrant, UnixTime),
) -> Done<Decided> {
    match lock(connection, user_code, *now).await? {
        None => return Ok(Decided::Unknown),
        Some(DeviceState::Pending) => {}
        Some(DeviceState::Approved | DeviceState::Denied | DeviceState::Used) => return Ok(Decided::Before),
    }
    grants::create(connection, grant).await?;
    query("UPDATE devices SET state = $2, grant_id = $3 WHERE user_code = $1")
        .bind(user_code.as_bytes().as_slice())
        .bind(DeviceState::Approved.as_str())
        .bind(grant.id.as_bytes().as_slice())
        .execute(connection)
        .await?;
    Ok(Decided::Done)
}

pub(super) async fn deny(
    connection: &mut PgConnection,
    (user_code, now): &(TokenHash, UnixTime),
) -> Done<Decided> {
    match lock(connection, user_code, *now).await? {
        None => return Ok(Decided::Unknown),
        Some(DeviceState::Pending) => {}
        Some(DeviceState::Approved | DeviceState::Denied | DeviceState::Used) => return Ok(Decided::Before),
    }
    query("UPDATE devices SET state = $2 WHERE user_code = $1")
        .bind(user_code.as_bytes().as_slice())
        .bind(DeviceState::Denied.as_str())
        .execute(connection)
        .await?;
    Ok(Decided::Done)
}

/// What is read of a device that asks.
#[derive(sqlx::FromRow)]
struct Asking {
    client_id: String,
    expires_at: i64,
    state: String,
    poll_interval: i64,
    polled_at: Option<i64>,
    grant_id: Option<Vec<u8>>,
}

impl Asking {
    fn grant(&self) -> Result<GrantId, StoreError> {
        let octets = self.grant_id.as_deref().ok_or_else(|| corrupt("grant of an approved device"))?;
        GrantId::from_slice(octets).map_err(|_| corrupt("grant"))
    }
}

pub(super) async fn poll(
    connection: &mut PgConnection,
    (lookup, client, now): &(TokenHash, ClientId, UnixTime),
) -> Done<DevicePoll> {
    let found: Option<Asking> = query_as(
        "SELECT client_id, expires_at, state, poll_interval, polled_at, grant_id
         FROM devices WHERE lookup = $1 FOR NO KEY UPDATE",
    )
    .bind(lookup.as_bytes().as_slice())
    .fetch_optional(&mut *connection)
    .await?;
    let Some(device) = found.filter(|device| device.client_id == client.as_str()) else {
        return Ok(DevicePoll::Unknown);
    };
    let state = state_of(&device.state)?;
    if state == DeviceState::Used {
        return Ok(DevicePoll::Used(device.grant()?));
    }
    if now.0 >= device.expires_at {
        return Ok(DevicePoll::Expired);
    }
    match state {
        DeviceState::Pending => asked(connection, lookup, &device, *now).await,
        DeviceState::Denied => Ok(DevicePoll::Denied),
        DeviceState::Approved | DeviceState::Used => {
            let grant = grants::grant(connection, &device.grant()?).await?;
            let grant = grant.ok_or_else(|| corrupt("grant of an approved device"))?;
            Ok(DevicePoll::Approved(Box::new(grant)))
        }
    }
}

async fn asked(
    connection: &mut PgConnection,
    lookup: &TokenHash,
    device: &Asking,
    now: UnixTime,
) -> Done<DevicePoll> {
    let is_early = device.polled_at.is_some_and(|before| now.0 < before.saturating_add(device.poll_interval));
    let interval = device.poll_interval.saturating_add(if is_early { SLOWER } else { 0 });
    query("UPDATE devices SET polled_at = $2, poll_interval = $3 WHERE lookup = $1")
        .bind(lookup.as_bytes().as_slice())
        .bind(now.0)
        .bind(interval)
        .execute(connection)
        .await?;
    Ok(if is_early { DevicePoll::SlowDown } else { DevicePoll::Pending })
}

pub(super) async fn redeem(
    connection: &mut PgConnection,
    (device, tokens, now): &(TokenHash, Vec<NewToken>, UnixTime),
) -> Done<Redeemed> {
    let grant = grants::lock(connection, lock_grant_of!("devices"), device, *now).await?;
    let found: Option<(String, i64)> =
        query_as("SELECT state, expires_at FROM devices WHERE lookup = $1 FOR NO KEY UPDATE")
            .bind(device.as_bytes().as_slice())
            .fetch_optional(&mut *connection)
            .await?;
    let Some((state, expires_at)) = found else { return Ok(Redeemed::Unknown) };
    let state = state_of(&state)?;
    if let (DeviceState::Used, Some(grant)) = (state, &grant) {
        return replayed(connection, grant, *now).await;
    }
    if now.0 >= expires_at {
        return Ok(Redeemed::Expired);
    }
    // Approved a moment ago, its grant is not locked yet; the device asks again.
    let Some(grant) = grant.filter(|grant| grant.is_live && state == DeviceState::Approved) else {
        return Ok(Redeemed::GrantEnded);
    };
    query("UPDATE devices SET state = $2 WHERE lookup = $1")
        .bind(device.as_bytes().as_slice())
        .bind(DeviceState::Used.as_str())
        .execute(&mut *connection)
        .await?;
    for token in tokens {
        grants::insert_token(connection, grant.id, token, None).await?;
    }
    Ok(Redeemed::Done)
}
