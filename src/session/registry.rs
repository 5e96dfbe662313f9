//! Who is connected: one entry per mail connection that tries to sign in or has.

use std::{
    net::IpAddr,
    sync::{Arc, OnceLock},
    time::Duration,
};

use crate::{
    model::{ClientId, GrantId, Login, Mechanism, Protocol, Right, Secret, SessionId, TokenHash, UnixTime},
    relay::{EndReason, Switch},
};
use dashmap::DashMap;

/// Sign-ins of one user that may wait for mail servers at the same time. A person's programs come nowhere near it; a
/// connection that goes round in a loop of proxies is one more of them each time round.
const WAITING: u32 = 100;

/// Every session of this process. The number of entries is bounded by the connection limit.
#[derive(Debug, Default)]
pub struct Registry {
    sessions: DashMap<SessionId, Arc<Live>>,
    /// How many sign-ins of each user wait for a mail server.
    waiting: DashMap<Login, u32>,
}

/// One sign-in that waits for a mail server, until it is dropped.
#[derive(Debug)]
pub(super) struct Waiting {
    registry: Arc<Registry>,
    login: Login,
}

/// One session.
#[derive(Debug)]
pub struct Live {
    /// Its name.
    pub id: SessionId,
    /// What it speaks.
    pub protocol: Protocol,
    /// When it entered.
    pub since: UnixTime,
    /// The client's address.
    pub client_ip: IpAddr,
    /// Ends it, and counts its octets.
    pub switch: Arc<Switch>,
    bound: OnceLock<Bound>,
    server: OnceLock<Arc<str>>,
}

/// What a session hangs on, once its token was validated.
#[derive(Clone, Debug)]
pub struct Bound {
    /// What ends it early.
    pub right: Right,
    /// The token, where its issuer is asked about it again while the session lives.
    pub token: Option<Secret>,
    /// The user.
    pub login: Login,
    /// The OAuth client.
    pub client: ClientId,
    /// Where it is relayed to.
    pub backend: Arc<str>,
    /// When its token ends.
    pub expires_at: UnixTime,
    /// The mechanism of the sign-in.
    pub mechanism: Mechanism,
    /// When its right ends by itself (token expiry and grace); `None` while only the grant ends it.
    pub ends_at: Option<UnixTime>,
}

/// Keeps a session in the registry; dropping it takes the session out.
#[derive(Debug)]
pub struct Entry {
    registry: Arc<Registry>,
    live: Arc<Live>,
}

impl Registry {
    /// Enters a session that is about to have its token looked up.
    pub fn enter(
        self: &Arc<Self>,
        id: SessionId,
        protocol: Protocol,
        client_ip: IpAddr,
        now: UnixTime,
    ) -> Entry {
        let switch = Arc::new(Switch::new());
        let live = Arc::new(Live {
            id,
            protocol,
            since: now,
            client_ip,
            switch,
            bound: OnceLock::new(),
            server: OnceLock::new(),
        });
        self.sessions.insert(id, Arc::clone(&live));
        Entry { registry: Arc::clone(self), live }
    }

    /// Notes that a sign-in of `login` waits for a mail server; `None` when too many do.
    pub(super) fn wait(self: &Arc<Self>, login: &Login) -> Option<Waiting> {
        let mut waiting = self.waiting.entry(login.clone()).or_default();
        if *waiting >= WAITING {
            return None;
        }
        *waiting = waiting.saturating_add(1);
        Some(Waiting { registry: Arc::clone(self), login: login.clone() })
    }

    /// Ends every session that hangs on `grant`; says how many.
    pub fn end_grant(&self, grant: GrantId) -> usize {
        self.end_where(EndReason::Revoked, |live| {
            live.bound().is_some_and(|bound| bound.right.grant() == Some(grant))
        })
    }

    /// Ends every session that hangs on one token, or on what it names at another issuer; says how many.
    pub fn end_token(&self, key: &TokenHash) -> usize {
        self.end_where(EndReason::Revoked, |live| live.bound().is_some_and(|bound| bound.hangs_on(key)))
    }

    /// Ends one session; says whether it was there.
    pub fn kill(&self, id: SessionId) -> bool {
        self.end_where(EndReason::Killed, |live| live.id == id) > 0
    }

    /// Ends the sessions that are `meant`, because their mail server is drained; says how many.
    pub fn end_drained(&self, meant: impl Fn(&Live) -> bool) -> usize {
        self.end_where(EndReason::Drain, meant)
    }

    /// Ends every session, for a drain that has waited long enough.
    pub fn end_all(&self) -> usize {
        self.end_where(EndReason::Drain, |_| true)
    }

    /// Ends what has outlived its right or been silent too long. Called every second.
    pub fn sweep(&self, now: UnixTime, idle_limit: impl Fn(Protocol) -> Duration) -> usize {
        let expired = self.end_where(EndReason::Expired, |live| live.ends_at().is_some_and(|end| end <= now));
        let idle = self.end_where(EndReason::Idle, |live| {
            live.bound().is_some() && live.switch.idle() >= idle_limit(live.protocol)
        });
        expired + idle
    }

