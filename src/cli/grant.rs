use std::path::Path;

use super::{
    Failure, Output,
    arguments::{GrantCommand, GrantsOf},
    open,
    table::{table, utc},
};
use crate::{
    admin::{Client, ClientError, GrantFilter, GrantInfo, Revoked},
    app::{self, Config},
    model::{GrantId, UnixTime},
    store::{self, Ended, RevocationReason},
};

pub(super) async fn run(command: GrantCommand, file: Option<&Path>, output: Output) -> Result<(), Failure> {
    let config = open::load(file)?;
    match command {
        GrantCommand::List { of, all } => {
            let mut grants = grants(&config, of).await?;
            let now = UnixTime::now().0;
            grants.retain(|grant| all || is_live(grant, now));
            print_grants(&grants, output);
        }
        GrantCommand::Revoke { grants, of } => {
            let grants = if grants.is_empty() { live_grants(&config, of).await? } else { grants };
            let mut revoked = Vec::new();
            for grant in grants {
                revoked.push(revoke(&config, grant).await?);
            }
            print_revoked(&revoked, output);
        }
    }
    Ok(())
}

fn is_live(grant: &GrantInfo, now: i64) -> bool {
    grant.revoked_at.is_none() && grant.expires_at.is_none_or(|end| now < end)
}

async fn live_grants(config: &Config, of: GrantsOf) -> Result<Vec<GrantId>, Failure> {
    if of.user.is_none() && of.client.is_none() {
        return Err(Failure::usage("name a grant, or say whose with --user or --client"));
    }
    let now = UnixTime::now().0;
    let found = grants(config, of).await?;
    let live = found.iter().filter(|grant| is_live(grant, now));
    live.map(|grant| grant.grant_id.parse().map_err(Failure::failed)).collect()
}

/// From the running server, or from the store when none runs.
async fn grants(config: &Config, of: GrantsOf) -> Result<Vec<GrantInfo>, Failure> {
    let filter = GrantFilter {
        user: of.user.as_ref().map(ToString::to_string),
        client_id: of.client.as_ref().map(ToString::to_string),
    };
    match Client::new(&config.admin).grants(&filter).await {
        Err(ClientError::NotRunning(_)) => {}
        answered => return answered.map_err(Failure::failed),
    }
    let (store, _) = open::store(config).await?;
    let filter = store::GrantFilter { user: of.user, client: of.client, active_at: None };
    let grants = store.grants(filter).await.map_err(Failure::failed)?;
    Ok(grants.iter().map(app::grant_info).collect())
}

/// By the running server, which closes the sessions at once, or in the store when none runs.
async fn revoke(config: &Config, grant: GrantId) -> Result<Revoked, Failure> {
    match Client::new(&config.admin).revoke(grant).await {
        Err(ClientError::NotRunning(_)) => {}
        answered => return answered.map_err(|error| Failure::failed(format!("{grant}: {error}"))),
    }
    let (store, _) = open::store(config).await?;
    let ended = store.revoke_grant(grant, RevocationReason::Operator, UnixTime::now()).await;
    match ended.map_err(Failure::failed)? {
        Ended::Unknown => Err(Failure::failed(format!("{grant}: there is no such grant"))
            .help("`bearward grant list` shows them")),
        Ended::Before | Ended::Now => Ok(Revoked { grant_id: grant.to_string(), sessions_closed: None }),
    }
}

fn print_grants(grants: &[GrantInfo], output: Output) {
    if output.json {
        output.document(&grants);
        return;
    }
    let row = |grant: &GrantInfo| {
        let end = match (grant.revoked_at, grant.expires_at) {
            (Some(at), _) => format!("revoked {}", utc(at)),
            (None, Some(at)) => utc(at),
            (None, None) => "never".to_owned(),
        };
        [
            grant.grant_id.clone(),
            grant.user.clone(),
            grant.client_id.clone(),
            utc(grant.created_at),
            end,
            grant.scope.clone(),
        ]
    };
    let names = ["grant", "user", "client", "since", "ends", "scope"];
    output.text(&table(names, &grants.iter().map(row).collect::<Vec<_>>()));
}

fn print_revoked(revoked: &[Revoked], output: Output) {
    if output.json {
        output.document(&revoked);
        return;
    }
    if revoked.is_empty() {
        output.text("none");
    }
    for Revoked { grant_id, sessions_closed } in revoked {
        output.text(&match sessions_closed {
            Some(sessions) => format!("{grant_id} revoked, {sessions} sessions closed"),
            None => format!("{grant_id} revoked; no server runs here"),
        });
    }
}
