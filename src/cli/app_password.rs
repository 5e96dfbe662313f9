//! `bearward app-password`.

use std::path::Path;

use serde::Serialize;

use super::{
    Failure, Output,
    arguments::{AddAppPassword, AppPasswordCommand},
    mailbox::mailbox_passwords,
    open,
    table::{table, utc},
    token,
};
use crate::{
    app::Config,
    issuer::{AppPasswordRecord, LastUse, MadeAppPassword, NewAppPassword},
    model::{GrantId, Login, Protocol, UnixTime},
    store::Ended,
    telemetry::Clean,
};

pub(super) async fn run(
    command: AppPasswordCommand,
    file: Option<&Path>,
    output: Output,
) -> Result<(), Failure> {
    let config = open::load(file)?;
    match command {
        AppPasswordCommand::Add(add) => {
            let made = make(&config, *add).await?;
            open::tell_running(&config).await;
            print(&made, output)
        }
        AppPasswordCommand::List { user } => {
            let issuer = open::issuer(&config, UnixTime::now()).await?;
            list(&issuer.app_passwords(user.as_ref()).await.map_err(token::failure)?, output);
            Ok(())
        }
        AppPasswordCommand::Remove { id } => remove(&config, id, output).await,
    }
}

async fn make(config: &Config, add: AddAppPassword) -> Result<MadeAppPassword, Failure> {
    open::require_issuer(config)?;
    let mailbox = mailbox_passwords(config, &add.user, add.password_stdin).await?;
    let now = UnixTime::now();
    let new = NewAppPassword {
        user: add.user,
        name: add.name,
        protocols: if add.protocols.is_empty() { Protocol::ALL.to_vec() } else { add.protocols },
        networks: add.network,
        expires_at: add.expires.map(|span| now.after(span)),
        sealed_backends: mailbox.sealed_backends,
        passwords: mailbox.passwords,
    };
    open::issuer(config, now).await?.make_app_password(new, now).await.map_err(token::failure)
}

async fn remove(config: &Config, id: GrantId, output: Output) -> Result<(), Failure> {
    let now = UnixTime::now();
    let ended = open::issuer(config, now).await?.revoke_app_password(None, id, now).await;
    match ended.map_err(token::failure)? {
        Ended::Unknown => Err(Failure::failed(format!("{id}: there is no such app password"))
            .help("`bearward app-password list` shows them")),
        Ended::Before | Ended::Now => {
            open::tell_running(config).await;
            if output.json {
                output.document(&serde_json::json!({ "id": id, "removed": true }));
            } else {
                output.text(&format!("{id} removed"));
            }
            Ok(())
        }
    }
}

/// What `app-password add --json` prints.
#[derive(Serialize)]
struct Made<'a> {
    id: GrantId,
    password: &'a str,
    name: &'a str,
    protocols: Vec<&'a str>,
    expires_at: Option<UnixTime>,
}

fn print(made: &MadeAppPassword, output: Output) -> Result<(), Failure> {
    let MadeAppPassword { password, record } = made;
    let password = password.expose_str().ok_or_else(|| Failure::failed("the app password is no text"))?;
    if output.json {
        output.document(&Made {
            id: record.id,
            password,
            name: &record.name,
            protocols: record.scope.iter().collect(),
            expires_at: record.expires_at,
        });
    } else {
        output.text(password);
    }
    Ok(())
}

/// What `app-password list --json` prints of each.
#[derive(Serialize)]
struct Listed<'a> {
    id: GrantId,
    user: &'a Login,
    name: &'a str,
    protocols: Vec<&'a str>,
    networks: Vec<String>,
    created_at: UnixTime,
    expires_at: Option<UnixTime>,
    last_use: Option<&'a LastUse>,
}

fn list(records: &[AppPasswordRecord], output: Output) {
    let networks =
        |record: &AppPasswordRecord| record.networks.iter().map(ToString::to_string).collect::<Vec<_>>();
    if output.json {
        let listed = |record: &'_ AppPasswordRecord| {
            serde_json::to_value(Listed {
                id: record.id,
                user: &record.user,
                name: &record.name,
                protocols: record.scope.iter().collect(),
                networks: networks(record),
                created_at: record.created_at,
                expires_at: record.expires_at,
                last_use: record.last_use.as_ref(),
            })
        };
        output.document(&records.iter().filter_map(|record| listed(record).ok()).collect::<Vec<_>>());
        return;
    }
    let row = |record: &AppPasswordRecord| {
        let last = record.last_use.as_ref().map_or_else(
            || "never".to_owned(),
            |last| {
                let client = last.client.as_deref().unwrap_or_default();
                format!("{} {} {} {}", utc(last.at.0), last.protocol, last.address, Clean(client))
            },
        );
        [
            record.id.to_string(),
            record.user.to_string(),
            // What a person wrote must not steer the terminal.
            Clean(&record.name).to_string(),
            record.scope.to_string(),
            networks(record).join(" "),
            record.expires_at.map_or_else(|| "never".to_owned(), |at| utc(at.0)),
            last.trim_end().to_owned(),
        ]
    };
    let names = ["app password", "user", "name", "protocols", "networks", "ends", "last use"];
    output.text(&table(names, &records.iter().map(row).collect::<Vec<_>>()));
}
