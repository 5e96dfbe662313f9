//! From a principal to the identity that logs in upstream.

use super::{Config, Login, LoginName, LoginNamePart};
use crate::{
    lookup,
    model::{Login as Name, Principal, Secret},
    proto::LoginAs,
};

/// A login cannot be made for this user.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum PlanError {
    /// The grant holds no mailbox password for this backend.
    #[error("the grant holds no mailbox password for backend {0}: the user must sign in again")]
    NoPassword(String),
    /// No password is kept for the user.
    #[error("no password is kept for this user of backend {0} (login = \"secret\")")]
    NoSecret(String),
    /// The mailbox is someone else's, and the user's own credential opens only the user's own.
    #[error(
        "backend {0} opens a mailbox with its owner's credential alone; shared_login_name would say how it opens \
         the mailbox of another"
    )]
    Shared(String),
    /// The mail server's issuer gives no token for the one that the user presented.
    #[error("the token could not be exchanged for one of the mail server's issuer: {0}")]
    TokenRefused(String),
    /// The user's name cannot be spoken safely.
    #[error("the login name cannot be used with this backend: {0}")]
    UnsafeName(&'static str),
}

/// Whose entry of a look-up counts for `principal`: the mailbox's, except where the user logs in as themselves to
/// open it.
pub(super) const fn account<'a>(config: &Config, principal: &'a Principal) -> &'a Name {
    if config.shared_login_name.is_some() { &principal.login } else { &principal.mailbox }
}

/// The identity for `principal` on the backend of `config`. `entry` is what a look-up says of [`account`]; `token`
/// is what [`Login::Bearer`] presents.
///
/// # Errors
/// [`PlanError`] when the name is not safe there, or what the strategy needs is missing.
pub(super) fn login_as(
    config: &Config,
    principal: &Principal,
    entry: Option<&lookup::Entry>,
    token: &Secret,
) -> Result<LoginAs, PlanError> {
    let is_foreign = principal.mailbox != principal.login;
    let user = login_name(config, principal, entry)?;
    let own_only = || match (is_foreign, &config.shared_login_name) {
        (true, None) => Err(PlanError::Shared(config.name.to_string())),
        (true, Some(_)) | (false, _) => Ok(()),
    };
    let by_password = |password| LoginAs::Password { authcid: user.clone(), authzid: None, password };
    match &config.login {
        Login::Authzid(account) => Ok(LoginAs::Password {
            authcid: account.user.clone(),
            authzid: Some(user),
            password: account.password.clone(),
        }),
        Login::Bearer(_) => {
            own_only()?;
            Ok(LoginAs::Bearer { user, token: token.clone() })
        }
        Login::External => Ok(LoginAs::External { user }),
        Login::Master { account, separator } => {
            // The server splits at the first separator: a name that holds one would choose its own target.
            if user.contains(*separator) {
                return Err(PlanError::UnsafeName("it holds the master separator"));
            }
            Ok(LoginAs::Password {
                authcid: format!("{user}{separator}{}", account.user),
                authzid: None,
                password: account.password.clone(),
            })
        }
        Login::Sealed => {
            own_only()?;
            let sealed = principal.passwords.iter().find(|sealed| sealed.backend == config.name);
            let password = sealed.map(|sealed| sealed.password.clone());
            Ok(by_password(password.ok_or_else(|| PlanError::NoPassword(config.name.to_string()))?))
        }
        Login::Secret(_) => {
            let password = entry.and_then(|entry| entry.password.clone()).filter(|kept| !kept.is_empty());
            Ok(by_password(password.ok_or_else(|| PlanError::NoSecret(config.name.to_string()))?))
        }
        Login::Trusted => Ok(LoginAs::Trusted { user, placeholder: Secret::copy_of(b"trusted") }),
        Login::Xclient => Ok(LoginAs::Xclient { user }),
    }
}

/// The name to log in with. What a look-up says of the user stands in place of the template.
fn login_name(
    config: &Config,
    principal: &Principal,
    entry: Option<&lookup::Entry>,
) -> Result<String, PlanError> {
    let Principal { login, mailbox, .. } = principal;
    match (&config.shared_login_name, entry.and_then(|entry| entry.login_name.as_deref())) {
        (Some(template), _) if mailbox != login => template.render(login, mailbox),
        (_, Some(known)) => safe(known.to_owned()),
        (_, None) => config.login_name.render(mailbox, mailbox),
    }
}

