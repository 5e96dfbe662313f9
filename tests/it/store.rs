//! The conformance suite of the store, as functions over the trait, and what is SQLite's own.

use std::{
    os::unix::fs::{MetadataExt, PermissionsExt},
    path::Path,
    sync::Arc,
};

use bearward::{
    model::{ClientId, CredentialKind, GrantId, Login, Scope, TokenHash, TokenKind, UnixTime},
    store::{
        Config, Ended, GrantFilter, Location, NewGrant, NewToken, RETENTION, RevocationFeed,
        RevocationReason, Revoked, SealedCredential, SigningKeyRecord, Store, StoreError, open,
    },
};
use tempfile::TempDir;

pub(crate) const NOW: UnixTime = UnixTime(1_800_000_000);

pub(crate) async fn sqlite(folder: &Path) -> Arc<dyn Store> {
    open(&config(folder)).await.unwrap()
}

fn config(folder: &Path) -> Config {
    Config {
        location: Location::Sqlite(folder.join("bearward.db")),
        poll_interval: std::time::Duration::from_secs(1),
    }
}

fn later(seconds: i64) -> UnixTime {
    UnixTime(NOW.0 + seconds)
}

fn hash(octets: [u8; 16]) -> TokenHash {
    TokenHash::new([octets, octets].concat().try_into().unwrap())
}

fn new_token() -> NewToken {
    NewToken {
        lookup: hash(*GrantId::generate().as_bytes()),
        kind: TokenKind::Access,
        scope: Scope::mail(),
        audience: "https://mail.example.org".into(),
        certificate: None,
        created_at: NOW,
        expires_at: later(3600),
        wrapped_key: vec![7; 61],
    }
}

fn new_grant(user: &str) -> NewGrant {
    NewGrant {
        id: GrantId::generate(),
        user: Login::parse(user).unwrap(),
        client: ClientId::open(),
        scope: "urn:ietf:params:oauth:scope:mail offline_access".parse().unwrap(),
        created_at: NOW,
        expires_at: Some(later(7200)),
        audience: "https://mail.example.org".into(),
        auth_time: None,
        mailboxes: Vec::new(),
        code: None,
        public_key: [9; 32],
        credentials: vec![
            SealedCredential { backend: "main".into(), kind: CredentialKind::Password, sealed: vec![1; 305] },
            SealedCredential { backend: "old".into(), kind: CredentialKind::Password, sealed: vec![2; 305] },
        ],
        tokens: vec![new_token()],
    }
}

async fn a_grant_comes_back_as_it_went_in(store: &dyn Store) {
    let new = new_grant("alice@example.org");
    store.create_grant(new.clone()).await.unwrap();
    let record = store.token(&new.tokens[0].lookup).await.unwrap().unwrap();
    assert_eq!(record.kind, TokenKind::Access);
    assert_eq!(record.scope, Scope::mail());
    assert_eq!(record.expires_at, later(3600));
    assert_eq!(record.revoked_at, None);
    assert_eq!(record.wrapped_key.as_deref(), Some([7; 61].as_slice()));
    assert_eq!(record.credentials, new.credentials);
    assert_eq!(record.grant.id, new.id);
    assert_eq!(record.grant.user, new.user);
    assert_eq!(record.grant.client, new.client);
    assert_eq!(record.grant.scope, new.scope);
    assert_eq!(record.grant.created_at, NOW);
    assert_eq!(record.grant.expires_at, Some(later(7200)));
    assert_eq!(record.grant.public_key, [9; 32]);
    assert_eq!(record.grant.revoked, None);
    assert_eq!(store.grant(new.id).await.unwrap().unwrap(), record.grant);
}

async fn a_grant_without_credentials_comes_back(store: &dyn Store) {
    let new = NewGrant { credentials: Vec::new(), expires_at: None, ..new_grant("alice@example.org") };
    store.create_grant(new.clone()).await.unwrap();
    let record = store.token(&new.tokens[0].lookup).await.unwrap().unwrap();
    assert_eq!((record.credentials.len(), record.grant.expires_at), (0, None));
}

async fn what_was_never_stored_is_not_found(store: &dyn Store) {
    assert_eq!(store.token(&hash([3; 16])).await.unwrap(), None);
    assert_eq!(store.grant(GrantId::generate()).await.unwrap(), None);
    let ended = store.revoke_grant(GrantId::generate(), RevocationReason::Operator, NOW).await.unwrap();
    assert_eq!(ended, Ended::Unknown);
    assert_eq!(store.revoke_token(&hash([3; 16]), NOW).await.unwrap(), Ended::Unknown);
}

