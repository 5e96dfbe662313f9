//! The conformance suite of the store, as functions over the trait, and what is SQLite's own.

mod app_passwords;
mod cleanup;
mod clients;
mod codes;
mod devices;
mod ephemeral;
mod grants;
mod outside;
mod refresh;
mod secrets;
mod sqlite_file;
mod users;

use std::{path::Path, sync::Arc};

use bearward::{
    model::{ClientId, CredentialKind, GrantId, Login, Scope, TokenHash, TokenKind, UnixTime},
    store::{
        Config, Location, NewCode, NewGrant, NewToken, RevocationFeed, Revoked, SealedCredential, Store, open,
    },
};
use tempfile::TempDir;

use crate::support::Cluster;

pub(crate) const NOW: UnixTime = UnixTime(1_800_000_000);

pub(crate) async fn sqlite(folder: &Path) -> Arc<dyn Store> {
    open(&config(folder)).await.unwrap()
}

pub(crate) async fn postgres(folder: &Path) -> Arc<dyn Store> {
    let database = folder.file_name().and_then(|name| name.to_str()).unwrap();
    let location = Location::Postgres(Cluster::shared().database(database).await);
    open(&Config { location, poll_interval: std::time::Duration::from_secs(1) }).await.unwrap()
}

fn config(folder: &Path) -> Config {
    Config {
        location: Location::Sqlite(folder.join("bearward.db")),
        poll_interval: std::time::Duration::from_secs(1),
    }
}

pub(crate) fn later(seconds: i64) -> UnixTime {
    UnixTime(NOW.0 + seconds)
}

fn hash(octets: [u8; 16]) -> TokenHash {
    TokenHash::new([octets, octets].concat().try_into().unwrap())
}

fn new_hash() -> TokenHash {
    hash(*GrantId::generate().as_bytes())
}

fn alice() -> Login {
    Login::parse("alice@example.org").unwrap()
}

pub(crate) fn new_token() -> NewToken {
    NewToken {
        lookup: new_hash(),
        kind: TokenKind::Access,
        scope: Scope::mail(),
        audience: "https://mail.example.org".into(),
        certificate: None,
        created_at: NOW,
        expires_at: later(3600),
        wrapped_key: vec![7; 61],
    }
}

pub(crate) fn new_refresh() -> NewToken {
    NewToken { kind: TokenKind::Refresh, expires_at: later(7000), ..new_token() }
}

