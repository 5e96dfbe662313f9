//! `bearward secret`: passwords of users at backends with `login = "secret"`.

use std::path::Path;

use serde::Serialize;

use super::{
    Failure, Output,
    arguments::{SecretCommand, SecretOf},
    open,
    table::{table, utc},
};
use crate::{
    app::Config,
    directory::Secrets,
    model::{Login, UnixTime},
    store::UpstreamSecret,
    upstream,
};

pub(super) async fn run(command: SecretCommand, file: Option<&Path>, output: Output) -> Result<(), Failure> {
    let config = open::load(file)?;
    match command {
        SecretCommand::Set { of, password_stdin } => {
            let backend = backend(&config, &of).await?;
            if !password_stdin {
                return Err(Failure::usage("the password is missing")
                    .help("give it on standard input with --password-stdin"));
            }
            let password = open::secret_from_stdin()?;
            let (store, key) = open::store(&config).await?;
            let secrets = Secrets::new(store, &key).map_err(Failure::failed)?;
            secrets.set(&of.user, &backend, &password, UnixTime::now()).await.map_err(Failure::failed)?;
            done(output, &of.user, &backend, "set");
        }
        SecretCommand::List => {
            let (store, _) = open::store(&config).await?;
            list(&store.upstream_secrets().await.map_err(Failure::failed)?, output);
        }
        SecretCommand::Remove { of } => {
            let (store, _) = open::store(&config).await?;
            // Also where the backend is not configured any more.
            let backend = match &of.backend {
                Some(backend) => backend.clone(),
                None => backend(&config, &of).await?,
            };
            let removed = store.remove_upstream_secret(&of.user, &backend).await.map_err(Failure::failed)?;
            if !removed {
                return Err(Failure::failed(format!("{} has no secret for backend {backend}", of.user))
                    .help("`bearward secret list` shows them"));
            }
            done(output, &of.user, &backend, "removed");
        }
    }
    Ok(())
}

/// The backend that is named, or the one that the user's sessions go to.
async fn backend(config: &Config, of: &SecretOf) -> Result<String, Failure> {
    let takes = |backend: &upstream::Config| matches!(backend.login, upstream::Login::Secret(_));
    if let Some(name) = &of.backend {
        let Some(backend) = config.backends.iter().find(|backend| *backend.name == **name) else {
            return Err(Failure::usage(format!("there is no backend {name}")));
        };
        if !takes(backend) {
            return Err(Failure::usage(format!("backend {name} does not log in with secrets of users"))
                .help(format!("write login = \"secret\" in [backend.{name}]")));
        }
        return Ok(name.clone());
    }
    let backends = open::backends_of(config, &of.user).await?;
    let mut taking = backends.into_iter().filter(|backend| takes(backend));
    match (taking.next(), taking.next()) {
        (Some(only), None) => Ok(only.name.to_string()),
        (None, _) => Err(Failure::usage(format!("no backend of {} logs in with secrets of users", of.user))
            .help("write login = \"secret\" in the backend's section")),
        (Some(_), Some(_)) => {
            Err(Failure::usage(format!("{} may go to several backends", of.user))
                .help("name one with --backend"))
        }
    }
}

/// What is printed of one secret.
#[derive(Serialize)]
struct Shown<'a> {
    user: &'a Login,
    backend: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    created_at: Option<UnixTime>,
}

fn done(output: Output, user: &Login, backend: &str, what: &str) {
    if output.json {
        output.document(&Shown { user, backend, created_at: None });
    } else {
        output.text(&format!("the secret of {user} for backend {backend} is {what}"));
    }
}

fn list(secrets: &[UpstreamSecret], output: Output) {
    if output.json {
        let shown = |secret: &'_ UpstreamSecret| {
            serde_json::json!({
                "user": secret.user, "backend": secret.backend, "created_at": secret.created_at,
            })
        };
        output.document(&secrets.iter().map(shown).collect::<Vec<_>>());
        return;
    }
    let row =
        |secret: &UpstreamSecret| [secret.user.to_string(), secret.backend.clone(), utc(secret.created_at.0)];
    output.text(&table(["user", "backend", "since"], &secrets.iter().map(row).collect::<Vec<_>>()));
}
