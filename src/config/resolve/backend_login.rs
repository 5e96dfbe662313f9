use std::sync::Arc;

use super::Base;
use crate::{
    config::{ConfigError, document::Document, raw, raw::LoginKind, secret_file},
    http,
    model::{Piece, Protocol, Secret, pieces},
    proto::sasl::ClientMechanism,
    upstream::{
        Login, LoginName, LoginNamePart, SecretSource, Security, Server, ServiceAccount, TokenExchangeConfig,
    },
};

/// Reads how sessions log in, and refuses what does not go together.
pub(super) fn login(
    document: &Document<'_>,
    base: &Base,
    key: &str,
    raw: &raw::Backend,
    servers: &[Server],
) -> Result<Login, ConfigError> {
    only_with(document, key, raw)?;
    let login_key = format!("{key}.login");
    match raw.login {
        LoginKind::Authzid => Ok(Login::Authzid(account(document, base, key, raw)?)),
        LoginKind::Master => Ok(Login::Master {
            account: account(document, base, key, raw)?,
            separator: separator(document, key, raw)?,
        }),
        LoginKind::Bearer => {
            let exchange = raw.bearer.as_ref().map(|bearer| exchange(document, base, key, bearer));
            Ok(Login::Bearer(exchange.transpose()?.map(Box::new)))
        }
        LoginKind::External => {
            if raw.tls.certificate.is_none() {
                return Err(document
                    .error(&login_key, "is \"external\", which needs a client certificate")
                    .help(format!("write [{key}.tls] with certificate and private_key")));
            }
            if servers.iter().any(|server| server.security == Security::Clear) {
                return Err(document
                    .error(&login_key, "is \"external\", and a server is reached without TLS")
                    .help("write imaps://, smtp+starttls:// and so on for every server"));
            }
            Ok(Login::External)
        }
        LoginKind::Sealed => Ok(Login::Sealed),
        LoginKind::Secret => Ok(Login::Secret(secrets(document, key, raw)?)),
        LoginKind::Trusted => Ok(Login::Trusted),
        LoginKind::Xclient => {
            if let Some(other) = servers.iter().find(|server| server.protocol != Protocol::Smtp) {
                return Err(document
                    .error(&login_key, format!("is \"xclient\", which {} has not: only SMTP", other.protocol))
                    .help("give the submission servers a backend of their own, with a route by listener"));
            }
            Ok(Login::Xclient)
        }
    }
}

/// A key that has no effect would be taken for one that has.
fn only_with(document: &Document<'_>, key: &str, raw: &raw::Backend) -> Result<(), ConfigError> {
    let login = raw.login;
    let refuse = |name: &str, help: &str| {
        Err(document.error(&format!("{key}.{name}"), "has no effect with this login").help(help.to_owned()))
    };
    if raw.master.is_some() && !matches!(login, LoginKind::Authzid | LoginKind::Master) {
        return refuse("master", "write login = \"master\" or \"authzid\", or remove the service account");
    }
    if raw.secrets.is_some() && login != LoginKind::Secret {
        return refuse("secrets", "write login = \"secret\", or remove it");
    }
    if raw.bearer.is_some() && login != LoginKind::Bearer {
        return refuse("bearer", "write login = \"bearer\", or remove it");
    }
    Ok(())
}

fn account(
    document: &Document<'_>,
    base: &Base,
    key: &str,
    raw: &raw::Backend,
) -> Result<ServiceAccount, ConfigError> {
    let account_key = format!("{key}.master");
    let Some(account) = &raw.master else {
        return Err(document
            .error(&format!("{key}.login"), "needs a service account")
            .help(format!("write [{account_key}] with user and password")));
    };
    if account.user.is_empty() || account.user.contains(char::is_control) {
        return Err(document.error(&format!("{account_key}.user"), "must be a login name"));
    }
    let file = account.password_file.as_deref().map(|file| base.join(file));
    let written = account.password.as_ref().map(|password| password.0.as_str());
    let password =
        secret_file::resolve(document, &format!("{account_key}.password"), written, file.as_deref())?;
    let Some(password) = password else {
        return Err(document
            .error(&account_key, "has no password")
            .help("write password = … or password_file = …"));
    };
    if password.contains('\0') {
        return Err(document.error(&format!("{account_key}.password"), "must not hold a NUL (RFC 4616 §2)"));
    }
    Ok(ServiceAccount { user: account.user.clone(), password: Secret::copy_of(password.as_bytes()) })
}

