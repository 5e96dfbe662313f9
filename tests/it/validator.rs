//! The validator over a real store, and over one that is slow, down or tampered with.

use std::{
    sync::{Arc, atomic::Ordering},
    time::Duration,
};

use crate::hooked::Hooked;
use crate::store::{NOW, raw};
use bearward::{
    issuer::{self, Issuer, MintRequest, Minted},
    model::{ClientId, GrantId, Login, Outcome, Protocol, Right, Scope, Secret, TokenKind, UnixTime},
    store::{Ended, RevocationReason, StoreError},
    token::{OpaqueToken, ServerKey},
    validator::{Config, Rejection, Request, StepResult, Validator},
};
use tempfile::TempDir;

pub(crate) const PASSWORD: &[u8] = b"correct horse battery";

pub(crate) fn issuer_config() -> issuer::Config {
    issuer::Config::new("https://mail.example.org")
}

pub(crate) fn mint_request(scope: &str) -> MintRequest {
    MintRequest {
        user: Login::parse("alice@example.org").unwrap(),
        client: ClientId::open(),
        scope: scope.parse().unwrap(),
        lifetime: None,
        sealed_backends: vec!["main".into()],
        with_refresh_token: false,
        passwords: vec![("main".into(), Secret::copy_of(PASSWORD))],
    }
}

/// A store, an issuer and a validator that share a server key.
struct House {
    folder: TempDir,
    store: Arc<Hooked>,
    issuer: Issuer,
    validator: Validator,
    key: ServerKey,
}

impl House {
    async fn new() -> Self {
        Self::with_cache(100).await
    }

    async fn with_cache(cache_entries: usize) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let store = Arc::new(Hooked::over(folder.path()).await);
        let key = ServerKey::generate().unwrap();
        let issuer = Issuer::new(issuer_config(), store.clone(), key.clone(), NOW).await.unwrap();
        let validator = Validator::new(&validator_config(cache_entries), store.clone(), key.clone());
        Self { folder, store, issuer, validator, key }
    }

    async fn mint(&self) -> Minted {
        self.issuer.mint(mint_request(Scope::MAIL), NOW).await.unwrap()
    }

    fn another_validator(&self) -> Validator {
        Validator::new(&validator_config(100), self.store.clone(), self.key.clone())
    }
}

fn validator_config(cache_entries: usize) -> Config {
    Config {
        issuer: "https://mail.example.org".into(),
        audience: "https://mail.example.org".into(),
        cache_entries,
    }
}

const IMAP: Request<'static> = Request::new(Protocol::Imap);

fn later(seconds: i64) -> UnixTime {
    UnixTime(NOW.0 + seconds)
}

#[tokio::test]
async fn a_good_token_opens_its_password_from_the_store_and_from_the_cache() {
    let house = House::new().await;
    let minted = house.mint().await;
    for cached in [false, true] {
        let validation = house.validator.validate_noting(&minted.access_token, &IMAP, NOW).await;
        assert_eq!(validation.cached, cached);
        let principal = validation.result.unwrap();
        assert_eq!(principal.login.as_str(), "alice@example.org");
        assert_eq!((principal.right.grant(), principal.expires_at), (Some(minted.grant), later(3600)));
        assert_eq!(principal.client, ClientId::open());
        assert_eq!(&*principal.issuer, "https://mail.example.org");
        assert_eq!(principal.passwords.len(), 1);
        assert_eq!(&*principal.passwords[0].backend, "main");
        assert_eq!(principal.passwords[0].password.expose(), PASSWORD);
        assert!(!format!("{principal:?}").contains("correct horse"));
    }
    assert_eq!(house.store.looked_up(), 1);
}

#[tokio::test]
async fn a_malformed_token_is_refused_without_asking_the_store() {
    let house = House::new().await;
    let minted = house.mint().await;
    let good = minted.access_token.expose();
    let refresh = OpaqueToken::generate(TokenKind::Refresh).unwrap().text();
    let mut mistyped = good.to_vec();
    mistyped[20] = if mistyped[20] == b'A' { b'B' } else { b'A' };
    for token in [b"".as_slice(), b"bwa_", &good[..good.len() - 1], &mistyped, refresh.expose(), &[0; 5000]] {
        let rejection = house.validator.validate(&Secret::copy_of(token), &IMAP, NOW).await.unwrap_err();
        assert_eq!(rejection, Rejection::Malformed);
        assert_eq!(rejection.outcome(), Outcome::InvalidToken);
    }
    assert_eq!(house.store.looked_up(), 0);
}

