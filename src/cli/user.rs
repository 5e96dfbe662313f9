use std::path::Path;

use base64::{Engine, engine::general_purpose::URL_SAFE_NO_PAD};
use serde::Serialize;

use super::{
    Failure, Output,
    arguments::{NewPassword, UserCommand},
    open,
    table::{table, utc},
};
use crate::{
    directory::Hashing,
    model::{Login, Secret, UnixTime},
    store::{Ended, Store, StoreError, UserRecord},
    validator::password_key,
};

/// Octets of a password that is made here: 128 bits in base64url.
const GENERATED: usize = 16;

pub(super) async fn run(command: UserCommand, file: Option<&Path>, output: Output) -> Result<(), Failure> {
    let config = open::load(file)?;
    let (store, _) = open::store(&config).await?;
    match command {
        UserCommand::Add { login, password } => {
            let (password, shown) = new_password(&password)?;
            add(&*store, &login, &password).await?;
            done(output, &login, "added", shown.as_ref())
        }
        UserCommand::List => {
            list(&store.users().await.map_err(Failure::failed)?, output);
            Ok(())
        }
        UserCommand::Passwd { login, password } => {
            let (password, shown) = new_password(&password)?;
            let hash = hash(&password).await?;
            let changed = store.set_password(&login, &hash, true, UnixTime::now()).await;
            if !changed.map_err(Failure::failed)? {
                return Err(unknown(&login));
            }
            end_password_sessions(&*store, &login).await?;
            open::tell_running(&config).await;
            done(output, &login, "changed", shown.as_ref())
        }
        UserCommand::Remove { login } => {
            match store.remove_user(&login, UnixTime::now()).await.map_err(Failure::failed)? {
                Ended::Now => {
                    end_password_sessions(&*store, &login).await?;
                    open::tell_running(&config).await;
                    done(output, &login, "removed", None)
                }
                Ended::Before | Ended::Unknown => Err(unknown(&login)),
            }
        }
    }
}

/// Ends the sessions that were signed in to with the password, on every node.
async fn end_password_sessions(store: &dyn Store, login: &Login) -> Result<(), Failure> {
    store.end_outside(&password_key(login), UnixTime::now()).await.map_err(Failure::failed)
}

async fn add(store: &dyn Store, login: &Login, password: &Secret) -> Result<(), Failure> {
    let now = UnixTime::now();
    let user = UserRecord {
        login: login.clone(),
        password: hash(password).await?,
        created_at: now,
        changed_at: now,
    };
    store.add_user(user).await.map_err(|error| match error {
        StoreError::Conflict(_) => Failure::failed(format!("{login} is a user already"))
            .help("`bearward user passwd` gives another password"),
        StoreError::Corrupt(_)
        | StoreError::GrantEnded
        | StoreError::Newer(_)
        | StoreError::Unavailable(_) => Failure::failed(error),
    })
}

/// The password, and again if it is to be shown because nobody knows it yet.
fn new_password(from: &NewPassword) -> Result<(Secret, Option<Secret>), Failure> {
    if from.generate {
        let mut octets = zeroize::Zeroizing::new([0; GENERATED]);
        aws_lc_rs::rand::fill(&mut *octets).map_err(|_| Failure::failed("there are no random octets"))?;
        let password = Secret::from(URL_SAFE_NO_PAD.encode(*octets));
        return Ok((password.clone(), Some(password)));
    }
    let password = open::secret_from_stdin()?;
    if password.is_empty() {
        return Err(Failure::failed("the password on standard input is empty"));
    }
    Ok((password, None))
}

async fn hash(password: &Secret) -> Result<String, Failure> {
    Hashing::new().map_err(Failure::failed)?.hash(password).await.map_err(Failure::failed)
}

fn unknown(login: &Login) -> Failure {
    Failure::failed(format!("there is no user {login}")).help("`bearward user list` shows them")
}

/// What is printed of one user.
#[derive(Serialize)]
struct Shown<'a> {
    login: &'a Login,
    #[serde(skip_serializing_if = "Option::is_none")]
    password: Option<&'a str>,
}

fn done(output: Output, login: &Login, what: &str, password: Option<&Secret>) -> Result<(), Failure> {
    let password = password.and_then(Secret::expose_str);
    if output.json {
        output.document(&Shown { login, password });
    } else {
        output.text(&password.map_or_else(|| format!("{login} {what}"), str::to_owned));
    }
    Ok(())
}

/// What is printed of each user in a list.
#[derive(Serialize)]
struct Listed<'a> {
    login: &'a Login,
    created_at: UnixTime,
    changed_at: UnixTime,
}

impl<'a> Listed<'a> {
    const fn of(user: &'a UserRecord) -> Self {
        Self { login: &user.login, created_at: user.created_at, changed_at: user.changed_at }
    }
}

fn list(users: &[UserRecord], output: Output) {
    if output.json {
        output.document(&users.iter().map(Listed::of).collect::<Vec<_>>());
        return;
    }
    let row = |user: &UserRecord| [user.login.to_string(), utc(user.created_at.0), utc(user.changed_at.0)];
    let names = ["user", "since", "password since"];
    output.text(&table(names, &users.iter().map(row).collect::<Vec<_>>()));
}