async fn a_grant_is_stored_whole_or_not_at_all(store: &dyn Store) {
    let first = new_grant("alice@example.org");
    store.create_grant(first.clone()).await.unwrap();
    let second =
        NewGrant { tokens: vec![new_token(), first.tokens[0].clone()], ..new_grant("bob@example.org") };
    let refused = store.create_grant(second.clone()).await.unwrap_err();
    assert!(matches!(refused, StoreError::Conflict(_)), "{refused}");
    assert_eq!(store.grant(second.id).await.unwrap(), None);
    assert_eq!(store.token(&second.tokens[0].lookup).await.unwrap(), None);
    let again = NewGrant { tokens: vec![new_token()], ..first.clone() };
    assert!(matches!(store.create_grant(again).await, Err(StoreError::Conflict(_))));
    assert_eq!(store.token(&first.tokens[0].lookup).await.unwrap().unwrap().grant.user, first.user);
}

async fn a_revoked_grant_keeps_its_first_reason_and_nothing_that_opens(store: &dyn Store) {
    let new = new_grant("alice@example.org");
    store.create_grant(new.clone()).await.unwrap();
    let revoke = |reason, at| store.revoke_grant(new.id, reason, at);
    assert_eq!(revoke(RevocationReason::PasswordRefused, later(5)).await.unwrap(), Ended::Now);
    assert_eq!(revoke(RevocationReason::Operator, later(6)).await.unwrap(), Ended::Before);
    let record = store.token(&new.tokens[0].lookup).await.unwrap().unwrap();
    let end = record.grant.revoked.unwrap();
    assert_eq!((end.at, end.reason), (later(5), RevocationReason::PasswordRefused));
    assert_eq!((record.wrapped_key, record.credentials.len()), (None, 0));
    assert!(!record.grant.is_live(later(7)));
}

async fn a_revoked_token_leaves_its_grant_alone(store: &dyn Store) {
    let new = NewGrant { tokens: vec![new_token(), new_token()], ..new_grant("alice@example.org") };
    store.create_grant(new.clone()).await.unwrap();
    let [one, other] = [new.tokens[0].lookup, new.tokens[1].lookup];
    assert_eq!(store.revoke_token(&one, later(5)).await.unwrap(), Ended::Now);
    assert_eq!(store.revoke_token(&one, later(6)).await.unwrap(), Ended::Before);
    let record = store.token(&one).await.unwrap().unwrap();
    assert_eq!((record.revoked_at, record.wrapped_key), (Some(later(5)), None));
    let record = store.token(&other).await.unwrap().unwrap();
    assert_eq!((record.revoked_at, record.wrapped_key.is_some()), (None, true));
    assert!(record.grant.is_live(later(7)));
}

async fn a_token_is_added_to_a_live_grant_only(store: &dyn Store) {
    let new = new_grant("alice@example.org");
    store.create_grant(new.clone()).await.unwrap();
    let token = new_token();
    store.add_token(new.id, token.clone(), NOW).await.unwrap();
    assert_eq!(store.token(&token.lookup).await.unwrap().unwrap().grant.id, new.id);
    assert!(matches!(store.add_token(new.id, token, NOW).await, Err(StoreError::Conflict(_))));
    assert_eq!(store.add_token(new.id, new_token(), later(7200)).await, Err(StoreError::GrantEnded));
    assert_eq!(store.add_token(GrantId::generate(), new_token(), NOW).await, Err(StoreError::GrantEnded));
    store.revoke_grant(new.id, RevocationReason::Operator, NOW).await.unwrap();
    assert_eq!(store.add_token(new.id, new_token(), NOW).await, Err(StoreError::GrantEnded));
}

async fn a_list_holds_what_the_filter_lets_through(store: &dyn Store) {
    let [alice, bob] = ["alice@example.org", "bob@example.org"].map(new_grant);
    let ended = new_grant("alice@example.org");
    for grant in [&alice, &bob, &ended] {
        store.create_grant(grant.clone()).await.unwrap();
    }
    store.revoke_grant(ended.id, RevocationReason::Operator, NOW).await.unwrap();
    let list = async |filter| {
        let grants = store.grants(filter).await.unwrap();
        grants.into_iter().map(|grant| grant.id).collect::<Vec<_>>()
    };
    assert_eq!(list(GrantFilter::default()).await, [alice.id, bob.id, ended.id]);
    let of_alice = GrantFilter { user: Some(alice.user.clone()), ..GrantFilter::default() };
    assert_eq!(list(of_alice.clone()).await, [alice.id, ended.id]);
    assert_eq!(list(GrantFilter { active_at: Some(NOW), ..of_alice }).await, [alice.id]);
    let active = |at| GrantFilter { active_at: Some(at), ..GrantFilter::default() };
    assert_eq!(list(active(NOW)).await, [alice.id, bob.id]);
    assert_eq!(list(active(later(3600))).await, []);
    let other = GrantFilter { client: Some("other".parse().unwrap()), ..GrantFilter::default() };
    assert_eq!(list(other).await, []);
    // A name is bound, never spliced in.
    let hostile = GrantFilter { user: Some(Login::parse("x'OR'1'='1").unwrap()), ..GrantFilter::default() };
    assert_eq!(list(hostile).await, []);
}

