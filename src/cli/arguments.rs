//! What may be typed.

use std::{net::IpAddr, path::PathBuf, time::Duration};

use clap::{Args, Parser, Subcommand};

use crate::{
    config,
    issuer::{AuthMethod, GrantType},
    model::{ClientId, GrantId, InvalidLogin, Login, Network, Protocol, Scope, SessionId},
};

/// Lets mail clients sign in to unmodified mail servers with OAuth bearer tokens.
#[derive(Debug, Parser)]
#[command(name = "bearward", version, disable_help_subcommand = true)]
pub(super) struct Arguments {
    /// Configuration file [default: /etc/bearward/bearward.toml, then config/bearward.toml]
    #[arg(short, long, global = true, value_name = "FILE")]
    pub(super) config: Option<PathBuf>,
    /// Print one JSON document instead of text for people
    #[arg(long, global = true)]
    pub(super) json: bool,
    #[command(subcommand)]
    pub(super) command: Command,
}

#[derive(Debug, Subcommand)]
pub(super) enum Command {
    /// Try everything on this machine, with a sample mail server
    Try(Try),
    /// Run until SIGTERM or SIGINT; SIGHUP reads the certificates again
    Serve(Serve),
    /// Try every certificate, backend and store
    Check {
        /// Connect to nothing
        #[arg(long)]
        offline: bool,
    },
    /// Show the decision that a token or a SASL response would get, step by step
    Explain(Explain),
    /// Print the default file, the schema, or what is in effect
    #[command(subcommand)]
    Config(ConfigCommand),
    /// Make or look at access tokens
    #[command(subcommand)]
    Token(TokenCommand),
    /// Look after OAuth clients
    #[command(subcommand)]
    Client(ClientCommand),
    /// Look after the keys that sign ID tokens and JWT access tokens
    #[command(subcommand)]
    Key(KeyCommand),
    /// Look after the built-in directory
    #[command(subcommand)]
    User(UserCommand),
    /// Passwords of users at mail servers with login = "secret"
    #[command(subcommand)]
    Secret(SecretCommand),
    /// Passwords of their own for programs that know no OAuth
    #[command(subcommand)]
    AppPassword(AppPasswordCommand),
    /// Show or end what users allowed clients
    #[command(subcommand)]
    Grant(GrantCommand),
    /// Show or close the live sessions of the running server
    #[command(subcommand)]
    Session(SessionCommand),
    /// Show the mail servers, and keep sessions away from one before it is worked on
    #[command(subcommand)]
    Backend(BackendCommand),
    /// Look after the store
    #[command(subcommand)]
    Store(StoreCommand),
}

#[derive(Debug, Args)]
pub(super) struct Try {
    /// Added to each standard port: 993 becomes 9993
    #[arg(long, default_value_t = 9000, value_name = "N")]
    pub(super) port_offset: u16,
    /// Where state goes [default: a folder in the temporary directory]
    #[arg(long, value_name = "DIR")]
    pub(super) data: Option<PathBuf>,
}

#[derive(Debug, Args)]
pub(super) struct Serve {
    /// The public name, in place of a configuration file
    #[arg(long, requires = "upstream", value_name = "NAME")]
    pub(super) hostname: Option<String>,
    /// The mail server's host, in place of a configuration file
    #[arg(long, requires = "hostname", value_name = "HOST")]
    pub(super) upstream: Option<String>,
}

#[derive(Debug, Args)]
pub(super) struct Explain {
    #[command(flatten)]
    pub(super) presented: Presented,
    /// The protocol it is used on: imap, pop3 or smtp
    #[arg(long, default_value = "imap", value_parser = protocol)]
    pub(super) protocol: Protocol,
    /// The address it is used from, which app passwords may be bound to
    #[arg(long, value_name = "ADDRESS")]
    pub(super) client_ip: Option<IpAddr>,
}

