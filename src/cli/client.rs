use std::{fs, path::Path, sync::Arc};

use serde::Serialize;
use serde_json::Value;

use super::{
    Failure, Output,
    arguments::{AddClient, ClientCommand},
    open,
    table::{table, utc},
};
use crate::{
    app::Config,
    issuer::{
        AccessTokenFormat, AddedClient, Client, ClientMetadata, InitialAccess, Issuer, KnownClient, Standing,
    },
    model::{ClientId, Login, Secret, UnixTime},
    store::Ended,
    upstream,
};

/// Largest file of public keys read, in octets.
const MAX_JWKS: u64 = 64 * 1024;

pub(super) async fn run(command: ClientCommand, file: Option<&Path>, output: Output) -> Result<(), Failure> {
    let config = open::load(file)?;
    open::require_issuer(&config)?;
    let now = UnixTime::now();
    match command {
        ClientCommand::Add(add) => {
            let metadata = metadata(*add)?;
            refuse_sealed(&config, &metadata).await?;
            let issuer = open::issuer(&config, now).await?;
            let added = issuer.add_client(metadata, now).await.map_err(Failure::failed)?;
            print_added(&added, output)
        }
        ClientCommand::Invite { lifetime, uses } => {
            let issuer = open::issuer(&config, now).await?;
            let made = issuer.issue_initial_access_token(lifetime, uses, now).await;
            print_invitation(&made.map_err(Failure::failed)?, output)
        }
        ClientCommand::List => {
            print_list(
                &open::issuer(&config, now).await?.list_clients().await.map_err(Failure::failed)?,
                output,
            );
            Ok(())
        }
        ClientCommand::Show { client } => {
            let known =
                open::issuer(&config, now).await?.show_client(&client).await.map_err(Failure::failed)?;
            let known = known.ok_or_else(|| unknown(&client))?;
            output.document(&Shown::of(&known));
            Ok(())
        }
        ClientCommand::Remove { client } => {
            remove(&open::issuer(&config, now).await?, &client, now, output).await?;
            open::tell_running(&config).await;
            Ok(())
        }
        ClientCommand::Allow { client } => {
            let was_denied =
                open::issuer(&config, now).await?.allow_client(&client).await.map_err(Failure::failed)?;
            if !was_denied {
                return Err(Failure::failed(format!("{client} is not on the deny list")));
            }
            done(output, &client, "is no longer denied");
            Ok(())
        }
    }
}

fn metadata(add: AddClient) -> Result<ClientMetadata, Failure> {
    Ok(ClientMetadata {
        redirect_uris: add.redirect_uri,
        token_endpoint_auth_method: add.auth,
        // Left out, the issuer fills them in.
        grant_types: add.grant,
        client_name: Some(add.name),
        scope: add.scope,
        jwks: add.jwks.as_deref().map(read_jwks).transpose()?,
        id_token_signed_response_alg: add.id_token_alg,
        access_token_format: if add.jwt_access_tokens {
            AccessTokenFormat::Jwt
        } else {
            AccessTokenFormat::Opaque
        },
        mailboxes: add.mailbox,
        may_introspect: add.introspect,
        tls_client_auth_subject_dn: add.subject_dn,
        tls_client_certificate_bound_access_tokens: add.certificate_bound,
        require_pushed_authorization_requests: add.require_pushed,
        post_logout_redirect_uris: add.post_logout_redirect_uri,
        backchannel_logout_uri: add.backchannel_logout_uri,
        ..ClientMetadata::default()
    })
}

fn read_jwks(file: &Path) -> Result<Value, Failure> {
    let fault = |error: &dyn std::fmt::Display| Failure::failed(format!("{}: {error}", file.display()));
    let length = fs::metadata(file).map_err(|error| fault(&error))?.len();
    if length > MAX_JWKS {
        return Err(fault(&format!("{length} octets are too many for a key set")));
    }
    let text = fs::read(file).map_err(|error| fault(&error))?;
    serde_json::from_slice(&text).map_err(|error| fault(&format!("not JSON: {error}")))
}