    /// Every session now, the oldest first, those that have not signed in yet among them.
    pub fn sessions(&self) -> Vec<Arc<Live>> {
        let mut all: Vec<Arc<Live>> = self.sessions.iter().map(|entry| Arc::clone(&entry)).collect();
        all.sort_by_key(|live| live.since);
        all
    }

    /// How many sessions there are.
    pub fn len(&self) -> usize {
        self.sessions.len()
    }

    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        self.sessions.is_empty()
    }

    fn end_where(&self, reason: EndReason, condition: impl Fn(&Live) -> bool) -> usize {
        let doomed = self.sessions.iter().filter(|entry| condition(entry));
        doomed.map(|entry| entry.switch.kill(reason)).count()
    }
}

impl Live {
    /// What it hangs on, once known.
    pub fn bound(&self) -> Option<&Bound> {
        self.bound.get()
    }

    /// Whether it is relayed to this server (host and port) of this backend.
    pub fn is_at(&self, backend: &str, server: &str) -> bool {
        self.server.get().is_some_and(|own| **own == *server)
            && self.bound().is_some_and(|bound| *bound.backend == *backend)
    }

    fn ends_at(&self) -> Option<UnixTime> {
        self.bound().and_then(|bound| bound.ends_at)
    }
}

impl Bound {
    fn hangs_on(&self, key: &TokenHash) -> bool {
        match &self.right {
            Right::Grant { token, .. } => token == key,
            Right::Outside(outside) => outside.keys.contains(key),
            Right::Password { key: own } => own == key,
        }
    }
}

impl Entry {
    /// The session.
    pub fn live(&self) -> &Arc<Live> {
        &self.live
    }

    /// Notes the server (host and port) that took the login.
    pub fn logged_in_at(&self, server: Arc<str>) {
        let _ = self.live.server.set(server);
    }

    /// Ties the session to what its right hangs on. An entry is bound once.
    pub fn bind(&self, bound: Bound) {
        let _ = self.live.bound.set(bound);
    }
}

impl Drop for Waiting {
    fn drop(&mut self) {
        self.registry.waiting.remove_if_mut(&self.login, |_, waiting| {
            *waiting = waiting.saturating_sub(1);
            *waiting == 0
        });
    }
}

impl Drop for Entry {
    fn drop(&mut self) {
        self.registry.sessions.remove(&self.live.id);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn bound(grant: GrantId, ends_at: Option<UnixTime>) -> Bound {
        Bound {
            right: Right::Grant { grant, token: TokenHash::new([0; 32]) },
            token: None,
            login: Login::parse("alice@example.org").unwrap_or_else(|_| unreachable!("valid")),
            client: ClientId::open(),
            backend: "main".into(),
            expires_at: UnixTime(0),
            mechanism: Mechanism::OAuthBearer,
            ends_at,
        }
    }

    fn enter(registry: &Arc<Registry>, id: u64) -> Entry {
        registry.enter(SessionId::new(id), Protocol::Imap, IpAddr::from([127, 0, 0, 1]), UnixTime(100))
    }

    #[test]
    fn only_so_many_sign_ins_of_a_user_wait_and_each_that_ends_makes_room() {
        let registry = Arc::new(Registry::default());
        let (alice, bob) =
            (Login::parse("alice@example.org").unwrap(), Login::parse("bob@example.org").unwrap());
        let mut waiting: Vec<_> = (0..WAITING).map(|_| registry.wait(&alice).unwrap()).collect();
        assert!(registry.wait(&alice).is_none());
        assert!(registry.wait(&bob).is_some());
        waiting.pop();
        waiting.push(registry.wait(&alice).unwrap());
        assert!(registry.wait(&alice).is_none());
        drop(waiting);
        assert!(registry.waiting.is_empty());
    }

    #[test]
    fn ending_a_grant_ends_its_sessions_and_no_other() {
        let registry = Arc::new(Registry::default());
        let (one, two, unbound) = (enter(&registry, 1), enter(&registry, 2), enter(&registry, 3));
        let (grant, other) = (GrantId::generate(), GrantId::generate());
        one.bind(bound(grant, None));
        two.bind(bound(other, None));
        assert_eq!(registry.end_grant(grant), 1);
        assert_eq!(one.live().switch.killed(), Some(EndReason::Revoked));
        assert_eq!(two.live().switch.killed(), None);
        assert_eq!(unbound.live().switch.killed(), None);
    }

    #[test]
    fn a_sweep_ends_what_has_outlived_its_right() {
        let registry = Arc::new(Registry::default());
        let entry = enter(&registry, 1);
        entry.bind(bound(GrantId::generate(), Some(UnixTime(200))));
        let never = |_| Duration::MAX;
        assert_eq!(registry.sweep(UnixTime(199), never), 0);
        assert_eq!(registry.sweep(UnixTime(200), never), 1);
        assert_eq!(entry.live().switch.killed(), Some(EndReason::Expired));
    }

    #[test]
    fn a_dropped_entry_is_gone() {
        let registry = Arc::new(Registry::default());
        drop(enter(&registry, 1));
        assert!(registry.is_empty());
        assert!(!registry.kill(SessionId::new(1)));
    }
}
