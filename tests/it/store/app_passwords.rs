use std::sync::Arc;

use bearward::{
    model::{ClientId, GrantId, Login, Network, Protocol, Scope, TokenKind, UnixTime},
    store::{
        AppPasswordRecord, Ended, GrantFilter, LastUse, NEVER, NewAppPasswordRow, NewGrant, NewToken,
        RETENTION, RevocationReason, Store, StoreError,
    },
};

use super::{NOW, alice, later, new_grant, new_token};

fn new(user: &str, expires_at: Option<UnixTime>) -> NewAppPasswordRow {
    let scope: Scope = "imap smtp".parse().unwrap();
    let token = NewToken {
        kind: TokenKind::AppPassword,
        scope: scope.clone(),
        expires_at: expires_at.unwrap_or(NEVER),
        ..new_token()
    };
    let grant = NewGrant {
        client: ClientId::app_password(),
        scope,
        expires_at,
        tokens: vec![token],
        ..new_grant(user)
    };
    let networks: Vec<Network> = ["192.0.2.0/24", "2001:db8::/32"].map(|text| text.parse().unwrap()).into();
    NewAppPasswordRow { grant, name: "Küche \u{1f4bb}".to_owned(), networks }
}

fn told(new: &NewAppPasswordRow) -> AppPasswordRecord {
    AppPasswordRecord {
        id: new.grant.id,
        user: new.grant.user.clone(),
        name: new.name.clone(),
        scope: new.grant.scope.clone(),
        networks: new.networks.clone(),
        created_at: NOW,
        expires_at: new.grant.expires_at,
        last_use: None,
    }
}

fn last(at: i64) -> LastUse {
    LastUse {
        at: later(at),
        address: "2001:db8::7".parse().unwrap(),
        protocol: Protocol::Imap,
        client: Some("Mail 16".into()),
    }
}

pub(super) async fn an_app_password_comes_back_as_it_went_in(store: Arc<dyn Store>) {
    assert!(!store.has_app_passwords(NOW).await.unwrap());
    let (alices, bobs) = (new("alice@example.org", None), new("bob@example.org", Some(later(60))));
    for one in [&alices, &bobs] {
        assert!(store.create_app_password(one.clone(), 50).await.unwrap());
    }
    assert_eq!(store.app_passwords(Some(&alice())).await.unwrap(), [told(&alices)]);
    let mut all = vec![told(&alices), told(&bobs)];
    all.sort_by_key(|record| record.id);
    assert_eq!(store.app_passwords(None).await.unwrap(), all);
    assert_eq!(store.app_passwords(Some(&Login::parse("carol").unwrap())).await.unwrap(), []);

    let record = store.token(&alices.grant.tokens[0].lookup).await.unwrap().unwrap();
    assert_eq!((record.kind, record.expires_at), (TokenKind::AppPassword, NEVER));
    assert_eq!((&record.networks, record.grant.id), (&alices.networks, alices.grant.id));
    assert_eq!(record.credentials, alices.grant.credentials);
    let other = new_grant("alice@example.org");
    store.create_grant(other.clone()).await.unwrap();
    assert_eq!(store.token(&other.tokens[0].lookup).await.unwrap().unwrap().networks, []);
    assert_eq!(store.app_passwords(None).await.unwrap(), all, "another grant is none");
    // The test's own PostgreSQL promises no durability.
    assert!(store.check().await.unwrap().iter().all(|item| item.ok || item.what == "durability"));
}

pub(super) async fn an_app_password_is_stored_whole_or_not_at_all(store: Arc<dyn Store>) {
    let first = new("alice@example.org", None);
    assert!(store.create_app_password(first.clone(), 50).await.unwrap());
    let mut again = new("alice@example.org", None);
    again.grant.tokens = first.grant.tokens.clone();
    let refused = store.create_app_password(again.clone(), 50).await;
    assert!(matches!(refused, Err(StoreError::Conflict(_))), "{refused:?}");
    assert_eq!(store.grant(again.grant.id).await.unwrap(), None);
    assert_eq!(store.app_passwords(None).await.unwrap(), [told(&first)]);
}

pub(super) async fn a_user_has_so_many_live_app_passwords_at_most(store: Arc<dyn Store>) {
    let (one, two) = (new("alice@example.org", None), new("alice@example.org", Some(later(60))));
    for new in [&one, &two] {
        assert!(store.create_app_password(new.clone(), 2).await.unwrap());
    }
    let third = new("alice@example.org", None);
    assert!(!store.create_app_password(third.clone(), 2).await.unwrap());
    assert_eq!(store.grant(third.grant.id).await.unwrap(), None);
    assert!(
        store.create_app_password(new("bob@example.org", None), 2).await.unwrap(),
        "another's count for him"
    );
    store.revoke_grant(one.grant.id, RevocationReason::Operator, NOW).await.unwrap();
    assert!(store.create_app_password(third, 2).await.unwrap(), "a revoked one makes room");
    let mut later_one = new("alice@example.org", None);
    later_one.grant.created_at = later(61);
    assert!(store.create_app_password(later_one, 2).await.unwrap(), "one past its end makes room");
}