/// What cannot open a sealed password must not be given to a client that would need it.
async fn refuse_sealed(config: &Config, metadata: &ClientMetadata) -> Result<(), Failure> {
    let is_sealed = |backend: &&upstream::Config| matches!(backend.login, upstream::Login::Sealed);
    let refused = |what: &str, backend: &upstream::Config| {
        Err(Failure::usage(format!(
            "{what} cannot be used with backend \"{}\", which logs in with the user's own password: that is sealed \
             to the grant, and only an opaque token of the person opens it",
            backend.name
        ))
        .help("let the backend log in by master, authzid or trusted"))
    };
    if metadata.access_token_format == AccessTokenFormat::Jwt
        && let Some(backend) = config.backends.iter().find(is_sealed)
    {
        return refused("a JWT access token", backend);
    }
    for mailbox in &metadata.mailboxes {
        // Any name of the domain shows where its mailboxes are.
        let name = mailbox.strip_prefix('*').map_or_else(|| mailbox.clone(), |rest| format!("x{rest}"));
        let Ok(login) = Login::parse(&name) else { continue };
        if let Some(backend) = open::backends_of(config, &login).await?.into_iter().find(is_sealed) {
            return refused("the client credentials grant", backend);
        }
    }
    Ok(())
}

async fn remove(issuer: &Issuer, client: &ClientId, now: UnixTime, output: Output) -> Result<(), Failure> {
    if *client == ClientId::open() {
        return Err(Failure::failed("the client \"open\" is built in")
            .help("set issuer.registration, or end its grants with `bearward grant revoke --client open`"));
    }
    match issuer.remove_client(client, now).await.map_err(Failure::failed)? {
        Ended::Before => done(output, client, "was denied before"),
        Ended::Now | Ended::Unknown => done(output, client, "is removed and denied; its grants have ended"),
    }
    Ok(())
}

fn unknown(client: &ClientId) -> Failure {
    Failure::failed(format!("there is no client {client}")).help("`bearward client list` shows them")
}

fn done(output: Output, client: &ClientId, what: &str) {
    if output.json {
        output.document(&serde_json::json!({ "client_id": client, "detail": what }));
    } else {
        output.text(&format!("{client} {what}"));
    }
}

/// What is printed of a client.
#[derive(Serialize)]
struct Shown<'a> {
    client_id: &'a ClientId,
    #[serde(skip_serializing_if = "Option::is_none")]
    client_secret: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    standing: Option<Standing>,
    #[serde(skip_serializing_if = "Option::is_none")]
    created_at: Option<UnixTime>,
    #[serde(skip_serializing_if = "Option::is_none")]
    denied_at: Option<UnixTime>,
    #[serde(flatten)]
    metadata: Option<&'a ClientMetadata>,
}

impl<'a> Shown<'a> {
    fn of(known: &'a KnownClient) -> Self {
        let client: Option<&Arc<Client>> = known.client.as_ref();
        Self {
            client_id: &known.id,
            client_secret: None,
            standing: client.map(|client| client.standing),
            created_at: known.created_at,
            denied_at: known.denied_at,
            metadata: client.map(|client| &client.metadata),
        }
    }
}

fn print_added(added: &AddedClient, output: Output) -> Result<(), Failure> {
    let secret = added.secret.as_ref().and_then(Secret::expose_str);
    if output.json {
        output.document(&Shown {
            client_id: &added.client.id,
            client_secret: secret,
            standing: Some(added.client.standing),
            created_at: None,
            denied_at: None,
            metadata: Some(&added.client.metadata),
        });
        return Ok(());
    }
    output.text(&format!("client_id      {}", added.client.id));
    if let Some(secret) = secret {
        output.text(&format!("client_secret  {secret}"));
        open::warn("the secret is shown this once and kept nowhere");
    }
    Ok(())
}

fn print_invitation(made: &InitialAccess, output: Output) -> Result<(), Failure> {
    let token = made.token.expose_str().ok_or_else(|| Failure::failed("the token is no text"))?;
    if output.json {
        output.document(&serde_json::json!({
            "initial_access_token": token, "expires_at": made.expires_at, "uses": made.uses,
        }));
    } else {
        output.text(token);
    }
    Ok(())
}

fn print_list(clients: &[KnownClient], output: Output) {
    if output.json {
        output.document(&clients.iter().map(Shown::of).collect::<Vec<_>>());
        return;
    }
    let row = |known: &KnownClient| {
        let client = known.client.as_ref();
        let name = client.and_then(|client| client.metadata.client_name.clone()).unwrap_or_default();
        let standing = client.map(|client| match client.standing {
            Standing::BuiltIn => "built in",
            Standing::SelfRegistered => "itself",
            Standing::Invited => "invitation",
            Standing::Operator => "operator",
        });
        [
            known.id.to_string(),
            name,
            standing.unwrap_or_default().to_owned(),
            known.created_at.map_or_else(String::new, |at| utc(at.0)),
            known.denied_at.map_or_else(String::new, |at| format!("denied {}", utc(at.0))),
        ]
    };
    let names = ["client", "name", "registered by", "since", "state"];
    output.text(&table(names, &clients.iter().map(row).collect::<Vec<_>>()));
}