fn separator(document: &Document<'_>, key: &str, raw: &raw::Backend) -> Result<char, ConfigError> {
    let separator = raw.master.as_ref().map_or('*', |master| master.separator);
    if separator.is_alphanumeric() || separator.is_control() || separator.is_whitespace() {
        return Err(document.error(
            &format!("{key}.master.separator"),
            "must be a character that no user name holds, such as \"*\"",
        ));
    }
    Ok(separator)
}

fn secrets(document: &Document<'_>, key: &str, raw: &raw::Backend) -> Result<SecretSource, ConfigError> {
    let Some(name) = &raw.secrets else { return Ok(SecretSource::Store) };
    if !document.has(&format!("lookup.{name}")) {
        return Err(document
            .error(&format!("{key}.secrets"), format!("there is no look-up \"{}\"", name.escape_debug()))
            .help("write [lookup.…] with that name, or name another"));
    }
    Ok(SecretSource::Lookup(name.as_str().into()))
}

fn exchange(
    document: &Document<'_>,
    base: &Base,
    key: &str,
    raw: &raw::BackendBearer,
) -> Result<TokenExchangeConfig, ConfigError> {
    let key = format!("{key}.bearer");
    let url: Option<reqwest::Url> = raw.url.parse().ok();
    let url = url.filter(|url| {
        http::may_be_asked(url)
            && url.fragment().is_none()
            && url.username().is_empty()
            && url.password().is_none()
    });
    let url = url.ok_or_else(|| {
        document
            .error(&format!("{key}.url"), "must be the address of a token endpoint")
            .help("write url = \"https://login.example.org/token\"")
    })?;
    if raw.client_id.is_empty() || !raw.client_id.bytes().all(|octet| matches!(octet, 0x20..=0x7E)) {
        return Err(
            document.error(&format!("{key}.client_id"), "must be printable ASCII (RFC 6749 appendix A.1)")
        );
    }
    let file = raw.client_secret_file.as_deref().map(|file| base.join(file));
    let written = raw.client_secret.as_ref().map(|secret| secret.0.as_str());
    let secret = secret_file::resolve(document, &format!("{key}.client_secret"), written, file.as_deref())?;
    let ca = raw.ca.as_deref().map(|ca| base.file(document, &format!("{key}.ca"), ca)).transpose()?;
    Ok(TokenExchangeConfig {
        url,
        client_id: raw.client_id.clone(),
        client_secret: secret.map(|secret| Secret::copy_of(secret.as_bytes())),
        audience: raw.audience.clone(),
        scope: raw.scope.clone(),
        http: http::Config { ca, ..http::Config::default() },
    })
}

/// Reads the names of mechanisms; none of them may be of no use to the login.
pub(super) fn mechanisms(
    document: &Document<'_>,
    key: &str,
    raw: &raw::Backend,
) -> Result<Arc<[ClientMechanism]>, ConfigError> {
    use ClientMechanism::{CramMd5, External, Login, OAuthBearer, Plain, ScramSha256, XOAuth2};
    let usable: &[ClientMechanism] = match raw.login {
        LoginKind::Authzid => &[Plain, ScramSha256],
        LoginKind::Bearer => &[OAuthBearer, XOAuth2],
        LoginKind::External => &[External],
        LoginKind::Master | LoginKind::Sealed | LoginKind::Secret => &[Plain, ScramSha256, Login, CramMd5],
        LoginKind::Trusted => &[Plain, Login],
        LoginKind::Xclient => &[],
    };
    let mut mechanisms = Vec::new();
    for (index, name) in raw.mechanisms.iter().enumerate() {
        let known = ClientMechanism::from_name(name).filter(|known| usable.contains(known));
        let Some(mechanism) = known else {
            let names: Vec<&str> = usable.iter().map(|mechanism| mechanism.as_str()).collect();
            let help = match names.as_slice() {
                [] => "remove the key: this login uses no SASL".to_owned(),
                [..] => format!("this login can use {}", names.join(", ")),
            };
            return Err(document
                .error(
                    &format!("{key}.mechanisms[{index}]"),
                    format!("\"{}\" is no mechanism that this login can use", name.escape_debug()),
                )
                .help(help));
        };
        mechanisms.push(mechanism);
    }
    Ok(mechanisms.into())
}

