//! The removal of what has had its time. Each kind of row is found by an index of its own and is one transaction of
//! its own, so that other writes get in between.

use std::{collections::BTreeSet, fmt::Write, pin::Pin, time::Duration};

use sqlx::{query, query_scalar};

use super::{fault::fault, transaction::Transaction, writer::Writer};
use crate::{
    model::UnixTime,
    store::{
        BROWSER_RETENTION, DEVICE_RETENTION, HISTORY_RETENTION, OUTSIDE_RETENTION, RETENTION, StoreError,
    },
};

/// What is removed, and when: `?1` is a moment, `?2` how many rows at most.
struct Kind {
    /// How long ago the moment is.
    ago: Duration,
    statement: &'static str,
    /// Whether the statement returns grants that may have lost their last token.
    leaves_grants: bool,
}

impl Kind {
    const fn at_once(statement: &'static str) -> Self {
        Self { ago: Duration::ZERO, statement, leaves_grants: false }
    }

    const fn retained(statement: &'static str) -> Self {
        Self { ago: RETENTION, statement, leaves_grants: true }
    }
}

const KINDS: [Kind; 15] = [
    Kind::at_once(
        "UPDATE tokens SET wrapped_key = NULL WHERE lookup IN
         (SELECT lookup FROM tokens WHERE wrapped_key IS NOT NULL AND expires_at <= ?1 LIMIT ?2)",
    ),
    Kind::at_once(
        "UPDATE codes SET wrapped_key = NULL WHERE lookup IN
         (SELECT lookup FROM codes WHERE wrapped_key IS NOT NULL AND expires_at <= ?1 LIMIT ?2)",
    ),
    Kind::at_once(
        "UPDATE tokens SET answer = NULL, answer_until = NULL WHERE lookup IN
         (SELECT lookup FROM tokens WHERE answer IS NOT NULL AND answer_until <= ?1 LIMIT ?2)",
    ),
    Kind::at_once(
        "DELETE FROM ephemeral WHERE (kind, key) IN
         (SELECT kind, key FROM ephemeral WHERE expires_at <= ?1 LIMIT ?2)",
    ),
    Kind::at_once(
        "DELETE FROM signing_keys WHERE kid IN
         (SELECT kid FROM signing_keys WHERE retires_at IS NOT NULL AND retires_at <= ?1 LIMIT ?2)",
    ),
    Kind::retained(
        "DELETE FROM tokens WHERE lookup IN (SELECT lookup FROM tokens WHERE expires_at <= ?1 LIMIT ?2)
         RETURNING grant_id",
    ),
    Kind::retained(
        "DELETE FROM tokens WHERE lookup IN
         (SELECT lookup FROM tokens WHERE used_at IS NOT NULL AND used_at <= ?1 LIMIT ?2)
         RETURNING grant_id",
    ),
    Kind::retained(
        "DELETE FROM codes WHERE lookup IN (SELECT lookup FROM codes WHERE expires_at <= ?1 LIMIT ?2)
         RETURNING grant_id",
    ),
    Kind::retained(
        "DELETE FROM devices WHERE lookup IN
         (SELECT lookup FROM devices WHERE grant_id IS NOT NULL AND expires_at <= ?1 LIMIT ?2)
         RETURNING grant_id",
    ),
    Kind {
        ago: DEVICE_RETENTION,
        statement: "DELETE FROM devices WHERE lookup IN
                    (SELECT lookup FROM devices WHERE grant_id IS NULL AND expires_at <= ?1 LIMIT ?2)",
        leaves_grants: false,
    },
    Kind {
        ago: RETENTION,
        statement: "DELETE FROM revocations WHERE sequence IN
                    (SELECT sequence FROM revocations WHERE at <= ?1 LIMIT ?2)",
        leaves_grants: false,
    },
    Kind {
        ago: OUTSIDE_RETENTION,
        statement: "DELETE FROM outside_ends WHERE key IN
                    (SELECT key FROM outside_ends WHERE at <= ?1 LIMIT ?2)",
        leaves_grants: false,
    },
    Kind {
        ago: HISTORY_RETENTION,
        statement:
            "DELETE FROM sign_ins WHERE (login, day, place, address, client_id, program, failed, browser) IN
                    (SELECT login, day, place, address, client_id, program, failed, browser FROM sign_ins
                     WHERE at <= ?1 LIMIT ?2)",
        leaves_grants: false,
    },
    Kind {
        ago: BROWSER_RETENTION,
        statement: "DELETE FROM browsers WHERE (login, browser) IN
                    (SELECT login, browser FROM browsers WHERE seen_at <= ?1 LIMIT ?2)",
        leaves_grants: false,
    },
    Kind::at_once(
        "DELETE FROM account_sessions WHERE lookup IN
         (SELECT lookup FROM account_sessions WHERE expires_at <= ?1 LIMIT ?2)",
    ),
];

