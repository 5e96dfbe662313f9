//! The removal of what has had its time. Each kind of row is found by an index of its own and is one transaction of
//! its own. What another node or request holds is left for the next time, so that nobody waits for anybody.

use std::time::Duration;

use sqlx::{PgConnection, query, query_scalar};

use super::{
    grants,
    runner::{Done, Runner},
};
use crate::{
    model::UnixTime,
    store::{
        BROWSER_RETENTION, DEVICE_RETENTION, HISTORY_RETENTION, OUTSIDE_RETENTION, RETENTION, StoreError,
    },
};

/// What is removed for itself alone, and when: `$1` is a moment, `$2` how many rows at most.
struct Alone {
    ago: Duration,
    statement: &'static str,
}

const ALONE: [Alone; 11] = [
    Alone {
        ago: Duration::ZERO,
        statement: "UPDATE tokens SET wrapped_key = NULL WHERE lookup IN
                    (SELECT lookup FROM tokens WHERE wrapped_key IS NOT NULL AND expires_at <= $1
                     LIMIT $2 FOR NO KEY UPDATE SKIP LOCKED)",
    },
    Alone {
        ago: Duration::ZERO,
        statement: "UPDATE codes SET wrapped_key = NULL WHERE lookup IN
                    (SELECT lookup FROM codes WHERE wrapped_key IS NOT NULL AND expires_at <= $1
                     LIMIT $2 FOR NO KEY UPDATE SKIP LOCKED)",
    },
    Alone {
        ago: Duration::ZERO,
        statement: "UPDATE tokens SET answer = NULL, answer_until = NULL WHERE lookup IN
                    (SELECT lookup FROM tokens WHERE answer IS NOT NULL AND answer_until <= $1
                     LIMIT $2 FOR NO KEY UPDATE SKIP LOCKED)",
    },
    Alone {
        ago: Duration::ZERO,
        statement: "DELETE FROM ephemeral WHERE (kind, key) IN
                    (SELECT kind, key FROM ephemeral WHERE expires_at <= $1
                     LIMIT $2 FOR UPDATE SKIP LOCKED)",
    },
    Alone {
        ago: Duration::ZERO,
        statement: "DELETE FROM signing_keys WHERE kid IN
                    (SELECT kid FROM signing_keys WHERE retires_at IS NOT NULL AND retires_at <= $1
                     LIMIT $2 FOR UPDATE SKIP LOCKED)",
    },
    Alone {
        ago: DEVICE_RETENTION,
        statement: "DELETE FROM devices WHERE lookup IN
                    (SELECT lookup FROM devices WHERE grant_id IS NULL AND expires_at <= $1
                     LIMIT $2 FOR UPDATE SKIP LOCKED)",
    },
    Alone {
        ago: RETENTION,
        statement: "DELETE FROM revocations WHERE sequence IN
                    (SELECT sequence FROM revocations WHERE at <= $1 LIMIT $2 FOR UPDATE SKIP LOCKED)",
    },
    Alone {
        ago: OUTSIDE_RETENTION,
        statement: "DELETE FROM outside_ends WHERE key IN
                    (SELECT key FROM outside_ends WHERE at <= $1 LIMIT $2 FOR UPDATE SKIP LOCKED)",
    },
    Alone {
        ago: HISTORY_RETENTION,
        statement:
            "DELETE FROM sign_ins WHERE (login, day, place, address, client_id, program, failed, browser) IN
                    (SELECT login, day, place, address, client_id, program, failed, browser FROM sign_ins
                     WHERE at <= $1 LIMIT $2 FOR UPDATE SKIP LOCKED)",
    },
    Alone {
        ago: BROWSER_RETENTION,
        statement: "DELETE FROM browsers WHERE (login, browser) IN
                    (SELECT login, browser FROM browsers WHERE seen_at <= $1
                     LIMIT $2 FOR UPDATE SKIP LOCKED)",
    },
    Alone {
        ago: Duration::ZERO,
        statement: "DELETE FROM account_sessions WHERE lookup IN
                    (SELECT lookup FROM account_sessions WHERE expires_at <= $1
                     LIMIT $2 FOR UPDATE SKIP LOCKED)",
    },
];

