//! Each mail server over every protocol that it speaks, by each login strategy that it can serve.
//!
//! The session is the same everywhere: both mechanisms, 10 MB that come back byte-identical, a search, an IDLE that is
//! woken, and a submission that arrives as it was sent, for the envelope's recipient and from its sender.

use std::{fs, path::PathBuf};

use crate::support::*;

/// Octets of the large message.
const LARGE: usize = 10_000_000;

/// A mail server as Bearward sees it.
struct House<'a> {
    folder: &'a Folder,
    backend: Backend,
    /// Where submitted messages are delivered; no matter where nothing is submitted.
    delivered: PathBuf,
}

impl House<'_> {
    /// Runs the session with Bearward before this server.
    #[track_caller]
    fn serves(&self, login: Login) -> Bearward {
        let bearward = Bearward::start_with(self.folder, login, &self.backend, "info");
        if login == Login::Kept {
            bearward.keep(ALICE, ALICE_PASSWORD);
            bearward.keep(BOB, BOB_PASSWORD);
        }
        self.holds_sessions(&bearward);
        bearward
    }

    /// Runs the session through `bearward`.
    #[track_caller]
    fn holds_sessions(&self, bearward: &Bearward) {
        let port = |protocol: &str, port: u16| {
            if self.backend.speaks(protocol) { port.to_string() } else { "-".to_owned() }
        };
        let target = &bearward.target;
        let ports =
            [("imap", target.imaps), ("pop3", target.pop3s), ("smtp", target.smtps), ("sieve", target.sieve)]
                .map(|(protocol, number)| port(protocol, number));
        let (alice, bob) = (bearward.token(ALICE), bearward.token(BOB));
        let (ca, large) = (self.folder.ca(), self.large());
        let mut arguments = vec![ca.to_str().unwrap(), large.to_str().unwrap()];
        arguments.extend(ports.iter().map(String::as_str));
        arguments.extend([self.delivered.to_str().unwrap(), ALICE, &alice, BOB, &bob]);
        python(self.folder, "mailbox.py", &arguments).ok();
    }

    /// A message of [`LARGE`] octets that lacks nothing a mail server would add, as a file.
    fn large(&self) -> PathBuf {
        let mut message = format!(
            "From: <{ALICE}>\r\nTo: <list@example.org>\r\nSubject: large\r\nDate: Wed, 25 Nov 2026 12:00:00 +0000\r\n\
             Message-ID: <large@client.example.org>\r\nMIME-Version: 1.0\r\nContent-Type: text/plain\r\n\r\n\
             needle LARGE\r\n"
        )
        .into_bytes();
        let mut number = 1_u32;
        while message.len() < LARGE {
            for _ in 0..72 {
                number = number.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
                message.push(b' ' + 1 + (number >> 24) as u8 % 93);
            }
            message.extend_from_slice(b"\r\n");
        }
        let path = self.folder.path().join("large");
        fs::write(&path, &message).unwrap();
        path
    }
}

/// Dovecot for mailboxes, Postfix for submission.
fn dovecot_and_postfix(servers: &Servers) -> House<'_> {
    House {
        folder: &servers.folder,
        backend: Backend::encrypted(servers),
        delivered: servers.folder.path().join("dovecot/mail"),
    }
}

fn cyrus(cyrus: &Cyrus) -> House<'_> {
    let backend = Backend {
        imap: format!("imap+starttls://localhost:{}", cyrus.imap),
        pop3: format!("pop3+starttls://localhost:{}", cyrus.pop3),
        sieve: format!("sieve+starttls://localhost:{}", cyrus.sieve),
        ..Backend::default()
    };
    House { folder: &cyrus.folder, backend, delivered: PathBuf::new() }
}

fn courier(courier: &Courier) -> House<'_> {
    let backend = Backend {
        imap: format!("imap+starttls://localhost:{}", courier.imap),
        pop3: format!("pop3+starttls://localhost:{}", courier.pop3),
        ..Backend::default()
    };
    House { folder: &courier.folder, backend, delivered: PathBuf::new() }
}

