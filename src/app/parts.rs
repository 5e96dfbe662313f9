//! Builds every part from its settings.

use std::{
    collections::BTreeMap,
    io,
    sync::{Arc, Mutex, PoisonError},
};

use thiserror::Error;
use tokio::sync::Notify;
use tokio_util::sync::CancellationToken;

use super::{Config, logout::LogoutNotices, people, refusals::Refusals, storage::open_store};
use crate::{
    admin::BindError,
    directory::{
        self, BackendDirectory, Directory, HashError, OpenIdProvider, OutsideDirectory, PasswordCheck,
        PasswordGuard, SecretError, Secrets, SignInLog,
    },
    http::HttpError,
    issuer::{Issuer, IssuerError},
    limits::Connections,
    lookup::{Lookups, LookupsError},
    model::{GrantId, Protocol, UnixTime},
    net::{ListenerConfig, NetError},
    session::{Issuers, KnownIssuer, Passwords, Registry, Shared},
    store::{RevocationFeed, Revoked, Store, StoreError},
    telemetry::Metrics,
    tls::{Certificates, ClientAuthorities, ServerTls, TlsError},
    upstream::{Backends, BackendsError},
    validator::{self, RefusalPolicy, ServerKey, TrustedIssuer, Validator},
    web,
};

/// Tokens that the validator remembers.
const CACHED_TOKENS: usize = 100_000;

/// Every part of a running server.
pub struct Parts {
    /// The settings it was built from.
    pub config: Config,
    /// What outlives the process.
    pub store: Arc<dyn Store>,
    /// The built-in issuer, where it is on.
    pub issuer: Option<Arc<Issuer>>,
    /// What sessions share.
    pub shared: Arc<Shared>,
    /// The certificates that listeners show.
    pub certificates: Arc<Certificates>,
    /// TLS toward clients.
    tls: ServerTls,
    /// The same, where clients are asked for a certificate.
    tls_asking: ServerTls,
    /// Whose word counts for such certificates.
    pub client_authorities: ClientAuthorities,
    /// Who is connected, counted.
    pub connections: Arc<Connections>,
    /// Connections beyond the limits.
    pub(super) refusals: Refusals,
    /// Tells clients of the built-in issuer that a grant has ended.
    logout_notices: Option<LogoutNotices>,
    /// Started before the first token is looked up, so that no revocation is missed.
    revocations: Mutex<Option<RevocationFeed>>,
    /// Told by another process that there is something for the feed.
    pub(super) look: Notify,
}

