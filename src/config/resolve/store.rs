//! `store.url`: a SQLite file, or a PostgreSQL database as libpq writes its address
//! (<https://www.postgresql.org/docs/current/libpq-connect.html#LIBPQ-CONNSTRING-URIS>).

use std::{
    collections::BTreeMap,
    path::{Path, PathBuf},
};

use zeroize::Zeroizing;

use super::{Base, SQLITE, at_least};
use crate::{
    config::{
        ConfigError, address,
        document::Document,
        raw::Root,
        secret_file,
        value::{MASK, Span},
    },
    model::Secret,
    store::{self, Location, PostgresAddress, PostgresHost, PostgresTls},
};

const KEY: &str = "store.url";
/// Where Debian's and most other packages put the socket.
const FOLDER: &str = "/var/run/postgresql";
const PORT: u16 = 5432;
const PARAMETERS: [&str; 9] =
    ["dbname", "host", "password", "port", "sslcert", "sslkey", "sslmode", "sslrootcert", "user"];

pub(super) fn store(
    document: &Document<'_>,
    base: &Base,
    raw: &mut Root,
) -> Result<store::Config, ConfigError> {
    let file = raw.store.url_file.as_deref().map(|file| base.join(file));
    let given = secret_file::resolve(document, KEY, raw.store.url.as_deref(), file.as_deref())?;
    // The written one may hold a password.
    drop(raw.store.url.take().map(Zeroizing::new));
    let url = given.as_ref().map_or(SQLITE, |url| url.as_str());
    at_least(document, "store.poll_interval", raw.store.poll_interval, Span::millis(10))?;
    let (location, shown) = if let Some(rest) = url.strip_prefix("sqlite:") {
        let path = sqlite(document, &raw.data_dir, rest)?;
        let shown = format!("sqlite:{}", path.display());
        (Location::Sqlite(path), shown)
    } else if let Some(rest) = ["postgres://", "postgresql://"].iter().find_map(|name| url.strip_prefix(name))
    {
        let address = postgres(document, base, KEY, rest)?;
        let shown = shown(&address);
        (Location::Postgres(address), shown)
    } else {
        return Err(document.error(KEY, "must begin with sqlite: or postgres://").help(
            "write \"sqlite:bearward.db\", or \"postgres://bearward@db.example.org/bearward\" in url_file",
        ));
    };
    if raw.store.url_file.is_none() {
        raw.store.url = Some(shown);
    }
    Ok(store::Config { location, poll_interval: raw.store.poll_interval.0 })
}

fn sqlite(document: &Document<'_>, data_dir: &Path, rest: &str) -> Result<PathBuf, ConfigError> {
    let path = rest.strip_prefix("//").unwrap_or(rest);
    if path.is_empty() || path.contains(['?', '\0']) || path == ":memory:" {
        return Err(document.error(KEY, "must be sqlite: and a file, such as \"sqlite:bearward.db\""));
    }
    Ok(data_dir.join(path))
}

/// Reads what stands behind `postgres://`. No error repeats a part of it, because a password that is not encoded
/// may turn up in any part.
pub(super) fn postgres(
    document: &Document<'_>,
    base: &Base,
    key: &str,
    rest: &str,
) -> Result<PostgresAddress, ConfigError> {
    let parts = Parts::of(rest).map_err(|message| {
        document.error(key, message).help("write postgres://user:password@host:port/database; what has a meaning of its own there is written %40 for @, %2F for /, %3A for :, %3F for ?")
    })?;
    let tls = tls(document, base, key, &parts)?;
    let identity = match (parts.value("sslcert"), parts.value("sslkey")) {
        (Some(certificate), Some(private_key)) => Some((
            base.file(document, key, Path::new(certificate))?,
            base.file(document, key, Path::new(private_key))?,
        )),
        (None, None) => None,
        (Some(_), None) | (None, Some(_)) => {
            return Err(document.error(key, "must have both of sslcert and sslkey, or neither"));
        }
    };
    let text = |name| parts.value(name).map(str::to_owned);
    Ok(PostgresAddress {
        user: text("user"),
        password: parts.value("password").map(|password| Secret::copy_of(password.as_bytes())),
        database: text("dbname"),
        host: parts.host,
        port: parts.port,
        tls,
        identity,
    })
}

