//! Tells clients that a grant of theirs has ended (OpenID Connect Back-Channel Logout §2.5).
//!
//! Only clients that the operator added have an address for it, so no stranger makes this server call anywhere.

use std::{sync::Arc, time::Duration};

use tokio::{sync::Semaphore, time::sleep};

use crate::{
    issuer::{Issuer, LogoutNotice},
    model::{GrantId, UnixTime},
};

/// Time for one try.
const PATIENCE: Duration = Duration::from_secs(5);
/// Pauses before the second and the third try; the token lives for two minutes.
const PAUSES: [Duration; 2] = [Duration::from_secs(5), Duration::from_secs(30)];
/// Tries at once; more wait.
const AT_ONCE: usize = 8;

/// Posts logout tokens.
#[derive(Clone)]
pub(super) struct LogoutNotices {
    issuer: Arc<Issuer>,
    http: reqwest::Client,
    turns: Arc<Semaphore>,
}

impl LogoutNotices {
    /// Over https alone, following no redirect.
    ///
    /// # Errors
    /// The system's root certificates cannot be had.
    pub(super) fn new(issuer: Arc<Issuer>) -> Result<Self, reqwest::Error> {
        let http = reqwest::Client::builder()
            .https_only(true)
            .redirect(reqwest::redirect::Policy::none())
            .timeout(PATIENCE)
            .build()?;
        Ok(Self { issuer, http, turns: Arc::new(Semaphore::new(AT_ONCE)) })
    }

    /// Tells whoever wants to know that the grant has ended. Returns at once.
    pub(super) fn tell(&self, grant: GrantId) {
        let notices = self.clone();
        tokio::spawn(async move {
            match notices.issuer.logout_notice(grant, UnixTime::now()).await {
                Ok(Some(notice)) => notices.post(&notice).await,
                Ok(None) => {}
                Err(error) => {
                    tracing::warn!(%grant, %error, "a client cannot be told that its grant has ended")
                }
            }
        });
    }

    async fn post(&self, notice: &LogoutNotice) {
        let Ok(_turn) = self.turns.acquire().await else { return };
        let mut pauses = PAUSES.into_iter();
        loop {
            let form = [("logout_token", notice.token.as_str())];
            let failure = match self.http.post(&notice.uri).form(&form).send().await {
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
}
