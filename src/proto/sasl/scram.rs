//! SCRAM-SHA-256 (RFC 5802, RFC 7677), without channel binding: the password never goes over the wire, and the server
//! proves that it knows it too.

use std::num::NonZeroU32;

use aws_lc_rs::{
    digest::{self, SHA256},
    hmac, pbkdf2,
};
use base64::{Engine as _, engine::general_purpose::STANDARD};
use zeroize::Zeroizing;

use crate::{
    model::Secret,
    proto::{Failure, line::excerpt},
};

/// Fewest rounds taken (RFC 7677 §4).
const MIN_ROUNDS: u32 = 4096;
/// Most rounds taken: about a fifth of a second of work. A server must not choose how long this machine computes.
const MAX_ROUNDS: u32 = 600_000;
/// Longest salt taken, in octets.
const MAX_SALT: usize = 1024;

/// The client's side of one exchange.
#[derive(Debug)]
pub(super) struct Scram {
    /// The GS2 header: no channel binding, and whom to become.
    header: String,
    first_bare: String,
    nonce: String,
}

/// What the server must prove.
#[derive(Debug)]
pub(super) struct Proof(hmac::Tag);

impl Scram {
    /// For these names; `nonce` is random and printable, without a comma.
    pub(super) fn new(authzid: &str, authcid: &str, nonce: String) -> Self {
        let identity = if authzid.is_empty() { String::new() } else { format!("a={}", escaped(authzid)) };
        Self {
            header: format!("n,{identity},"),
            first_bare: format!("n={},r={nonce}", escaped(authcid)),
            nonce,
        }
    }

    /// The client's first message.
    pub(super) fn first(&self) -> String {
        format!("{}{}", self.header, self.first_bare)
    }

    /// The client's final message for the server's first, and what the server must prove then.
    ///
    /// It computes for up to a fifth of a second, as the server asks.
    ///
    /// # Errors
    /// [`Failure::Protocol`] for a message that breaks the exchange, or that asks for too much or too little work.
    pub(super) fn last(&self, password: &Secret, server_first: &[u8]) -> Result<(String, Proof), Failure> {
        let server_first = text(server_first)?;
        let ServerFirst { nonce, salt, rounds } = self.read(server_first)?;
        let mut salted = Zeroizing::new([0; 32]);
        pbkdf2::derive(pbkdf2::PBKDF2_HMAC_SHA256, rounds, &salt, password.expose(), &mut *salted);
        let key = hmac::Key::new(hmac::HMAC_SHA256, &*salted);
        let without_proof = format!("c={},r={nonce}", STANDARD.encode(&self.header));
        let message = format!("{},{server_first},{without_proof}", self.first_bare);
        let client_key = hmac::sign(&key, b"Client Key");
        let stored = digest::digest(&SHA256, client_key.as_ref());
        let signature = hmac::sign(&hmac::Key::new(hmac::HMAC_SHA256, stored.as_ref()), message.as_bytes());
        let proof: Vec<u8> =
            client_key.as_ref().iter().zip(signature.as_ref()).map(|(key, signed)| key ^ signed).collect();
        let server_key = hmac::sign(&key, b"Server Key");
        let expected =
            hmac::sign(&hmac::Key::new(hmac::HMAC_SHA256, server_key.as_ref()), message.as_bytes());
        Ok((format!("{without_proof},p={}", STANDARD.encode(proof)), Proof(expected)))
    }

