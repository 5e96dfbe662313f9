//! What is SQLite's own: the file.

use std::{
    os::unix::fs::{MetadataExt, PermissionsExt},
    path::Path,
    sync::Arc,
};

use bearward::{
    model::ClientId,
    store::{
        AccountSession, ClientRecord, Ended, EphemeralKind, GrantFilter, NewAppPasswordRow, NewDevice,
        NewGrant, Place, RevocationFeed, RevocationReason, SignInBy, SignInNote, SignInResult, Store,
        StoreError, UserRecord, open,
    },
};

use super::{NOW, alice, config, connect, hash, later, new_coded_grant, new_grant, new_token, raw, sqlite};

fn mode(path: &Path) -> u32 {
    std::fs::metadata(path).unwrap().mode() & 0o777
}

#[tokio::test]
async fn every_file_is_its_owners_alone_and_loose_ones_are_tightened() {
    let folder = tempfile::tempdir().unwrap();
    let store = sqlite(folder.path()).await;
    store.create_grant(new_grant("alice@example.org")).await.unwrap();
    let file = folder.path().join("bearward.db");
    std::fs::set_permissions(&file, PermissionsExt::from_mode(0o644)).unwrap();
    let again = sqlite(folder.path()).await;
    for entry in std::fs::read_dir(folder.path()).unwrap().map(Result::unwrap) {
        assert_eq!(mode(&entry.path()), 0o600, "{:?}", entry.path());
    }
    assert_eq!(again.grants(GrantFilter::default()).await.unwrap().len(), 1);
}

