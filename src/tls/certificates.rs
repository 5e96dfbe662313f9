use std::{cell::Cell, collections::HashMap, fs, path::PathBuf, sync::Arc, time::SystemTime};

use arc_swap::ArcSwap;
use rustls::{
    pki_types::PrivateKeyDer,
    server::{ClientHello, ResolvesServerCert},
    sign::CertifiedKey,
};

use super::{CertificateFiles, Config, TlsError, dev, material, provider};

/// The certificates of the listeners. They are swapped while sessions live; a running handshake keeps what it has.
#[derive(Debug)]
pub struct Certificates {
    sources: Sources,
    loaded: ArcSwap<Loaded>,
    /// What the files looked like when they were last tried, well or not.
    tried: ArcSwap<Vec<Stamp>>,
}

/// Where certificates come from.
#[derive(Debug)]
struct Sources {
    default: DefaultSource,
    by_name: Vec<(String, CertificateFiles)>,
}

#[derive(Debug)]
enum DefaultSource {
    Files(CertificateFiles),
    /// Made once, so that a reload does not surprise those who chose to trust it.
    SelfSigned(Arc<CertifiedKey>),
}

#[derive(Debug)]
struct Loaded {
    default: Arc<CertifiedKey>,
    by_name: HashMap<String, Arc<CertifiedKey>>,
}

/// What tells that a file changed.
#[derive(Debug, PartialEq, Eq)]
struct Stamp {
    path: PathBuf,
    /// `None` when the file cannot be looked at.
    seen: Option<(Option<SystemTime>, u64)>,
}

thread_local! {
    /// The server name of the ClientHello that this thread has just processed. rustls's unbuffered connection does
    /// not tell it, and resolving a certificate happens inside the call that processes the hello.
    static LAST_SNI: Cell<Option<Arc<str>>> = const { Cell::new(None) };
}

/// Takes the server name of the ClientHello that was processed last on this thread.
pub(super) fn take_sni() -> Option<Arc<str>> {
    LAST_SNI.take()
}

impl Certificates {
    /// Reads every file of `config`.
    ///
    /// # Errors
    /// The first file that is missing, is no certificate or key, or does not match.
    pub fn load(config: &Config) -> Result<Arc<Self>, TlsError> {
        let default = match &config.default {
            Some(files) => DefaultSource::Files(files.clone()),
            None => DefaultSource::SelfSigned(Arc::new(self_signed(&config.hostname)?)),
        };
        let by_name = config.sni.iter().map(|(name, files)| (name.to_ascii_lowercase(), files.clone()));
        let sources = Sources { default, by_name: by_name.collect() };
        let tried = ArcSwap::from_pointee(sources.stamps());
        let loaded = ArcSwap::from_pointee(sources.read()?);
        Ok(Arc::new(Self { sources, loaded, tried }))
    }

    /// Reads the files anew. Live sessions keep the certificate they were started with.
    ///
    /// # Errors
    /// As [`Certificates::load`]; then what was loaded before stays in use.
    pub fn reload(&self) -> Result<(), TlsError> {
        // The look comes before the reading: a file that changes in between looks changed again.
        self.tried.store(Arc::new(self.sources.stamps()));
        self.loaded.store(Arc::new(self.sources.read()?));
        Ok(())
    }

    /// Whether a file has another length or time of change than when it was last tried. Cheap enough to poll.
    pub fn changed_on_disk(&self) -> bool {
        **self.tried.load() != self.sources.stamps()
    }
}

impl ResolvesServerCert for Certificates {
    fn resolve(&self, hello: ClientHello<'_>) -> Option<Arc<CertifiedKey>> {
        let name = hello.server_name();
        LAST_SNI.set(name.map(Arc::from));
        Some(self.loaded.load().of(name))
    }
}

impl Sources {
    fn read(&self) -> Result<Loaded, TlsError> {
        let default = match &self.default {
            DefaultSource::Files(files) => Arc::new(material::certified_key(files)?),
            DefaultSource::SelfSigned(key) => Arc::clone(key),
        };
        let by_name = self
            .by_name
            .iter()
            .map(|(name, files)| Ok((name.clone(), Arc::new(material::certified_key(files)?))))
            .collect::<Result<_, TlsError>>()?;
        Ok(Loaded { default, by_name })
    }

    fn stamps(&self) -> Vec<Stamp> {
        let default = match &self.default {
            DefaultSource::Files(files) => Some(files),
            DefaultSource::SelfSigned(_) => None,
        };
        let every = default.into_iter().chain(self.by_name.iter().map(|(_, files)| files));
        every.flat_map(Stamp::of).collect()
    }
}

impl Stamp {
    fn of(files: &CertificateFiles) -> impl Iterator<Item = Self> + '_ {
        [Some(&files.certificate), files.private_key.as_ref()].into_iter().flatten().map(|path| Self {
            path: path.clone(),
            seen: fs::metadata(path).ok().map(|found| (found.modified().ok(), found.len())),
        })
    }
}

impl Loaded {
    /// The certificate for a name, for the wildcard above it, or the default.
    fn of(&self, name: Option<&str>) -> Arc<CertifiedKey> {
        let Some(name) = name.filter(|_| !self.by_name.is_empty()) else { return Arc::clone(&self.default) };
        let name = name.to_ascii_lowercase();
        let wildcard = || {
            let (_, parent) = name.split_once('.')?;
            self.by_name.get(&format!("*.{parent}"))
        };
        Arc::clone(self.by_name.get(&name).or_else(wildcard).unwrap_or(&self.default))
    }
}

fn self_signed(hostname: &str) -> Result<CertifiedKey, TlsError> {
    let made = dev::self_signed(hostname)?;
    let key = PrivateKeyDer::try_from(made.signing_key.serialize_der()).map_err(TlsError::setup)?;
    CertifiedKey::from_der(vec![made.cert.der().clone()], key, &provider()).map_err(TlsError::setup)
}
