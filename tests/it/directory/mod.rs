//! Directories of people outside: LDAP and SQL, asked for passwords.

mod checked;
mod database;
mod openldap;
mod renewal;
mod settings;

use std::net::IpAddr;

use bearward::{
    directory::{CheckError, PasswordCheck, Verified},
    model::{Login, Secret},
};

const CLIENT: IpAddr = IpAddr::V4(std::net::Ipv4Addr::new(192, 0, 2, 7));

async fn check(directory: &dyn PasswordCheck, login: &str, password: &str) -> Result<Verified, CheckError> {
    directory.check(&Login::parse(login).unwrap(), &Secret::copy_of(password.as_bytes()), CLIENT).await
}

/// Right, and the person is known by this name, if it is another one.
fn right(login: Option<&str>) -> Result<Verified, CheckError> {
    let login = login.map(|login| Login::parse(login).unwrap());
    Ok(Verified { login, ..Verified::default() })
}

fn is_operator(answer: &Result<Verified, CheckError>) -> bool {
    matches!(answer, Err(CheckError::Operator(_)))
}

fn is_unavailable(answer: &Result<Verified, CheckError>) -> bool {
    matches!(answer, Err(CheckError::Unavailable(_)))
}
