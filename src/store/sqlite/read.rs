use sqlx::{Row, SqlitePool, migrate::Migrator, query, query_scalar, sqlite::SqliteRow};

use super::{fault, fault::corrupt};
use crate::{
    model::{CredentialKind, GrantId, Login, TokenHash, TokenKind, UnixTime},
    store::{
        CheckItem, Grant, GrantEnd, GrantFilter, Revocation, RevocationCursor, RevocationPage,
        RevocationReason, Revoked, SealedCredential, SigningKeyRecord, StoreError, TokenRecord,
    },
};

pub(super) async fn token(
    readers: &SqlitePool,
    lookup: &TokenHash,
) -> Result<Option<TokenRecord>, StoreError> {
    let rows = query(
        "SELECT g.id, g.user, g.client_id, g.scope, g.created_at, g.expires_at, g.revoked_at, g.revoked_reason,
                g.public_key, g.audience, g.auth_time, g.mailboxes, t.kind AS token_kind, t.scope AS token_scope, t.created_at AS token_created_at,
                t.expires_at AS token_expires_at,
                t.revoked_at AS token_revoked_at, t.audience AS token_audience, t.certificate, t.used_at,
                t.answer, t.wrapped_key, c.backend, c.kind, c.sealed
         FROM tokens t JOIN grants g ON g.id = t.grant_id LEFT JOIN credentials c ON c.grant_id = g.id
         WHERE t.lookup = ?1 ORDER BY c.backend, c.kind",
    )
    .bind(lookup.as_bytes().as_slice())
    .fetch_all(readers)
    .await
    .map_err(fault)?;
    let Some(row) = rows.first() else { return Ok(None) };
    let kind: &str = column(row, "token_kind")?;
    Ok(Some(TokenRecord {
        kind: TokenKind::from_name(kind).ok_or_else(|| corrupt("token kind"))?,
        scope: column::<&str>(row, "token_scope")?.parse().map_err(|_| corrupt("scope"))?,
        expires_at: UnixTime(column(row, "token_expires_at")?),
        revoked_at: column::<Option<i64>>(row, "token_revoked_at")?.map(UnixTime),
        audience: column(row, "token_audience")?,
        created_at: UnixTime(column(row, "token_created_at")?),
        certificate: column::<Option<&[u8]>>(row, "certificate")?
            .map(|octets| octets.try_into().map_err(|_| corrupt("certificate")))
            .transpose()?,
        used_at: column::<Option<i64>>(row, "used_at")?.map(UnixTime),
        answer: column(row, "answer")?,
        wrapped_key: column(row, "wrapped_key")?,
        grant: grant_of(row)?,
        credentials: rows
            .iter()
            .filter_map(|row| credential_of(row).transpose())
            .collect::<Result<_, _>>()?,
    }))
}

pub(super) async fn grant(readers: &SqlitePool, id: GrantId) -> Result<Option<Grant>, StoreError> {
    query(
        "SELECT id, user, client_id, scope, created_at, expires_at, revoked_at, revoked_reason, public_key,
                audience, auth_time, mailboxes
         FROM grants WHERE id = ?1",
    )
    .bind(id.as_bytes().as_slice())
    .fetch_optional(readers)
    .await
    .map_err(fault)?
    .map(|row| grant_of(&row))
    .transpose()
}

pub(super) async fn grants(readers: &SqlitePool, filter: &GrantFilter) -> Result<Vec<Grant>, StoreError> {
    query(
        "SELECT id, user, client_id, scope, created_at, expires_at, revoked_at, revoked_reason, public_key,
                audience, auth_time, mailboxes
         FROM grants g
         WHERE (?1 IS NULL OR user = ?1) AND (?2 IS NULL OR client_id = ?2)
           AND (?3 IS NULL OR (revoked_at IS NULL AND (expires_at IS NULL OR expires_at > ?3)
                AND EXISTS (SELECT 1 FROM tokens t
                            WHERE t.grant_id = g.id AND t.revoked_at IS NULL AND t.expires_at > ?3)))
         ORDER BY created_at, id",
    )
    .bind(filter.user.as_ref().map(Login::as_str))
    .bind(filter.client.as_ref().map(|client| client.as_str()))
    .bind(filter.active_at.map(|at| at.0))
    .fetch_all(readers)
    .await
    .map_err(fault)?
    .iter()
    .map(grant_of)
    .collect()
}