#[derive(Debug, Args)]
#[group(required = true, multiple = false)]
pub(super) struct Presented {
    /// An access token; - reads it from standard input
    #[arg(long)]
    pub(super) token: Option<String>,
    /// A SASL response as it stands on the wire; - reads it from standard input
    #[arg(long, value_name = "BASE64")]
    pub(super) sasl: Option<String>,
}

#[derive(Debug, Subcommand)]
pub(super) enum ConfigCommand {
    /// A commented file that holds every key with its default
    Default,
    /// The JSON Schema of the configuration
    Schema,
    /// What is in effect, secrets masked
    Show,
}

#[derive(Debug, Subcommand)]
pub(super) enum TokenCommand {
    /// Make an access token and print it
    Issue(Issue),
    /// Ask for tokens as a device without a browser does: somebody allows it in one
    Request(Ask),
    /// Show what a token is good for
    Inspect {
        /// The token; - reads it from standard input
        token: String,
    },
}

#[derive(Debug, Args)]
pub(super) struct Ask {
    /// The client that asks; one without a secret
    #[arg(long, default_value = "open")]
    pub(super) client: ClientId,
    /// What to ask for [default: all mail protocols]
    #[arg(long)]
    pub(super) scope: Option<Scope>,
}

#[derive(Debug, Args)]
pub(super) struct Issue {
    /// Whom it speaks for
    #[arg(long, value_parser = login)]
    pub(super) user: Login,
    /// The client it is given to
    #[arg(long, default_value = "open")]
    pub(super) client: ClientId,
    /// What it is for
    #[arg(long, default_value = Scope::MAIL)]
    pub(super) scope: Scope,
    /// How long it works, such as 15m [default: issuer.access_token_lifetime]
    #[arg(long, value_parser = config::duration)]
    pub(super) lifetime: Option<Duration>,
    /// Read the mailbox password from standard input
    #[arg(long)]
    pub(super) password_stdin: bool,
}

#[derive(Debug, Subcommand)]
pub(super) enum ClientCommand {
    /// Add a client that you vouch for, and print its identifier and its secret
    Add(Box<AddClient>),
    /// Make an initial access token, with which somebody may register clients
    Invite {
        /// How long it works, such as 1d
        #[arg(long, default_value = "1d", value_parser = config::duration)]
        lifetime: Duration,
        /// How many clients it may register
        #[arg(long, default_value_t = 1)]
        uses: u32,
    },
    /// The clients that have a row, and those that are denied
    List,
    /// Everything about a client
    Show {
        /// The identifier
        client: ClientId,
    },
    /// Remove a client: its grants end, and its identifier is denied from now on
    Remove {
        /// The identifier; one that a native client made for itself works too
        client: ClientId,
    },
    /// Take an identifier off the deny list
    Allow {
        /// The identifier
        client: ClientId,
    },
}

/// A client as the operator describes it. The members are those of RFC 7591 §2.
#[derive(Debug, Args)]
pub(super) struct AddClient {
    /// The name that people are shown
    #[arg(long)]
    pub(super) name: String,
    /// Where it may be sent back to; may be repeated
    #[arg(long, value_name = "URI")]
    pub(super) redirect_uri: Vec<String>,
    /// How it authenticates: none, client_secret_basic, client_secret_post, private_key_jwt, tls_client_auth or
    /// self_signed_tls_client_auth
    #[arg(long, default_value = "client_secret_basic", value_name = "METHOD", value_parser = named::<AuthMethod>)]
    pub(super) auth: AuthMethod,
    /// What it may use: authorization_code, refresh_token, client_credentials or device_code; may be repeated
    /// [default: authorization_code and refresh_token; none for a client that only introspects]
    #[arg(long, value_name = "GRANT", value_parser = grant_type)]
    pub(super) grant: Vec<GrantType>,
    /// What it may ask for [default: everything]
    #[arg(long)]
    pub(super) scope: Option<Scope>,
    /// File with its public keys, a JSON Web Key Set
    #[arg(long, value_name = "FILE")]
    pub(super) jwks: Option<PathBuf>,
    /// Give it JWT access tokens (RFC 9068) instead of short ones
    #[arg(long)]
    pub(super) jwt_access_tokens: bool,
    /// Algorithm of its ID tokens: RS256, ES256 or EdDSA
    #[arg(long, value_name = "ALG")]
    pub(super) id_token_alg: Option<String>,
    /// A mailbox that it may open by client credentials: a login name, or *@domain; may be repeated
    #[arg(long)]
    pub(super) mailbox: Vec<String>,
    /// Let it introspect every token, as a resource server
    #[arg(long)]
    pub(super) introspect: bool,
    /// Subject of its certificate, for tls_client_auth
    #[arg(long, value_name = "DN")]
    pub(super) subject_dn: Option<String>,
    /// Bind its access tokens to its certificate (RFC 8705)
    #[arg(long)]
    pub(super) certificate_bound: bool,
    /// Take its authorization requests only by way of the pushing endpoint (RFC 9126)
    #[arg(long)]
    pub(super) require_pushed: bool,
    /// Where people may be sent after signing out; may be repeated
    #[arg(long, value_name = "URI")]
    pub(super) post_logout_redirect_uri: Vec<String>,
    /// Where it is told when a grant of it has ended
    #[arg(long, value_name = "URI")]
    pub(super) backchannel_logout_uri: Option<String>,
}

