use bearward::store::{
    GrantFilter, NewGrant, PostgresAddress, PostgresStore, SigningKeyRecord, StoreError, open,
};
use tokio::task::JoinSet;

use super::{config, raw, refusal, store};
use crate::{
    store::{NOW, later, new_grant},
    support::{Cluster, POSTGRES_PASSWORD},
};

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn nodes_that_start_together_make_one_store() {
    let address = Cluster::shared().database("together").await;
    let mut opening = JoinSet::new();
    for _ in 0..8 {
        let config = config(&address);
        opening.spawn(async move { open(&config).await.map(|_| ()) });
    }
    for result in opening.join_all().await {
        result.unwrap();
    }
}

/// Nodes that start together on an empty store agree on one first signing key.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn of_many_first_signing_keys_one_is_the_first() {
    let address = Cluster::shared().database("keys").await;
    let stores = [store(&address).await, store(&address).await];
    let mut adding = JoinSet::new();
    for count in 0..24 {
        let store = stores[count % 2].clone();
        let key = SigningKeyRecord {
            kid: format!("key{count}"),
            algorithm: "ES256".into(),
            sealed: vec![1],
            created_at: NOW,
            signs_from: NOW,
            retires_at: None,
        };
        adding.spawn(async move { store.add_signing_key(key, None).await.unwrap() });
    }
    assert_eq!(adding.join_all().await.into_iter().filter(|added| *added).count(), 1);
    assert_eq!(stores[0].signing_keys().await.unwrap().len(), 1);
}

#[tokio::test]
async fn a_store_of_a_newer_version_is_left_alone() {
    let cluster = Cluster::shared();
    let address = cluster.database("newer").await;
    drop(store(&address).await);
    let later = "INSERT INTO _sqlx_migrations VALUES (9999, 'later', now(), TRUE, '\\x00', 0)";
    raw(cluster, "newer", &[later]).await;
    assert!(matches!(refusal(&address).await, StoreError::Newer(_)));
}

#[tokio::test]
async fn a_migration_that_was_changed_afterwards_is_told() {
    let cluster = Cluster::shared();
    let address = cluster.database("changed").await;
    drop(store(&address).await);
    raw(cluster, "changed", &["UPDATE _sqlx_migrations SET checksum = '\\x00' WHERE version = 1"]).await;
    assert!(matches!(refusal(&address).await, StoreError::Corrupt(_)));
}

/// Whoever runs the migrations need not be who serves.
#[tokio::test]
async fn a_user_who_may_create_nothing_can_serve() {
    let cluster = Cluster::shared();
    let address = cluster.database("rights").await;
    drop(store(&address).await);
    raw(
        cluster,
        "rights",
        &[
            "CREATE ROLE plain LOGIN",
            "REVOKE CREATE ON SCHEMA public FROM PUBLIC",
            "GRANT SELECT, INSERT, UPDATE, DELETE ON ALL TABLES IN SCHEMA public TO plain",
        ],
    )
    .await;
    let store = store(&PostgresAddress { user: Some("plain".into()), ..address }).await;
    store.create_grant(new_grant("alice@example.org")).await.unwrap();
    assert_eq!(store.remove_expired(NOW, 10).await.unwrap(), 0);
}

#[tokio::test]
async fn a_row_that_makes_no_sense_is_corrupt_and_never_missing() {
    let cluster = Cluster::shared();
    let address = cluster.database("senseless").await;
    let store = store(&address).await;
    let new = new_grant("alice@example.org");
    store.create_grant(new.clone()).await.unwrap();
    for (damage, repair) in [
        ("UPDATE grants SET login = 'two words'", "UPDATE grants SET login = 'alice@example.org'"),
        ("UPDATE grants SET login = 'alice@EXAMPLE.org'", "UPDATE grants SET login = 'alice@example.org'"),
        ("UPDATE tokens SET kind = 'unheard-of'", "UPDATE tokens SET kind = 'access'"),
        ("UPDATE grants SET scope = 'a\"b'", "UPDATE grants SET scope = 'imap'"),
        ("UPDATE credentials SET kind = 'unheard-of'", "UPDATE credentials SET kind = 'password'"),
        (
            "ALTER TABLE tokens RENAME COLUMN answer TO reply",
            "ALTER TABLE tokens RENAME COLUMN reply TO answer",
        ),
        ("ALTER TABLE tokens RENAME TO tickets", "ALTER TABLE tickets RENAME TO tokens"),
    ] {
        raw(cluster, "senseless", &[damage]).await;
        let answer = store.token(&new.tokens[0].lookup).await;
        assert!(matches!(answer, Err(StoreError::Corrupt(_))), "{damage}: {answer:?}");
        raw(cluster, "senseless", &[repair]).await;
        assert!(store.token(&new.tokens[0].lookup).await.unwrap().is_some(), "{repair}");
    }
}

