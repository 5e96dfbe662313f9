//! Sessions on tokens of another issuer, which alone knows when their right has ended.

use std::{
    sync::Arc,
    time::{Duration, Instant},
};

use bearward::model::{Secret, UnixTime};
use serde_json::{Value, json};

use crate::support::{ALICE, Client, HostileIssuer, Serve, Upstream, sign_with, taking, until};

const EVENT: &str = "http://schemas.openid.net/event/backchannel-logout";

struct House {
    issuer: HostileIssuer,
    serve: Arc<Serve>,
}

impl House {
    /// `more` are further lines of `[[trusted_issuer]]`.
    async fn start(more: &str) -> Self {
        let issuer = HostileIssuer::start().await;
        let upstream = Upstream::start(taking("imap", vec![until("x NOOP")]));
        let backend = format!(
            "imap = [\"imap://127.0.0.1:{}\"]\nlogin = \"trusted\"\n\
             [[trusted_issuer]]\nurl = \"{}\"\nca = \"{}\"\naudience = [\"mail\"]\n\
             domains = [\"example.org\"]\nclient_id = \"bearward\"\nclient_secret = \"secret\"\n{more}",
            upstream.port(),
            issuer.url,
            issuer.ca().display(),
        );
        let serve = tokio::task::spawn_blocking(move || Serve::start_issuer(&backend)).await.unwrap();
        Self { issuer, serve: Arc::new(serve) }
    }

    fn claims(&self, subject: &str, sign_in: &str) -> Value {
        let now = UnixTime::now().0;
        json!({
            "iss": self.issuer.url, "sub": subject, "sid": sign_in, "aud": "mail", "client_id": "mua",
            "exp": now + 600, "iat": now - 1, "scope": "imap", "email": ALICE, "email_verified": true,
        })
    }

    async fn session(&self, token: &Secret) -> Client {
        let (serve, token) = (Arc::clone(&self.serve), text(token));
        let opened = tokio::task::spawn_blocking(move || {
            let mut client = serve.sign_in("imap", &token, "");
            client.until("a OK");
            client
        });
        opened.await.unwrap()
    }

    async fn is_refused(&self, token: &Secret) {
        let (serve, token) = (Arc::clone(&self.serve), text(token));
        let refused = tokio::task::spawn_blocking(move || {
            let mut client = serve.sign_in("imap", &token, "\r\n");
            client.until("a NO [AUTHENTICATIONFAILED]");
        });
        refused.await.unwrap();
    }

    /// As many sessions live on, this one among them.
    async fn lives(&self, session: Client, sessions: usize) {
        let serve = Arc::clone(&self.serve);
        let live = tokio::task::spawn_blocking(move || serve.sessions()).await.unwrap();
        assert_eq!(live, sessions);
        drop(session);
    }

    async fn sign_out(&self, token: &str) -> u16 {
        let http = crate::kill::http(&self.serve.folder().join("certs/ca.pem"));
        let url = format!("{}/oauth/backchannel-logout", self.serve.url());
        http.post(url).form(&[("logout_token", token)]).send().await.unwrap().status().as_u16()
    }

    fn logout_token(&self, changes: &Value) -> String {
        let now = UnixTime::now().0;
        let mut claims = json!({
            "iss": self.issuer.url, "aud": "bearward", "iat": now, "exp": now + 120, "jti": now.to_string(),
            "events": { EVENT: {} },
        });
        for (name, value) in changes.as_object().unwrap() {
            claims[name] = value.clone();
        }
        text(&sign_with(&self.issuer.key, "logout+jwt", &claims))
    }
}

fn text(token: &Secret) -> String {
    String::from_utf8(token.expose().to_vec()).unwrap()
}

