use sqlx::{PgConnection, query, query_as};

use super::{
    grants::{self, Locked, lock_grant_of},
    row::{self, grant_columns},
    runner::Done,
};
use crate::{
    model::{TokenHash, TokenKind, UnixTime},
    store::{CodeRecord, NewToken, Redeemed, Renewal, RevocationReason, Rotated, Rotation},
};

pub(super) async fn code(connection: &mut PgConnection, lookup: &TokenHash) -> Done<Option<CodeRecord>> {
    let found = query(concat!(
        "SELECT ",
        grant_columns!(),
        ", c.details, c.expires_at AS code_expires_at, c.used_at, c.wrapped_key
         FROM codes c JOIN grants g ON g.id = c.grant_id WHERE c.lookup = $1"
    ))
    .bind(lookup.as_bytes().as_slice())
    .fetch_optional(connection)
    .await?;
    Ok(found.map(|found| row::code(&found)).transpose()?)
}

pub(super) async fn redeem_code(
    connection: &mut PgConnection,
    (code, tokens, now): &(TokenHash, Vec<NewToken>, UnixTime),
) -> Done<Redeemed> {
    let Some(grant) = grants::lock(connection, lock_grant_of!("codes"), code, *now).await? else {
        return Ok(Redeemed::Unknown);
    };
    let state: Option<(Option<i64>, i64)> =
        query_as("SELECT used_at, expires_at FROM codes WHERE lookup = $1")
            .bind(code.as_bytes().as_slice())
            .fetch_optional(&mut *connection)
            .await?;
    let Some((used_at, expires_at)) = state else { return Ok(Redeemed::Unknown) };
    if used_at.is_some() {
        return replayed(connection, &grant, *now).await;
    }
    if now.0 >= expires_at {
        return Ok(Redeemed::Expired);
    }
    if !grant.is_live {
        return Ok(Redeemed::GrantEnded);
    }
    query("UPDATE codes SET used_at = $2, wrapped_key = NULL WHERE lookup = $1")
        .bind(code.as_bytes().as_slice())
        .bind(now.0)
        .execute(&mut *connection)
        .await?;
    for token in tokens {
        grants::insert_token(connection, grant.id, token, None).await?;
    }
    Ok(Redeemed::Done)
}

/// RFC 6749 §4.1.2: what a code gave ends when it comes again.
pub(super) async fn replayed(connection: &mut PgConnection, grant: &Locked, now: UnixTime) -> Done<Redeemed> {
    if !grant.is_revoked {
        let grants = [grant.id.as_bytes().to_vec()];
        grants::end(connection, &grants, RevocationReason::CodeReplayed, now).await?;
    }
    Ok(Redeemed::Replayed(grant.id))
}

/// A refresh token whose grant is locked and live.
struct Refresh {
    grant: Locked,
    predecessor: Option<TokenHash>,
}

/// Locks the grant of a refresh token, and says why the token cannot be used, if so.
async fn refresh(
    connection: &mut PgConnection,
    lookup: &TokenHash,
    now: UnixTime,
) -> Done<Result<Refresh, Rotated>> {
    let Some(grant) = grants::lock(connection, lock_grant_of!("tokens"), lookup, now).await? else {
        return Ok(Err(Rotated::Unknown));
    };
    let found = query(
        "SELECT revoked_at, expires_at, used_at, predecessor,
                CASE WHEN answer_until > $3 THEN answer END AS answer
         FROM tokens WHERE lookup = $1 AND kind = $2",
    )
    .bind(lookup.as_bytes().as_slice())
    .bind(TokenKind::Refresh.as_str())
    .bind(now.0)
    .fetch_optional(connection)
    .await?;
    let Some(found) = found else { return Ok(Err(Rotated::Unknown)) };
    if !grant.is_live || row::column::<Option<i64>>(&found, "revoked_at")?.is_some() {
        return Ok(Err(Rotated::Ended));
    }
    if let Some(at) = row::column::<Option<i64>>(&found, "used_at")? {
        return Ok(Err(Rotated::Used { at: UnixTime(at), answer: row::column(&found, "answer")? }));
    }
    if now.0 >= row::column::<i64>(&found, "expires_at")? {
        return Ok(Err(Rotated::Ended));
    }
    Ok(Ok(Refresh { grant, predecessor: row::some_hash(&found, "predecessor")? }))
}

pub(super) async fn rotate(connection: &mut PgConnection, rotation: &Rotation) -> Done<Rotated> {
    let old = match refresh(connection, &rotation.old, rotation.now).await? {
        Ok(old) => old,
        Err(why) => return Ok(why),
    };
    query(
        "UPDATE tokens SET used_at = $2, wrapped_key = NULL, answer = $3, answer_until = $4 WHERE lookup = $1",
    )
    .bind(rotation.old.as_bytes().as_slice())
    .bind(rotation.now.0)
    .bind(rotation.answer.as_slice())
    .bind(rotation.answer_until.0)
    .execute(&mut *connection)
    .await?;
    forget_answer(connection, old.predecessor.as_ref()).await?;
    for token in &rotation.tokens {
        let predecessor = (token.kind == TokenKind::Refresh).then_some(&rotation.old);
        grants::insert_token(connection, old.grant.id, token, predecessor).await?;
    }
    Ok(Rotated::Done)
}

pub(super) async fn renew(connection: &mut PgConnection, renewal: &Renewal) -> Done<Rotated> {
    let refresh = match refresh(connection, &renewal.refresh, renewal.now).await? {
        Ok(refresh) => refresh,
        Err(why) => return Ok(why),
    };
    query("UPDATE tokens SET expires_at = $2 WHERE lookup = $1")
        .bind(renewal.refresh.as_bytes().as_slice())
        .bind(renewal.expires_at.0)
        .execute(&mut *connection)
        .await?;
    forget_answer(connection, refresh.predecessor.as_ref()).await?;
    grants::insert_token(connection, refresh.grant.id, &renewal.access, None).await?;
    Ok(Rotated::Done)
}

/// The answer that gave a token has arrived once the token is used.
async fn forget_answer(connection: &mut PgConnection, token: Option<&TokenHash>) -> Done<()> {
    let Some(token) = token else { return Ok(()) };
    query("UPDATE tokens SET answer = NULL, answer_until = NULL WHERE lookup = $1 AND answer IS NOT NULL")
        .bind(token.as_bytes().as_slice())
        .execute(connection)
        .await?;
    Ok(())
}