/// The address, taken apart.
struct Parts {
    host: PostgresHost,
    port: u16,
    values: BTreeMap<&'static str, Zeroizing<String>>,
}

impl Parts {
    fn of(rest: &str) -> Result<Self, String> {
        if rest.contains('#') {
            return Err("must have no # in it".into());
        }
        let (place, query) = rest.split_once('?').unwrap_or((rest, ""));
        let (authority, database) = place.split_once('/').unwrap_or((place, ""));
        let (who, place) = authority.rsplit_once('@').unwrap_or(("", authority));
        let (user, password) = who.split_once(':').unwrap_or((who, ""));
        let mut values = BTreeMap::new();
        for (name, value) in [("user", user), ("password", password), ("dbname", database)] {
            if !value.is_empty() {
                values.insert(name, decoded(value)?);
            }
        }
        for pair in query.split('&').filter(|pair| !pair.is_empty()) {
            let (name, value) = pair.split_once('=').ok_or("has a parameter without a value")?;
            let name = PARAMETERS.into_iter().find(|known| *known == name);
            let name = name.ok_or_else(|| format!("has a parameter other than {}", PARAMETERS.join(", ")))?;
            if values.insert(name, decoded(value)?).is_some() {
                return Err(format!("says twice what {name} is"));
            }
        }
        let (host, port) = host(place, &values)?;
        Ok(Self { host, port, values })
    }

    fn value(&self, name: &str) -> Option<&str> {
        self.values.get(name).map(|value| value.as_str())
    }

    fn is_local(&self) -> bool {
        match &self.host {
            PostgresHost::Folder(_) => true,
            PostgresHost::Name(name) => address::is_loopback(name),
        }
    }
}

/// Where the server listens: as the authority says, or the parameters, or in the usual folder.
fn host(
    place: &str,
    values: &BTreeMap<&'static str, Zeroizing<String>>,
) -> Result<(PostgresHost, u16), String> {
    let said = values.get("host").map(|host| host.as_str());
    let is_port_alone = place.starts_with(':');
    if said.is_some() && !place.is_empty() && !is_port_alone {
        return Err("says twice what host is".into());
    }
    if place.contains(',') || said.is_some_and(|host| host.contains(',')) {
        return Err("must name one host; a name that moves to the server in charge serves for several".into());
    }
    let (place, port) = match place.rsplit_once(':') {
        // Of an address in brackets, the last colon may be its own.
        Some((name, port)) if !port.contains(']') => (name, Some(port)),
        Some(_) | None => (place, None),
    };
    let said_port = values.get("port").map(|port| port.as_str());
    if port.is_some() && said_port.is_some() {
        return Err("says twice what port is".into());
    }
    let port = match port.or(said_port) {
        Some(digits) => number(digits)?,
        None => PORT,
    };
    let name = match said {
        Some(host) => Zeroizing::new(host.to_owned()),
        None => decoded(place)?,
    };
    if name.is_empty() {
        return Ok((PostgresHost::Folder(FOLDER.into()), port));
    }
    if name.starts_with('/') {
        return Ok((PostgresHost::Folder(name.as_str().into()), port));
    }
    Ok((PostgresHost::Name(address::host(&name)?), port))
}

fn number(digits: &str) -> Result<u16, String> {
    let port =
        digits.parse().ok().filter(|port| *port != 0 && digits.bytes().all(|digit| digit.is_ascii_digit()));
    port.ok_or_else(|| "has a port that is no number from 1 to 65535".into())
}