#[derive(Debug, Subcommand)]
pub(super) enum KeyCommand {
    /// The keys
    List,
    /// Make new keys; they sign once everybody has had time to see them
    Rotate {
        /// Sign with the new keys at once, and take back the old ones and everything that they signed
        #[arg(long)]
        compromised: bool,
    },
}

#[derive(Debug, Subcommand)]
pub(super) enum SecretCommand {
    /// Keep a user's password at a mail server, in place of the one before
    Set {
        #[command(flatten)]
        of: SecretOf,
        /// Read the password from standard input
        #[arg(long)]
        password_stdin: bool,
    },
    /// Whose passwords are kept, without them
    List,
    /// Forget a user's password at a mail server
    Remove {
        #[command(flatten)]
        of: SecretOf,
    },
}

#[derive(Debug, Args)]
pub(super) struct SecretOf {
    /// The login name
    #[arg(long, value_parser = login)]
    pub(super) user: Login,
    /// The backend [default: the one that the user's sessions go to]
    #[arg(long)]
    pub(super) backend: Option<String>,
}

#[derive(Debug, Subcommand)]
pub(super) enum UserCommand {
    /// Add a user
    Add {
        /// The login name
        #[arg(value_parser = login)]
        login: Login,
        #[command(flatten)]
        password: NewPassword,
    },
    /// The users
    List,
    /// Give a user another password; the user's grants end
    Passwd {
        /// The login name
        #[arg(value_parser = login)]
        login: Login,
        #[command(flatten)]
        password: NewPassword,
    },
    /// Remove a user with their secrets; the user's grants end
    Remove {
        /// The login name
        #[arg(value_parser = login)]
        login: Login,
    },
}

/// Where a new password comes from.
#[derive(Debug, Args)]
#[group(required = true, multiple = false)]
pub(super) struct NewPassword {
    /// Read the password from standard input
    #[arg(long)]
    pub(super) password_stdin: bool,
    /// Make a random password and print it
    #[arg(long)]
    pub(super) generate: bool,
}

#[derive(Debug, Subcommand)]
pub(super) enum GrantCommand {
    /// The grants that are in force
    List {
        #[command(flatten)]
        of: GrantsOf,
        /// Also those that have ended
        #[arg(long)]
        all: bool,
    },
    /// End grants and close their sessions
    Revoke {
        /// Names of grants, as `grant list` shows them
        #[arg(value_name = "GRANT", conflicts_with_all = ["user", "client"])]
        grants: Vec<GrantId>,
        #[command(flatten)]
        of: GrantsOf,
    },
}

/// Whose grants.
#[derive(Debug, Args)]
pub(super) struct GrantsOf {
    /// Only of this user
    #[arg(long, value_parser = login)]
    pub(super) user: Option<Login>,
    /// Only of this client
    #[arg(long)]
    pub(super) client: Option<ClientId>,
}

