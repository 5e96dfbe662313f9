use std::path::Path;

use serde::Serialize;

use super::{
    Failure, Output,
    arguments::{Issue, TokenCommand},
    device, explain,
    mailbox::mailbox_passwords,
    open,
};
use crate::{
    app::Config,
    issuer::{IssuerError, MintRequest, Minted},
    model::{Login, Scope, UnixTime},
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
    let mailbox = mailbox_passwords(config, &issue.user, issue.password_stdin).await?;
    let now = UnixTime::now();
    let issuer = open::issuer(config, now).await?;
    let request = MintRequest {
        user: issue.user,
        client: issue.client,
        scope: issue.scope,
        lifetime: issue.lifetime,
        sealed_backends: mailbox.sealed_backends,
        with_refresh_token: false,
        passwords: mailbox.passwords,
    };
    issuer.mint(request, now).await.map_err(failure)
}

pub(super) fn failure(error: IssuerError) -> Failure {
    match error {
        IssuerError::PasswordRequired(_) => {
            Failure::failed(error).help("give the mailbox password on standard input with --password-stdin")
        }
        IssuerError::AppPassword(_)
        | IssuerError::BadPassword
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