async fn ends_within(client: Client, limit: Duration) {
    let started = Instant::now();
    let mut client = client;
    let rest = tokio::task::spawn_blocking(move || client.rest()).await.unwrap();
    assert!(rest.contains("* BYE"), "{rest:?}");
    assert!(started.elapsed() < limit, "{:?}", started.elapsed());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_sign_out_elsewhere_ends_that_sign_ins_sessions_within_a_second_and_no_others() {
    let house = House::start("").await;
    let (one, two) =
        (house.issuer.sign(&house.claims("1", "s1")), house.issuer.sign(&house.claims("1", "s2")));
    let (doomed, other) = (house.session(&one).await, house.session(&two).await);
    let logout = house.logout_token(&json!({ "sub": "1", "sid": "s1" }));
    assert_eq!(house.sign_out(&logout).await, 200);
    ends_within(doomed, Duration::from_secs(1)).await;
    house.is_refused(&one).await;
    house.lives(other, 1).await;
    assert_eq!(house.sign_out(&logout).await, 400, "it was taken already");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_sign_out_of_a_person_ends_all_their_sessions_and_they_may_sign_in_again() {
    let house = House::start("").await;
    let token = house.issuer.sign(&house.claims("1", "s1"));
    let stranger = house.issuer.sign(&house.claims("2", "s2"));
    let (doomed, other) = (house.session(&token).await, house.session(&stranger).await);
    assert_eq!(house.sign_out(&house.logout_token(&json!({ "sub": "1" }))).await, 200);
    ends_within(doomed, Duration::from_secs(1)).await;
    house.is_refused(&token).await;
    house.lives(other, 1).await;
    let mut later = house.claims("1", "s3");
    later["iat"] = json!(UnixTime::now().0 + 2);
    house.session(&house.issuer.sign(&later)).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_no_logout_token_of_the_issuer_ends_nothing() {
    let house = House::start("").await;
    let token = house.issuer.sign(&house.claims("1", "s1"));
    let session = house.session(&token).await;
    let stranger = HostileIssuer::start().await;
    let now = UnixTime::now().0;
    let good = json!({
        "iss": house.issuer.url, "aud": "bearward", "iat": now, "exp": now + 120, "jti": "j", "sub": "1",
        "events": { EVENT: {} },
    });
    // By a key that the issuer could have had published since, and by one that it could not.
    let unknown = text(&sign_with(&stranger.key, "logout+jwt", &good));
    let mut earlier = good;
    earlier["iat"] = json!(now - 120);
    let forged = text(&sign_with(&stranger.key, "logout+jwt", &earlier));
    let id_token = house.logout_token(&json!({ "sub": "1", "nonce": "n" }));
    let for_another = house.logout_token(&json!({ "sub": "1", "aud": "another" }));
    let old = house.logout_token(&json!({ "sub": "1", "iat": now - 3600 }));
    let no_event = house.logout_token(&json!({ "sub": "1", "events": {} }));
    for bad in ["", "x", &text(&token), &forged, &id_token, &for_another, &old, &no_event] {
        assert_eq!(house.sign_out(bad).await, 400, "{bad}");
    }
    assert!([400, 503].contains(&house.sign_out(&unknown).await));
    house.lives(session, 1).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_token_that_its_issuer_revoked_ends_its_session_at_the_next_look() {
    let house = House::start("validate = \"introspection\"\nrecheck = \"1s\"\n").await;
    let mut answer = house.claims("1", "s1");
    answer["active"] = json!(true);
    house.issuer.say("/introspect", &answer);
    let token = Secret::copy_of(b"an-opaque-token-of-another-issuer");
    let session = house.session(&token).await;
    let asked = || house.issuer.asked("/introspect").len();
    assert_eq!(asked(), 1);

    house.issuer.leave(true);
    tokio::time::sleep(Duration::from_millis(2500)).await;
    house.issuer.leave(false);
    let deadline = Instant::now() + Duration::from_secs(10);
    while asked() < 2 {
        assert!(Instant::now() < deadline, "nobody asks again");
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    house.issuer.say("/introspect", &json!({ "active": false }));
    ends_within(session, Duration::from_secs(5)).await;
    house.is_refused(&token).await;
}