#[derive(Debug, Subcommand)]
pub(super) enum SessionCommand {
    /// The live sessions
    List {
        /// Only of this user
        #[arg(long)]
        user: Option<String>,
    },
    /// Close sessions
    Kill {
        /// Names of sessions, as `session list` and the log show them
        #[arg(required = true, value_name = "SESSION")]
        sessions: Vec<SessionId>,
    },
}

#[derive(Debug, Subcommand)]
pub(super) enum BackendCommand {
    /// Every mail server, and how it does
    List,
    /// Send no new sessions to a backend or to one of its servers; those that live stay. It is forgotten when the
    /// server is started again
    Drain {
        /// The backend, or one of its servers: main, main/mail.example.org or main/mail.example.org:993
        #[arg(value_name = "BACKEND[/SERVER]", value_parser = servers)]
        servers: Servers,
        /// Also close the sessions that live
        #[arg(long)]
        close: bool,
    },
    /// Send new sessions there again
    Resume {
        /// As for drain
        #[arg(value_name = "BACKEND[/SERVER]", value_parser = servers)]
        servers: Servers,
    },
}

/// A backend, or one of its servers.
#[derive(Clone, Debug)]
pub(super) struct Servers {
    pub(super) backend: String,
    pub(super) server: Option<String>,
}

#[expect(clippy::unnecessary_wraps, reason = "clap wants a parser that can fail")]
fn servers(text: &str) -> Result<Servers, String> {
    let (backend, server) = text.split_once('/').map_or((text, None), |(a, b)| (a, Some(b)));
    Ok(Servers { backend: backend.to_owned(), server: server.map(str::to_owned) })
}

#[derive(Debug, Subcommand)]
pub(super) enum AppPasswordCommand {
    /// Make an app password and print it; nobody can print it again
    Add(Box<AddAppPassword>),
    /// Show app passwords
    List {
        /// Those of one user
        #[arg(long, value_parser = login)]
        user: Option<Login>,
    },
    /// End an app password, and the sessions that were signed in to with it
    Remove {
        /// Its identifier, as `list` shows it
        id: GrantId,
    },
}

#[derive(Debug, Args)]
pub(super) struct AddAppPassword {
    /// Whose it is
    #[arg(long, value_parser = login)]
    pub(super) user: Login,
    /// What to call it, such as the program that it is for
    #[arg(long)]
    pub(super) name: String,
    /// What it is for: imap, smtp, pop3, sieve; smtp alone makes one that can only send [default: all of them]
    #[arg(long, value_delimiter = ',', value_parser = protocol)]
    pub(super) protocols: Vec<Protocol>,
    /// A network that it may be used from, such as 10.0.0.0/8; may be given several times [default: everywhere]
    #[arg(long, value_name = "CIDR")]
    pub(super) network: Vec<Network>,
    /// How long it works, such as 90d [default: until it is removed]
    #[arg(long, value_parser = config::duration)]
    pub(super) expires: Option<Duration>,
    /// Read the mailbox password from standard input
    #[arg(long)]
    pub(super) password_stdin: bool,
}

#[derive(Debug, Subcommand)]
pub(super) enum StoreCommand {
    /// Bring the store to the form of this version
    Migrate,
    /// Write a consistent copy to a new file
    Backup {
        /// The file; it must not exist
        file: PathBuf,
    },
    /// Examine the whole store
    Check,
}

/// A value by the name that it has in JSON.
fn named<T: serde::de::DeserializeOwned>(text: &str) -> Result<T, String> {
    serde_json::from_value(text.into()).map_err(|error| error.to_string())
}

fn grant_type(text: &str) -> Result<GrantType, String> {
    if text == "device_code" { Ok(GrantType::DeviceCode) } else { named(text) }
}

fn login(text: &str) -> Result<Login, InvalidLogin> {
    Login::parse(text)
}

fn protocol(text: &str) -> Result<Protocol, &'static str> {
    Protocol::from_name(text).ok_or("it is one of imap, pop3, smtp and sieve")
}