async fn a_feed_tells_each_revocation_once(store: Arc<dyn Store>) {
    let [early, late] = [new_grant("alice@example.org"), new_grant("alice@example.org")];
    for grant in [&early, &late] {
        store.create_grant(grant.clone()).await.unwrap();
    }
    store.revoke_grant(early.id, RevocationReason::Operator, NOW).await.unwrap();
    let mut feed = RevocationFeed::start(store.clone()).await.unwrap();
    assert_eq!(feed.poll().await.unwrap(), []);
    store.revoke_token(&late.tokens[0].lookup, NOW).await.unwrap();
    store.revoke_grant(late.id, RevocationReason::Operator, NOW).await.unwrap();
    store.revoke_grant(late.id, RevocationReason::Operator, NOW).await.unwrap();
    let told: Vec<_> = feed.poll().await.unwrap().into_iter().map(|one| one.what).collect();
    assert_eq!(told, [Revoked::Token(late.tokens[0].lookup), Revoked::Grant(late.id)]);
    assert_eq!(feed.poll().await.unwrap(), []);
}

async fn the_first_signing_key_stays_the_first(store: &dyn Store) {
    let key = |kid: &str| SigningKeyRecord {
        kid: kid.into(),
        algorithm: "ES256".into(),
        sealed: vec![1, 2, 3],
        created_at: NOW,
        signs_from: NOW,
        retires_at: None,
    };
    assert_eq!(store.signing_keys().await.unwrap(), []);
    assert!(store.add_signing_key(key("one"), None).await.unwrap());
    assert!(!store.add_signing_key(key("two"), None).await.unwrap());
    assert_eq!(store.signing_keys().await.unwrap(), [key("one")]);
}

async fn clean_up_wipes_at_once_and_removes_after_the_retention(store: Arc<dyn Store>) {
    let unused = new_grant("alice@example.org");
    let used = NewGrant { expires_at: None, ..new_grant("bob@example.org") };
    for grant in [&unused, &used] {
        store.create_grant(grant.clone()).await.unwrap();
    }
    let retention = RETENTION.as_secs().cast_signed();
    let kept = NewToken { expires_at: later(3600 + retention + 10), ..new_token() };
    store.add_token(used.id, kept.clone(), NOW).await.unwrap();
    let lookup = unused.tokens[0].lookup;
    let mut feed = RevocationFeed::start(store.clone()).await.unwrap();

    assert_eq!(store.remove_expired(later(3599), 10).await.unwrap(), 0);
    assert!(store.token(&lookup).await.unwrap().unwrap().wrapped_key.is_some());
    assert_eq!(store.remove_expired(later(3600), 1).await.unwrap(), 1);
    assert_eq!(store.remove_expired(later(3600), 1).await.unwrap(), 1);
    assert_eq!(store.remove_expired(later(3600), 1).await.unwrap(), 0);
    assert_eq!(store.token(&lookup).await.unwrap().unwrap().wrapped_key, None);

    let end = later(3600 + retention);
    while store.remove_expired(end, 1).await.unwrap() > 0 {}
    assert_eq!(store.token(&lookup).await.unwrap(), None);
    assert_eq!(store.grant(unused.id).await.unwrap(), None);
    assert!(store.grant(used.id).await.unwrap().is_some());
    assert!(store.token(&kept.lookup).await.unwrap().unwrap().wrapped_key.is_some());
    let told: Vec<_> = feed.poll().await.unwrap().into_iter().map(|one| one.what).collect();
    assert_eq!(told, [Revoked::Grant(unused.id)]);

    // Old revocations go too, and the feed goes on behind them.
    let later_still = UnixTime(end.0 + retention);
    while store.remove_expired(later_still, 10).await.unwrap() > 0 {}
    let next = new_grant("carol@example.org");
    store.create_grant(next.clone()).await.unwrap();
    store.revoke_grant(next.id, RevocationReason::Operator, later_still).await.unwrap();
    let told: Vec<_> = feed.poll().await.unwrap().into_iter().map(|one| one.what).collect();
    assert!(told.contains(&Revoked::Grant(next.id)), "{told:?}");
}