#[tokio::test]
async fn what_was_acknowledged_is_there_for_another_process_at_once() {
    let folder = tempfile::tempdir().unwrap();
    let (one, other) = (sqlite(folder.path()).await, sqlite(folder.path()).await);
    let mut feed = RevocationFeed::start(other.clone()).await.unwrap();
    let new = new_grant("alice@example.org");
    one.create_grant(new.clone()).await.unwrap();
    assert!(other.token(&new.tokens[0].lookup).await.unwrap().is_some());
    one.revoke_grant(new.id, RevocationReason::Operator, NOW).await.unwrap();
    assert_eq!(feed.poll().await.unwrap().len(), 1);
    assert_eq!(other.revoke_grant(new.id, RevocationReason::Operator, NOW).await.unwrap(), Ended::Before);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn processes_that_start_together_make_one_store() {
    let folder = tempfile::tempdir().unwrap();
    let mut opening = tokio::task::JoinSet::new();
    for _ in 0..6 {
        let config = config(folder.path());
        opening.spawn(async move { open(&config).await.map(|_| ()) });
    }
    for result in opening.join_all().await {
        result.unwrap();
    }
}

#[tokio::test]
async fn a_backup_is_a_whole_store_and_overwrites_nothing() {
    let folder = tempfile::tempdir().unwrap();
    let store = sqlite(folder.path()).await;
    let new = new_grant("alice@example.org");
    store.create_grant(new.clone()).await.unwrap();
    let copies = tempfile::tempdir().unwrap();
    let copy = copies.path().join("bearward.db");
    store.backup(&copy).await.unwrap();
    assert_eq!(mode(&copy), 0o600);
    assert!(matches!(store.backup(&copy).await, Err(StoreError::Conflict(_))));
    let nowhere = store.backup(&copies.path().join("no/such/folder")).await;
    assert!(matches!(nowhere, Err(StoreError::Unavailable(_))));
    let restored = sqlite(copies.path()).await;
    assert_eq!(restored.grant(new.id).await.unwrap(), store.grant(new.id).await.unwrap());
    assert!(restored.check().await.unwrap().iter().all(|item| item.ok));
}

#[tokio::test]
async fn a_check_finds_what_is_damaged() {
    let folder = tempfile::tempdir().unwrap();
    let store = sqlite(folder.path()).await;
    let items = store.check().await.unwrap();
    assert_eq!(
        items.iter().map(|item| item.what).collect::<Vec<_>>(),
        ["integrity", "references", "rows", "migrations"]
    );
    assert!(items.iter().all(|item| item.ok), "{items:?}");
    raw(&folder, &["INSERT INTO credentials VALUES (x'00', 'main', 'password', x'00')"]).await;
    let items = store.check().await.unwrap();
    assert_eq!(
        items.iter().filter(|item| !item.ok).map(|item| item.what).collect::<Vec<_>>(),
        ["references"]
    );
}

/// A store with a row in every table.
async fn full(folder: &Path) -> Arc<dyn Store> {
    let store = sqlite(folder).await;
    let (grant, _) = new_coded_grant();
    store.create_grant(NewGrant { tokens: vec![new_token()], ..grant.clone() }).await.unwrap();
    let device = NewDevice {
        lookup: hash([1; 16]),
        user_code: hash([2; 16]),
        client: grant.client.clone(),
        scope: grant.scope.clone(),
        audience: grant.audience,
        public_key: [6; 32],
        details: String::new(),
        created_at: NOW,
        expires_at: later(600),
        interval: 5,
    };
    store.create_device(device).await.unwrap();
    let client = ClientRecord {
        id: "webmail".parse().unwrap(),
        secret: Some(hash([3; 16])),
        management: None,
        metadata: "{}".into(),
        created_at: NOW,
    };
    store.create_client(client).await.unwrap();
    store.remove_client(&"denied".parse().unwrap(), NOW).await.unwrap();
    store.remember_consent(&alice(), &grant.client, &grant.scope, NOW).await.unwrap();
    let row = NewAppPasswordRow {
        grant: new_grant("bob@example.org"),
        name: "Phone".into(),
        networks: vec!["10.0.0.0/8".parse().unwrap()],
    };
    assert!(store.create_app_password(row, 1).await.unwrap());
    let user = UserRecord { login: alice(), password: "hash".into(), created_at: NOW, changed_at: NOW };
    store.add_user(user).await.unwrap();
    assert!(store.claim(EphemeralKind::Assertion, &hash([4; 16]), later(60)).await.unwrap());
    let by = SignInBy {
        address: "192.0.2.7".parse().unwrap(),
        client: None,
        program: None,
        browser: Some(hash([5; 16])),
        grant: Some(grant.id),
    };
    let note = SignInNote { user: alice(), at: NOW, place: Place::Page, result: SignInResult::Ok(by) };
    store.note_sign_ins(vec![note]).await.unwrap();
    let session = AccountSession {
        lookup: hash([6; 16]),
        user: alice(),
        auth_time: NOW,
        created_at: NOW,
        expires_at: later(60),
    };
    store.open_account_session(session).await.unwrap();
    store
}

#[tokio::test]
async fn a_backup_holds_every_table() {
    let folders = [tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap()];
    let store = full(folders[0].path()).await;
    store.backup(&folders[1].path().join("bearward.db")).await.unwrap();
    let restored = sqlite(folders[1].path()).await;
    let items = restored.check().await.unwrap();
    assert_eq!(items, store.check().await.unwrap());
    let rows = items.into_iter().find(|item| item.what == "rows").unwrap();
    let counts = "2 grants, 2 tokens, 1 app passwords, 1 codes, 1 devices, 1 clients, 1 consented scopes, \
                  1 users, 1 sign-ins, 0 upstream secrets; ";
    assert!(rows.ok && rows.detail.starts_with(counts), "{rows:?}");
    assert_eq!(restored.denied_clients().await.unwrap().len(), 1);
    assert_eq!(restored.grant_uses(&alice()).await.unwrap().len(), 1);
    assert!(restored.account_session(&hash([6; 16]), NOW).await.unwrap().is_some());
    assert!(!restored.claim(EphemeralKind::Assertion, &hash([4; 16]), later(60)).await.unwrap());
}

#[tokio::test]
async fn a_check_reads_every_row() {
    for statement in [
        "UPDATE grants SET user = 'two words'",
        "UPDATE tokens SET kind = 'unheard-of'",
        "UPDATE devices SET scope = 'a\"b'",
        "UPDATE clients SET id = 'two words'",
        "UPDATE consents SET scope = 'a\"b'",
        "UPDATE users SET login = 'ALICE@EXAMPLE.ORG'",
        "UPDATE credentials SET kind = 'unheard-of'",
        "UPDATE sign_ins SET place = 'unheard-of'",
    ] {
        let folder = tempfile::tempdir().unwrap();
        let store = full(folder.path()).await;
        assert!(store.check().await.unwrap().iter().all(|item| item.ok));
        raw(&folder, &[statement]).await;
        let items = store.check().await.unwrap();
        let wrong: Vec<_> = items.iter().filter(|item| !item.ok).map(|item| item.what).collect();
        assert_eq!(wrong, ["rows"], "{statement}");
    }
}

/// What the exchanges rely on is told as damage, and never as "not there".
#[tokio::test]
async fn a_code_a_device_or_a_client_that_makes_no_sense_is_corrupt() {
    let folder = tempfile::tempdir().unwrap();
    let store = full(folder.path()).await;
    let (new, code) = new_coded_grant();
    store.create_grant(new).await.unwrap();
    raw(
        &folder,
        &[
            "UPDATE grants SET scope = 'a\"b'",
            "PRAGMA ignore_check_constraints = ON",
            "UPDATE devices SET state = 'unheard-of', grant_id = zeroblob(16)",
            "UPDATE clients SET secret = x'00'",
        ],
    )
    .await;
    let open = ClientId::open();
    assert!(matches!(store.code(&code).await, Err(StoreError::Corrupt(_))));
    let device = store.device_by_user_code(&hash([2; 16]), NOW).await;
    assert!(matches!(device, Err(StoreError::Corrupt(_))), "{device:?}");
    let poll = store.poll_device(&hash([1; 16]), &open, NOW).await;
    assert!(matches!(poll, Err(StoreError::Corrupt(_))), "{poll:?}");
    let client = store.client(&"webmail".parse().unwrap()).await;
    assert!(matches!(client, Err(StoreError::Corrupt(_))), "{client:?}");
}

/// SQLite would leave it in free space until that is used again.
#[tokio::test]
async fn a_removed_credential_does_not_linger_in_the_file() {
    let folder = tempfile::tempdir().unwrap();
    let store = sqlite(folder.path()).await;
    let marker = b"what is to vanish when its grant ends".to_vec();
    let mut new = new_grant("alice@example.org");
    new.credentials[1].sealed.clone_from(&marker);
    store.create_grant(new.clone()).await.unwrap();
    let holds = || {
        let file = std::fs::read(folder.path().join("bearward.db")).unwrap();
        file.windows(marker.len()).any(|octets| octets == marker)
    };
    raw(&folder, &["PRAGMA wal_checkpoint(TRUNCATE)"]).await;
    assert!(holds());
    store.revoke_grant(new.id, RevocationReason::Client, NOW).await.unwrap();
    raw(&folder, &["PRAGMA wal_checkpoint(TRUNCATE)"]).await;
    assert!(!holds());
}

#[tokio::test]
async fn a_file_that_is_no_store_is_corrupt_and_stays_as_it_is() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("bearward.db");
    std::fs::write(&file, "not a database, but long enough to be read as one ".repeat(100)).unwrap();
    let before = std::fs::read(&file).unwrap();
    assert!(matches!(open(&config(folder.path())).await, Err(StoreError::Corrupt(_))));
    assert_eq!(std::fs::read(&file).unwrap(), before);
}

