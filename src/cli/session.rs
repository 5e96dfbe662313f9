use std::path::Path;

use super::{
    Failure, Output,
    arguments::SessionCommand,
    table::{table, utc},
};
use crate::{
    admin::{Client, SessionInfo},
    config,
    model::SessionId,
};

pub(super) async fn run(command: SessionCommand, file: Option<&Path>, output: Output) -> Result<(), Failure> {
    let client = Client::new(&config::load(file)?.config.admin);
    match command {
        SessionCommand::List { user } => list(&client, user.as_deref(), output).await,
        SessionCommand::Kill { sessions } => kill(&client, &sessions, output).await,
    }
}

async fn list(client: &Client, user: Option<&str>, output: Output) -> Result<(), Failure> {
    let mut sessions = client.sessions().await.map_err(Failure::failed)?;
    sessions.retain(|session| user.is_none_or(|user| session.user == user));
    if output.json {
        output.document(&sessions);
        return Ok(());
    }
    let row = |session: &SessionInfo| {
        [
            session.session.clone(),
            session.protocol.clone(),
            session.user.clone(),
            session.client_id.clone(),
            session.client_ip.clone(),
            session.backend.clone(),
            utc(session.started_at),
            session.grant_id.clone(),
        ]
    };
    let names = ["session", "protocol", "user", "client", "address", "backend", "since", "grant"];
    output.text(&table(names, &sessions.iter().map(row).collect::<Vec<_>>()));
    Ok(())
}

async fn kill(client: &Client, sessions: &[SessionId], output: Output) -> Result<(), Failure> {
    for session in sessions {
        client.kill(*session).await.map_err(|error| Failure::failed(format!("{session}: {error}")))?;
    }
    if output.json {
        output.document(&sessions.iter().map(ToString::to_string).collect::<Vec<_>>());
    } else {
        output.text(&format!("{} closed", sessions.len()));
    }
    Ok(())
}