/// The server cannot be built or started.
#[derive(Debug, Error)]
pub enum AppError {
    /// The admin socket cannot be bound.
    #[error("{0}")]
    Admin(#[from] BindError),
    /// A backend's TLS files cannot be used.
    #[error("{0}")]
    Backends(#[from] BackendsError),
    /// The data folder or the server key cannot be used.
    #[error("{0}")]
    Data(String),
    /// A file of a directory cannot be used.
    #[error("the directory of people cannot be asked: {0}")]
    Directory(String),
    /// No HTTP client for logout notices.
    #[error("clients cannot be told of sign-outs: {0}")]
    Http(#[from] reqwest::Error),
    /// Passwords cannot be hashed.
    #[error("{0}")]
    Hashing(#[from] HashError),
    /// The issuer's keys cannot be used.
    #[error("{0}")]
    Issuer(#[from] IssuerError),
    /// A look-up's files cannot be used.
    #[error("{0}")]
    Lookups(#[from] LookupsError),
    /// A socket cannot be bound.
    #[error("{0}")]
    Net(#[from] NetError),
    /// A trusted issuer's files cannot be used.
    #[error("a trusted issuer cannot be reached: {0}")]
    Trusted(#[from] HttpError),
    /// Signals cannot be received.
    #[error("signals cannot be received: {0}")]
    Signals(io::Error),
    /// The key of users' passwords cannot be derived.
    #[error("{0}")]
    Secrets(#[from] SecretError),
    /// The store cannot be opened.
    #[error("the store cannot be opened: {0}")]
    Store(#[from] StoreError),
    /// The certificates cannot be used.
    #[error("{0}")]
    Tls(#[from] TlsError),
}

impl Parts {
    /// Builds every part; binds no socket and connects to no backend.
    ///
    /// # Errors
    /// [`AppError`], naming the part.
    pub async fn build(config: Config) -> Result<Self, AppError> {
        let (store, server_key) = open_store(&config).await?;
        let certificates = Certificates::load(&config.tls)?;
        let tls = ServerTls::new(&certificates, config.tls.min_version)?;
        let tls_asking = ServerTls::asking(&certificates, config.tls.min_version)?;
        let client_authorities = ClientAuthorities::load(config.tls.client_ca.as_deref())?;
        let metrics = Arc::new(Metrics::new());
        let lookups = Lookups::new(&config.lookups)?;
        let backends =
            Backends::new(config.backends.clone(), config.routes.clone(), &config.hostname, &metrics)?;
        let backends = Arc::new(backends.with_lookups(lookups.clone()));
        let sign_in_log = SignInLog::start(Arc::clone(&store));
        let issuer = built_in_issuer(&config, &store, &server_key, &backends, &sign_in_log).await?;
        let knows_more = |source: &directory::Source| !matches!(source, directory::Source::Backend);
        let guard = match &issuer {
            Some(issuer) => issuer.password_guard(),
            None => {
                let people = known_people(&config.directory, &backends, &store)?;
                PasswordGuard::new(people, config.directory.names.clone(), &config.issuer.sign_in)
            }
        };
        let passwords = Passwords::new(guard, config.directory.sources.iter().any(knows_more));
        let secrets = Arc::new(Secrets::new(Arc::clone(&store), &server_key)?);
        let validator = Arc::new(validator(&config, &store, server_key, CACHED_TOKENS, &lookups)?);
        let shared = Arc::new(Shared {
            config: config.session.clone(),
            limits: config.limits.clone(),
            hostname: Arc::clone(&config.hostname),
            issuers: issuers(&config, &metrics),
            validator,
            refusals: RefusalPolicy::new(),
            backends,
            lookups,
            secrets,
            sign_in_log: Some(sign_in_log),
            passwords,
            registry: Arc::new(Registry::default()),
            metrics,
            drain: CancellationToken::new(),
        });
        let connections = Arc::new(Connections::new(&config.limits));
        let revocations = Mutex::new(Some(RevocationFeed::start(Arc::clone(&store)).await?));
        let logout_notices = issuer.clone().map(LogoutNotices::start).transpose()?;
        Ok(Self {
            config,
            store,
            issuer,
            shared,
            certificates,
            tls,
            tls_asking,
            client_authorities,
            connections,
            refusals: Refusals::default(),
            logout_notices,
            revocations,
            look: Notify::new(),
        })
    }

    /// TLS for a listener.
    pub(super) const fn tls(&self, listener: &ListenerConfig) -> &ServerTls {
        if listener.client_certificates { &self.tls_asking } else { &self.tls }
    }

    /// Empties the cache of a grant and ends its sessions; says how many. The store knows already.
    pub fn end_grant(&self, grant: GrantId) -> usize {
        self.shared.validator.forget_grant(grant);
        self.shared.registry.end_grant(grant)
    }

    /// Carries out what the store says has ended.
    pub(super) fn end(&self, what: Revoked) {
        match what {
            Revoked::Grant(grant) => {
                if let Some(notices) = &self.logout_notices {
                    notices.tell(grant);
                }
                let sessions = self.end_grant(grant);
                if sessions > 0 {
                    tracing::info!(%grant, sessions, "sessions of a revoked grant ended");
                }
            }
            Revoked::Token(key) => {
                self.shared.validator.forget(&[what]);
                let sessions = self.shared.registry.end_token(&key);
                if sessions > 0 {
                    tracing::info!(sessions, "sessions of a revoked token ended");
                }
            }
        }
    }

    /// The revocations to follow; there is one follower.
    pub(super) fn take_revocations(&self) -> Option<RevocationFeed> {
        self.revocations.lock().unwrap_or_else(PoisonError::into_inner).take()
    }

    /// What the HTTPS listeners serve.
    pub(super) fn router(&self) -> axum::Router {
        web::router(web::Site {
            hostname: Arc::clone(&self.config.hostname),
            issuer: self.issuer.clone(),
            sign_outs: self
                .config
                .trusted
                .iter()
                .any(|issuer| issuer.client.is_some())
                .then(|| Arc::clone(&self.shared.validator)),
            trusted: self.config.trusted.iter().map(|issuer| Arc::clone(&issuer.url)).collect(),
            setup: Arc::new(self.config.setup.clone()),
            sessions: Arc::clone(&self.shared.registry),
            limits: web::Limits::default(),
            metrics: Arc::clone(&self.shared.metrics),
        })
    }
}

/// The issuer with the people who may sign in; where it is off there is none, and no key of it is read or made.
async fn built_in_issuer(
    config: &Config,
    store: &Arc<dyn Store>,
    server_key: &ServerKey,
    backends: &Arc<Backends>,
    sign_in_log: &Arc<SignInLog>,
) -> Result<Option<Arc<Issuer>>, AppError> {
    if !config.issuer.enabled {
        return Ok(None);
    }
    let issuer = Issuer::new(config.issuer.clone(), Arc::clone(store), server_key.clone(), UnixTime::now());
    let issuer = with_people(issuer.await?, &config.directory, backends, store)?
        .with_sign_in_log(Arc::clone(sign_in_log))
        .with_mailboxes(Arc::new(BackendDirectory::new(Arc::clone(backends))));
    Ok(Some(Arc::new(issuer)))
}

/// Who knows passwords; `None` where nobody does.
fn known_people(
    config: &directory::Config,
    backends: &Arc<Backends>,
    store: &Arc<dyn Store>,
) -> Result<Option<Arc<dyn PasswordCheck>>, AppError> {
    let sources = people::sources(config, backends, store)?;
    Ok(if sources.is_empty() { None } else { Some(Arc::new(Directory::new(sources))) })
}

/// Tells the issuer who may sign in, and how.
fn with_people(
    mut issuer: Issuer,
    config: &directory::Config,
    backends: &Arc<Backends>,
    store: &Arc<dyn Store>,
) -> Result<Issuer, AppError> {
    issuer = issuer.with_names(config.names.clone());
    if let Some(people) = known_people(config, backends, store)? {
        issuer = issuer.with_directory(people);
    }
    if let Some(openid) = &config.openid {
        let client = openid.provider.client.as_ref().map_or("", |client| client.id.as_str());
        let provider = OpenIdProvider::new(openid.provider.clone())?;
        let mailboxes = Arc::new(BackendDirectory::new(Arc::clone(backends)));
        let outside =
            OutsideDirectory::new(&openid.label, client, &openid.scopes, Arc::new(provider), mailboxes);
        issuer = issuer.with_outside(Arc::new(outside));
    }
    Ok(issuer)
}

/// The validator of these settings without a server around it, for commands.
///
/// # Errors
/// [`AppError`] when a file that a trusted issuer or a look-up needs cannot be used.
pub fn lone_validator(
    config: &Config,
    store: &Arc<dyn Store>,
    server_key: ServerKey,
) -> Result<Validator, AppError> {
    let lookups = Lookups::new(&config.lookups)?;
    Ok(validator(config, store, server_key, 1, &lookups)?)
}

fn validator(
    config: &Config,
    store: &Arc<dyn Store>,
    server_key: ServerKey,
    cache_entries: usize,
    lookups: &Lookups,
) -> Result<Validator, HttpError> {
    let settings = validator::Config {
        issuer: Arc::clone(&config.issuer.url),
        audience: config.issuer.audience().into(),
        cache_entries,
    };
    let named = |name: &Option<Arc<str>>| name.as_deref().and_then(|name| lookups.get(name));
    let trusted = config
        .trusted
        .iter()
        .map(|issuer| TrustedIssuer::new(issuer.clone(), named(&issuer.login_lookup)))
        .collect::<Result<_, _>>()?;
    let mut validator = Validator::new(&settings, Arc::clone(store), server_key).with_trusted(trusted);
    if let Some(lookup) = named(&config.shared_mailboxes) {
        validator = validator.with_shared_mailboxes(lookup);
    }
    Ok(if config.issuer.enabled { validator } else { validator.without_own() })
}

/// What sessions say of issuers.
fn issuers(config: &Config, metrics: &Metrics) -> Issuers {
    let known = |url: &Arc<str>, discovery: Option<String>| KnownIssuer {
        url: Arc::clone(url),
        openid_configuration: discovery
            .unwrap_or_else(|| format!("{}/.well-known/openid-configuration", url.trim_end_matches('/')))
            .into(),
        domains: Vec::new(),
        scopes: BTreeMap::new(),
        validations: metrics.validations(url),
    };
    let trusted = config.trusted.iter().map(|issuer| {
        let needed = |protocol| Some((protocol, Arc::from(issuer.scopes.needed(protocol)?)));
        KnownIssuer {
            domains: issuer.domains.clone(),
            scopes: Protocol::ALL.into_iter().filter_map(needed).collect(),
            ..known(&issuer.url, issuer.endpoints.discovery.as_ref().map(ToString::to_string))
        }
    });
    Issuers::new(known(&config.issuer.url, None), config.issuer.enabled, trusted.collect())
}
