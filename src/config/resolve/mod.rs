//! From the written configuration to the components' own settings; every check that needs more than one value.

mod backend_login;
mod backends;
mod group;
mod issuer;
mod listeners;
mod lookups;
mod oidc;
mod passwords;
mod store;
mod submission;
mod trusted;

use std::{
    fs::File,
    path::{Path, PathBuf},
    sync::Arc,
};

use super::{
    ConfigError, address,
    document::Document,
    raw::{self, Root},
    unavailable,
    value::Span,
};
use crate::{admin, app, limits, session, telemetry, tls};

pub(super) use listeners::standard as standard_listeners;

/// Where the store is without a setting.
pub(super) const SQLITE: &str = "sqlite:bearward.db";

/// Checks everything and fills in what depends on other keys, so that `raw` shows what is in effect.
pub(super) fn resolve(document: &Document<'_>, raw: &mut Root) -> Result<app::Config, ConfigError> {
    let base = Base::of(document);
    unavailable::refuse(document, raw)?;
    let hostname = hostname(document, raw)?;
    raw.data_dir = base.join(&raw.data_dir);
    let backends = backends::backends(document, &base, raw)?;
    let lookups = lookups::lookups(document, &base, raw)?;
    let listeners = listeners::listeners(document, raw, &backends)?;
    let routes = backends::routes(document, raw, &backends, &listeners)?;
    let telemetry = telemetry(document, &raw.telemetry)?;
    listeners::refuse_taken(document, &listeners, telemetry.metrics)?;
    let issuer = issuer::issuer(document, &mut raw.issuer, &hostname, &listeners)?;
    let directory = oidc::directory(document, &base, raw, &issuer.url, &backends)?;
    let passwords = passwords::passwords(document, raw, &listeners, &directory.sources)?;
    Ok(app::Config {
        trusted: trusted::trusted(document, &base, raw, &issuer.url, &listeners)?,
        shared_mailboxes: shared_mailboxes(document, raw)?,
        tls: certificates(document, &base, &mut raw.tls, &hostname)?,
        issuer,
        listeners,
        directory,
        backends,
        routes,
        lookups,
        session: session(document, raw, passwords)?,
        limits: limits(document, &raw.limits)?,
        store: store::store(document, &base, raw)?,
        telemetry,
        admin: admin::Config { socket: raw.data_dir.join(&raw.admin.socket) },
        data_dir: raw.data_dir.clone(),
        hostname,
    })
}

/// Where relative paths begin: at the folder of the configuration file.
struct Base(Option<PathBuf>);

impl Base {
    fn of(document: &Document<'_>) -> Self {
        let folder = document.file.and_then(|file| {
            std::path::absolute(file).ok().and_then(|file| file.parent().map(Path::to_owned))
        });
        Self(folder)
    }

    fn join(&self, path: &Path) -> PathBuf {
        self.0.as_ref().map_or_else(|| path.to_owned(), |folder| folder.join(path))
    }

    /// The same for a file that must be there.
    fn file(&self, document: &Document<'_>, key: &str, path: &Path) -> Result<PathBuf, ConfigError> {
        let path = self.join(path);
        match File::open(&path) {
            Ok(_) => Ok(path),
            Err(error) => Err(document.error(key, format!("cannot open {}: {error}", path.display())).help(
                "put the file there, or correct the path, which is relative to the configuration file",
            )),
        }
    }
}

fn shared_mailboxes(document: &Document<'_>, raw: &Root) -> Result<Option<Arc<str>>, ConfigError> {
    let Some(name) = &raw.shared_mailboxes.lookup else { return Ok(None) };
    lookups::must_exist(document, raw, "shared_mailboxes.lookup", name)?;
    Ok(Some(name.as_str().into()))
}

fn hostname(document: &Document<'_>, raw: &mut Root) -> Result<Arc<str>, ConfigError> {
    let Some(name) = &mut raw.hostname else {
        return Err(document
            .error("hostname", "is missing")
            .help("write hostname = \"mail.example.org\", the name that mail clients use"));
    };
    name.make_ascii_lowercase();
    if !address::is_host_name(name) || name.ends_with('.') {
        return Err(document.error("hostname", "must be a host name such as \"mail.example.org\""));
    }
    Ok(name.as_str().into())
}

fn certificates(
    document: &Document<'_>,
    base: &Base,
    raw: &mut raw::Tls,
    hostname: &Arc<str>,
) -> Result<tls::Config, ConfigError> {
    let default = pair(document, base, "tls", raw.certificate.as_deref(), raw.private_key.as_deref())?;
    raw.certificate = default.as_ref().map(|files| files.certificate.clone());
    raw.private_key = default.as_ref().and_then(|files| files.private_key.clone());
    let mut sni = Vec::new();
    for (index, entry) in raw.sni.iter_mut().enumerate() {
        let key = format!("tls.sni[{index}]");
        entry.name.make_ascii_lowercase();
        let name = entry.name.strip_prefix("*.").unwrap_or(&entry.name);
        if !address::is_host_name(name) {
            return Err(
                document.error(&format!("{key}.name"), "must be a host name such as \"imap.example.net\"")
            );
        }
        if sni.iter().any(|(other, _)| *other == entry.name) {
            return Err(document
                .error(&format!("{key}.name"), "has a certificate already")
                .help("remove one"));
        }
        if let Some(files) =
            pair(document, base, &key, Some(&entry.certificate), entry.private_key.as_deref())?
        {
            entry.certificate.clone_from(&files.certificate);
            entry.private_key.clone_from(&files.private_key);
            sni.push((entry.name.clone(), files));
        }
    }
    let min_version = match raw.min_version {
        raw::MinVersion::Tls12 => tls::MinVersion::Tls12,
        raw::MinVersion::Tls13 => tls::MinVersion::Tls13,
    };
    let client_ca =
        raw.client_ca.as_ref().map(|path| base.file(document, "tls.client_ca", path)).transpose()?;
    raw.client_ca.clone_from(&client_ca);
    Ok(tls::Config { default, sni, min_version, hostname: hostname.clone(), client_ca })
}

