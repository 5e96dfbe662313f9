//! Which guard follows a session after its login, and from whose addresses its client may send.

use std::net::IpAddr;

use super::Submission;
use crate::{
    lookup::{Lookup, LookupError, Query},
    model::{Principal, Protocol},
    proto::{
        Guard, Ready,
        imap::ImapGuard,
        sieve::SieveGuard,
        smtp::{SenderPolicy, SmtpGuard},
    },
};

/// The guard of a session whose mail server is `ready`; `None` where it cannot let its client become someone else.
pub(super) fn choose(
    protocol: Protocol,
    ready: &Ready,
    submission: &Submission,
    senders: Option<SenderPolicy>,
) -> Option<Box<dyn Guard>> {
    match protocol {
        Protocol::Smtp => {
            let guard = SmtpGuard::new(&ready.offer).with_bare_newlines(submission.bare_newline);
            Some(match senders {
                Some(senders) => Box::new(guard.with_senders(senders)),
                None => Box::new(guard),
            })
        }
        Protocol::Imap if ready.unauthenticate => Some(Box::new(ImapGuard::new())),
        Protocol::Sieve => Some(Box::new(SieveGuard::new())),
        Protocol::Imap | Protocol::Pop3 => None,
    }
}

/// The addresses that a session may send from; `None` where nobody asks. They are the user's login name and the
/// mailbox that is opened, the addresses that the token vouches for, and what a look-up says of that mailbox.
///
/// # Errors
/// [`LookupError`]: what the user may do is not known.
pub(super) async fn senders(
    submission: &Submission,
    lookup: Option<&dyn Lookup>,
    protocol: Protocol,
    principal: &Principal,
    client: IpAddr,
) -> Result<Option<SenderPolicy>, LookupError> {
    if protocol != Protocol::Smtp || !submission.own_senders {
        return Ok(None);
    }
    let query = Query { login: &principal.mailbox, protocol: Some(protocol), client: Some(client) };
    let entry = match lookup {
        Some(lookup) => lookup.find(&query).await?.unwrap_or_default(),
        None => crate::lookup::Entry::default(),
    };
    // A login name or a claim that begins with `@` must not open a whole domain: only an operator's entry may.
    let names = [principal.login.as_str(), principal.mailbox.as_str()];
    let own = names.into_iter().chain(principal.addresses.iter().map(String::as_str));
    let own = own.filter(|name| !name.starts_with('@'));
    Ok(Some(SenderPolicy::new(own.chain(entry.addresses.iter().map(String::as_str)))))
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::*;
    use crate::{
        lookup::Entry,
        model::{ClientId, GrantId, Login, Right, Scope, Secret, TokenHash, UnixTime},
    };

    #[derive(Debug)]
    struct Aliases(Arc<str>, Result<Option<Vec<String>>, LookupError>);

    #[async_trait::async_trait]
    impl Lookup for Aliases {
        fn name(&self) -> &Arc<str> {
            &self.0
        }

        async fn find(&self, query: &Query<'_>) -> Result<Option<Entry>, LookupError> {
            assert_eq!(query.login.as_str(), "team@example.org");
            let found = self.1.clone()?;
            Ok(found.map(|addresses| Entry { addresses, ..Entry::default() }))
        }
    }

    #[tokio::test]
    async fn own_senders_come_from_names_claims_and_the_look_up_and_only_it_opens_a_domain() {
        let principal = Principal {
            login: Login::parse("alice@example.org").unwrap(),
            mailbox: Login::parse("team@example.org").unwrap(),
            right: Right::Grant { grant: GrantId::generate(), token: TokenHash::new([0; 32]) },
            client: ClientId::open(),
            scope: Scope::mail(),
            issuer: "https://mail.example.org".into(),
            expires_at: UnixTime::now(),
            addresses: vec!["a@example.net".into(), "@example.com".into()],
            token: Secret::default(),
            passwords: Vec::new(),
        };
        let own = Submission { own_senders: true, ..Submission::default() };
        let client = IpAddr::from([192, 0, 2, 1]);
        let ask = async |submission, found: Option<Result<_, _>>, protocol| {
            let lookup = found.map(|found| Aliases("aliases".into(), found));
            senders(submission, lookup.as_ref().map(|own| own as &dyn Lookup), protocol, &principal, client)
                .await
        };
        let names = ["alice@example.org", "team@example.org", "a@example.net"];
        let alone = SenderPolicy::new(names);
        assert_eq!(ask(&own, None, Protocol::Smtp).await, Ok(Some(alone.clone())));
        assert_eq!(ask(&own, Some(Ok(None)), Protocol::Smtp).await, Ok(Some(alone)));
        let found = Some(Ok(Some(vec!["@example.net".to_owned()])));
        let more = SenderPolicy::new(names.into_iter().chain(["@example.net"]));
        assert_eq!(ask(&own, found, Protocol::Smtp).await, Ok(Some(more)));
        let down = LookupError::Unavailable { name: "aliases".into(), reason: "down".into() };
        assert_eq!(ask(&own, Some(Err(down.clone())), Protocol::Smtp).await, Err(down.clone()));
        // Nobody asks where it does not matter.
        assert_eq!(ask(&own, Some(Err(down.clone())), Protocol::Imap).await, Ok(None));
        assert_eq!(ask(&Submission::default(), Some(Err(down)), Protocol::Smtp).await, Ok(None));
    }
}
