//! Tells clients that a grant of theirs has ended (OpenID Connect Back-Channel Logout §2.5).
//!
//! Only clients that the operator added have an address for it, so no stranger makes this server call anywhere. A
//! hundred thousand grants may end at once: what waits is their names alone, and few calls are made at a time.

use std::{sync::Arc, time::Duration};

use tokio::{
    sync::{Semaphore, mpsc},
    time::sleep,
};

use crate::{
    issuer::{Issuer, LogoutNotice},
    model::{GrantId, UnixTime},
};

/// Time for one try.
const PATIENCE: Duration = Duration::from_secs(5);
/// Pauses before the second and the third try; the token lives for two minutes.
const PAUSES: [Duration; 2] = [Duration::from_secs(5), Duration::from_secs(30)];
/// Clients that are told at once.
const AT_ONCE: usize = 8;

/// Posts logout tokens, in the order in which grants ended, until it is dropped.
pub(super) struct LogoutNotices {
    ended: mpsc::UnboundedSender<GrantId>,
}

impl LogoutNotices {
    /// Over https alone, following no redirect.
    ///
    /// # Errors
    /// The system's root certificates cannot be had.
    pub(super) fn start(issuer: Arc<Issuer>) -> Result<Self, reqwest::Error> {
        let http = reqwest::Client::builder()
            .https_only(true)
            .redirect(reqwest::redirect::Policy::none())
            .timeout(PATIENCE)
            .build()?;
        let (ended, waiting) = mpsc::unbounded_channel();
        tokio::spawn(tell_each(issuer, http, waiting));
        Ok(Self { ended })
    }

    /// Tells whoever wants to know that the grant has ended. Returns at once.
    pub(super) fn tell(&self, grant: GrantId) {
        // The receiver lives as long as this.
        let _ = self.ended.send(grant);
    }
}

async fn tell_each(
    issuer: Arc<Issuer>,
    http: reqwest::Client,
    mut waiting: mpsc::UnboundedReceiver<GrantId>,
) {
    let turns = Arc::new(Semaphore::new(AT_ONCE));
    while let Some(grant) = waiting.recv().await {
        // A turn first: the token's two minutes begin when it is made.
        let Ok(turn) = Arc::clone(&turns).acquire_owned().await else { return };
        match issuer.logout_notice(grant, UnixTime::now()).await {
            Ok(None) => {}
            Ok(Some(notice)) => {
                let http = http.clone();
                tokio::spawn(async move {
                    post(&http, &notice).await;
                    drop(turn);
                });
            }
            Err(error) => tracing::warn!(%grant, %error, "a client cannot be told that its grant has ended"),
        }
    }
}

async fn post(http: &reqwest::Client, notice: &LogoutNotice) {
    let mut pauses = PAUSES.into_iter();
    loop {
        let form = [("logout_token", notice.token.as_str())];
        let failure = match http.post(&notice.uri).form(&form).send().await {
            Ok(answer) if answer.status().is_success() => return,
            Ok(answer) => answer.status().to_string(),
            Err(error) => error.without_url().to_string(),
        };
        let Some(pause) = pauses.next() else {
            tracing::warn!(client_id = %notice.client, failure, "a client was not told that its grant has ended");
            return;
        };
        sleep(pause).await;
    }
}
