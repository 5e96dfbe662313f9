use std::{fmt, path::PathBuf};

use sqlx::{
    ConnectOptions,
    postgres::{PgConnectOptions, PgSslMode},
};

use crate::model::Secret;

/// Where a PostgreSQL database is, and how it is reached. Its `Debug` shows no password.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PostgresAddress {
    /// Where the server listens.
    pub host: PostgresHost,
    /// Its port, which also names the socket in a folder.
    pub port: u16,
    /// Who signs in; `None` is the name of the system user.
    pub user: Option<String>,
    /// The password, where one is needed.
    pub password: Option<Secret>,
    /// The database; `None` is the one named like the user.
    pub database: Option<String>,
    /// How the connection is protected; of no meaning on a Unix socket.
    pub tls: PostgresTls,
    /// A certificate of our own and its key, as PEM files.
    pub identity: Option<(PathBuf, PathBuf)>,
}

/// Where a PostgreSQL server listens.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum PostgresHost {
    /// A host name or an address.
    Name(String),
    /// The folder of a Unix socket.
    Folder(PathBuf),
}

/// How a connection to PostgreSQL is protected (<https://www.postgresql.org/docs/current/libpq-ssl.html>).
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum PostgresTls {
    /// In clear.
    Off,
    /// TLS if the server offers it, whoever it is. For this machine alone.
    Opportunistic,
    /// TLS with whoever answers.
    Unverified,
    /// TLS with a certificate of a trusted authority, whatever name it holds.
    Authority {
        /// PEM file of authorities that are trusted beside the public ones.
        roots: Option<PathBuf>,
    },
    /// TLS with a certificate of a trusted authority for the host.
    Verified {
        /// PEM file of authorities that are trusted beside the public ones.
        roots: Option<PathBuf>,
    },
}

impl fmt::Display for PostgresAddress {
    /// An address that the tools of PostgreSQL take, without the password.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("postgres://")?;
        if let Some(user) = &self.user {
            write!(f, "{}@", encoded(user))?;
        }
        match &self.host {
            PostgresHost::Name(name) if name.contains(':') => write!(f, "[{name}]")?,
            PostgresHost::Name(name) => f.write_str(name)?,
            PostgresHost::Folder(folder) => f.write_str(&encoded(&folder.to_string_lossy()))?,
        }
        write!(f, ":{}", self.port)?;
        if let Some(database) = &self.database {
            write!(f, "/{}", encoded(database))?;
        }
        Ok(())
    }
}

/// RFC 3986 §2.1.
fn encoded(text: &str) -> String {
    let plain = |octet: u8| octet.is_ascii_alphanumeric() || b"-._~".contains(&octet);
    text.bytes().fold(String::new(), |mut text, octet| {
        if plain(octet) {
            text.push(char::from(octet));
        } else {
            text.push_str(&format!("%{octet:02X}"));
        }
        text
    })
}

/// What every session of ours asks of the server, whatever its defaults. Times are in milliseconds.
const SESSION: [(&str, &str); 6] = [
    // An acknowledged grant survives power loss.
    ("synchronous_commit", "on"),
    ("default_transaction_isolation", "read committed"),
    ("statement_timeout", "4000"),
    ("lock_timeout", "3000"),
    // A node that stops in the middle of a transaction gives its locks back.
    ("idle_in_transaction_session_timeout", "10000"),
    // So does one that vanishes.
    ("tcp_user_timeout", "15000"),
];

impl PostgresAddress {
    /// For the driver.
    pub fn options(&self) -> PgConnectOptions {
        let mut options = PgConnectOptions::new_without_pgpass()
            .port(self.port)
            .application_name("bearward")
            .options(SESSION)
            .disable_statement_logging();
        options = match &self.host {
            PostgresHost::Name(name) => options.host(name),
            PostgresHost::Folder(folder) => options.socket(folder),
        };
        if let Some(user) = &self.user {
            options = options.username(user);
        }
        if let Some(password) = self.password.as_ref().and_then(Secret::expose_str) {
            options = options.password(password);
        }
        if let Some(database) = &self.database {
            options = options.database(database);
        }
        if let Some((certificate, key)) = &self.identity {
            options = options.ssl_client_cert(certificate).ssl_client_key(key);
        }
        let (mode, roots) = match &self.tls {
            PostgresTls::Off => (PgSslMode::Disable, None),
            PostgresTls::Opportunistic => (PgSslMode::Prefer, None),
            PostgresTls::Unverified => (PgSslMode::Require, None),
            PostgresTls::Authority { roots } => (PgSslMode::VerifyCa, roots.as_ref()),
            PostgresTls::Verified { roots } => (PgSslMode::VerifyFull, roots.as_ref()),
        };
        let options = options.ssl_mode(mode);
        match roots {
            Some(roots) => options.ssl_root_cert(roots),
            None => options,
        }
    }
}