/// `certificate` and `private_key` of the section `key`.
fn pair(
    document: &Document<'_>,
    base: &Base,
    key: &str,
    certificate: Option<&Path>,
    private_key: Option<&Path>,
) -> Result<Option<tls::CertificateFiles>, ConfigError> {
    let private = format!("{key}.private_key");
    let Some(certificate) = certificate else {
        return match private_key {
            Some(_) => {
                Err(document.error(&private, "stands without a certificate").help("write certificate = …"))
            }
            None => Ok(None),
        };
    };
    let certificate = base.file(document, &format!("{key}.certificate"), certificate)?;
    let private_key = private_key.map(|path| base.file(document, &private, path)).transpose()?;
    Ok(Some(tls::CertificateFiles { certificate, private_key }))
}

fn session(
    document: &Document<'_>,
    raw: &Root,
    passwords: session::PasswordPolicy,
) -> Result<session::Config, ConfigError> {
    Ok(session::Config {
        on_token_expiry: match raw.session.on_token_expiry {
            raw::OnTokenExpiry::Close => session::OnTokenExpiry::Close,
            raw::OnTokenExpiry::Keep => session::OnTokenExpiry::Keep,
        },
        expiry_grace: raw.session.expiry_grace.0,
        drain_timeout: raw.session.drain_timeout.0,
        submission: submission::submission(document, raw)?,
        passwords,
    })
}

fn limits(document: &Document<'_>, raw: &raw::Limits) -> Result<limits::Config, ConfigError> {
    let zeros = [
        ("connections", raw.connections == 0),
        ("per_ip", raw.per_ip == 0),
        ("per_prefix_v4", raw.per_prefix_v4 == 0),
        ("per_prefix_v6", raw.per_prefix_v6 == 0),
        ("handshake_timeout", raw.handshake_timeout.0.is_zero()),
        ("pre_auth_timeout", raw.pre_auth_timeout.0.is_zero()),
        ("dummy_response_timeout", raw.dummy_response_timeout.0.is_zero()),
        ("bad_commands", raw.bad_commands == 0),
        ("failed_auth", raw.failed_auth == 0),
        ("pre_auth_line", raw.pre_auth_line.0 == 0),
        ("sasl_response", raw.sasl_response.0 == 0),
        ("idle_timeout", raw.idle_timeout.0.is_zero()),
        ("idle_timeout_pop3", raw.idle_timeout_pop3.0.is_zero()),
        ("idle_timeout_smtp", raw.idle_timeout_smtp.0.is_zero()),
    ];
    if let Some((key, _)) = zeros.into_iter().find(|(_, is_zero)| *is_zero) {
        return Err(document
            .error(&format!("limits.{key}"), "must not be zero, which would let nobody in")
            .help("leave the key out for the default"));
    }
    // The shortest line that SMTP servers must take (RFC 5321 §4.5.3.1.4), and what one stranger may make us hold.
    for (key, size) in [("pre_auth_line", raw.pre_auth_line), ("sasl_response", raw.sasl_response)] {
        if !(512..=1 << 20).contains(&size.0) {
            return Err(document.error(&format!("limits.{key}"), "must be between 512B and 1MiB"));
        }
    }
    Ok(limits::Config {
        connections: raw.connections,
        per_ip: raw.per_ip,
        per_prefix_v4: raw.per_prefix_v4,
        per_prefix_v6: raw.per_prefix_v6,
        handshake_timeout: raw.handshake_timeout.0,
        pre_auth_timeout: raw.pre_auth_timeout.0,
        dummy_response_timeout: raw.dummy_response_timeout.0,
        bad_commands: raw.bad_commands,
        failed_auth: raw.failed_auth,
        pre_auth_line: raw.pre_auth_line.0,
        sasl_response: raw.sasl_response.0,
        idle_timeout: raw.idle_timeout.0,
        idle_timeout_pop3: raw.idle_timeout_pop3.0,
        idle_timeout_smtp: raw.idle_timeout_smtp.0,
    })
}

fn telemetry(document: &Document<'_>, raw: &raw::Telemetry) -> Result<telemetry::Config, ConfigError> {
    if tracing_subscriber::EnvFilter::builder().parse(&raw.log).is_err() || raw.log.is_empty() {
        return Err(document
            .error("telemetry.log", "is no log filter")
            .help("write error, warn, info, debug, trace, or a list such as \"info,bearward=debug\""));
    }
    let metrics = match raw.metrics.as_str() {
        "off" => None,
        text => Some(text.parse().map_err(|_| {
            document
                .error("telemetry.metrics", "must be an address and a port, or \"off\"")
                .help("write metrics = \"127.0.0.1:9464\"")
        })?),
    };
    let format = match raw.format {
        raw::Format::Json => telemetry::Format::Json,
        raw::Format::Text => telemetry::Format::Text,
    };
    Ok(telemetry::Config { log: raw.log.clone(), format, metrics })
}

fn at_least_a_second(document: &Document<'_>, key: &str, span: Span) -> Result<(), ConfigError> {
    at_least(document, key, span, Span::seconds(1))
}

fn at_least(document: &Document<'_>, key: &str, span: Span, least: Span) -> Result<(), ConfigError> {
    if span.0 < least.0 {
        return Err(document.error(key, format!("must be at least {least}")));
    }
    Ok(())
}