#[tokio::test]
async fn a_check_finds_what_is_damaged() {
    let cluster = Cluster::start(&[]);
    let address = cluster.database("damaged").await;
    let store = store(&address).await;
    store.create_grant(new_grant("alice@example.org")).await.unwrap();
    let items = store.check().await.unwrap();
    let names: Vec<_> = items.iter().map(|item| item.what).collect();
    assert_eq!(names, ["indexes", "references", "migrations", "durability"]);
    assert!(items.iter().all(|item| item.ok), "{items:?}");
    let hurt = [
        "SET session_replication_role = replica",
        "DELETE FROM grants",
        "UPDATE pg_index SET indisvalid = FALSE WHERE indexrelid = 'tokens_by_expiry'::regclass",
        "ALTER SYSTEM SET full_page_writes = off",
        "SELECT pg_reload_conf()",
    ];
    raw(&cluster, "damaged", &hurt).await;
    crate::support::wait(std::time::Duration::from_millis(200));
    let items = store.check().await.unwrap();
    let wrong: Vec<_> = items.iter().filter(|item| !item.ok).map(|item| item.what).collect();
    assert_eq!(wrong, ["indexes", "references", "durability"], "{items:?}");
}

#[tokio::test]
async fn a_copy_is_left_to_postgresql() {
    let folder = tempfile::tempdir().unwrap();
    let store = store(&Cluster::shared().database("copy").await).await;
    let file = folder.path().join("copy");
    let refused = store.backup(&file).await.unwrap_err();
    assert!(refused.to_string().contains("pg_dump"), "{refused}");
    assert!(!file.exists());
}

#[tokio::test]
async fn a_password_opens_and_shows_nowhere() {
    let cluster = Cluster::shared();
    let address = cluster.over_tcp(cluster.database("password").await);
    let opened = store(&address).await;
    assert_eq!(opened.grants(GrantFilter::default()).await.unwrap(), []);
    let wrong = PostgresAddress { password: Some("wrong-password".to_owned().into()), ..address.clone() };
    let refused = refusal(&wrong).await;
    assert!(matches!(refused, StoreError::Unavailable(_)), "{refused}");
    let itself = PostgresStore::open(&address).await.unwrap();
    let texts =
        [format!("{:?}", config(&address)), format!("{itself:?}"), address.to_string(), refused.to_string()];
    for text in texts {
        assert!(!text.contains(POSTGRES_PASSWORD) && !text.contains("wrong-password"), "{text}");
        assert!(text.contains("127.0.0.1"), "{text}");
    }
}

/// Six nodes clean up the same rows; every row goes once and nobody waits for another in a circle.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn many_nodes_clean_up_at_once() {
    let address = Cluster::shared().database("cleaning").await;
    let store = store(&address).await;
    let grants: Vec<_> = (0..60).map(|_| new_grant("alice@example.org")).collect();
    for grant in &grants {
        store.create_grant(NewGrant { expires_at: None, ..grant.clone() }).await.unwrap();
    }
    let after = later(3600 + 7 * 86_400 + 1);
    let mut tasks = JoinSet::new();
    for count in 0..6 {
        let (node, grants) = (super::store(&address).await, grants.clone());
        tasks.spawn(async move {
            for grant in grants.iter().skip(count * 10).take(10) {
                // Somebody works on a grant that is being removed.
                let reason = bearward::store::RevocationReason::Operator;
                node.revoke_grant(grant.id, reason, NOW).await.unwrap();
                node.remove_expired(after, 7).await.unwrap();
            }
            while node.remove_expired(after, 7).await.unwrap() > 0 {}
        });
    }
    tasks.join_all().await;
    while store.remove_expired(after, 100).await.unwrap() > 0 {}
    assert_eq!(store.grants(GrantFilter::default()).await.unwrap(), []);
}

/// Whoever works on a grant is not waited for: that grant is left for the next time.
#[tokio::test]
async fn clean_up_waits_for_nobody() {
    let cluster = Cluster::shared();
    let store = store(&cluster.database("skipping").await).await;
    let [held, free] = [new_grant("alice@example.org"), new_grant("bob@example.org")];
    for grant in [&held, &free] {
        store.create_grant(grant.clone()).await.unwrap();
    }
    let mut other = cluster.connect("skipping").await;
    for statement in [
        "BEGIN",
        "SELECT * FROM grants WHERE login = 'alice@example.org' FOR NO KEY UPDATE",
        "SELECT * FROM tokens WHERE grant_id = (SELECT id FROM grants WHERE login = 'alice@example.org') FOR UPDATE",
    ] {
        sqlx::query(statement).execute(&mut other).await.unwrap();
    }
    let after = later(3600 + 7 * 86_400);
    let before = std::time::Instant::now();
    while store.remove_expired(after, 10).await.unwrap() > 0 {}
    assert!(before.elapsed() < std::time::Duration::from_secs(1), "{:?}", before.elapsed());
    assert_eq!(store.grant(free.id).await.unwrap(), None);
    assert!(store.grant(held.id).await.unwrap().is_some());
    sqlx::query("ROLLBACK").execute(&mut other).await.unwrap();
    while store.remove_expired(after, 10).await.unwrap() > 0 {}
    assert_eq!(store.grant(held.id).await.unwrap(), None);
}
