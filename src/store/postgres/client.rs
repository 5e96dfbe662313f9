use async_trait::async_trait;
use sqlx::{PgConnection, postgres::PgRow, query, query_scalar};

use super::{
    PostgresStore,
    fault::corrupt,
    grants::{self, Whose},
    row::{self, column},
    runner::Done,
};
use crate::{
    model::{ClientId, Login, Scope, TokenHash, UnixTime},
    store::{ClientRecord, ClientState, Clients, Ended, RevocationReason, StoreError},
};

#[async_trait]
impl Clients for PostgresStore {
    async fn create_client(&self, client: ClientRecord) -> Result<(), StoreError> {
        self.runner.write(client, |connection, client| Box::pin(create(connection, client))).await
    }

    async fn client(&self, id: &ClientId) -> Result<ClientState, StoreError> {
        self.runner.read(id.clone(), |connection, id| Box::pin(state(connection, id))).await
    }

    async fn clients(&self) -> Result<Vec<ClientRecord>, StoreError> {
        self.runner.read((), |connection, ()| Box::pin(list(connection))).await
    }

    async fn update_client(&self, client: ClientRecord) -> Result<bool, StoreError> {
        self.runner.write(client, |connection, client| Box::pin(update(connection, client))).await
    }

    async fn remove_client(&self, id: &ClientId, at: UnixTime) -> Result<Ended, StoreError> {
        let client = (id.clone(), at);
        let ended = self
            .runner
            .write(client.clone(), |connection, client| Box::pin(deny(connection, client)))
            .await?;
        while !self
            .runner
            .write(client.clone(), |connection, client| Box::pin(remove(connection, client)))
            .await?
        {}
        Ok(ended)
    }

    async fn denied_clients(&self) -> Result<Vec<(ClientId, UnixTime)>, StoreError> {
        self.runner.read((), |connection, ()| Box::pin(denied(connection))).await
    }

    async fn allow_client(&self, id: &ClientId) -> Result<bool, StoreError> {
        self.runner.write(id.clone(), |connection, id| Box::pin(allow(connection, id))).await
    }

    async fn remember_consent(
        &self,
        user: &Login,
        client: &ClientId,
        scope: &Scope,
        at: UnixTime,
    ) -> Result<(), StoreError> {
        let consent = (user.clone(), client.clone(), scope.to_string(), at);
        self.runner.write(consent, |connection, consent| Box::pin(remember(connection, consent))).await
    }

    async fn consent(&self, user: &Login, client: &ClientId) -> Result<Option<Scope>, StoreError> {
        let pair = (user.clone(), client.clone());
        self.runner.read(pair, |connection, pair| Box::pin(consent(connection, pair))).await
    }
}

fn client_id(row: &PgRow) -> Result<ClientId, StoreError> {
    column::<&str>(row, "client_id")?.parse().map_err(|_| corrupt("client"))
}

fn record(row: &PgRow) -> Result<ClientRecord, StoreError> {
    Ok(ClientRecord {
        id: client_id(row)?,
        secret: row::some_hash(row, "secret")?,
        management: row::some_hash(row, "management")?,
        metadata: column(row, "metadata")?,
        created_at: UnixTime(column(row, "created_at")?),
    })
}

fn octets(hash: Option<&TokenHash>) -> Option<&[u8]> {
    hash.map(|hash| hash.as_bytes().as_slice())
}

async fn create(connection: &mut PgConnection, client: &ClientRecord) -> Done<()> {
    query(
        "INSERT INTO clients (client_id, secret, management, metadata, created_at) VALUES ($1, $2, $3, $4, $5)",
    )
    .bind(client.id.as_str())
    .bind(octets(client.secret.as_ref()))
    .bind(octets(client.management.as_ref()))
    .bind(client.metadata.as_str())
    .bind(client.created_at.0)
    .execute(connection)
    .await?;
    Ok(())
}

async fn state(connection: &mut PgConnection, id: &ClientId) -> Done<ClientState> {
    let found = query(
        "SELECT EXISTS (SELECT 1 FROM denied_clients WHERE client_id = $1) AS denied,
                c.client_id, c.secret, c.management, c.metadata, c.created_at
         FROM (SELECT 1) one LEFT JOIN clients c ON c.client_id = $1",
    )
    .bind(id.as_str())
    .fetch_one(connection)
    .await?;
    let is_stored = column::<Option<&str>>(&found, "client_id")?.is_some();
    let record = if is_stored { Some(record(&found)?) } else { None };
    Ok(ClientState { record, denied: column(&found, "denied")? })
}

