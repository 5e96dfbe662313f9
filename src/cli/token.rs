use std::{
    net::{IpAddr, Ipv4Addr},
    path::Path,
    sync::Arc,
};

use serde::Serialize;

use super::{
    Failure, Output,
    arguments::{Issue, TokenCommand},
    device, explain, open,
};
use crate::{
    app::Config,
    directory::{BackendDirectory, CheckError, PasswordCheck},
    issuer::{IssuerError, MintRequest, Minted},
    lookup::Lookups,
    model::{Login, Scope, Secret, UnixTime},
    telemetry::Metrics,
    upstream::{self, Backends},
};

pub(super) async fn run(command: TokenCommand, file: Option<&Path>, output: Output) -> Result<(), Failure> {
    let config = open::load(file)?;
    match command {
        TokenCommand::Issue(issue) => {
            let minted = mint(&config, issue).await?;
            print(&minted, output)
        }
        TokenCommand::Request(ask) => device::request(&config, ask, output).await,
        TokenCommand::Inspect { token } => explain::inspect(&config, &token, output).await,
    }
}

/// What `token issue --json` prints.
#[derive(Serialize)]
struct Issued<'a> {
    access_token: &'a str,
    expires_at: UnixTime,
    scope: &'a Scope,
    client_id: &'a str,
    user: &'a Login,
}

fn print(minted: &Minted, output: Output) -> Result<(), Failure> {
    let access_token =
        minted.access_token.expose_str().ok_or_else(|| Failure::failed("the token is no text"))?;
    if output.json {
        output.document(&Issued {
            access_token,
            expires_at: minted.expires_at,
            scope: &minted.scope,
            client_id: minted.client.as_str(),
            user: &minted.user,
        });
    } else {
        output.text(access_token);
    }
    Ok(())
}

async fn mint(config: &Config, issue: Issue) -> Result<Minted, Failure> {
    open::require_issuer(config)?;
    let backends = open::backends_of(config, &issue.user).await?;
    if backends.is_empty() {
        return Err(Failure::failed(format!("no route leads {} to a mail server", issue.user))
            .help("add a [[route]] for the domain or the user"));
    }
    let sealed: Vec<Arc<str>> = backends
        .into_iter()
        .filter(|backend| matches!(backend.login, upstream::Login::Sealed))
        .map(|backend| Arc::clone(&backend.name))
        .collect();
    let mut passwords = Vec::new();
    match (sealed.is_empty(), issue.password_stdin) {
        (false, true) => {
            let password = open::secret_from_stdin()?;
            verify(config, &issue.user, &password).await?;
            passwords.extend(sealed.iter().map(|backend| (Arc::clone(backend), password.clone())));
        }
        (true, true) => {
            open::warn("no backend of this user logs in with the mailbox password; it is not kept")
        }
        // The issuer says that the password is missing, and for which backend.
        (_, false) => {}
    }
    let now = UnixTime::now();
    let issuer = open::issuer(config, now).await?;
    let request = MintRequest {
        user: issue.user,
        client: issue.client,
        scope: issue.scope,
        lifetime: issue.lifetime,
        sealed_backends: sealed,
        with_refresh_token: false,
        passwords,
    };
    issuer.mint(request, now).await.map_err(failure)
}

/// Asks the mail server. An outage is no wrong password: the token is made, and the person told.
async fn verify(config: &Config, user: &Login, password: &Secret) -> Result<(), Failure> {
    let metrics = Arc::new(Metrics::new());
    let backends = Backends::new(config.backends.clone(), config.routes.clone(), &config.hostname, &metrics);
    let lookups = Lookups::new(&config.lookups).map_err(Failure::failed)?;
    let backends = backends.map_err(Failure::failed)?.with_lookups(lookups);
    let directory = BackendDirectory::new(Arc::new(backends));
    let here = IpAddr::from(Ipv4Addr::LOCALHOST);
    match directory.check(user, password, here).await {
        Ok(_) => Ok(()),
        Err(CheckError::Unknown | CheckError::Wrong) => {
            Err(Failure::failed(format!("the mail server does not take this password for {user}")))
        }
        Err(error @ (CheckError::NoRoute | CheckError::Operator(_) | CheckError::Unavailable(_))) => {
            open::warn(&format!("the password was not verified: {error}"));
            Ok(())
        }
    }
}

fn failure(error: IssuerError) -> Failure {
    match error {
        IssuerError::PasswordRequired(_) => {
            Failure::failed(error).help("give the mailbox password on standard input with --password-stdin")
        }
        IssuerError::BadPassword
        | IssuerError::Crypto(_)
        | IssuerError::Lifetime
        | IssuerError::NoScope
        | IssuerError::SealedJwt(_)
        | IssuerError::Store(_)
        | IssuerError::UnknownClient(_)
        | IssuerError::UnknownScope(_)
        | IssuerError::Uses
        | IssuerError::WrongServerKey => Failure::failed(error),
    }
}
