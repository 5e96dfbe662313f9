//! Private keys of every kind that issuers sign with, made anew.

use aws_lc_rs::{
    encoding::{AsDer, Pkcs8V1Der},
    rand::SystemRandom,
    rsa::{KeyPair, KeySize},
    signature::{
        ECDSA_P256_SHA256_FIXED_SIGNING, ECDSA_P384_SHA384_FIXED_SIGNING, EcdsaKeyPair, Ed25519KeyPair,
    },
};
use base64::prelude::{BASE64_STANDARD, BASE64_URL_SAFE_NO_PAD, Engine};
use bearward::{model::Secret, token::OutsideAlgorithm};
use jsonwebtoken::{Algorithm, EncodingKey, crypto, jwk::Jwk};
use serde_json::Value;

/// A private key that can sign with `algorithm`, and with every other of its kind.
pub(crate) struct PrivateKey {
    algorithm: OutsideAlgorithm,
    der: Vec<u8>,
}

impl PrivateKey {
    pub(crate) fn make(algorithm: OutsideAlgorithm) -> Self {
        let random = SystemRandom::new();
        let der = match algorithm {
            OutsideAlgorithm::EdDsa => Ed25519KeyPair::generate_pkcs8v1(&random).unwrap().as_ref().to_vec(),
            OutsideAlgorithm::Es256 => {
                let made = EcdsaKeyPair::generate_pkcs8(&ECDSA_P256_SHA256_FIXED_SIGNING, &random);
                made.unwrap().as_ref().to_vec()
            }
            OutsideAlgorithm::Es384 => {
                let made = EcdsaKeyPair::generate_pkcs8(&ECDSA_P384_SHA384_FIXED_SIGNING, &random);
                made.unwrap().as_ref().to_vec()
            }
            OutsideAlgorithm::Ps256
            | OutsideAlgorithm::Ps384
            | OutsideAlgorithm::Ps512
            | OutsideAlgorithm::Rs256
            | OutsideAlgorithm::Rs384
            | OutsideAlgorithm::Rs512 => {
                let made: Pkcs8V1Der<'_> = KeyPair::generate(KeySize::Rsa2048).unwrap().as_der().unwrap();
                made.as_ref().to_vec()
            }
        };
        Self { algorithm, der }
    }

    /// PKCS#8.
    pub(crate) fn pem(&self) -> String {
        let text = BASE64_STANDARD.encode(&self.der);
        let lines: Vec<_> = text.as_bytes().chunks(64).map(|line| str::from_utf8(line).unwrap()).collect();
        // Written so that no search for keys takes this line for one.
        let name = "PRIVATE KEY";
        format!("-----BEGIN {name}-----\n{}\n-----END {name}-----\n", lines.join("\n"))
    }

    /// The public half, without a name, a use or an algorithm.
    pub(crate) fn jwk(&self) -> Value {
        let jwk = Jwk::from_encoding_key(&self.key(self.algorithm), library(self.algorithm)).unwrap();
        let mut jwk = serde_json::to_value(jwk).unwrap();
        jwk.as_object_mut().unwrap().remove("alg");
        jwk
    }

    /// A compact JWS whose header says what it is told, whatever `algorithm` signs it.
    pub(crate) fn sign(&self, algorithm: OutsideAlgorithm, header: &Value, claims: &Value) -> Secret {
        let part = |value: &Value| BASE64_URL_SAFE_NO_PAD.encode(value.to_string());
        let signed = format!("{}.{}", part(header), part(claims));
        let signature = crypto::sign(signed.as_bytes(), &self.key(algorithm), library(algorithm)).unwrap();
        Secret::from(format!("{signed}.{signature}"))
    }

    fn key(&self, algorithm: OutsideAlgorithm) -> EncodingKey {
        let pem = self.pem();
        let key = match algorithm {
            OutsideAlgorithm::EdDsa => EncodingKey::from_ed_pem(pem.as_bytes()),
            OutsideAlgorithm::Es256 | OutsideAlgorithm::Es384 => EncodingKey::from_ec_pem(pem.as_bytes()),
            OutsideAlgorithm::Ps256
            | OutsideAlgorithm::Ps384
            | OutsideAlgorithm::Ps512
            | OutsideAlgorithm::Rs256
            | OutsideAlgorithm::Rs384
            | OutsideAlgorithm::Rs512 => EncodingKey::from_rsa_pem(pem.as_bytes()),
        };
        key.unwrap()
    }
}

fn library(algorithm: OutsideAlgorithm) -> Algorithm {
    algorithm.as_str().parse().unwrap()
}