    fn read<'a>(&self, server_first: &'a str) -> Result<ServerFirst<'a>, Failure> {
        let mut fields = server_first.split(',');
        // An extension that must be understood comes first (`m=`), and there is none that is.
        let nonce = fields.next().and_then(|field| field.strip_prefix("r="));
        let salt = fields.next().and_then(|field| field.strip_prefix("s="));
        let rounds = fields.next().and_then(|field| field.strip_prefix("i="));
        let (Some(nonce), Some(salt), Some(rounds)) = (nonce, salt, rounds) else {
            return Err(broken("its first message of SCRAM cannot be read"));
        };
        let extends = nonce.strip_prefix(self.nonce.as_str()).is_some_and(|own| !own.is_empty());
        if !extends || !nonce.bytes().all(|octet| octet.is_ascii_graphic()) {
            return Err(broken("its nonce of SCRAM does not continue this side's"));
        }
        let salt = STANDARD.decode(salt).ok().filter(|salt| (1..=MAX_SALT).contains(&salt.len()));
        let salt = salt.ok_or_else(|| broken("its salt of SCRAM cannot be read"))?;
        let is_number = !rounds.starts_with('0') && rounds.bytes().all(|octet| octet.is_ascii_digit());
        let rounds = rounds
            .parse()
            .ok()
            .filter(|rounds| is_number && (MIN_ROUNDS..=MAX_ROUNDS).contains(rounds))
            .and_then(NonZeroU32::new);
        let rounds = rounds
            .ok_or_else(|| broken("it asks for fewer than 4096 or more than 600000 rounds of SCRAM"))?;
        Ok(ServerFirst { nonce, salt, rounds })
    }
}

impl Proof {
    /// Checks the server's final message.
    ///
    /// # Errors
    /// The server's own error; [`Failure::Protocol`] when it does not prove that it knows the password.
    pub(super) fn check(&self, server_final: &[u8]) -> Result<(), Failure> {
        let server_final = text(server_final)?;
        let field = server_final.split(',').next().unwrap_or_default();
        if let Some(error) = field.strip_prefix("e=") {
            let said = format!("SCRAM: {}", excerpt(error.as_bytes()));
            return Err(match error {
                "invalid-proof" | "unknown-user" => Failure::WrongPassword(said),
                "no-resources" => Failure::Temporary(said),
                _ => Failure::Refused(said),
            });
        }
        let signature = field.strip_prefix("v=").and_then(|text| STANDARD.decode(text).ok());
        let is_proved = signature.is_some_and(|own| {
            aws_lc_rs::constant_time::verify_slices_are_equal(&own, self.0.as_ref()).is_ok()
        });
        if is_proved { Ok(()) } else { Err(broken("it does not prove that it knows the password")) }
    }
}

struct ServerFirst<'a> {
    nonce: &'a str,
    salt: Vec<u8>,
    rounds: NonZeroU32,
}

/// Whether SASLprep (RFC 4013) leaves it as it is: printable ASCII and the letters of Latin-1 need no table to know
/// that. Of any other text a server might compute another key than this side.
pub(super) fn is_prepared(text: &[u8]) -> bool {
    std::str::from_utf8(text)
        .is_ok_and(|text| text.chars().all(|c| matches!(c, ' '..='~' | '\u{c0}'..='\u{ff}')))
}

/// A name as SCRAM writes it (RFC 5802 §5.1).
fn escaped(name: &str) -> String {
    name.replace('=', "=3D").replace(',', "=2C")
}

fn text(message: &[u8]) -> Result<&str, Failure> {
    std::str::from_utf8(message).map_err(|_| broken("its message of SCRAM is no text"))
}

