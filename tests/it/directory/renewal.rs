use std::sync::Arc;

use argon2::{Algorithm, Argon2, Params, Version, password_hash::PasswordHasher};
use bearward::{
    directory::{BuiltInDirectory, CheckError, Hashing},
    model::Login,
    store::UserRecord,
};

use super::{check, right};
use crate::store::{NOW, sqlite};

#[tokio::test]
async fn a_hash_that_was_made_with_less_is_made_anew_by_the_right_password_alone() {
    let folder = tempfile::tempdir().unwrap();
    let store = sqlite(folder.path()).await;
    let weak = Argon2::new(Algorithm::Argon2id, Version::V0x13, Params::new(64, 1, 1, None).unwrap());
    let weak = weak.hash_password(b"correct horse").unwrap().to_string();
    let login = Login::parse("alice@example.org").unwrap();
    let user = UserRecord { login: login.clone(), password: weak.clone(), created_at: NOW, changed_at: NOW };
    store.add_user(user).await.unwrap();
    let people = BuiltInDirectory::new(store.clone(), Arc::new(Hashing::new().unwrap()));
    let stored = async || store.user(&login).await.unwrap().unwrap();
    assert_eq!(check(&people, "alice@example.org", "wrong").await, Err(CheckError::Wrong));
    assert_eq!(stored().await.password, weak);
    assert_eq!(check(&people, "alice@example.org", "correct horse").await, right(None));
    let renewed = stored().await;
    assert!(renewed.password.starts_with("$argon2id$v=19$m=19456,t=2,p=1$"), "{}", renewed.password);
    assert_eq!(renewed.changed_at, NOW, "the password is the same");
    assert_eq!(check(&people, "alice@example.org", "correct horse").await, right(None));
    assert_eq!(check(&people, "alice@example.org", "wrong").await, Err(CheckError::Wrong));
    assert_eq!(stored().await.password, renewed.password, "once is enough");
}
