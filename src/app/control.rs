//! What the admin socket may ask of the running server.

use std::sync::Arc;

use async_trait::async_trait;
use tokio_util::sync::CancellationToken;

use super::Parts;
use crate::{
    admin::{
        BackendInfo, Control, ControlError, DrainRequest, Drained, GrantFilter, GrantInfo, Revoked,
        SessionInfo, Status,
    },
    model::{ClientId, GrantId, Login, SessionId, UnixTime},
    session::Live,
    store::{self, Ended, Grant, RevocationReason, StoreError},
    upstream::{Backend, ServerStatus},
};

/// The running server, as the admin socket sees it.
pub(super) struct AppControl {
    parts: Arc<Parts>,
    stop: CancellationToken,
    started_at: UnixTime,
}

impl AppControl {
    pub(super) fn new(parts: Arc<Parts>, stop: CancellationToken) -> Self {
        Self { parts, stop, started_at: UnixTime::now() }
    }
}

#[async_trait]
impl Control for AppControl {
    async fn sessions(&self) -> Vec<SessionInfo> {
        self.parts.shared.registry.sessions().iter().filter_map(|live| session_info(live)).collect()
    }

    async fn kill(&self, session: SessionId) -> bool {
        self.parts.shared.registry.kill(session)
    }

    async fn grants(&self, filter: GrantFilter) -> Result<Vec<GrantInfo>, ControlError> {
        let filter = store_filter(&filter)?;
        let grants = self.parts.store.grants(filter).await.map_err(|error| failed(&error))?;
        Ok(grants.iter().map(grant_info).collect())
    }

    async fn revoke(&self, grant: GrantId) -> Result<Option<Revoked>, ControlError> {
        let ended = self.parts.store.revoke_grant(grant, RevocationReason::Operator, UnixTime::now()).await;
        match ended.map_err(|error| failed(&error))? {
            Ended::Unknown => Ok(None),
            Ended::Before | Ended::Now => {
                let sessions_closed = Some(self.parts.end_grant(grant));
                Ok(Some(Revoked { grant_id: grant.to_string(), sessions_closed }))
            }
        }
    }

    async fn backends(&self) -> Vec<BackendInfo> {
        let sessions = self.parts.shared.registry.sessions();
        let of = |backend: &Arc<Backend>| {
            let name = Arc::clone(&backend.config().name);
            let info = |status: ServerStatus| BackendInfo {
                backend: name.to_string(),
                protocol: status.protocol.to_string(),
                server: status.server.to_string(),
                state: status.state.to_owned(),
                drained: status.drained,
                sessions: sessions
                    .iter()
                    .filter(|live| live.protocol == status.protocol && live.is_at(&name, &status.server))
                    .count(),
                warm: status.warm,
            };
            backend.servers().into_iter().map(info).collect::<Vec<_>>()
        };
        self.parts.shared.backends.iter().flat_map(of).collect()
    }

    async fn drain(&self, backend: &str, request: &DrainRequest) -> Option<Drained> {
        let shared = &self.parts.shared;
        let backend = shared.backends.iter().find(|own| *own.config().name == *backend)?;
        let mut servers = backend.drain(request.server.as_deref(), request.drained);
        servers.sort();
        servers.dedup();
        if servers.is_empty() {
            return None;
        }
        let name = &backend.config().name;
        let is_there = |live: &Live| servers.iter().any(|server| live.is_at(name, server));
        let sessions = shared.registry.sessions().iter().filter(|live| is_there(live)).count();
        let sessions_closed = if request.close { shared.registry.end_drained(is_there) } else { 0 };
        Some(Drained {
            backend: name.to_string(),
            servers: servers.iter().map(ToString::to_string).collect(),
            drained: request.drained,
            sessions,
            sessions_closed,
        })
    }

    async fn look(&self) {
        self.parts.look.notify_one();
    }

    async fn status(&self) -> Status {
        Status {
            version: env!("CARGO_PKG_VERSION").to_owned(),
            started_at: self.started_at.0,
            sessions: self.parts.shared.registry.len(),
            connections: self.parts.connections.live(),
            draining: self.stop.is_cancelled(),
        }
    }
}

fn failed(error: &StoreError) -> ControlError {
    ControlError(format!("the store cannot be used: {error}"))
}

/// `None` while nobody has signed in.
fn session_info(live: &Live) -> Option<SessionInfo> {
    let bound = live.bound()?;
    Some(SessionInfo {
        session: live.id.to_string(),
        protocol: live.protocol.to_string(),
        user: bound.login.to_string(),
        client_id: bound.client.to_string(),
        grant_id: bound.right.to_string(),
        backend: bound.backend.to_string(),
        client_ip: live.client_ip.to_string(),
        started_at: live.since.0,
        expires_at: bound.expires_at.0,
    })
}

fn store_filter(filter: &GrantFilter) -> Result<store::GrantFilter, ControlError> {
    let invalid = |error: &dyn std::fmt::Display| ControlError(error.to_string());
    let user = filter.user.as_deref().map(Login::parse).transpose().map_err(|error| invalid(&error))?;
    let client = filter.client_id.as_deref().map(str::parse::<ClientId>).transpose();
    Ok(store::GrantFilter { user, client: client.map_err(|error| invalid(&error))?, active_at: None })
}

/// A grant as commands show it.
pub fn grant_info(grant: &Grant) -> GrantInfo {
    GrantInfo {
        grant_id: grant.id.to_string(),
        user: grant.user.to_string(),
        client_id: grant.client.to_string(),
        scope: grant.scope.to_string(),
        created_at: grant.created_at.0,
        expires_at: grant.expires_at.map(|at| at.0),
        revoked_at: grant.revoked.map(|end| end.at.0),
    }
}
