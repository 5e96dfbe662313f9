use std::path::Path;

use super::{
    Failure, Output,
    arguments::{BackendCommand, Servers},
    table::table,
};
use crate::{
    admin::{BackendInfo, Client, DrainRequest, Drained},
    config,
};

pub(super) async fn run(command: BackendCommand, file: Option<&Path>, output: Output) -> Result<(), Failure> {
    let client = Client::new(&config::load(file)?.config.admin);
    match command {
        BackendCommand::List => list(&client, output).await,
        BackendCommand::Drain { servers, close } => drain(&client, servers, true, close, output).await,
        BackendCommand::Resume { servers } => drain(&client, servers, false, false, output).await,
    }
}

async fn list(client: &Client, output: Output) -> Result<(), Failure> {
    let backends = client.backends().await.map_err(Failure::failed)?;
    if output.json {
        output.document(&backends);
        return Ok(());
    }
    let row = |info: &BackendInfo| {
        [
            info.backend.clone(),
            info.protocol.clone(),
            info.server.clone(),
            info.state.clone(),
            if info.drained { "drained".to_owned() } else { "-".to_owned() },
            info.sessions.to_string(),
            info.warm.to_string(),
        ]
    };
    let names = ["backend", "protocol", "server", "state", "drained", "sessions", "warm"];
    output.text(&table(names, &backends.iter().map(row).collect::<Vec<_>>()));
    Ok(())
}

async fn drain(
    client: &Client,
    servers: Servers,
    drained: bool,
    close: bool,
    output: Output,
) -> Result<(), Failure> {
    let Servers { backend, server } = servers;
    let request = DrainRequest { server, drained, close };
    let done = client.drain(&backend, &request).await.map_err(|error| {
        Failure::failed(format!("{backend}: {error}")).help("`bearward backend list` shows them")
    })?;
    if output.json {
        output.document(&done);
        return Ok(());
    }
    let Drained { servers, sessions, sessions_closed, .. } = &done;
    let (servers, left) = (servers.join(", "), sessions.saturating_sub(*sessions_closed));
    output.text(&if drained {
        format!("{servers} drained: {sessions_closed} sessions closed, {left} left")
    } else {
        format!("{servers} takes sessions again")
    });
    Ok(())
}
