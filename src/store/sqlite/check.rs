use sqlx::{SqlitePool, migrate::Migrator, query, query_scalar, sqlite::SqliteRow};

use super::{
    app_password, client,
    device::device_of,
    fault::{corrupt, fault},
    history,
    row::{column, grant_columns, grant_of, hash_of, scope_of},
    secret, user,
};
use crate::{
    model::{CredentialKind, TokenKind},
    store::{CheckItem, StoreError},
};

/// Rows that are in memory at once.
const PAGE: u32 = 1000;

/// A table to be read row by row, by its key, which is given as octets.
struct Table {
    name: &'static str,
    page: &'static str,
    read: fn(&SqliteRow) -> Result<(), StoreError>,
}

const TABLES: [Table; 10] = [
    Table {
        name: "grants",
        page: concat!(
            "SELECT g.id AS position, ",
            grant_columns!(),
            " FROM grants g WHERE g.id > ?1 ORDER BY g.id LIMIT ?2"
        ),
        read: |row| grant_of(row).map(drop),
    },
    Table {
        name: "tokens",
        page: "SELECT lookup AS position, kind, scope FROM tokens WHERE lookup > ?1 ORDER BY lookup LIMIT ?2",
        read: token,
    },
    Table {
        name: "app passwords",
        page: app_password::PAGE,
        read: |row| app_password::record_of(row).map(drop),
    },
    Table {
        name: "codes",
        page: "SELECT lookup AS position FROM codes WHERE lookup > ?1 ORDER BY lookup LIMIT ?2",
        read: |row| hash_of(column(row, "position")?).map(drop),
    },
    Table {
        name: "devices",
        page:
            "SELECT lookup AS position, lookup, client_id, scope, audience, public_key, details, created_at,
                      expires_at, state
               FROM devices WHERE lookup > ?1 ORDER BY lookup LIMIT ?2",
        read: |row| device_of(row).map(drop),
    },
    Table {
        name: "clients",
        page: "SELECT CAST(id AS BLOB) AS position, id, secret, management, metadata, created_at FROM clients
               WHERE id > CAST(?1 AS TEXT) ORDER BY id LIMIT ?2",
        read: |row| client::record_of(row).map(drop),
    },
    Table {
        name: "consented scopes",
        page: "SELECT DISTINCT CAST(scope AS BLOB) AS position, scope FROM consents
               WHERE scope > CAST(?1 AS TEXT) ORDER BY scope LIMIT ?2",
        read: |row| scope_of(row, "scope").map(drop),
    },
    Table {
        name: "users",
        page: "SELECT CAST(login AS BLOB) AS position, login, password, created_at, changed_at FROM users
               WHERE login > CAST(?1 AS TEXT) ORDER BY login LIMIT ?2",
        read: |row| user::user_of(row).map(drop),
    },
    Table { name: "sign-ins", page: history::PAGE, read: |row| history::record_of(row).map(drop) },
    Table {
        name: "upstream secrets",
        page: "SELECT CAST(user || char(9) || backend AS BLOB) AS position, user, backend, sealed, created_at
               FROM upstream_secrets WHERE user || char(9) || backend > CAST(?1 AS TEXT)
               ORDER BY user || char(9) || backend LIMIT ?2",
        read: |row| secret::secret_of(row).map(drop),
    },
];

fn token(row: &SqliteRow) -> Result<(), StoreError> {
    scope_of(row, "scope")?;
    TokenKind::from_name(column(row, "kind")?).map(drop).ok_or_else(|| corrupt("token kind"))
}

pub(super) async fn check(readers: &SqlitePool, migrations: &Migrator) -> Result<Vec<CheckItem>, StoreError> {
    let findings: Vec<String> =
        query_scalar("PRAGMA integrity_check").fetch_all(readers).await.map_err(fault)?;
    let orphans = query("PRAGMA foreign_key_check").fetch_all(readers).await.map_err(fault)?.len();
    let applied: Vec<i64> =
        query_scalar("SELECT version FROM _sqlx_migrations WHERE success ORDER BY version")
            .fetch_all(readers)
            .await
            .map_err(fault)?;
    let expected: Vec<i64> = migrations.iter().map(|migration| migration.version).collect();
    Ok(vec![
        CheckItem { what: "integrity", ok: findings == ["ok"], detail: findings.join("; ") },
        CheckItem {
            what: "references",
            ok: orphans == 0,
            detail: format!("{orphans} rows refer to nothing"),
        },
        rows(readers).await?,
        CheckItem {
            what: "migrations",
            ok: applied == expected,
            detail: format!("{} of {} applied", applied.len(), expected.len()),
        },
    ])
}

/// Reads every row as the other operations would.
async fn rows(readers: &SqlitePool) -> Result<CheckItem, StoreError> {
    let mut counts = Vec::new();
    let mut unreadable = 0_u64;
    for table in &TABLES {
        let mut count = 0;
        let mut position = Vec::new();
        loop {
            let rows = query(table.page)
                .bind(position.as_slice())
                .bind(PAGE)
                .fetch_all(readers)
                .await
                .map_err(fault)?;
            let Some(last) = rows.last() else { break };
            position = column(last, "position")?;
            for row in &rows {
                count += 1;
                unreadable += u64::from((table.read)(row).is_err());
            }
        }
        counts.push(format!("{count} {}", table.name));
    }
    let kinds: Vec<String> =
        query_scalar("SELECT DISTINCT kind FROM credentials").fetch_all(readers).await.map_err(fault)?;
    let unknown = kinds.iter().filter(|kind| CredentialKind::from_name(kind).is_none()).count();
    Ok(CheckItem {
        what: "rows",
        ok: unreadable == 0 && unknown == 0,
        detail: format!(
            "{}; {unreadable} rows and {unknown} kinds of credential make no sense",
            counts.join(", ")
        ),
    })
}
