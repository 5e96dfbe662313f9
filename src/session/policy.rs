//! `[passwords]` of the configuration: which passwords are taken, from whom and where.

use std::net::{IpAddr, SocketAddr};

use crate::model::{Login, Network};

/// Which passwords clients may sign in with.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum PasswordMode {
    /// None.
    #[default]
    Off,
    /// App passwords.
    App,
    /// App passwords, and the one that the mail server or the directory takes.
    Backend,
}

/// Which passwords are taken, from whom and where.
#[derive(Clone, Debug, Default)]
pub struct PasswordPolicy {
    /// Where no override says otherwise.
    pub mode: PasswordMode,
    /// Exceptions; the first one whose conditions all hold decides.
    pub overrides: Vec<PasswordOverride>,
}

/// An exception. A condition without entries holds everywhere.
#[derive(Clone, Debug, Default)]
pub struct PasswordOverride {
    /// The client's address is in one of these.
    pub networks: Vec<Network>,
    /// It came to one of these listeners.
    pub listeners: Vec<SocketAddr>,
    /// The user is one of these; names are compared in lower case.
    pub users: Vec<Login>,
    /// The user's domain is one of these, in lower case.
    pub domains: Vec<String>,
    /// What holds then.
    pub mode: PasswordMode,
}

impl PasswordPolicy {
    /// What holds for `user`.
    pub fn mode(&self, client: IpAddr, listener: SocketAddr, user: &Login) -> PasswordMode {
        let decides = |one: &&PasswordOverride| one.holds_at(client, listener) && one.holds_for(user);
        self.overrides.iter().find(decides).map_or(self.mode, |one| one.mode)
    }

    /// Whether any user might sign in so that `mode` is what holds, as far as can be told before there is one.
    pub fn may_hold(&self, mode: PasswordMode, client: IpAddr, listener: SocketAddr) -> bool {
        let mut rest = self.overrides.iter().filter(|one| one.holds_at(client, listener));
        loop {
            match rest.next() {
                None => return self.mode == mode,
                Some(one) if one.mode == mode => return true,
                Some(one) if one.is_for_everybody() => return false,
                Some(_) => {}
            }
        }
    }

    /// Whether any password at all is taken anywhere.
    pub fn takes_any(&self) -> bool {
        self.knows(PasswordMode::App) || self.takes_mailbox_passwords()
    }

    /// Whether mailbox passwords are taken anywhere.
    pub fn takes_mailbox_passwords(&self) -> bool {
        self.knows(PasswordMode::Backend)
    }

    /// Whether `mode` can hold anywhere at all.
    pub fn knows(&self, mode: PasswordMode) -> bool {
        self.mode == mode || self.overrides.iter().any(|one| one.mode == mode)
    }
}

impl PasswordOverride {
    fn holds_at(&self, client: IpAddr, listener: SocketAddr) -> bool {
        let network = self.networks.is_empty() || self.networks.iter().any(|own| own.contains(client));
        network && (self.listeners.is_empty() || self.listeners.contains(&listener))
    }

    fn holds_for(&self, user: &Login) -> bool {
        let domain = user.domain().unwrap_or_default();
        self.is_for_everybody()
            || self.domains.iter().any(|own| own == domain)
            || self.users.iter().any(|own| own.as_str().to_lowercase() == user.as_str().to_lowercase())
    }

    const fn is_for_everybody(&self) -> bool {
        self.users.is_empty() && self.domains.is_empty()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const LISTENER: SocketAddr = SocketAddr::new(IpAddr::V4(std::net::Ipv4Addr::LOCALHOST), 993);

    fn address(text: &str) -> IpAddr {
        text.parse().unwrap_or_else(|_| unreachable!("test addresses are valid"))
    }

    fn login(text: &str) -> Login {
        Login::parse(text).unwrap_or_else(|_| unreachable!("test names are valid"))
    }

    fn policy() -> PasswordPolicy {
        PasswordPolicy {
            mode: PasswordMode::App,
            overrides: vec![
                PasswordOverride {
                    users: vec![login("scanner@example.org")],
                    networks: vec!["10.0.0.0/8".parse().unwrap_or_else(|_| unreachable!("valid"))],
                    mode: PasswordMode::Backend,
                    ..PasswordOverride::default()
                },
                PasswordOverride {
                    domains: vec!["closed.example".to_owned()],
                    mode: PasswordMode::Off,
                    ..PasswordOverride::default()
                },
                PasswordOverride {
                    listeners: vec![LISTENER],
                    mode: PasswordMode::Off,
                    ..PasswordOverride::default()
                },
            ],
        }
    }

    #[test]
    fn the_first_override_whose_conditions_all_hold_decides() {
        let (policy, other) = (policy(), "[::1]:143".parse().unwrap());
        let mode = |client, listener, user| policy.mode(address(client), listener, &login(user));
        assert_eq!(mode("10.1.2.3", LISTENER, "Scanner@example.org"), PasswordMode::Backend);
        assert_eq!(mode("192.0.2.1", LISTENER, "scanner@example.org"), PasswordMode::Off);
        assert_eq!(mode("192.0.2.1", other, "scanner@example.org"), PasswordMode::App);
        assert_eq!(mode("10.1.2.3", other, "alice@example.org"), PasswordMode::App);
        assert_eq!(mode("10.1.2.3", other, "alice@CLOSED.example"), PasswordMode::Off);
    }

    #[test]
    fn what_may_hold_is_known_before_there_is_a_user() {
        let (policy, other) = (policy(), "[::1]:143".parse().unwrap());
        let may = |mode, client, listener| policy.may_hold(mode, address(client), listener);
        assert!(may(PasswordMode::Backend, "10.1.2.3", LISTENER), "for one user");
        assert!(!may(PasswordMode::Backend, "192.0.2.1", other));
        assert!(!may(PasswordMode::App, "10.1.2.3", LISTENER), "off for everybody else");
        assert!(may(PasswordMode::App, "192.0.2.1", other));
        assert!(!PasswordPolicy::default().may_hold(PasswordMode::App, address("::1"), other));
    }
}