#[tokio::test]
async fn an_unknown_token_is_looked_up_once_and_floods_push_out_no_good_one() {
    let house = House::with_cache(16).await;
    let minted = house.mint().await;
    house.validator.validate(&minted.access_token, &IMAP, NOW).await.unwrap();
    let unknown = OpaqueToken::generate(TokenKind::Access).unwrap().text();
    for _ in 0..3 {
        let rejection = house.validator.validate(&unknown, &IMAP, NOW).await.unwrap_err();
        assert_eq!((rejection.outcome(), rejection), (Outcome::InvalidToken, Rejection::Unknown));
    }
    assert_eq!(house.store.looked_up(), 2);
    for _ in 0..2000 {
        let token = OpaqueToken::generate(TokenKind::Access).unwrap().text();
        house.validator.validate(&token, &IMAP, NOW).await.unwrap_err();
    }
    let before = house.store.looked_up();
    house.validator.validate(&minted.access_token, &IMAP, NOW).await.unwrap();
    assert_eq!(house.store.looked_up(), before);
}

#[tokio::test]
async fn a_token_ends_at_its_second_also_in_the_cache() {
    let house = House::new().await;
    let minted = house.mint().await;
    house.validator.validate(&minted.access_token, &IMAP, later(3599)).await.unwrap();
    for _ in 0..2 {
        let validation = house.validator.validate_noting(&minted.access_token, &IMAP, later(3600)).await;
        assert!(!validation.cached, "no row is kept beyond its end");
        let rejection = validation.result.unwrap_err();
        assert_eq!((rejection.outcome(), rejection), (Outcome::Expired, Rejection::Expired));
    }
}

#[tokio::test]
async fn a_token_ends_with_its_grant() {
    let house = House::new().await;
    let config = issuer::Config { grant_lifetime: Some(Duration::from_secs(60)), ..issuer_config() };
    let issuer = Issuer::new(config, house.store.clone(), house.key.clone(), NOW).await.unwrap();
    let minted = issuer.mint(mint_request(Scope::MAIL), NOW).await.unwrap();
    assert_eq!(minted.expires_at, later(60));
    raw(&house.folder, &["UPDATE tokens SET expires_at = expires_at + 1000"]).await;
    let principal = house.validator.validate(&minted.access_token, &IMAP, later(59)).await.unwrap();
    assert_eq!(principal.expires_at, later(60));
    let rejection = house.validator.validate(&minted.access_token, &IMAP, later(60)).await.unwrap_err();
    assert_eq!(rejection, Rejection::Expired);
    assert!(house.validator.is_live(minted.grant, later(59)).await.unwrap());
    assert!(!house.validator.is_live(minted.grant, later(60)).await.unwrap());
}

#[tokio::test]
async fn a_revocation_empties_the_cache_of_that_grant_alone() {
    let house = House::new().await;
    let [ended, other] = [house.mint().await, house.mint().await];
    for minted in [&ended, &other] {
        house.validator.validate(&minted.access_token, &IMAP, NOW).await.unwrap();
    }
    let reason = RevocationReason::PasswordRefused;
    assert_eq!(house.validator.end_grant(ended.grant, reason, NOW).await.unwrap(), Ended::Now);
    let rejection = house.validator.validate(&ended.access_token, &IMAP, NOW).await.unwrap_err();
    assert_eq!((rejection.outcome(), rejection), (Outcome::InvalidToken, Rejection::Revoked));
    assert!(!house.validator.is_live(ended.grant, NOW).await.unwrap());
    let before = house.store.looked_up();
    house.validator.validate(&other.access_token, &IMAP, NOW).await.unwrap();
    assert_eq!(house.store.looked_up(), before);
}

#[tokio::test]
async fn the_question_after_the_login_sees_what_the_cache_does_not() {
    let house = House::new().await;
    let minted = house.mint().await;
    house.validator.validate(&minted.access_token, &IMAP, NOW).await.unwrap();
    assert!(house.validator.is_live(minted.grant, NOW).await.unwrap());
    // Another process revokes; this one has not been told yet.
    house.issuer.revoke_grant(minted.grant, RevocationReason::Operator, NOW).await.unwrap();
    assert!(house.validator.validate(&minted.access_token, &IMAP, NOW).await.is_ok());
    assert!(!house.validator.is_live(minted.grant, NOW).await.unwrap());
    assert!(!house.validator.is_live(GrantId::generate(), NOW).await.unwrap());
}

fn right(minted: &Minted) -> Right {
    let token = OpaqueToken::parse(minted.access_token.expose()).unwrap().lookup().unwrap();
    Right::Grant { grant: minted.grant, token }
}