/// A name is checked again wherever it was put together or came from elsewhere.
fn safe(name: String) -> Result<String, PlanError> {
    match Name::parse(&name) {
        Ok(_) => Ok(name),
        Err(_) => Err(PlanError::UnsafeName("it is empty, too long or holds controls")),
    }
}

impl LoginName {
    /// `{user}`: the login name as it is.
    pub fn whole() -> Self {
        Self(vec![LoginNamePart::User])
    }

    /// The name for `login` that opens `mailbox`; checked again after rendering, because a template can join what
    /// was apart.
    pub(super) fn render(&self, login: &Name, mailbox: &Name) -> Result<String, PlanError> {
        let mut name = String::new();
        for part in &self.0 {
            name.push_str(match part {
                LoginNamePart::Domain => login.domain().unwrap_or_default(),
                LoginNamePart::Literal(text) => text,
                LoginNamePart::Local => login.local(),
                LoginNamePart::Mailbox => mailbox.as_str(),
                LoginNamePart::MailboxDomain => mailbox.domain().unwrap_or_default(),
                LoginNamePart::MailboxLocal => mailbox.local(),
                LoginNamePart::User => login.as_str(),
            });
        }
        safe(name)
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::*;
    use crate::{
        model::{ClientId, GrantId, Right, Scope, SealedPassword, TokenHash, UnixTime},
        tls,
        upstream::ServiceAccount,
    };

    fn principal(name: &str) -> Principal {
        let login = Name::parse(name).unwrap_or_else(|_| unreachable!("test names are valid"));
        Principal {
            mailbox: login.clone(),
            login,
            right: Right::Grant { grant: GrantId::generate(), token: TokenHash::new([0; 32]) },
            addresses: Vec::new(),
            token: Secret::copy_of(b"token"),
            client: ClientId::open(),
            scope: Scope::mail(),
            issuer: "https://mail.example.org".into(),
            expires_at: UnixTime(0),
            passwords: vec![SealedPassword { backend: "main".into(), password: Secret::copy_of(b"pw") }],
        }
    }

    fn config(login: Login) -> Config {
        Config {
            name: Arc::from("main"),
            servers: Vec::new(),
            login,
            login_name: LoginName::whole(),
            shared_login_name: None,
            mechanisms: Arc::default(),
            tls: tls::UpstreamConfig::default(),
            xclient: true,
            proxy_protocol: false,
            imap_id: true,
            timeout: std::time::Duration::from_secs(1),
        }
    }

    fn plan(config: &Config, principal: &Principal) -> Result<LoginAs, PlanError> {
        login_as(config, principal, None, &principal.token)
    }

    fn service() -> ServiceAccount {
        ServiceAccount { user: "proxy".into(), password: Secret::copy_of(b"secret") }
    }

    #[test]
    fn master_joins_user_and_service_service() {
        let plan =
            plan(&config(Login::Master { account: service(), separator: '*' }), &principal("a@b")).unwrap();
        assert!(matches!(plan, LoginAs::Password { authcid, authzid: None, .. } if authcid == "a@b*proxy"));
    }

    #[test]
    fn a_name_with_the_master_separator_is_refused() {
        let plan = plan(&config(Login::Master { account: service(), separator: '*' }), &principal("bob*x@b"));
        assert!(matches!(plan, Err(PlanError::UnsafeName(_))));
    }

    #[test]
    fn authzid_names_the_user_and_proves_the_service_service() {
        let plan = plan(&config(Login::Authzid(service())), &principal("a@b")).unwrap();
        assert!(
            matches!(plan, LoginAs::Password { authcid, authzid: Some(user), .. } if authcid == "proxy" && user == "a@b")
        );
    }

    #[test]
    fn a_sealed_password_of_another_backend_is_not_used() {
        let mut other = config(Login::Sealed);
        other.name = "other".into();
        assert!(matches!(plan(&other, &principal("a@b")), Err(PlanError::NoPassword(_))));
        assert!(plan(&config(Login::Sealed), &principal("a@b")).is_ok());
    }

    #[test]
    fn a_template_is_never_applied_to_the_users_own_text() {
        let template =
            LoginName(vec![LoginNamePart::Domain, LoginNamePart::Literal("\\".into()), LoginNamePart::Local]);
        let login = Name::parse("{domain}@example.org").unwrap();
        assert_eq!(template.render(&login, &login).unwrap(), "example.org\\{domain}");
    }

    #[test]
    fn a_template_that_renders_to_nothing_is_refused() {
        let login = Name::parse("local-only").unwrap();
        assert!(LoginName(vec![LoginNamePart::Domain]).render(&login, &login).is_err());
    }
}