fn broken(reason: &str) -> Failure {
    Failure::Protocol(reason.to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The example of RFC 7677 §3.
    const NONCE: &str = "rOprNGfwEbeRWgbNEkqO";
    const SERVER_FIRST: &str =
        "r=rOprNGfwEbeRWgbNEkqO%hvYDpWUa2RaTCAfuxFIlj)hNlF$k0,s=W22ZaJ0SNY7soEsUEjb6gQ==,i=4096";
    const SERVER_FINAL: &str = "v=6rriTRBi23WpRR/wtup+mMhUZUn/dB5nLTJRsjl95G4=";

    fn user() -> Scram {
        Scram::new("", "user", NONCE.into())
    }

    fn last(server_first: &str) -> Result<(String, Proof), Failure> {
        user().last(&Secret::copy_of(b"pencil"), server_first.as_bytes())
    }

    #[test]
    fn the_exchange_is_that_of_the_rfc() {
        assert_eq!(user().first(), "n,,n=user,r=rOprNGfwEbeRWgbNEkqO");
        let (message, proof) = last(SERVER_FIRST).unwrap();
        assert_eq!(
            message,
            "c=biws,r=rOprNGfwEbeRWgbNEkqO%hvYDpWUa2RaTCAfuxFIlj)hNlF$k0,\
             p=dHzbZapWIk4jUhN+Ute9ytag9zjfMHgsqmmiz7AndVQ="
        );
        proof.check(SERVER_FINAL.as_bytes()).unwrap();
    }

    #[test]
    fn names_are_escaped_and_the_one_to_become_is_in_the_header_that_is_bound() {
        let scram = Scram::new("a,b=c", "x=y", "N".into());
        assert_eq!(scram.first(), "n,a=a=2Cb=3Dc,n=x=3Dy,r=N");
        let (message, _) = scram.last(&Secret::copy_of(b"pw"), b"r=NM,s=QQ==,i=4096").unwrap();
        assert!(
            message.starts_with(&format!("c={},r=NM,p=", STANDARD.encode("n,a=a=2Cb=3Dc,"))),
            "{message}"
        );
    }

    #[test]
    fn a_server_that_does_not_know_the_password_is_not_believed() {
        let (_, proof) = last(SERVER_FIRST).unwrap();
        for said in
            ["", "v=", "v=AAAA", "v=6rriTRBi23WpRR/wtup+mMhUZUn/dB5nLTJRsjl95G5=", "x=1", "ok", "v=6rri!"]
        {
            assert!(matches!(proof.check(said.as_bytes()), Err(Failure::Protocol(_))), "{said}");
        }
        assert!(matches!(proof.check(b"e=invalid-proof"), Err(Failure::WrongPassword(_))));
        assert!(matches!(proof.check(b"e=no-resources"), Err(Failure::Temporary(_))));
        assert!(matches!(proof.check(b"e=other-error"), Err(Failure::Refused(_))));
    }

    #[test]
    fn a_first_message_that_breaks_the_rules_computes_nothing() {
        for said in [
            "",
            "r=other,s=QQ==,i=4096",
            "r=rOprNGfwEbeRWgbNEkqO,s=QQ==,i=4096",
            "r=rOprNGfwEbeRWgbNEkqOx,s=,i=4096",
            "r=rOprNGfwEbeRWgbNEkqOx,s=!,i=4096",
            "r=rOprNGfwEbeRWgbNEkqOx,s=QQ==",
            "r=rOprNGfwEbeRWgbNEkqOx,s=QQ==,i=4095",
            "r=rOprNGfwEbeRWgbNEkqOx,s=QQ==,i=600001",
            "r=rOprNGfwEbeRWgbNEkqOx,s=QQ==,i=4294967296",
            "r=rOprNGfwEbeRWgbNEkqOx,s=QQ==,i=+4096",
            "r=rOprNGfwEbeRWgbNEkqOx,s=QQ==,i=04096",
            "m=x,r=rOprNGfwEbeRWgbNEkqOx,s=QQ==,i=4096",
            "r=rOprNGfwEbeRWgbNEkqO\u{1}x,s=QQ==,i=4096",
        ] {
            assert!(matches!(last(said), Err(Failure::Protocol(_))), "{said}");
        }
    }

    #[test]
    fn what_needs_a_table_to_prepare_is_not_prepared() {
        assert!(is_prepared(b"alice@example.org ~") && is_prepared("pässwörd".as_bytes()));
        for other in ["a\u{308}", "\u{2168}", "a\tb", "\u{aa}", "\u{ad}", "日本"] {
            assert!(!is_prepared(other.as_bytes()), "{other}");
        }
        assert!(!is_prepared(b"\xff"));
    }
}
