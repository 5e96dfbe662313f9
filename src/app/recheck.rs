//! Asks trusted issuers about the tokens of live sessions, because only they know of a revocation.

use std::{
    collections::HashMap,
    sync::Arc,
    time::{Duration, Instant},
};

use tokio::{task::JoinSet, time::interval};
use tokio_util::sync::CancellationToken;

use super::Parts;
use crate::{
    model::{Outside, Right, Secret, TokenHash, UnixTime},
    validator::Recheck,
};

/// How often it is looked whether a token is due.
const STEP: Duration = Duration::from_secs(1);
/// Tokens asked about at once.
const AT_ONCE: usize = 8;

/// A token of one or more live sessions.
struct Held {
    outside: Outside,
    token: Secret,
}

/// Looks at the tokens of live sessions, each at its issuer's interval, until `stop`.
pub(super) async fn follow(parts: Arc<Parts>, stop: CancellationToken) {
    let mut due: HashMap<TokenHash, Instant> = HashMap::new();
    let mut steps = interval(STEP);
    loop {
        tokio::select! { () = stop.cancelled() => return, _ = steps.tick() => {} }
        let held = held(&parts);
        due.retain(|token, _| held.contains_key(token));
        let now = Instant::now();
        let mut asking = JoinSet::new();
        for (key, held) in held {
            let Some(every) = parts.shared.validator.recheck_interval(&held.outside.issuer) else { continue };
            let next = due.entry(key).or_insert_with(|| now + every);
            if *next > now {
                continue;
            }
            *next = now + every;
            if asking.len() >= AT_ONCE {
                let _ = asking.join_next().await;
            }
            asking.spawn(ask(Arc::clone(&parts), held));
        }
        while asking.join_next().await.is_some() {}
    }
}

/// The tokens of live sessions, each once.
fn held(parts: &Parts) -> HashMap<TokenHash, Held> {
    let mut held = HashMap::new();
    for live in parts.shared.registry.sessions() {
        let Some(bound) = live.bound() else { continue };
        if let (Right::Outside(outside), Some(token)) = (&bound.right, &bound.token) {
            held.entry(outside.token)
                .or_insert_with(|| Held { outside: outside.clone(), token: token.clone() });
        }
    }
    held
}

/// An issuer that cannot be asked ends nothing.
async fn ask(parts: Arc<Parts>, held: Held) {
    let answer = parts.shared.validator.recheck(&held.outside, &held.token, UnixTime::now()).await;
    match answer {
        Recheck::Live(_) => {}
        Recheck::Unknown => {
            tracing::debug!(issuer = %held.outside.issuer, "an issuer cannot be asked about a token; later");
        }
        Recheck::Ended => {
            let sessions = parts.shared.registry.end_token(&held.outside.token);
            tracing::info!(issuer = %held.outside.issuer, sessions, "sessions of a token that its issuer ended are ended");
        }
    }
}