/// RFC 3986 §2.1.
fn decoded(text: &str) -> Result<Zeroizing<String>, String> {
    let mut octets = Zeroizing::new(Vec::with_capacity(text.len()));
    let mut rest = text.bytes();
    while let Some(octet) = rest.next() {
        if octet != b'%' {
            octets.push(octet);
            continue;
        }
        let mut digit = || rest.next().and_then(|octet| char::from(octet).to_digit(16));
        let (Some(high), Some(low)) = (digit(), digit()) else {
            return Err("has a % that no two hexadecimal digits follow".into());
        };
        octets.push(u8::try_from(high * 16 + low).unwrap_or_default());
    }
    match std::str::from_utf8(&octets) {
        Ok(text) if !text.contains('\0') => Ok(Zeroizing::new(text.to_owned())),
        Ok(_) | Err(_) => Err("is not UTF-8 once its % are read, or holds a NUL".into()),
    }
}

/// How the connection is protected. Without a word, a server elsewhere must prove who it is.
fn tls(document: &Document<'_>, base: &Base, key: &str, parts: &Parts) -> Result<PostgresTls, ConfigError> {
    let wrong = |message: &str, help: &str| Err(document.error(key, message).help(help));
    let roots = match parts.value("sslrootcert") {
        None => None,
        // As libpq has it, for the public authorities.
        Some("system") => Some(None),
        Some(file) => Some(Some(base.file(document, key, Path::new(file))?)),
    };
    let mode = parts.value("sslmode");
    if roots.is_some() && matches!(mode, Some("disable" | "allow" | "prefer")) {
        return wrong("has sslrootcert with an sslmode that checks nothing", "write sslmode=verify-full");
    }
    match mode {
        None if roots.is_none() && matches!(parts.host, PostgresHost::Folder(_)) => Ok(PostgresTls::Off),
        None if roots.is_none() && parts.is_local() => Ok(PostgresTls::Opportunistic),
        None | Some("verify-full") => Ok(PostgresTls::Verified { roots: roots.flatten() }),
        Some("disable") => Ok(PostgresTls::Off),
        Some("allow" | "prefer") if parts.is_local() => Ok(PostgresTls::Opportunistic),
        Some("allow" | "prefer") => wrong(
            "has an sslmode that whoever stands in between can switch off",
            "leave sslmode out, with sslrootcert=FILE for an authority of your own; or write sslmode=disable if nobody can stand in between",
        ),
        Some("require" | "verify-ca") if matches!(roots, Some(Some(_))) => {
            Ok(PostgresTls::Authority { roots: roots.flatten() })
        }
        Some("require") => Ok(PostgresTls::Unverified),
        Some("verify-ca") => wrong(
            "has sslmode=verify-ca without sslrootcert, which would trust any server with a public certificate",
            "write sslmode=verify-full, or add sslrootcert=FILE",
        ),
        Some(_) => wrong(
            "has an sslmode that does not exist",
            "write one of disable, allow, prefer, require, verify-ca and verify-full",
        ),
    }
}

/// What is shown as being in effect.
pub(super) fn shown(address: &PostgresAddress) -> String {
    let mut text = address.to_string();
    if address.password.is_some() {
        text = text.replacen('@', &format!(":{MASK}@"), 1);
    }
    let mode = match &address.tls {
        PostgresTls::Off => "disable",
        PostgresTls::Opportunistic => "prefer",
        PostgresTls::Unverified => "require",
        PostgresTls::Authority { .. } => "verify-ca",
        PostgresTls::Verified { .. } => "verify-full",
    };
    text.push_str("?sslmode=");
    text.push_str(mode);
    if let PostgresTls::Authority { roots: Some(roots) } | PostgresTls::Verified { roots: Some(roots) } =
        &address.tls
    {
        text.push_str(&format!("&sslrootcert={}", roots.display()));
    }
    text
}
