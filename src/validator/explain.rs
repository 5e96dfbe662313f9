use std::sync::Arc;

use serde::{Serialize, Serializer};

use super::Rejection;
use crate::{
    model::{ClientId, GrantId, Login, Outcome, Scope, UnixTime},
    store::TokenRecord,
};

/// The decision that a token would get, step by step.
#[derive(Clone, Debug, Serialize)]
pub struct Explanation {
    /// How the sign-in would end, as far as the token decides it.
    #[serde(serialize_with = "outcome_name")]
    pub outcome: Outcome,
    /// The token's user, when the token is known.
    pub user: Option<Login>,
    /// The mailbox that it opens, when it was decided.
    pub mailbox: Option<Login>,
    /// The client that it was given to.
    pub client_id: Option<ClientId>,
    /// The grant that it hangs on.
    pub grant_id: Option<GrantId>,
    /// What it may be used for.
    pub scope: Option<Scope>,
    /// When it ends, in seconds since 1970.
    pub expires_at: Option<UnixTime>,
    /// What was looked at, in order, up to what decided.
    pub steps: Vec<Step>,
}

/// One thing that was looked at.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Step {
    /// What.
    pub step: &'static str,
    /// Whether it was in order.
    pub result: StepResult,
    /// What was found, for people. No secret.
    pub detail: String,
}

/// Whether a step was in order.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum StepResult {
    /// It refused the token.
    Failed,
    /// It was in order.
    Ok,
}

#[derive(Clone, Copy)]
pub(super) enum StepName {
    Audience,
    Binding,
    Claims,
    Client,
    Delegation,
    Expiry,
    Format,
    Identity,
    Introspection,
    Issuer,
    Login,
    Lookup,
    Network,
    Revocation,
    Scope,
    Secrets,
    Signature,
    Userinfo,
}

impl StepName {
    const fn as_str(self) -> &'static str {
        match self {
            Self::Audience => "audience",
            Self::Binding => "binding",
            Self::Claims => "claims",
            Self::Client => "client",
            Self::Delegation => "delegation",
            Self::Expiry => "expiry",
            Self::Format => "format",
            Self::Identity => "identity",
            Self::Introspection => "introspection",
            Self::Issuer => "issuer",
            Self::Login => "login",
            Self::Lookup => "lookup",
            Self::Network => "network",
            Self::Revocation => "revocation",
            Self::Scope => "scope",
            Self::Secrets => "secrets",
            Self::Signature => "signature",
            Self::Userinfo => "userinfo",
        }
    }
}

/// Writes down the steps of a decision, or, for a sign-in, nothing: the decision is the same code.
pub(super) struct Trace {
    /// Whether the cache answered.
    pub(super) cached: bool,
    /// Whose token it is, when it is another issuer's.
    pub(super) issuer: Option<Arc<str>>,
    notes: Option<Notes>,
}

#[derive(Default)]
struct Notes {
    steps: Vec<Step>,
    known: Option<Known>,
}

struct Known {
    user: Login,
    mailbox: Option<Login>,
    client: ClientId,
    grant: Option<GrantId>,
    scope: Scope,
    expires_at: UnixTime,
}

impl Trace {
    pub(super) const fn off() -> Self {
        Self { cached: false, issuer: None, notes: None }
    }

    pub(super) fn on() -> Self {
        Self { cached: false, issuer: None, notes: Some(Notes::default()) }
    }

    pub(super) fn pass(&mut self, step: StepName, detail: impl FnOnce() -> String) {
        if let Some(notes) = &mut self.notes {
            notes.steps.push(Step { step: step.as_str(), result: StepResult::Ok, detail: detail() });
        }
    }

    pub(super) fn fail<T>(
        &mut self,
        step: StepName,
        rejection: Rejection,
        detail: String,
    ) -> Result<T, Rejection> {
        if let Some(notes) = &mut self.notes {
            notes.steps.push(Step { step: step.as_str(), result: StepResult::Failed, detail });
        }
        Err(rejection)
    }

    pub(super) fn found(&mut self, record: &TokenRecord) {
        if let Some(notes) = &mut self.notes {
            notes.known = Some(Known {
                user: record.grant.user.clone(),
                mailbox: None,
                client: record.grant.client.clone(),
                grant: Some(record.grant.id),
                scope: record.scope.clone(),
                expires_at: super::end_of(record),
            });
        }
    }

    /// The same for a token of another issuer.
    pub(super) fn found_outside(
        &mut self,
        user: &Login,
        client: &ClientId,
        scope: &Scope,
        expires_at: UnixTime,
    ) {
        if let Some(notes) = &mut self.notes {
            notes.known = Some(Known {
                user: user.clone(),
                mailbox: None,
                client: client.clone(),
                grant: None,
                scope: scope.clone(),
                expires_at,
            });
        }
    }

    pub(super) fn opens(&mut self, mailbox: &Login) {
        if let Some(known) = self.notes.as_mut().and_then(|notes| notes.known.as_mut()) {
            known.mailbox = Some(mailbox.clone());
        }
    }

    /// The mailbox that it opens is not its own user's where a service client asked for one.
    pub(super) fn speaks_for(&mut self, login: &Login) {
        if let Some(known) = self.notes.as_mut().and_then(|notes| notes.known.as_mut()) {
            known.user = login.clone();
        }
    }

    pub(super) fn explanation(self, outcome: Outcome) -> Explanation {
        let notes = self.notes.unwrap_or_default();
        let (steps, known) = (notes.steps, notes.known);
        Explanation {
            outcome,
            user: known.as_ref().map(|known| known.user.clone()),
            client_id: known.as_ref().map(|known| known.client.clone()),
            mailbox: known.as_ref().and_then(|known| known.mailbox.clone()),
            grant_id: known.as_ref().and_then(|known| known.grant),
            expires_at: known.as_ref().map(|known| known.expires_at),
            scope: known.map(|known| known.scope),
            steps,
        }
    }
}

fn outcome_name<S: Serializer>(outcome: &Outcome, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.serialize_str(outcome.as_str())
}