async fn list(connection: &mut PgConnection) -> Done<Vec<ClientRecord>> {
    let rows = query(
        "SELECT client_id, secret, management, metadata, created_at FROM clients ORDER BY created_at, client_id",
    )
    .fetch_all(connection)
    .await?;
    Ok(rows.iter().map(record).collect::<Result<_, _>>()?)
}

async fn update(connection: &mut PgConnection, client: &ClientRecord) -> Done<bool> {
    let updated = query(
        "UPDATE clients SET secret = $2, management = $3, metadata = $4, created_at = $5 WHERE client_id = $1",
    )
    .bind(client.id.as_str())
    .bind(octets(client.secret.as_ref()))
    .bind(octets(client.management.as_ref()))
    .bind(client.metadata.as_str())
    .bind(client.created_at.0)
    .execute(connection)
    .await?;
    Ok(updated.rows_affected() > 0)
}

/// Puts a client on the deny list. Whoever is about to store a grant of it has done so when this returns, and nobody
/// does it afterwards.
async fn deny(connection: &mut PgConnection, (id, at): &(ClientId, UnixTime)) -> Done<Ended> {
    query("SELECT pg_advisory_xact_lock(hashtextextended($1, 0))")
        .bind(id.as_str())
        .execute(&mut *connection)
        .await?;
    let denied = query("INSERT INTO denied_clients (client_id, at) VALUES ($1, $2) ON CONFLICT DO NOTHING")
        .bind(id.as_str())
        .bind(at.0)
        .execute(connection)
        .await?;
    Ok(if denied.rows_affected() > 0 { Ended::Now } else { Ended::Before })
}

/// One step of the removal; `false` when grants may be left. The client's row goes with the last of them.
async fn remove(connection: &mut PgConnection, (id, at): &(ClientId, UnixTime)) -> Done<bool> {
    let whose = Whose::Client(id.clone());
    if !grants::end_some(connection, &whose, RevocationReason::ClientRemoved, *at).await? {
        return Ok(false);
    }
    for statement in ["DELETE FROM clients WHERE client_id = $1", "DELETE FROM consents WHERE client_id = $1"]
    {
        query(statement).bind(id.as_str()).execute(&mut *connection).await?;
    }
    Ok(true)
}

async fn denied(connection: &mut PgConnection) -> Done<Vec<(ClientId, UnixTime)>> {
    let rows = query("SELECT client_id, at FROM denied_clients ORDER BY at, client_id")
        .fetch_all(connection)
        .await?;
    let pair = |row| Ok((client_id(row)?, UnixTime(column(row, "at")?)));
    Ok(rows.iter().map(pair).collect::<Result<_, StoreError>>()?)
}

async fn allow(connection: &mut PgConnection, id: &ClientId) -> Done<bool> {
    let allowed = query("DELETE FROM denied_clients WHERE client_id = $1")
        .bind(id.as_str())
        .execute(connection)
        .await?;
    Ok(allowed.rows_affected() > 0)
}

async fn remember(
    connection: &mut PgConnection,
    (user, client, scope, at): &(Login, ClientId, String, UnixTime),
) -> Done<()> {
    query(
        "INSERT INTO consents (login, client_id, scope, at) VALUES ($1, $2, $3, $4)
         ON CONFLICT (login, client_id) DO UPDATE SET scope = EXCLUDED.scope, at = EXCLUDED.at",
    )
    .bind(user.as_str())
    .bind(client.as_str())
    .bind(scope.as_str())
    .bind(at.0)
    .execute(connection)
    .await?;
    Ok(())
}

async fn consent(connection: &mut PgConnection, (user, client): &(Login, ClientId)) -> Done<Option<Scope>> {
    let scope: Option<String> =
        query_scalar("SELECT scope FROM consents WHERE login = $1 AND client_id = $2")
            .bind(user.as_str())
            .bind(client.as_str())
            .fetch_optional(connection)
            .await?;
    Ok(scope.map(|scope| scope.parse().map_err(|_| corrupt("scope"))).transpose()?)
}