#[tokio::test]
async fn a_store_of_a_newer_version_is_left_alone() {
    let folder = tempfile::tempdir().unwrap();
    drop(sqlite(folder.path()).await);
    raw(&folder, &["INSERT INTO _sqlx_migrations VALUES (9999, 'later', CURRENT_TIMESTAMP, TRUE, x'00', 0)"])
        .await;
    assert!(matches!(open(&config(folder.path())).await, Err(StoreError::Newer(_))));
}

#[tokio::test]
async fn a_row_that_makes_no_sense_is_corrupt_and_never_missing() {
    let folder = tempfile::tempdir().unwrap();
    let store = sqlite(folder.path()).await;
    let new = new_grant("alice@example.org");
    store.create_grant(new.clone()).await.unwrap();
    for statement in [
        "UPDATE grants SET user = 'two words'",
        "UPDATE grants SET user = 'alice@EXAMPLE.org'",
        "UPDATE tokens SET kind = 'unheard-of'",
        "UPDATE grants SET scope = 'a\"b'",
        "UPDATE credentials SET kind = 'unheard-of'",
    ] {
        let restore = tempfile::tempdir().unwrap();
        store.backup(&restore.path().join("bearward.db")).await.unwrap();
        let damaged = sqlite(restore.path()).await;
        raw(&restore, &[statement]).await;
        let answer = damaged.token(&new.tokens[0].lookup).await;
        assert!(matches!(answer, Err(StoreError::Corrupt(_))), "{statement}: {answer:?}");
    }
}

#[tokio::test]
async fn a_store_that_is_locked_is_unavailable_and_recovers() {
    let folder = tempfile::tempdir().unwrap();
    let store = sqlite(folder.path()).await;
    let mut other = connect(&folder).await;
    sqlx::query("BEGIN IMMEDIATE").execute(&mut other).await.unwrap();
    let refused = store.create_grant(new_grant("alice@example.org")).await;
    assert!(matches!(refused, Err(StoreError::Unavailable(_))), "{refused:?}");
    assert_eq!(store.grants(GrantFilter::default()).await.unwrap(), [], "readers go on");
    sqlx::query("ROLLBACK").execute(&mut other).await.unwrap();
    store.create_grant(new_grant("alice@example.org")).await.unwrap();
}