pub(crate) fn new_grant(user: &str) -> NewGrant {
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

/// A grant that is to give its first tokens for a code.
pub(crate) fn new_coded_grant() -> (NewGrant, TokenHash) {
    let code = NewCode {
        lookup: new_hash(),
        details: r#"{"nonce":"n"}"#.into(),
        created_at: NOW,
        expires_at: later(60),
        wrapped_key: vec![8; 61],
    };
    let lookup = code.lookup;
    (NewGrant { code: Some(code), tokens: Vec::new(), ..new_grant("alice@example.org") }, lookup)
}

/// The grants that a feed tells of; it may tell of nothing else.
pub(crate) async fn told(feed: &mut RevocationFeed) -> Vec<GrantId> {
    let grant = |what| match what {
        Revoked::Grant(id) => id,
        Revoked::Token(token) => panic!("{token:?}"),
    };
    feed.poll().await.unwrap().into_iter().map(|one| grant(one.what)).collect()
}

/// Runs the suite over one engine, which is the name of a function that opens the store of a folder. Called twice
/// for one folder it gives two stores that share what is stored, as two processes do.
macro_rules! conformance {
    ($engine:ident) => {
        conformance! { $engine;
            one {
                grants::a_grant_comes_back_as_it_went_in,
                grants::a_grant_without_credentials_comes_back,
                grants::what_was_never_stored_is_not_found,
                grants::a_grant_is_stored_whole_or_not_at_all,
                grants::a_revoked_grant_keeps_its_first_reason_and_nothing_that_opens,
                grants::a_revoked_token_leaves_its_grant_alone,
                grants::a_token_is_added_to_a_live_grant_only,
                grants::a_list_holds_what_the_filter_lets_through,
                grants::a_feed_tells_each_revocation_once,
                grants::of_many_revocations_at_once_exactly_one_is_the_first,
                grants::tokens_added_while_the_grant_is_revoked_open_nothing_afterwards,
                grants::a_write_that_fails_undoes_no_other,
                codes::a_code_comes_back_with_its_grant,
                codes::a_code_exists_once_or_nothing_of_its_grant_does,
                codes::a_code_gives_tokens_once_and_keeps_no_key,
                codes::a_code_ends_at_its_end,
                codes::a_code_used_twice_ends_its_grant_and_all_tokens_of_it,
                codes::a_code_of_an_ended_grant_gives_nothing,
                codes::a_code_stays_unused_when_its_tokens_cannot_be_stored,
                refresh::a_rotated_refresh_token_keeps_its_answer_and_no_key,
                refresh::a_second_use_hears_the_first_answer_while_it_is_kept,
                refresh::the_use_of_a_refresh_token_removes_the_answer_of_its_predecessor,
                refresh::a_renewed_refresh_token_stays_with_a_later_end,
                refresh::what_is_no_live_refresh_token_gives_nothing,
                refresh::a_rotation_that_cannot_store_its_tokens_changes_nothing,
                refresh::what_is_revoked_keeps_no_answer,
                devices::a_device_is_found_by_its_user_code_until_its_end,
                devices::a_device_code_and_a_user_code_exist_once,
                devices::a_device_that_asks_too_often_is_slowed_down_for_good,
                devices::a_device_code_is_its_clients_alone,
                devices::an_approved_device_gets_its_tokens_once,
                devices::a_device_code_used_twice_ends_its_grant,
                devices::a_device_that_was_not_approved_gets_nothing,
                devices::an_approved_device_that_never_asks_gets_nothing_after_its_end,
                devices::a_device_is_decided_once,
                devices::an_approval_whose_grant_cannot_be_stored_decides_nothing,
                clients::a_client_comes_back_as_it_went_in,
                clients::a_client_is_replaced_where_there_is_one,
                clients::a_removed_client_is_denied_and_its_grants_end,
                clients::a_client_without_a_row_is_denied_and_allowed_again,
                clients::a_denied_client_gets_no_grant,
                clients::a_consent_is_remembered_for_one_person_and_one_client,
                app_passwords::an_app_password_comes_back_as_it_went_in,
                app_passwords::an_app_password_is_stored_whole_or_not_at_all,
                app_passwords::a_user_has_so_many_live_app_passwords_at_most,
                app_passwords::the_last_use_is_the_latest_that_was_told,
                app_passwords::a_revoked_app_password_opens_nothing_and_goes_with_its_retention,
                app_passwords::app_passwords_that_end_together_go_with_their_retention,
                app_passwords::there_are_app_passwords_while_one_is_live,
                secrets::an_upstream_secret_is_one_users_at_one_backend,
                users::a_user_comes_back_as_it_went_in,
                users::a_changed_password_ends_the_users_grants_and_a_new_hash_does_not,
                users::a_removed_user_leaves_no_grant_no_consent_and_no_password,
                outside::an_end_elsewhere_is_told_and_remembered_by_its_key,
                outside::an_end_elsewhere_is_forgotten_after_its_retention,
                ephemeral::a_claim_is_taken_once_for_its_kind,
                ephemeral::a_count_goes_up_until_the_end_that_its_first_set,
                ephemeral::a_value_is_kept_until_its_end_or_until_it_is_forgotten,
                cleanup::the_first_signing_key_stays_the_first,
                cleanup::clean_up_wipes_at_once_and_removes_after_the_retention,
                cleanup::a_retired_signing_key_is_removed_at_its_end,
                cleanup::an_unused_code_keeps_its_grant_until_both_are_removed,
                cleanup::a_used_code_goes_and_leaves_what_it_gave,
                cleanup::a_grant_goes_with_the_last_of_what_it_has,
                cleanup::answers_and_replaced_refresh_tokens_go_in_their_time,
                cleanup::device_codes_go_sooner_when_nobody_approved_them,
                cleanup::ephemeral_facts_go_at_their_end,
                cleanup::a_grant_that_had_ended_is_removed_without_a_word,
            }
            two {
                codes::of_many_uses_of_a_code_at_once_one_wins_and_the_rest_end_the_grant,
                codes::a_code_used_while_its_grant_is_revoked_opens_nothing_afterwards,
                refresh::of_many_rotations_at_once_one_wins_and_the_rest_hear_its_answer,
                refresh::a_refresh_token_is_not_renewed_after_it_was_replaced,
                devices::a_device_is_decided_once_and_used_once_by_many,
                app_passwords::of_many_app_passwords_at_once_no_more_are_stored_than_may_be,
                clients::no_grant_of_a_removed_client_is_live_afterwards,
                ephemeral::what_may_happen_once_happens_once,
            }
        }
    };
    ($engine:ident; one { $($topic:ident::$test:ident,)+ } two { $($topic2:ident::$test2:ident,)+ }) => {
        mod $engine {
            $(#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
            async fn $test() {
                let folder = tempfile::tempdir().unwrap();
                super::$topic::$test(super::$engine(folder.path()).await).await;
            })+
            $(#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
            async fn $test2() {
                let folder = tempfile::tempdir().unwrap();
                let (one, other) = (super::$engine(folder.path()).await, super::$engine(folder.path()).await);
                super::$topic2::$test2(one, other).await;
            })+
        }
    };
}

conformance!(postgres);
conformance!(sqlite);

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
