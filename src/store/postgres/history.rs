use std::collections::BTreeSet;

use async_trait::async_trait;
use sqlx::{PgConnection, postgres::PgRow, query, query_scalar};

use super::{
    PostgresStore,
    row::{self, column},
    runner::Done,
};
use crate::{
    model::{Login, TokenHash},
    store::{
        BROWSER_ROWS, GrantUse, HISTORY_ROWS, History, SignInNote, SignInRecord, StoreError,
        history::{Columns, Row, grant_use},
    },
};

#[async_trait]
impl History for PostgresStore {
    async fn note_sign_ins(&self, notes: Vec<SignInNote>) -> Result<(), StoreError> {
        self.runner.write(Row::of(notes), |connection, rows| Box::pin(note(connection, rows))).await
    }

    async fn sign_ins(&self, user: &Login) -> Result<Vec<SignInRecord>, StoreError> {
        self.runner.read(user.clone(), |connection, user| Box::pin(list(connection, user))).await
    }

    async fn browsers_told(&self, user: &Login, own: Option<&TokenHash>) -> Result<(), StoreError> {
        let own = own.map(|own| own.as_bytes().to_vec()).unwrap_or_default();
        self.runner.write((user.clone(), own), |connection, told| Box::pin(tell(connection, told))).await
    }

    async fn grant_uses(&self, user: &Login) -> Result<Vec<GrantUse>, StoreError> {
        self.runner.read(user.clone(), |connection, user| Box::pin(uses(connection, user))).await
    }
}

fn record(row: &PgRow) -> Result<SignInRecord, StoreError> {
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

async fn list(connection: &mut PgConnection, user: &Login) -> Done<Vec<SignInRecord>> {
    let rows = query("SELECT * FROM sign_ins WHERE login = $1 ORDER BY at DESC, place, address LIMIT $2")
        .bind(user.as_str())
        .bind(i64::from(HISTORY_ROWS))
        .fetch_all(connection)
        .await?;
    Ok(rows.iter().map(record).collect::<Result<_, _>>()?)
}

async fn uses(connection: &mut PgConnection, user: &Login) -> Done<Vec<GrantUse>> {
    let rows = query(
        "SELECT u.grant_id, u.at, u.place, u.address, u.program FROM grants g
         JOIN grant_uses u ON u.grant_id = g.id WHERE g.login = $1",
    )
    .bind(user.as_str())
    .fetch_all(connection)
    .await?;
    let read = |row: &PgRow| {
        grant_use(
            row::grant_id(row, "grant_id")?,
            column(row, "at")?,
            column(row, "place")?,
            column(row, "address")?,
            column(row, "program")?,
        )
    };
    Ok(rows.iter().map(read).collect::<Result<_, _>>()?)
}

async fn note(connection: &mut PgConnection, rows: &[Row]) -> Done<()> {
    let logins: BTreeSet<&str> = rows.iter().map(|row| row.login.as_str()).collect();
    // One at a time for each user, or two at once could both be the first from a browser.
    for login in &logins {
        query("SELECT pg_advisory_xact_lock(hashtextextended('sign-ins of ' || $1, 0))")
            .bind(login)
            .execute(&mut *connection)
            .await?;
    }
    for row in rows {
        if row.failed && !has_signed_in(connection, &row.login).await? {
            continue;
        }
        let is_news = !row.browser.is_empty() && !is_known(connection, row).await?;
        add(connection, row, is_news).await?;
    }
    for login in logins {
        bound(connection, login).await?;
    }
    Ok(())
}

async fn has_signed_in(connection: &mut PgConnection, login: &str) -> Done<bool> {
    let has = query_scalar("SELECT EXISTS (SELECT 1 FROM sign_ins WHERE login = $1 AND NOT failed)")
        .bind(login)
        .fetch_one(connection)
        .await?;
    Ok(has)
}

/// Whether the browser was seen before; the first one of all is no news to anybody.
async fn is_known(connection: &mut PgConnection, row: &Row) -> Done<bool> {
    let known = query_scalar(
        "SELECT EXISTS (SELECT 1 FROM browsers WHERE login = $1 AND browser = $2)
             OR NOT EXISTS (SELECT 1 FROM browsers WHERE login = $1)",
    )
    .bind(row.login.as_str())
    .bind(row.browser.as_slice())
    .fetch_one(connection)
    .await?;
    Ok(known)
}

async fn add(connection: &mut PgConnection, row: &Row, is_news: bool) -> Done<()> {
    query(
        "INSERT INTO sign_ins (login, day, place, address, client_id, program, failed, browser, at, count, news)
         VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, 1, $10)
         ON CONFLICT (login, day, place, address, client_id, program, failed, browser) DO UPDATE SET
             at = greatest(sign_ins.at, excluded.at), count = sign_ins.count + 1,
             news = greatest(sign_ins.news, excluded.news)",
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
    .execute(&mut *connection)
    .await?;
    if !row.browser.is_empty() {
        query(
            "INSERT INTO browsers (login, browser, seen_at) VALUES ($1, $2, $3)
             ON CONFLICT (login, browser) DO UPDATE SET seen_at = greatest(browsers.seen_at, excluded.seen_at)",
        )
        .bind(row.login.as_str())
        .bind(row.browser.as_slice())
        .bind(row.at)
        .execute(&mut *connection)
        .await?;
    }
    let Some(grant) = row.grant else { return Ok(()) };
    // The lock on the grant keeps it from being removed in between.
    query(
        "INSERT INTO grant_uses (grant_id, at, place, address, program)
         SELECT id, $2, $3, $4, $5 FROM grants WHERE id = $1 FOR KEY SHARE
         ON CONFLICT (grant_id) DO UPDATE SET at = excluded.at, place = excluded.place,
             address = excluded.address, program = excluded.program WHERE excluded.at >= grant_uses.at",
    )
    .bind(grant.as_bytes().as_slice())
    .bind(row.at)
    .bind(row.place)
    .bind(row.address.as_str())
    .bind(row.program.as_str())
    .execute(connection)
    .await?;
    Ok(())
}

async fn bound(connection: &mut PgConnection, login: &str) -> Done<()> {
    let statements = [
        (
            "DELETE FROM sign_ins WHERE (login, day, place, address, client_id, program, failed, browser) IN
             (SELECT login, day, place, address, client_id, program, failed, browser FROM sign_ins
              WHERE login = $1 ORDER BY at DESC OFFSET $2)",
            HISTORY_ROWS,
        ),
        (
            "DELETE FROM browsers WHERE (login, browser) IN
             (SELECT login, browser FROM browsers WHERE login = $1 ORDER BY seen_at DESC OFFSET $2)",
            BROWSER_ROWS,
        ),
    ];
    for (statement, rows) in statements {
        query(statement).bind(login).bind(i64::from(rows)).execute(&mut *connection).await?;
    }
    Ok(())
}

async fn tell(connection: &mut PgConnection, (user, own): &(Login, Vec<u8>)) -> Done<()> {
    query("UPDATE sign_ins SET news = 2 WHERE login = $1 AND news = 1 AND browser <> $2")
        .bind(user.as_str())
        .bind(own.as_slice())
        .execute(connection)
        .await?;
    Ok(())
}