/// Reads `login_name`.
pub(super) fn login_name(
    document: &Document<'_>,
    key: &str,
    template: &str,
) -> Result<LoginName, ConfigError> {
    own_template(template).map_err(|message| document.error(&format!("{key}.login_name"), message))
}

/// Reads `shared_login_name`.
pub(super) fn shared_login_name(
    document: &Document<'_>,
    key: &str,
    raw: &raw::Backend,
) -> Result<Option<LoginName>, ConfigError> {
    let Some(template) = &raw.shared_login_name else { return Ok(None) };
    let shared_key = format!("{key}.shared_login_name");
    shared_template(template).map(Some).map_err(|message| document.error(&shared_key, message))
}

/// A template that does not hold the user would log everybody in to the same mailbox.
fn own_template(template: &str) -> Result<LoginName, &'static str> {
    let parts = parts(template)?;
    let of_mailbox = [LoginNamePart::Mailbox, LoginNamePart::MailboxDomain, LoginNamePart::MailboxLocal];
    if parts.iter().any(|part| of_mailbox.contains(part)) {
        return Err("knows {user}, {local} and {domain} only; {mailbox} belongs in shared_login_name");
    }
    if !parts.iter().any(|part| matches!(part, LoginNamePart::Local | LoginNamePart::User)) {
        return Err("must hold {user} or {local}, otherwise all users would share a mailbox");
    }
    Ok(LoginName(parts))
}

/// A template without the mailbox would open the same one, whichever was asked for; one without the user would present
/// the user's credential as the other's.
fn shared_template(template: &str) -> Result<LoginName, &'static str> {
    let parts = parts(template)?;
    if !parts.iter().any(|part| matches!(part, LoginNamePart::Mailbox | LoginNamePart::MailboxLocal)) {
        return Err("must hold {mailbox} or {mailbox_local}");
    }
    if !parts.iter().any(|part| matches!(part, LoginNamePart::Local | LoginNamePart::User)) {
        return Err("must hold {user} or {local}, who opens the mailbox");
    }
    Ok(LoginName(parts))
}

/// Names in braces, and fixed text.
fn parts(template: &str) -> Result<Vec<LoginNamePart>, &'static str> {
    let is_odd = |c: char| c == '}' || c.is_control() || c.is_whitespace();
    let part = |piece| match piece {
        Piece::Fixed(text) if text.contains(is_odd) => {
            Err("holds a lone brace, white space or a control character")
        }
        Piece::Fixed(text) => Ok(LoginNamePart::Literal(text.to_owned())),
        Piece::Place("domain") => Ok(LoginNamePart::Domain),
        Piece::Place("local") => Ok(LoginNamePart::Local),
        Piece::Place("mailbox") => Ok(LoginNamePart::Mailbox),
        Piece::Place("mailbox_domain") => Ok(LoginNamePart::MailboxDomain),
        Piece::Place("mailbox_local") => Ok(LoginNamePart::MailboxLocal),
        Piece::Place("user") => Ok(LoginNamePart::User),
        Piece::Place(_) => {
            Err("knows {user}, {local} and {domain} only, and the same of {mailbox} where it is shared")
        }
    };
    pieces(template)?.into_iter().map(part).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_login_name_is_made_of_parts() {
        let parts = own_template("{domain}\\{local}").unwrap().0;
        let expected = [LoginNamePart::Domain, LoginNamePart::Literal("\\".into()), LoginNamePart::Local];
        assert_eq!(parts, expected);
    }

    #[test]
    fn a_login_name_without_the_user_is_refused() {
        for bad in [
            "",
            "shared",
            "{domain}",
            "{user",
            "user}",
            "{User}",
            "{{user}}",
            "{user} x",
            "{user}\r\n",
            "{mailbox}",
        ] {
            assert!(own_template(bad).is_err(), "{bad:?}");
        }
    }

    #[test]
    fn a_shared_login_name_holds_the_mailbox() {
        assert!(shared_template("{domain}\\{local}\\{mailbox_local}").is_ok());
        for bad in ["", "{user}", "{mailbox}", "{user}{mailbox_domain}", "{user}{mailbox} x", "{user}{mail}"]
        {
            assert!(shared_template(bad).is_err(), "{bad:?}");
        }
    }
}