/// SQLite has one writer at a time, so what commits later has a higher number: whatever is read is settled.
pub(super) async fn revocations(
    readers: &SqlitePool,
    cursor: Option<RevocationCursor>,
) -> Result<RevocationPage, StoreError> {
    let Some(cursor) = cursor else {
        // Old rows are removed, but the counter stays.
        let last: Option<i64> = query_scalar("SELECT seq FROM sqlite_sequence WHERE name = 'revocations'")
            .fetch_optional(readers)
            .await
            .map_err(fault)?;
        return Ok(page(Vec::new(), last.unwrap_or(0)));
    };
    let rows =
        query("SELECT sequence, grant_id, lookup, at FROM revocations WHERE sequence > ?1 ORDER BY sequence")
            .bind(cursor.0)
            .fetch_all(readers)
            .await
            .map_err(fault)?;
    let items = rows.iter().map(revocation_of).collect::<Result<Vec<_>, _>>()?;
    let last = items.last().map_or(cursor.0, |last| last.sequence);
    Ok(page(items, last))
}

fn page(items: Vec<Revocation>, last: i64) -> RevocationPage {
    RevocationPage { items, cursor: RevocationCursor(last), settled: last }
}

pub(super) async fn signing_keys(readers: &SqlitePool) -> Result<Vec<SigningKeyRecord>, StoreError> {
    query(
        "SELECT kid, algorithm, sealed, created_at, signs_from, retires_at FROM signing_keys
         ORDER BY signs_from, created_at, kid",
    )
    .fetch_all(readers)
    .await
    .map_err(fault)?
    .iter()
    .map(|row| {
        Ok(SigningKeyRecord {
            kid: column(row, "kid")?,
            algorithm: column(row, "algorithm")?,
            sealed: column(row, "sealed")?,
            created_at: UnixTime(column(row, "created_at")?),
            signs_from: UnixTime(column(row, "signs_from")?),
            retires_at: column::<Option<i64>>(row, "retires_at")?.map(UnixTime),
        })
    })
    .collect()
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
        CheckItem {
            what: "migrations",
            ok: applied == expected,
            detail: format!("{} of {} applied", applied.len(), expected.len()),
        },
    ])
}

fn grant_of(row: &SqliteRow) -> Result<Grant, StoreError> {
    let revoked = match (column(row, "revoked_at")?, column::<Option<&str>>(row, "revoked_reason")?) {
        (Some(at), Some(reason)) => {
            let reason = RevocationReason::from_name(reason).ok_or_else(|| corrupt("revocation reason"))?;
            Some(GrantEnd { at: UnixTime(at), reason })
        }
        (None, None) => None,
        (Some(_), None) | (None, Some(_)) => return Err(corrupt("whole revocation")),
    };
    let user: &str = column(row, "user")?;
    let login = Login::parse(user).map_err(|_| corrupt("login name"))?;
    if login.as_str() != user {
        return Err(corrupt("normalised login name"));
    }
    Ok(Grant {
        id: GrantId::from_slice(column(row, "id")?).map_err(|_| corrupt("grant"))?,
        user: login,
        client: column::<&str>(row, "client_id")?.parse().map_err(|_| corrupt("client"))?,
        scope: column::<&str>(row, "scope")?.parse().map_err(|_| corrupt("scope"))?,
        created_at: UnixTime(column(row, "created_at")?),
        expires_at: column::<Option<i64>>(row, "expires_at")?.map(UnixTime),
        revoked,
        audience: column(row, "audience")?,
        auth_time: column::<Option<i64>>(row, "auth_time")?.map(UnixTime),
        mailboxes: column::<&str>(row, "mailboxes")?
            .split(' ')
            .filter(|name| !name.is_empty())
            .map(str::to_owned)
            .collect(),
        public_key: column::<&[u8]>(row, "public_key")?.try_into().map_err(|_| corrupt("public key"))?,
    })
}

/// The credential of a joined row; `None` where the grant has none.
fn credential_of(row: &SqliteRow) -> Result<Option<SealedCredential>, StoreError> {
    let Some(backend) = column::<Option<String>>(row, "backend")? else { return Ok(None) };
    let kind = CredentialKind::from_name(column(row, "kind")?).ok_or_else(|| corrupt("credential kind"))?;
    Ok(Some(SealedCredential { backend, kind, sealed: column(row, "sealed")? }))
}

fn revocation_of(row: &SqliteRow) -> Result<Revocation, StoreError> {
    let what = match (column::<Option<&[u8]>>(row, "grant_id")?, column::<Option<&[u8]>>(row, "lookup")?) {
        (Some(grant), None) => Revoked::Grant(GrantId::from_slice(grant).map_err(|_| corrupt("grant"))?),
        (None, Some(lookup)) => {
            Revoked::Token(TokenHash::new(lookup.try_into().map_err(|_| corrupt("token"))?))
        }
        (Some(_), Some(_)) | (None, None) => return Err(corrupt("revocation")),
    };
    Ok(Revocation { what, at: UnixTime(column(row, "at")?), sequence: column(row, "sequence")? })
}

fn column<'r, T>(row: &'r SqliteRow, name: &str) -> Result<T, StoreError>
where
    T: sqlx::Decode<'r, sqlx::Sqlite> + sqlx::Type<sqlx::Sqlite>,
{
    row.try_get(name).map_err(fault)
}