#[tokio::test]
async fn the_question_before_the_relay_asks_the_store_only_after_a_revocation() {
    let house = House::new().await;
    let [ended, other] = [house.mint().await, house.mint().await];
    let seen = house.validator.validate_noting(&ended.access_token, &IMAP, NOW).await.seen;
    house.store.down.store(true, Ordering::SeqCst);
    assert!(house.validator.is_still_live(&right(&ended), seen, NOW).await.unwrap());
    house.store.down.store(false, Ordering::SeqCst);
    house.validator.end_grant(ended.grant, RevocationReason::Operator, NOW).await.unwrap();
    assert!(!house.validator.is_still_live(&right(&ended), seen, NOW).await.unwrap());
    assert!(house.validator.is_still_live(&right(&other), seen, NOW).await.unwrap());
}

#[tokio::test]
async fn a_row_that_was_read_before_a_revocation_does_not_enter_the_cache_after_it() {
    let house = House::new().await;
    let minted = house.mint().await;
    house.store.answers.forget_permits(usize::MAX >> 4);
    let validator = Arc::new(house.another_validator());
    let looking = {
        let (validator, token) = (validator.clone(), minted.access_token.clone());
        tokio::spawn(async move { validator.validate(&token, &IMAP, NOW).await })
    };
    // The row has been read, and its answer is under way.
    while house.store.looked_up() == 0 {
        tokio::task::yield_now().await;
    }
    house.issuer.revoke_grant(minted.grant, RevocationReason::Operator, NOW).await.unwrap();
    validator.forget_grant(minted.grant);
    house.store.answers.add_permits(1000);
    assert!(looking.await.unwrap().is_ok(), "it was read while the grant was live");
    let rejection = validator.validate(&minted.access_token, &IMAP, NOW).await.unwrap_err();
    assert_eq!(rejection, Rejection::Revoked);
}

#[tokio::test]
async fn only_the_tokens_user_may_be_asked_for() {
    let house = House::new().await;
    let token = house.mint().await.access_token;
    let as_user = async |authzid| {
        house.validator.validate(&token, &Request { authzid: Some(authzid), ..IMAP }, NOW).await
    };
    assert!(as_user("alice@example.org").await.is_ok());
    assert!(as_user("alice@EXAMPLE.org").await.is_ok());
    let long = "x".repeat(300);
    let forbidden = [
        "bob@example.org",
        "Alice@example.org",
        "alice",
        "",
        "alice@example.org\r\n",
        "alice@example.org\0",
        &long,
    ];
    for authzid in forbidden {
        let rejection = as_user(authzid).await.unwrap_err();
        assert_eq!(
            (rejection.outcome(), rejection),
            (Outcome::Policy, Rejection::NotAuthorized),
            "{authzid:?}"
        );
    }
}

#[tokio::test]
async fn a_dead_token_does_not_tell_whose_it_was() {
    let house = House::new().await;
    let [expired, revoked] = [house.mint().await, house.mint().await];
    house.validator.end_grant(revoked.grant, RevocationReason::Operator, NOW).await.unwrap();
    for authzid in [None, Some("alice@example.org"), Some("bob@example.org"), Some("\0")] {
        for protocol in Protocol::ALL {
            let request = Request { authzid, ..Request::new(protocol) };
            let rejection =
                house.validator.validate(&expired.access_token, &request, later(9999)).await.unwrap_err();
            assert_eq!(rejection, Rejection::Expired);
            let rejection = house.validator.validate(&revoked.access_token, &request, NOW).await.unwrap_err();
            assert_eq!(rejection, Rejection::Revoked);
        }
    }
}

#[tokio::test]
async fn a_scope_opens_its_own_protocols_and_no_other() {
    let house = House::new().await;
    for (scope, open) in [
        (Scope::MAIL, Protocol::ALL.as_slice()),
        ("imap", &[Protocol::Imap]),
        ("openid smtp", &[Protocol::Smtp]),
        ("pop3 sieve", &[Protocol::Pop3, Protocol::Sieve]),
        ("openid offline_access", &[]),
    ] {
        let token = house.issuer.mint(mint_request(scope), NOW).await.unwrap().access_token;
        for protocol in Protocol::ALL {
            let result = house.validator.validate(&token, &Request::new(protocol), NOW).await;
            if open.contains(&protocol) {
                assert!(result.is_ok(), "{scope} on {protocol}");
            } else {
                let rejection = result.unwrap_err();
                assert_eq!(rejection.outcome(), Outcome::InsufficientScope, "{scope} on {protocol}");
            }
        }
    }
}