fn exim(exim: &Exim) -> House<'_> {
    let backend = Backend { smtp: format!("smtp+starttls://localhost:{}", exim.smtp), ..Backend::default() };
    House { folder: &exim.folder, backend, delivered: exim.folder.path().join("exim/mail") }
}

/// Every sender must have signed in.
const SIGNED_IN: &str = "accept authenticated = *";

#[test]
fn dovecot_and_postfix_serve_users_with_their_own_passwords() {
    dovecot_and_postfix(&Servers::start("127.0.0.1")).serves(Login::Sealed);
}

#[test]
fn dovecot_and_postfix_serve_users_whose_passwords_are_kept_elsewhere() {
    dovecot_and_postfix(&Servers::start("127.0.0.1")).serves(Login::Secret);
}

#[test]
fn dovecot_and_postfix_serve_users_whose_passwords_are_kept_in_the_store() {
    dovecot_and_postfix(&Servers::start("127.0.0.1")).serves(Login::Kept);
}

#[test]
fn dovecot_and_postfix_serve_a_master_user() {
    dovecot_and_postfix(&Servers::start("127.0.0.1")).serves(Login::Master);
}

#[test]
fn dovecot_and_postfix_serve_a_master_user_on_connections_that_have_waited() {
    let servers = Servers::start("127.0.0.1");
    let mut house = dovecot_and_postfix(&servers);
    house.backend.more = "warm = 2";
    house.serves(Login::Master);
}

#[test]
fn dovecot_and_postfix_serve_a_service_account_with_an_authorization_identity() {
    dovecot_and_postfix(&Servers::start("127.0.0.1")).serves(Login::Authzid);
}

#[test]
fn dovecot_and_postfix_trust_the_address() {
    let servers = Servers::taking(Taking::Address, "");
    let mut house = dovecot_and_postfix(&servers);
    house.backend.more = "xclient = \"off\"";
    house.serves(Login::Trusted);
}

#[test]
fn dovecot_and_postfix_take_the_token_itself_and_ask_its_issuer() {
    let servers = Servers::taking(Taking::Tokens, "127.0.0.1");
    let house = dovecot_and_postfix(&servers);
    let bearward = Bearward::start_with(house.folder, Login::Bearer, &house.backend, "info");
    let added = bearward.command(&["client", "add", "--name", "Dovecot", "--introspect", "--json"], "");
    let added: serde_json::Value = serde_json::from_str(&added).unwrap();
    servers.ask(&Introspection {
        port: bearward.target.https,
        client: added["client_id"].as_str().unwrap(),
        secret: added["client_secret"].as_str().unwrap(),
        ca: &house.folder.ca(),
    });
    house.holds_sessions(&bearward);
}

#[test]
fn postfix_is_told_the_user_with_xclient() {
    let servers = Servers::start("127.0.0.1");
    let mut house = dovecot_and_postfix(&servers);
    house.backend = Backend { smtp: std::mem::take(&mut house.backend.smtp), ..Backend::default() };
    house.serves(Login::Xclient);
    logged(&format!("sasl_username={ALICE}"), || servers.postfix.log());
    logged("[127.0.0.5]", || servers.postfix.log());
}

#[test]
fn dovecot_takes_a_certificate_for_the_user_whom_it_names() {
    let servers = Servers::taking(Taking::Certificate, "");
    let mut house = dovecot_and_postfix(&servers);
    house.backend.smtp = format!("smtp+starttls://localhost:{}", servers.dovecot.submission);
    house.serves(Login::External);
}

#[test]
fn dovecots_submission_service_serves_a_master_user() {
    let servers = Servers::start("127.0.0.1");
    let mut house = dovecot_and_postfix(&servers);
    house.backend.smtp = format!("smtp+starttls://localhost:{}", servers.dovecot.submission);
    house.serves(Login::Master);
}

#[test]
fn cyrus_serves_users_with_their_own_passwords() {
    cyrus(&Cyrus::start("PLAIN LOGIN")).serves(Login::Sealed);
}

#[test]
fn cyrus_serves_a_proxy_account_with_an_authorization_identity() {
    cyrus(&Cyrus::start("PLAIN")).serves(Login::Authzid);
}

#[test]
fn cyrus_takes_a_certificate_for_the_user_whom_it_names() {
    cyrus(&Cyrus::start("EXTERNAL")).serves(Login::External);
}