/// What is removed from grants, [`RETENTION`] after its end, and maybe the grant with it. First the grants are
/// locked, as everywhere, then their rows are removed.
struct Part {
    grants: &'static str,
    rows: &'static str,
}

macro_rules! part {
    ($table:literal, $due:literal) => {
        Part {
            grants: concat!(
                "SELECT id FROM grants WHERE id IN (SELECT grant_id FROM ",
                $table,
                " WHERE ",
                $due,
                " LIMIT $2) FOR UPDATE SKIP LOCKED"
            ),
            rows: concat!(
                "DELETE FROM ",
                $table,
                " WHERE lookup IN (SELECT lookup FROM ",
                $table,
                " WHERE ",
                $due,
                " AND grant_id = ANY($3) LIMIT $2)"
            ),
        }
    };
}

const PARTS: [Part; 4] = [
    part!("tokens", "expires_at <= $1"),
    part!("tokens", "used_at IS NOT NULL AND used_at <= $1"),
    part!("codes", "expires_at <= $1"),
    part!("devices", "grant_id IS NOT NULL AND expires_at <= $1"),
];

/// One step.
struct Step<K: 'static> {
    kind: &'static K,
    moment: i64,
    now: UnixTime,
    limit: i64,
}

pub(super) async fn remove_expired(runner: &Runner, now: UnixTime, limit: u32) -> Result<u64, StoreError> {
    let ago = |ago: Duration| now.0.saturating_sub(i64::try_from(ago.as_secs()).unwrap_or(i64::MAX));
    let limit = i64::from(limit);
    let mut touched = 0;
    for kind in &ALONE {
        let step = Step { kind, moment: ago(kind.ago), now, limit };
        touched += runner.write(step, |connection, step| Box::pin(alone(connection, step))).await?;
    }
    for kind in &PARTS {
        let step = Step { kind, moment: ago(RETENTION), now, limit };
        touched += runner.write(step, |connection, step| Box::pin(part(connection, step))).await?;
    }
    Ok(touched)
}

async fn alone(connection: &mut PgConnection, step: &Step<Alone>) -> Done<u64> {
    let done = query(step.kind.statement).bind(step.moment).bind(step.limit).execute(connection).await?;
    Ok(done.rows_affected())
}

async fn part(connection: &mut PgConnection, step: &Step<Part>) -> Done<u64> {
    let grants: Vec<Vec<u8>> =
        query_scalar(step.kind.grants).bind(step.moment).bind(step.limit).fetch_all(&mut *connection).await?;
    if grants.is_empty() {
        return Ok(0);
    }
    let removed = query(step.kind.rows)
        .bind(step.moment)
        .bind(step.limit)
        .bind(&grants)
        .execute(&mut *connection)
        .await?;
    Ok(removed.rows_affected() + remove_unused(connection, &grants, step.now).await?)
}

/// Removes those of the locked grants that nothing is left of. A session that still hangs on one must end, so it is
/// told.
async fn remove_unused(connection: &mut PgConnection, grants: &[Vec<u8>], now: UnixTime) -> Done<u64> {
    let removed: Vec<(Vec<u8>, bool)> = sqlx::query_as(
        "DELETE FROM grants g WHERE id = ANY($1)
           AND NOT EXISTS (SELECT 1 FROM tokens WHERE grant_id = g.id)
           AND NOT EXISTS (SELECT 1 FROM codes WHERE grant_id = g.id)
           AND NOT EXISTS (SELECT 1 FROM devices WHERE grant_id = g.id)
         RETURNING id, revoked_at IS NULL",
    )
    .bind(grants)
    .fetch_all(&mut *connection)
    .await?;
    let count = u64::try_from(removed.len()).unwrap_or(u64::MAX);
    let untold: Vec<Vec<u8>> =
        removed.into_iter().filter(|(_, had_not_ended)| *had_not_ended).map(|(id, _)| id).collect();
    if !untold.is_empty() {
        query("INSERT INTO revocations (grant_id, at) SELECT unnest($1::bytea[]), $2")
            .bind(&untold)
            .bind(now.0)
            .execute(&mut *connection)
            .await?;
        grants::notify(connection).await?;
    }
    Ok(count)
}