#[tokio::test]
async fn an_outage_is_never_a_wrong_token_and_is_not_remembered() {
    let house = House::new().await;
    let minted = house.mint().await;
    house.store.down.store(true, Ordering::SeqCst);
    let rejection = house.validator.validate(&minted.access_token, &IMAP, NOW).await.unwrap_err();
    assert!(matches!(rejection, Rejection::Unavailable(StoreError::Unavailable(_))));
    assert_eq!(rejection.outcome(), Outcome::IssuerUnreachable);
    assert!(house.validator.is_live(minted.grant, NOW).await.is_err());
    house.store.down.store(false, Ordering::SeqCst);
    house.validator.validate(&minted.access_token, &IMAP, NOW).await.unwrap();
}

#[tokio::test]
async fn another_server_key_is_the_servers_fault() {
    let house = House::new().await;
    let minted = house.mint().await;
    let other = Validator::new(&validator_config(10), house.store.clone(), ServerKey::generate().unwrap());
    let rejection = other.validate(&minted.access_token, &IMAP, NOW).await.unwrap_err();
    assert_eq!(rejection.outcome(), Outcome::IssuerUnreachable);
}

#[tokio::test]
async fn no_row_can_be_moved_to_open_anothers_mailbox() {
    for statement in [
        // Whoever writes to the store makes Bob's token hang on Alice's grant, or Alice's grant Bob's.
        "UPDATE tokens SET grant_id = (SELECT id FROM grants WHERE user = 'alice@example.org')",
        "UPDATE grants SET user = 'bob@example.org' WHERE user = 'alice@example.org'",
        "UPDATE credentials SET sealed = (SELECT sealed FROM credentials c JOIN grants g ON g.id = c.grant_id
                                          WHERE g.user = 'alice@example.org')",
        "UPDATE credentials SET backend = 'other'",
        "UPDATE tokens SET wrapped_key = (SELECT max(wrapped_key) FROM tokens)",
        "UPDATE grants SET public_key = zeroblob(32)",
    ] {
        let house = House::new().await;
        let alice = house.mint().await;
        let mut request = mint_request(Scope::MAIL);
        request.user = Login::parse("bob@example.org").unwrap();
        let bob = house.issuer.mint(request, NOW).await.unwrap();
        raw(&house.folder, &[statement]).await;
        let mut opened = Vec::new();
        for minted in [&alice, &bob] {
            match house.validator.validate(&minted.access_token, &IMAP, NOW).await {
                Ok(principal) => opened.push((minted.user.clone(), principal.login)),
                Err(rejection) => assert_eq!(rejection.outcome(), Outcome::IssuerUnreachable, "{statement}"),
            }
        }
        assert!(opened.len() < 2, "{statement}");
        assert!(opened.iter().all(|(owner, login)| owner == login), "{statement}");
    }
}

#[tokio::test]
async fn an_explanation_says_what_a_sign_in_would_get_and_holds_no_secret() {
    let house = House::new().await;
    let minted = house.issuer.mint(mint_request("imap"), NOW).await.unwrap();
    let token = &minted.access_token;
    let explanation = house.validator.explain(token, &IMAP, NOW).await;
    assert_eq!(explanation.outcome, Outcome::Ok);
    let steps: Vec<_> = explanation.steps.iter().map(|step| step.step).collect();
    assert_eq!(
        steps,
        ["format", "lookup", "revocation", "expiry", "audience", "binding", "identity", "scope", "secrets"]
    );
    let json = serde_json::to_value(&explanation).unwrap();
    assert_eq!(json["outcome"], "ok");
    assert_eq!(json["user"], "alice@example.org");
    assert_eq!(json["client_id"], "open");
    assert_eq!(json["grant_id"], minted.grant.to_string());
    assert_eq!(json["scope"], "imap");
    assert_eq!(json["expires_at"], NOW.0 + 3600);
    assert_eq!(json["steps"][0]["result"], "ok");
    let text = json.to_string();
    assert!(!text.contains(token.expose_str().unwrap()) && !text.contains("correct horse"));

    let requests = [
        (IMAP, later(3600)),
        (Request::new(Protocol::Pop3), NOW),
        (Request { authzid: Some("bob@example.org"), ..IMAP }, NOW),
    ];
    for (request, now) in requests {
        let rejection = house.validator.validate(token, &request, now).await.unwrap_err();
        let explanation = house.validator.explain(token, &request, now).await;
        assert_eq!(explanation.outcome, rejection.outcome());
        assert_eq!(explanation.steps.last().unwrap().result, StepResult::Failed);
        assert_eq!(explanation.user.unwrap().as_str(), "alice@example.org");
    }
    let unknown = house.validator.explain(&Secret::copy_of(b"no token"), &IMAP, NOW).await;
    assert_eq!((unknown.outcome, unknown.user, unknown.steps.len()), (Outcome::InvalidToken, None, 1));
}
