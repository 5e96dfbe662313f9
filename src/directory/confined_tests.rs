#![allow(clippy::unwrap_used, reason = "tests fail by panicking")]

use std::sync::Mutex;

use super::*;
use crate::directory::Directory;

const CLIENT: IpAddr = IpAddr::V4(std::net::Ipv4Addr::LOCALHOST);

/// Takes one password for everybody, and keeps whom it was asked about.
struct Taking {
    password: &'static str,
    given: Option<&'static str>,
    seal_for: Vec<Arc<str>>,
    asked: Mutex<Vec<String>>,
}

impl Taking {
    fn new(password: &'static str, given: Option<&'static str>, seal_for: &[&str]) -> Arc<Self> {
        let seal_for = seal_for.iter().map(|name| Arc::from(*name)).collect();
        Arc::new(Self { password, given, seal_for, asked: Mutex::default() })
    }

    fn asked(&self) -> Vec<String> {
        self.asked.lock().unwrap().clone()
    }
}

#[async_trait]
impl PasswordCheck for Taking {
    async fn ask(&self, login: &Login, password: &Secret, _: IpAddr) -> Result<Verified, CheckError> {
        self.asked.lock().unwrap().push(login.to_string());
        if password.expose() != self.password.as_bytes() {
            return Err(CheckError::Wrong);
        }
        let login = self.given.map(|given| Login::parse(given).unwrap());
        Ok(Verified { seal_for: self.seal_for.clone(), login })
    }

    async fn seal_for(&self, _: &Login, _: IpAddr) -> Result<Vec<Arc<str>>, CheckError> {
        Ok(self.seal_for.clone())
    }
}

fn confined(source: &Arc<Taking>, domains: &[&str], mailboxes: &Arc<Taking>) -> Confined {
    let domains = domains.iter().map(|domain| (*domain).to_owned()).collect();
    let (source, mailboxes) = (Arc::clone(source), Arc::clone(mailboxes));
    Confined::new(source, domains, mailboxes)
}

async fn ask(source: &impl PasswordCheck, login: &str, password: &str) -> Result<Verified, CheckError> {
    source.ask(&Login::parse(login).unwrap(), &Secret::copy_of(password.as_bytes()), CLIENT).await
}

#[tokio::test]
async fn a_source_is_not_asked_about_people_of_other_domains() {
    let (source, mailboxes) = (Taking::new("right", None, &[]), Taking::new("", None, &[]));
    let own = confined(&source, &["example.org"], &mailboxes);
    assert_eq!(ask(&own, "alice@example.net", "right").await, Err(CheckError::Unknown));
    assert!(source.asked().is_empty(), "no password went there");
    ask(&own, "alice@Example.ORG", "right").await.unwrap();
    assert_eq!(source.asked(), ["alice@example.org"]);
}

#[tokio::test]
async fn nobody_becomes_a_user_of_a_domain_that_is_not_the_sources() {
    let mailboxes = Taking::new("", None, &[]);
    let aliased = |given| Taking::new("right", Some(given), &[]);
    let cases: [(&str, &str, &[&str], bool); 8] = [
        ("al@example.org", "alice@example.org", &[], true),
        ("al@example.org", "alice@example.org", &["example.org"], true),
        ("al@example.org", "ceo@example.net", &[], false),
        ("al@example.org", "ceo@example.net", &["example.org"], false),
        ("al@example.org", "alice@example.net", &["example.org", "example.net"], true),
        ("al", "alice@example.org", &["example.org"], true),
        ("al", "alice@example.org", &[], false),
        ("al@example.org", "root", &["example.org"], false),
    ];
    for (login, given, domains, may_be) in cases {
        let source = confined(&aliased(given), domains, &mailboxes);
        let answer = ask(&source, login, "right").await;
        match answer {
            Ok(verified) => {
                assert!(may_be, "{login} became {given}");
                assert_eq!(verified.login, Some(Login::parse(given).unwrap()));
            }
            Err(CheckError::Operator(text)) => assert!(!may_be && text.contains("domains"), "{text}"),
            Err(other) => panic!("{login} {given}: {other}"),
        }
    }
    let bare = confined(&Taking::new("right", None, &[]), &["example.org"], &mailboxes);
    assert!(matches!(ask(&bare, "al", "right").await, Err(CheckError::Operator(_))));
}

#[tokio::test]
async fn a_password_is_sealed_only_if_the_mail_server_takes_it_from_that_user() {
    let source = Taking::new("right", Some("alice@example.org"), &["not the source's to say"]);
    let same = Taking::new("right", None, &["main"]);
    let answer = ask(&confined(&source, &[], &same), "al@example.org", "right").await.unwrap();
    assert_eq!(answer.seal_for, [Arc::from("main")]);
    assert_eq!(same.asked(), ["alice@example.org"]);
    let other = Taking::new("another", None, &["main"]);
    let answer = ask(&confined(&source, &[], &other), "al@example.org", "right").await;
    assert_eq!(answer, Err(CheckError::Wrong));
    let needless = Taking::new("another", None, &[]);
    let answer = ask(&confined(&source, &[], &needless), "al@example.org", "right").await.unwrap();
    assert!(answer.seal_for.is_empty() && needless.asked().is_empty());
    let wrong = ask(&confined(&source, &[], &same), "al@example.org", "wrong").await;
    assert_eq!(wrong, Err(CheckError::Wrong));
    assert_eq!(same.asked().len(), 1, "a wrong password goes no further");
}

#[tokio::test]
async fn an_empty_password_and_one_with_a_nul_reach_no_source() {
    let (source, mailboxes) = (Taking::new("", None, &[]), Taking::new("", None, &[]));
    let directory = Directory::new(vec![Arc::new(confined(&source, &[], &mailboxes))]);
    for password in ["", "\0", "right\0"] {
        assert_eq!(ask(&directory, "alice@example.org", password).await, Err(CheckError::Wrong));
        let login = Login::parse("alice@example.org").unwrap();
        let checked = directory.check(&login, &Secret::copy_of(password.as_bytes()), CLIENT).await;
        assert_eq!(checked, Err(CheckError::Wrong));
    }
    assert!(source.asked().is_empty());
}
