//! From a principal to the identity that logs in upstream.

use super::{Config, Login, LoginName, LoginNamePart};
use crate::{
    model::{Principal, Secret},
    proto::LoginAs,
};

/// A login cannot be made for this user.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum PlanError {
    /// The grant holds no mailbox password for this backend.
    #[error("the grant holds no mailbox password for backend {0}: the user must sign in again")]
    NoPassword(String),
    /// The user's name cannot be spoken safely.
    #[error("the login name cannot be used with this backend: {0}")]
    UnsafeName(&'static str),
}

/// The identity for `principal` on the backend of `config`.
///
/// # Errors
/// [`PlanError`] when the name is not safe there, or the grant lacks what the strategy needs.
pub(super) fn login_as(config: &Config, principal: &Principal) -> Result<LoginAs, PlanError> {
    let name = config.login_name.render(&principal.mailbox)?;
    match &config.login {
        Login::Authzid(account) => Ok(LoginAs::Password {
            authcid: account.user.clone(),
            authzid: Some(name),
            password: account.password.clone(),
        }),
        Login::Master { account, separator } => {
            // The server splits at the first separator: a name that holds one would choose its own target.
            if name.contains(*separator) {
                return Err(PlanError::UnsafeName("it holds the master separator"));
            }
            Ok(LoginAs::Password {
                authcid: format!("{name}{separator}{}", account.user),
                authzid: None,
                password: account.password.clone(),
            })
        }
        Login::Sealed => {
            let sealed = principal.passwords.iter().find(|sealed| sealed.backend == config.name);
            let password = sealed.map(|sealed| sealed.password.clone());
            let password = password.ok_or_else(|| PlanError::NoPassword(config.name.to_string()))?;
            Ok(LoginAs::Password { authcid: name, authzid: None, password })
        }
        Login::Trusted => Ok(LoginAs::Trusted { user: name, placeholder: Secret::copy_of(b"trusted") }),
    }
}

impl LoginName {
    /// `{user}`: the login name as it is.
    pub fn whole() -> Self {
        Self(vec![LoginNamePart::User])
    }

    /// The name for `login`; checked again after rendering, because a template can join what was apart.
    pub(super) fn render(&self, login: &crate::model::Login) -> Result<String, PlanError> {
        let mut name = String::new();
        for part in &self.0 {
            match part {
                LoginNamePart::Domain => name.push_str(login.domain().unwrap_or_default()),
                LoginNamePart::Literal(text) => name.push_str(text),
                LoginNamePart::Local => name.push_str(login.local()),
                LoginNamePart::User => name.push_str(login.as_str()),
            }
        }
        crate::model::Login::parse(&name)
            .map_err(|_| PlanError::UnsafeName("it is empty, too long or holds controls"))?;
        Ok(name)
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::*;
    use crate::{
        model::{ClientId, GrantId, Login as Name, Right, Scope, SealedPassword, TokenHash, UnixTime},
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
            tls: tls::UpstreamConfig::default(),
            xclient: true,
            proxy_protocol: false,
            imap_id: true,
            timeout: std::time::Duration::from_secs(1),
        }
    }

    fn account() -> ServiceAccount {
        ServiceAccount { user: "proxy".into(), password: Secret::copy_of(b"secret") }
    }

    #[test]
    fn master_joins_user_and_service_account() {
        let plan = login_as(&config(Login::Master { account: account(), separator: '*' }), &principal("a@b"))
            .unwrap();
        assert!(matches!(plan, LoginAs::Password { authcid, authzid: None, .. } if authcid == "a@b*proxy"));
    }

    #[test]
    fn a_name_with_the_master_separator_is_refused() {
        let plan =
            login_as(&config(Login::Master { account: account(), separator: '*' }), &principal("bob*x@b"));
        assert!(matches!(plan, Err(PlanError::UnsafeName(_))));
    }

    #[test]
    fn authzid_names_the_user_and_proves_the_service_account() {
        let plan = login_as(&config(Login::Authzid(account())), &principal("a@b")).unwrap();
        assert!(
            matches!(plan, LoginAs::Password { authcid, authzid: Some(user), .. } if authcid == "proxy" && user == "a@b")
        );
    }

    #[test]
    fn a_sealed_password_of_another_backend_is_not_used() {
        let mut other = config(Login::Sealed);
        other.name = "other".into();
        assert!(matches!(login_as(&other, &principal("a@b")), Err(PlanError::NoPassword(_))));
        assert!(login_as(&config(Login::Sealed), &principal("a@b")).is_ok());
    }

    #[test]
    fn a_template_is_never_applied_to_the_users_own_text() {
        let template =
            LoginName(vec![LoginNamePart::Domain, LoginNamePart::Literal("\\".into()), LoginNamePart::Local]);
        let login = Name::parse("{domain}@example.org").unwrap();
        assert_eq!(template.render(&login).unwrap(), "example.org\\{domain}");
    }

    #[test]
    fn a_template_that_renders_to_nothing_is_refused() {
        let login = Name::parse("local-only").unwrap();
        assert!(LoginName(vec![LoginNamePart::Domain]).render(&login).is_err());
    }
}
