use async_trait::async_trait;
use sqlx::{query, sqlite::SqliteRow};

use super::{
    SqliteStore,
    fault::fault,
    grant::{self, Whose},
    row::{client_of, column, hash_of, scope_of},
    transaction::Transaction,
};
use crate::{
    model::{ClientId, Login, Scope, TokenHash, UnixTime},
    store::{ClientRecord, ClientState, Clients, Ended, RevocationReason, StoreError},
};

#[async_trait]
impl Clients for SqliteStore {
    async fn create_client(&self, client: ClientRecord) -> Result<(), StoreError> {
        self.writer.run(move |transaction| Box::pin(create(transaction, client))).await
    }

    async fn client(&self, id: &ClientId) -> Result<ClientState, StoreError> {
        let row = query(
            "SELECT EXISTS (SELECT 1 FROM denied_clients WHERE client_id = ?1) AS denied,
                    c.id, c.secret, c.management, c.metadata, c.created_at
             FROM (SELECT 1) LEFT JOIN clients c ON c.id = ?1",
        )
        .bind(id.as_str())
        .fetch_one(&self.readers)
        .await
        .map_err(fault)?;
        let is_stored = column::<Option<&str>>(&row, "id")?.is_some();
        let record = if is_stored { Some(record_of(&row)?) } else { None };
        Ok(ClientState { record, denied: column(&row, "denied")? })
    }

    async fn clients(&self) -> Result<Vec<ClientRecord>, StoreError> {
        query("SELECT id, secret, management, metadata, created_at FROM clients ORDER BY created_at, id")
            .fetch_all(&self.readers)
            .await
            .map_err(fault)?
            .iter()
            .map(record_of)
            .collect()
    }

    async fn update_client(&self, client: ClientRecord) -> Result<bool, StoreError> {
        self.writer.run(move |transaction| Box::pin(update(transaction, client))).await
    }

    async fn remove_client(&self, id: &ClientId, at: UnixTime) -> Result<Ended, StoreError> {
        loop {
            let id = id.clone();
            let removed = self.writer.run(move |transaction| Box::pin(remove(transaction, id, at))).await?;
            if let Some(ended) = removed {
                return Ok(ended);
            }
        }
    }

    async fn denied_clients(&self) -> Result<Vec<(ClientId, UnixTime)>, StoreError> {
        query("SELECT client_id, at FROM denied_clients ORDER BY at, client_id")
            .fetch_all(&self.readers)
            .await
            .map_err(fault)?
            .iter()
            .map(|row| Ok((client_of(row, "client_id")?, UnixTime(column(row, "at")?))))
            .collect()
    }

    async fn allow_client(&self, id: &ClientId) -> Result<bool, StoreError> {
        let id = id.clone();
        self.writer.run(move |transaction| Box::pin(allow(transaction, id))).await
    }

    async fn remember_consent(
        &self,
        user: &Login,
        client: &ClientId,
        scope: &Scope,
        at: UnixTime,
    ) -> Result<(), StoreError> {
        let (user, client, scope) = (user.clone(), client.clone(), scope.to_string());
        self.writer.run(move |transaction| Box::pin(remember(transaction, user, client, scope, at))).await
    }

    async fn consent(&self, user: &Login, client: &ClientId) -> Result<Option<Scope>, StoreError> {
        query("SELECT scope FROM consents WHERE user = ?1 AND client_id = ?2")
            .bind(user.as_str())
            .bind(client.as_str())
            .fetch_optional(&self.readers)
            .await
            .map_err(fault)?
            .map(|row| scope_of(&row, "scope"))
            .transpose()
    }
}

pub(super) fn record_of(row: &SqliteRow) -> Result<ClientRecord, StoreError> {
    let hash = |name| column::<Option<&[u8]>>(row, name)?.map(hash_of).transpose();
    Ok(ClientRecord {
        id: client_of(row, "id")?,
        secret: hash("secret")?,
        management: hash("management")?,
        metadata: column(row, "metadata")?,
        created_at: UnixTime(column(row, "created_at")?),
    })
}

async fn create(transaction: &mut Transaction, client: ClientRecord) -> Result<(), StoreError> {
    query("INSERT INTO clients (id, secret, management, metadata, created_at) VALUES (?1, ?2, ?3, ?4, ?5)")
        .bind(client.id.as_str())
        .bind(octets(client.secret.as_ref()))
        .bind(octets(client.management.as_ref()))
        .bind(client.metadata)
        .bind(client.created_at.0)
        .execute(transaction.writing().await?)
        .await
        .map_err(fault)?;
    Ok(())
}

async fn update(transaction: &mut Transaction, client: ClientRecord) -> Result<bool, StoreError> {
    let updated = query(
        "UPDATE clients SET secret = ?2, management = ?3, metadata = ?4, created_at = ?5 WHERE id = ?1",
    )
    .bind(client.id.as_str())
    .bind(octets(client.secret.as_ref()))
    .bind(octets(client.management.as_ref()))
    .bind(client.metadata)
    .bind(client.created_at.0)
    .execute(transaction.writing().await?)
    .await
    .map_err(fault)?;
    Ok(updated.rows_affected() > 0)
}

fn octets(hash: Option<&TokenHash>) -> Option<&[u8]> {
    hash.map(|hash| hash.as_bytes().as_slice())
}

/// One step of the removal; `None` when grants are left. With the last of them the client itself goes, so that no
/// grant can be made in between.
async fn remove(
    transaction: &mut Transaction,
    id: ClientId,
    at: UnixTime,
) -> Result<Option<Ended>, StoreError> {
    let whose = Whose::Client(&id);
    if !grant::revoke_step(transaction, whose, RevocationReason::ClientRemoved, at).await? {
        return Ok(None);
    }
    query("DELETE FROM clients WHERE id = $1; DELETE FROM consents WHERE client_id = $1")
        .bind(id.as_str())
        .execute(transaction.writing().await?)
        .await
        .map_err(fault)?;
    let denied = query("INSERT INTO denied_clients (client_id, at) VALUES (?1, ?2) ON CONFLICT DO NOTHING")
        .bind(id.as_str())
        .bind(at.0)
        .execute(transaction.writing().await?)
        .await
        .map_err(fault)?;
    Ok(Some(if denied.rows_affected() > 0 { Ended::Now } else { Ended::Before }))
}

async fn allow(transaction: &mut Transaction, id: ClientId) -> Result<bool, StoreError> {
    let allowed = query("DELETE FROM denied_clients WHERE client_id = ?1")
        .bind(id.as_str())
        .execute(transaction.writing().await?)
        .await
        .map_err(fault)?;
    Ok(allowed.rows_affected() > 0)
}

async fn remember(
    transaction: &mut Transaction,
    user: Login,
    client: ClientId,
    scope: String,
    at: UnixTime,
) -> Result<(), StoreError> {
    query("INSERT OR REPLACE INTO consents (user, client_id, scope, at) VALUES (?1, ?2, ?3, ?4)")
        .bind(user.as_str())
        .bind(client.as_str())
        .bind(scope)
        .bind(at.0)
        .execute(transaction.writing().await?)
        .await
        .map_err(fault)?;
    Ok(())
}