async fn of_many_revocations_at_once_exactly_one_is_the_first(store: Arc<dyn Store>) {
    let new = new_grant("alice@example.org");
    store.create_grant(new.clone()).await.unwrap();
    let mut tasks = tokio::task::JoinSet::new();
    for _ in 0..32 {
        let (store, id) = (store.clone(), new.id);
        tasks.spawn(async move { store.revoke_grant(id, RevocationReason::Operator, NOW).await.unwrap() });
    }
    let ended = tasks.join_all().await;
    assert_eq!(ended.iter().filter(|ended| **ended == Ended::Now).count(), 1);
    assert_eq!(ended.iter().filter(|ended| **ended == Ended::Before).count(), 31);
}

async fn tokens_added_while_the_grant_is_revoked_open_nothing_afterwards(store: Arc<dyn Store>) {
    let new = new_grant("alice@example.org");
    store.create_grant(new.clone()).await.unwrap();
    let mut adding = tokio::task::JoinSet::new();
    for count in 0..64 {
        let (store, id) = (store.clone(), new.id);
        adding.spawn(async move {
            if count == 32 {
                store.revoke_grant(id, RevocationReason::Operator, NOW).await.unwrap();
                return None;
            }
            let token = new_token();
            store.add_token(id, token.clone(), NOW).await.ok().map(|()| token.lookup)
        });
    }
    for lookup in adding.join_all().await.into_iter().flatten() {
        assert_eq!(store.token(&lookup).await.unwrap().unwrap().wrapped_key, None);
    }
}

async fn a_write_that_fails_undoes_no_other(store: Arc<dyn Store>) {
    let taken = new_grant("alice@example.org");
    store.create_grant(taken.clone()).await.unwrap();
    let grants: Vec<_> = (0..48)
        .map(|count| match count % 3 {
            0 => NewGrant { tokens: vec![taken.tokens[0].clone()], ..new_grant("bob@example.org") },
            _ => new_grant("bob@example.org"),
        })
        .collect();
    let mut tasks = tokio::task::JoinSet::new();
    for grant in grants {
        let store = store.clone();
        tasks.spawn(async move { (grant.clone(), store.create_grant(grant).await) });
    }
    for (grant, result) in tasks.join_all().await {
        assert_eq!(result.is_err(), grant.tokens[0].lookup == taken.tokens[0].lookup);
        assert_eq!(store.grant(grant.id).await.unwrap().is_some(), result.is_ok());
    }
}

/// Runs the suite over one engine; each test has a store of its own.
macro_rules! conformance {
    ($engine:ident: $($borrowed:ident),+; shared: $($shared:ident),+) => {
        mod $engine {
            $(#[tokio::test]
            async fn $borrowed() {
                let folder = tempfile::tempdir().unwrap();
                super::$borrowed(&*super::$engine(folder.path()).await).await;
            })+
            $(#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
            async fn $shared() {
                let folder = tempfile::tempdir().unwrap();
                super::$shared(super::$engine(folder.path()).await).await;
            })+
        }
    };
}

conformance!(sqlite:
    a_grant_comes_back_as_it_went_in,
    a_grant_without_credentials_comes_back,
    what_was_never_stored_is_not_found,
    a_grant_is_stored_whole_or_not_at_all,
    a_revoked_grant_keeps_its_first_reason_and_nothing_that_opens,
    a_revoked_token_leaves_its_grant_alone,
    a_token_is_added_to_a_live_grant_only,
    a_list_holds_what_the_filter_lets_through,
    the_first_signing_key_stays_the_first;
    shared:
    a_feed_tells_each_revocation_once,
    clean_up_wipes_at_once_and_removes_after_the_retention,
    of_many_revocations_at_once_exactly_one_is_the_first,
    tokens_added_while_the_grant_is_revoked_open_nothing_afterwards,
    a_write_that_fails_undoes_no_other
);

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
        ["integrity", "references", "migrations"]
    );
    assert!(items.iter().all(|item| item.ok), "{items:?}");
    raw(&folder, &["INSERT INTO credentials VALUES (x'00', 'main', 'password', x'00')"]).await;
    let items = store.check().await.unwrap();
    assert_eq!(
        items.iter().filter(|item| !item.ok).map(|item| item.what).collect::<Vec<_>>(),
        ["references"]
    );
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

async fn connect(folder: &TempDir) -> sqlx::SqliteConnection {
    use sqlx::ConnectOptions;
    let file = folder.path().join("bearward.db");
    sqlx::sqlite::SqliteConnectOptions::new().filename(file).foreign_keys(false).connect().await.unwrap()
}

/// Statements of someone who reaches around the store.
pub(crate) async fn raw(folder: &TempDir, statements: &[&'static str]) {
    let mut connection = connect(folder).await;
    for statement in statements {
        sqlx::query(*statement).execute(&mut connection).await.unwrap();
    }
}