pub(super) async fn the_last_use_is_the_latest_that_was_told(store: Arc<dyn Store>) {
    let new = new("alice@example.org", None);
    store.create_app_password(new.clone(), 50).await.unwrap();
    let known = async || store.app_passwords(None).await.unwrap().remove(0).last_use;
    assert_eq!(known().await, None);
    store.app_passwords_used(vec![(new.grant.id, last(5)), (GrantId::generate(), last(9))]).await.unwrap();
    assert_eq!(known().await, Some(last(5)));
    store.app_passwords_used(vec![(new.grant.id, last(4))]).await.unwrap();
    assert_eq!(known().await, Some(last(5)));
    let bare = LastUse { client: None, protocol: Protocol::Smtp, ..last(6) };
    store.app_passwords_used(vec![(new.grant.id, bare.clone())]).await.unwrap();
    assert_eq!(known().await, Some(bare));
}

pub(super) async fn a_revoked_app_password_opens_nothing_and_goes_with_its_retention(store: Arc<dyn Store>) {
    let (revoked, live) = (new("alice@example.org", None), new("alice@example.org", None));
    let removed = new("bob@example.org", None);
    for new in [&revoked, &live, &removed] {
        store.create_app_password(new.clone(), 50).await.unwrap();
    }
    let ended = store.revoke_grant(revoked.grant.id, RevocationReason::Operator, later(10)).await.unwrap();
    assert_eq!(ended, Ended::Now);
    // The other way in which grants end: all of a client's.
    let of_bob = GrantFilter { user: Some(removed.grant.user.clone()), ..GrantFilter::default() };
    store.remove_client(&ClientId::open(), later(10)).await.unwrap();
    assert!(
        store.grants(of_bob).await.unwrap()[0].is_live(later(10)),
        "it is no client's that can be removed"
    );

    let record = store.token(&revoked.grant.tokens[0].lookup).await.unwrap().unwrap();
    assert_eq!((record.wrapped_key, record.expires_at), (None, later(10)));
    assert_eq!(record.credentials, []);
    assert_eq!(store.app_passwords(Some(&alice())).await.unwrap(), [told(&live)]);

    let retention = i64::try_from(RETENTION.as_secs()).unwrap();
    while store.remove_expired(later(retention + 11), 100).await.unwrap() > 0 {}
    assert_eq!(store.grant(revoked.grant.id).await.unwrap(), None);
    assert_eq!(store.app_passwords(Some(&alice())).await.unwrap(), [told(&live)]);
    let kept = store.token(&live.grant.tokens[0].lookup).await.unwrap().unwrap();
    assert!(kept.wrapped_key.is_some() && kept.grant.is_live(later(retention + 11)));
}

pub(super) async fn app_passwords_that_end_together_go_with_their_retention(store: Arc<dyn Store>) {
    let new = new("alice@example.org", None);
    store.create_app_password(new.clone(), 50).await.unwrap();
    store.remove_client(&ClientId::app_password(), later(10)).await.unwrap();
    let record = store.token(&new.grant.tokens[0].lookup).await.unwrap().unwrap();
    assert_eq!((record.wrapped_key, record.expires_at), (None, later(10)));
    assert!(!store.has_app_passwords(later(10)).await.unwrap());
    assert_eq!(store.app_passwords(None).await.unwrap(), []);
}

pub(super) async fn there_are_app_passwords_while_one_is_live(store: Arc<dyn Store>) {
    let ends = new("alice@example.org", Some(later(60)));
    store.create_app_password(ends, 50).await.unwrap();
    assert!(store.has_app_passwords(later(59)).await.unwrap());
    assert!(!store.has_app_passwords(later(60)).await.unwrap());
    let never = new("alice@example.org", None);
    store.create_app_password(never.clone(), 50).await.unwrap();
    assert!(store.has_app_passwords(later(60)).await.unwrap());
    store.revoke_grant(never.grant.id, RevocationReason::Operator, later(61)).await.unwrap();
    assert!(!store.has_app_passwords(later(61)).await.unwrap());
}

pub(super) async fn of_many_app_passwords_at_once_no_more_are_stored_than_may_be(
    one: Arc<dyn Store>,
    other: Arc<dyn Store>,
) {
    let mut tasks = tokio::task::JoinSet::new();
    for number in 0..12 {
        let store = Arc::clone(if number % 2 == 0 { &one } else { &other });
        tasks.spawn(
            async move { store.create_app_password(new("alice@example.org", None), 3).await.unwrap() },
        );
    }
    let stored = tasks.join_all().await.into_iter().filter(|stored| *stored).count();
    assert_eq!((stored, one.app_passwords(None).await.unwrap().len()), (3, 3));
}