#[test]
fn cyrus_takes_scram_and_never_sees_a_password() {
    cyrus(&Cyrus::start("SCRAM-SHA-256")).serves(Login::Sealed);
}

#[test]
fn cyrus_serves_users_whose_passwords_are_kept_elsewhere() {
    cyrus(&Cyrus::start("PLAIN SCRAM-SHA-256")).serves(Login::Secret);
}

#[test]
fn cyrus_takes_scram_of_a_proxy_account() {
    cyrus(&Cyrus::start("SCRAM-SHA-256")).serves(Login::Authzid);
}

#[test]
fn cyrus_takes_cram_md5() {
    cyrus(&Cyrus::start("CRAM-MD5")).serves(Login::Sealed);
}

#[test]
fn courier_serves_users_whose_passwords_are_kept_elsewhere() {
    courier(&Courier::start(&["PLAIN"])).serves(Login::Secret);
}

#[test]
fn courier_takes_cram_md5() {
    courier(&Courier::start(&["CRAM-MD5"])).serves(Login::Sealed);
}

#[test]
fn courier_lets_no_account_act_for_another() {
    let server = Courier::start(&["PLAIN"]);
    refuses(&courier(&server), Login::Authzid);
}

#[test]
fn cyrus_knows_no_master_user() {
    refuses(&cyrus(&Cyrus::start("PLAIN")), Login::Master);
}

/// The server does not take this login, which is told as the operator's fault: the token was good.
#[track_caller]
fn refuses(house: &House<'_>, login: Login) {
    let bearward = Bearward::start_with(house.folder, login, &house.backend, "info");
    let (ca, token) = (house.folder.ca(), bearward.token(ALICE));
    let (url, user) = (format!("imaps://localhost:{}", bearward.target.imaps), format!("{ALICE}:"));
    let arguments =
        ["-sS", "-v", "--cacert", ca.to_str().unwrap(), "--oauth2-bearer", &token, "-u", &user, &url];
    let said = run(house.folder, "curl", &arguments, None).refused();
    assert!(said.contains("[CONTACTADMIN]"), "{said}");
    logged("outcome=\"backend_refused\"", || bearward.log());
}

#[test]
fn courier_serves_users_with_their_own_passwords() {
    let server = Courier::start(&["PLAIN", "LOGIN"]);
    courier(&server).serves(Login::Sealed);
    logged(&format!("LOGIN, user={ALICE}"), || server.log());
}

#[test]
fn exim_serves_users_with_their_own_passwords() {
    let server = Exim::start(&Exim::passwords(), SIGNED_IN);
    exim(&server).serves(Login::Sealed);
    logged(&format!("A=plain:{ALICE}"), || server.log());
}

#[test]
fn exim_serves_a_service_account_with_an_authorization_identity() {
    let server = Exim::start(&Exim::authorization_identity(), SIGNED_IN);
    exim(&server).serves(Login::Authzid);
    logged(&format!("A={MASTER}:{ALICE}"), || server.log());
}

#[test]
fn exim_serves_a_master_user() {
    let server = Exim::start(&Exim::master_user(), SIGNED_IN);
    exim(&server).serves(Login::Master);
    logged(&format!("A={MASTER}:{ALICE}"), || server.log());
}

#[test]
fn exim_serves_users_whose_passwords_are_kept_elsewhere() {
    exim(&Exim::start(&Exim::passwords(), SIGNED_IN)).serves(Login::Secret);
}

#[test]
fn exim_takes_cram_md5() {
    let server = Exim::start(&Exim::cram_md5(), SIGNED_IN);
    exim(&server).serves(Login::Sealed);
    logged(&format!("A=cram:{ALICE}"), || server.log());
}

#[test]
fn exim_takes_a_certificate_for_the_user_whom_it_names() {
    let server = Exim::start(&Exim::external(), SIGNED_IN);
    exim(&server).serves(Login::External);
    logged(&format!("A=external:{ALICE}"), || server.log());
}

#[test]
fn exim_trusts_the_address() {
    let server = Exim::start("", "accept hosts = 127.0.0.1");
    exim(&server).serves(Login::Trusted);
}