pub(super) async fn remove_expired(writer: &Writer, now: UnixTime, limit: u32) -> Result<u64, StoreError> {
    let mut touched = 0;
    for kind in &KINDS {
        touched += writer.run(move |transaction| remove(transaction, kind, now, limit)).await?;
    }
    Ok(touched)
}

type Removed<'c> = Pin<Box<dyn Future<Output = Result<u64, StoreError>> + Send + 'c>>;

fn remove<'c>(
    transaction: &'c mut Transaction,
    kind: &'static Kind,
    now: UnixTime,
    limit: u32,
) -> Removed<'c> {
    Box::pin(async move {
        let ago = i64::try_from(kind.ago.as_secs()).unwrap_or(i64::MAX);
        let moment = now.0.saturating_sub(ago);
        if !kind.leaves_grants {
            let done =
                query(kind.statement).bind(moment).bind(limit).execute(transaction.writing().await?).await;
            return Ok(done.map_err(fault)?.rows_affected());
        }
        let grants: Vec<Vec<u8>> = query_scalar(kind.statement)
            .bind(moment)
            .bind(limit)
            .fetch_all(transaction.writing().await?)
            .await
            .map_err(fault)?;
        let removed = u64::try_from(grants.len()).unwrap_or(u64::MAX);
        Ok(removed + remove_unused(transaction, grants.into_iter().collect(), now).await?)
    })
}

/// Those of a list of grants that nothing is left of.
const UNUSED: &str = "SELECT g.id FROM json_each(?1) j JOIN grants g ON g.id = unhex(j.value)
    WHERE NOT EXISTS (SELECT 1 FROM tokens WHERE grant_id = g.id)
      AND NOT EXISTS (SELECT 1 FROM codes WHERE grant_id = g.id)
      AND NOT EXISTS (SELECT 1 FROM devices WHERE grant_id = g.id)";

/// Removes those of the grants that nothing is left of. A session that still hangs on one must end, so it is told.
async fn remove_unused(
    transaction: &mut Transaction,
    grants: BTreeSet<Vec<u8>>,
    now: UnixTime,
) -> Result<u64, StoreError> {
    if grants.is_empty() {
        return Ok(0);
    }
    let unused: Vec<Vec<u8>> =
        query_scalar(UNUSED).bind(json(&grants)).fetch_all(transaction.reading()).await.map_err(fault)?;
    if unused.is_empty() {
        return Ok(0);
    }
    query(
        "INSERT INTO revocations (grant_id, at)
         SELECT g.id, $2 FROM json_each($1) j JOIN grants g ON g.id = unhex(j.value) WHERE g.revoked_at IS NULL;
         DELETE FROM grants WHERE id IN (SELECT unhex(value) FROM json_each($1))",
    )
    .bind(json(&unused))
    .bind(now.0)
    .execute(transaction.writing().await?)
    .await
    .map_err(fault)?;
    Ok(u64::try_from(unused.len()).unwrap_or(u64::MAX))
}

/// Octets as an array of hexadecimal strings, which is how SQLite takes a list.
fn json<'a>(list: impl IntoIterator<Item = &'a Vec<u8>>) -> String {
    let mut text = String::from("[");
    for octets in list {
        text.push_str(if text.len() == 1 { "\"" } else { ",\"" });
        for octet in octets {
            // Writing to a string cannot fail.
            let _ = write!(text, "{octet:02x}");
        }
        text.push('"');
    }
    text.push(']');
    text
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::store::sqlite::plans::plan;

    #[tokio::test]
    async fn clean_up_finds_each_kind_of_row_by_its_own_index() {
        let folder = tempfile::tempdir().unwrap();
        let indexes = [
            "tokens_with_key_by_expiry",
            "codes_with_key_by_expiry",
            "tokens_with_answer",
            "ephemeral_by_expiry",
            "signing_keys_by_end",
            "tokens_by_expiry",
            "tokens_by_use",
            "codes_by_expiry",
            "devices_with_grant_by_expiry",
            "devices_without_grant_by_expiry",
            "revocations_by_time",
            "outside_ends_by_time",
            "sign_ins_by_time",
            "browsers_by_time",
            "account_sessions_by_expiry",
        ];
        for (kind, index) in KINDS.iter().zip(indexes) {
            let plan = plan(&folder, kind.statement).await;
            assert!(plan.contains(&format!("INDEX {index} (")), "{index}: {plan}");
            assert!(!plan.contains("SCAN"), "{index}: {plan}");
        }
        let plan = plan(&folder, UNUSED).await;
        for index in ["tokens_by_grant", "codes_by_grant", "devices_by_grant"] {
            assert!(plan.contains(&format!("INDEX {index} (grant_id=?)")), "{index}: {plan}");
        }
        assert!(plan.matches("SCAN").count() == 1 && plan.contains("SCAN j VIRTUAL TABLE"), "{plan}");
    }
}
