use std::collections::BTreeSet;

use async_trait::async_trait;
use sqlx::{query, query_scalar, sqlite::SqliteRow};

use super::{
    SqliteStore,
    fault::fault,
    row::{column, grant_id_of},
    transaction::Transaction,
};
use crate::{
    model::{Login, TokenHash},
    store::{
        BROWSER_ROWS, GrantUse, HISTORY_ROWS, History, SignInNote, SignInRecord, StoreError,
        history::{Columns, Row, grant_use},
    },
};

/// A page of the whole table, for whoever examines it.
pub(super) const PAGE: &str = "SELECT CAST(login || char(9) || day || char(9) || place || char(9) || address || char(9)
        || client_id || char(9) || program || char(9) || failed || char(9) || hex(browser) AS BLOB) AS position, *
    FROM sign_ins WHERE position > ?1 ORDER BY position LIMIT ?2";

#[async_trait]
impl History for SqliteStore {
    async fn note_sign_ins(&self, notes: Vec<SignInNote>) -> Result<(), StoreError> {
        self.writer.run(move |transaction| Box::pin(note(transaction, Row::of(notes)))).await
    }

    async fn sign_ins(&self, user: &Login) -> Result<Vec<SignInRecord>, StoreError> {
        query("SELECT * FROM sign_ins WHERE login = ?1 ORDER BY at DESC, place, address LIMIT ?2")
            .bind(user.as_str())
            .bind(HISTORY_ROWS)
            .fetch_all(&self.readers)
            .await
            .map_err(fault)?
            .iter()
            .map(record_of)
            .collect()
    }

    async fn browsers_told(&self, user: &Login, own: Option<&TokenHash>) -> Result<(), StoreError> {
        let (user, own) = (user.clone(), own.map(|own| own.as_bytes().to_vec()).unwrap_or_default());
        self.writer.run(move |transaction| Box::pin(told(transaction, user, own))).await
    }

    async fn grant_uses(&self, user: &Login) -> Result<Vec<GrantUse>, StoreError> {
        let rows = query(
            "SELECT u.grant_id, u.at, u.place, u.address, u.program FROM grants g
             JOIN grant_uses u ON u.grant_id = g.id WHERE g.user = ?1",
        )
        .bind(user.as_str())
        .fetch_all(&self.readers)
        .await
        .map_err(fault)?;
        let read = |row: &SqliteRow| {
            grant_use(
                grant_id_of(column(row, "grant_id")?)?,
                column(row, "at")?,
                column(row, "place")?,
                column(row, "address")?,
                column(row, "program")?,
            )
        };
        rows.iter().map(read).collect()
    }
}

pub(super) fn record_of(row: &SqliteRow) -> Result<SignInRecord, StoreError> {
    let columns = Columns {
        at: column(row, "at")?,
        place: column(row, "place")?,
        address: column(row, "address")?,
        client: column(row, "client_id")?,
        program: column(row, "program")?,
        failed: column(row, "failed")?,
        browser: column(row, "browser")?,
        count: column(row, "count")?,
        news: column(row, "news")?,
    };
    columns.record()
}

async fn note(transaction: &mut Transaction, rows: Vec<Row>) -> Result<(), StoreError> {
    let mut logins = BTreeSet::new();
    for row in rows {
        if row.failed && !has_signed_in(transaction, &row.login).await? {
            continue;
        }
        let is_news = !row.browser.is_empty() && !is_known(transaction, &row).await?;
        add(transaction, &row, is_news).await?;
        logins.insert(row.login);
    }
    for login in logins {
        bound(transaction, &login).await?;
    }
    Ok(())
}

async fn has_signed_in(transaction: &mut Transaction, login: &str) -> Result<bool, StoreError> {
    query_scalar("SELECT EXISTS (SELECT 1 FROM sign_ins WHERE login = ?1 AND NOT failed)")
        .bind(login)
        .fetch_one(transaction.reading())
        .await
        .map_err(fault)
}

/// Whether the browser was seen before; the first one of all is no news to anybody.
async fn is_known(transaction: &mut Transaction, row: &Row) -> Result<bool, StoreError> {
    query_scalar(
        "SELECT EXISTS (SELECT 1 FROM browsers WHERE login = ?1 AND browser = ?2)
             OR NOT EXISTS (SELECT 1 FROM browsers WHERE login = ?1)",
    )
    .bind(row.login.as_str())
    .bind(row.browser.as_slice())
    .fetch_one(transaction.reading())
    .await
    .map_err(fault)
}

async fn add(transaction: &mut Transaction, row: &Row, is_news: bool) -> Result<(), StoreError> {
    query(
        "INSERT INTO sign_ins (login, day, place, address, client_id, program, failed, browser, at, count, news)
         VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, 1, ?10)
         ON CONFLICT DO UPDATE SET at = max(at, excluded.at), count = count + 1, news = max(news, excluded.news)",
    )
    .bind(row.login.as_str())
    .bind(row.day)
    .bind(row.place)
    .bind(row.address.as_str())
    .bind(row.client.as_str())
    .bind(row.program.as_str())
    .bind(row.failed)
    .bind(row.browser.as_slice())
    .bind(row.at)
    .bind(i64::from(is_news))
    .execute(transaction.writing().await?)
    .await
    .map_err(fault)?;
    if !row.browser.is_empty() {
        query(
            "INSERT INTO browsers (login, browser, seen_at) VALUES (?1, ?2, ?3)
             ON CONFLICT DO UPDATE SET seen_at = max(seen_at, excluded.seen_at)",
        )
        .bind(row.login.as_str())
        .bind(row.browser.as_slice())
        .bind(row.at)
        .execute(transaction.writing().await?)
        .await
        .map_err(fault)?;
    }
    let Some(grant) = row.grant else { return Ok(()) };
    query(
        "INSERT INTO grant_uses (grant_id, at, place, address, program)
         SELECT id, ?2, ?3, ?4, ?5 FROM grants WHERE id = ?1
         ON CONFLICT DO UPDATE SET at = excluded.at, place = excluded.place, address = excluded.address,
                                   program = excluded.program WHERE excluded.at >= at",
    )
    .bind(grant.as_bytes().as_slice())
    .bind(row.at)
    .bind(row.place)
    .bind(row.address.as_str())
    .bind(row.program.as_str())
    .execute(transaction.writing().await?)
    .await
    .map_err(fault)?;
    Ok(())
}

async fn bound(transaction: &mut Transaction, login: &str) -> Result<(), StoreError> {
    let statements = [
        (
            "DELETE FROM sign_ins WHERE (login, day, place, address, client_id, program, failed, browser) IN
             (SELECT login, day, place, address, client_id, program, failed, browser FROM sign_ins
              WHERE login = ?1 ORDER BY at DESC LIMIT -1 OFFSET ?2)",
            HISTORY_ROWS,
        ),
        (
            "DELETE FROM browsers WHERE (login, browser) IN
             (SELECT login, browser FROM browsers WHERE login = ?1 ORDER BY seen_at DESC LIMIT -1 OFFSET ?2)",
            BROWSER_ROWS,
        ),
    ];
    for (statement, rows) in statements {
        query(statement).bind(login).bind(rows).execute(transaction.writing().await?).await.map_err(fault)?;
    }
    Ok(())
}

async fn told(transaction: &mut Transaction, user: Login, own: Vec<u8>) -> Result<(), StoreError> {
    query("UPDATE sign_ins SET news = 2 WHERE login = ?1 AND news = 1 AND browser <> ?2")
        .bind(user.as_str())
        .bind(own)
        .execute(transaction.writing().await?)
        .await
        .map_err(fault)?;
    Ok(())
}
