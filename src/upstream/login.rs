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
    /// The mail server wants a token, and the user presented a password.
    #[error(
        "backend {0} logs in with the user's token, and the user presented a password (login = \"bearer\")"
    )]
    NoToken(String),
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
            if token.is_empty() {
                return Err(PlanError::NoToken(config.name.to_string()));
            }
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
    match &config.shared_login_name {
        Some(template) if mailbox != login => template.render_apart(login, mailbox),
        Some(_) | None => own_name(config, mailbox, entry),
    }
}

/// The name to log in with to a mailbox as its owner.
pub(super) fn own_name(
    config: &Config,
    mailbox: &Name,
    entry: Option<&lookup::Entry>,
) -> Result<String, PlanError> {
    match entry.and_then(|entry| entry.login_name.as_deref()) {
        Some(known) => safe(known.to_owned()),
        None => config.login_name.render(mailbox, mailbox),
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
        safe(self.0.iter().map(|part| part.text(login, mailbox)).collect())
    }

    /// The same where the server takes the name apart again, at what the template writes between user and mailbox: a
    /// name that holds that would choose its own target. An `@` and a dot stand in every name.
    fn render_apart(&self, login: &Name, mailbox: &Name) -> Result<String, PlanError> {
        let between = |parts: &[LoginNamePart]| match parts {
            [_, LoginNamePart::Literal(text), _] if !text.contains(['@', '.']) => Some(text.clone()),
            _ => None,
        };
        let mut separators = self.0.windows(3).filter_map(between);
        let names = || self.0.iter().filter(|part| !matches!(part, LoginNamePart::Literal(_)));
        if separators.any(|text| names().any(|part| part.text(login, mailbox).contains(&text))) {
            return Err(PlanError::UnsafeName("it holds what shared_login_name writes between two names"));
        }
        self.render(login, mailbox)
    }
}

impl LoginNamePart {
    /// What it stands for.
    fn text<'a>(&'a self, login: &'a Name, mailbox: &'a Name) -> &'a str {
        match self {
            Self::Domain => login.domain().unwrap_or_default(),
            Self::Literal(text) => text,
            Self::Local => login.local(),
            Self::Mailbox => mailbox.as_str(),
            Self::MailboxDomain => mailbox.domain().unwrap_or_default(),
            Self::MailboxLocal => mailbox.local(),
            Self::User => login.as_str(),
        }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::*;
    use crate::{
        model::{ClientId, GrantId, Right, Scope, SealedPassword, TokenHash, UnixTime},
        tls,
        upstream::{SecretSource, ServiceAccount},
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
            group: crate::upstream::GroupConfig::default(),
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

    fn strategies() -> Vec<Login> {
        vec![
            Login::Authzid(service()),
            Login::Bearer(None),
            Login::External,
            Login::Master { account: service(), separator: '*' },
            Login::Sealed,
            Login::Secret(SecretSource::Store),
            Login::Trusted,
            Login::Xclient,
        ]
    }

    fn entry(login_name: Option<&str>) -> lookup::Entry {
        lookup::Entry {
            login_name: login_name.map(str::to_owned),
            password: Some(Secret::copy_of(b"kept")),
            ..lookup::Entry::default()
        }
    }

    /// Whom a login speaks for.
    fn user(login: LoginAs) -> String {
        match login {
            LoginAs::Nobody => String::new(),
            LoginAs::Password { authzid: Some(user), .. }
            | LoginAs::Bearer { user, .. }
            | LoginAs::External { user }
            | LoginAs::Trusted { user, .. }
            | LoginAs::Xclient { user } => user,
            LoginAs::Password { authcid, authzid: None, .. } => {
                authcid.strip_suffix("*proxy").unwrap_or(&authcid).to_owned()
            }
        }
    }

    #[test]
    fn a_look_ups_login_name_stands_in_place_of_the_template_and_is_checked_like_any() {
        let alice = principal("a@b");
        for login in strategies() {
            let config = config(login);
            let named = |name| login_as(&config, &alice, Some(&entry(Some(name))), &alice.token);
            assert_eq!(user(named("alice01").unwrap()), "alice01", "{:?}", config.login);
            assert_eq!(user(named("{user}").unwrap()), "{user}", "{:?}", config.login);
            for bad in ["", "a b", "a\r\nb", "a\0b"] {
                assert!(matches!(named(bad), Err(PlanError::UnsafeName(_))), "{bad:?}");
            }
        }
    }

    #[test]
    fn a_credential_of_the_users_own_opens_no_mailbox_of_another_without_a_rule() {
        let mut alice = principal("alice@b.example");
        alice.mailbox = Name::parse("info@c.example").unwrap();
        for login in strategies() {
            let own_only = matches!(login, Login::Sealed | Login::Bearer(None));
            let mut config = config(login);
            // Not even where a look-up names the mailbox.
            for known in [entry(None), entry(Some("info@c.example"))] {
                match login_as(&config, &alice, Some(&known), &alice.token) {
                    Err(PlanError::Shared(_)) => assert!(own_only, "{:?}", config.login),
                    plan => assert_eq!((user(plan.unwrap()).as_str(), own_only), ("info@c.example", false)),
                }
            }
            assert_eq!(account(&config, &alice), &alice.mailbox);
            let fixed = || LoginNamePart::Literal("\\".into());
            let parts =
                [LoginNamePart::Domain, fixed(), LoginNamePart::Local, fixed(), LoginNamePart::MailboxLocal];
            config.shared_login_name = Some(LoginName(parts.into()));
            let plan = login_as(&config, &alice, Some(&entry(Some("x"))), &alice.token).unwrap();
            assert_eq!(user(plan), "b.example\\alice\\info", "{:?}", config.login);
            assert_eq!(account(&config, &alice), &alice.login);
        }
    }

    #[test]
    fn a_kept_password_is_the_users_and_none_is_no_login() {
        let (config, alice) = (config(Login::Secret(SecretSource::Store)), principal("a@b"));
        let plan = login_as(&config, &alice, Some(&entry(None)), &alice.token).unwrap();
        assert!(matches!(plan, LoginAs::Password { password, .. } if password.expose() == b"kept"));
        let empty = lookup::Entry { password: Some(Secret::default()), ..lookup::Entry::default() };
        for entry in [None, Some(&lookup::Entry::default()), Some(&empty)] {
            let plan = login_as(&config, &alice, entry, &alice.token);
            assert!(matches!(plan, Err(PlanError::NoSecret(_))), "{plan:?}");
        }
    }
}
