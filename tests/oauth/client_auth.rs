//! How we prove who we are to `oidc-provider` when it is asked about a token: by a signed assertion, and by a
//! certificate.

use std::{fs, path::Path};

use base64::{Engine, engine::general_purpose::STANDARD};
use bearward::token::OutsideAlgorithm;
use serde_json::{Value, json};

use crate::{
    oidc_provider::{House, OPAQUE, Outside},
    support::{ALICE, PrivateKey},
};

/// As `oidc-provider` registers a client that gets no tokens.
fn client(id: &str, method: &str, jwk: &Value) -> Value {
    json!({
        "client_id": id, "token_endpoint_auth_method": method, "jwks": { "keys": [jwk] },
        "grant_types": [], "response_types": [], "redirect_uris": [],
    })
}

fn asking(id: &str, method: &str, more: &str) -> String {
    format!("validate = \"introspection\"\nclient_id = \"{id}\"\nclient_auth = \"{method}\"\n{more}")
}

#[test]
fn an_assertion_signed_by_our_key_lets_us_ask_and_one_by_another_does_not() {
    let folder = tempfile::tempdir().unwrap();
    let algorithms = [
        OutsideAlgorithm::Es256,
        OutsideAlgorithm::Es384,
        OutsideAlgorithm::EdDsa,
        OutsideAlgorithm::Ps256,
        OutsideAlgorithm::Ps512,
        OutsideAlgorithm::Rs384,
    ];
    let mut clients = Vec::new();
    for algorithm in algorithms {
        let key = PrivateKey::make(algorithm);
        fs::write(folder.path().join(algorithm.as_str()), key.pem()).unwrap();
        let mut jwk = key.jwk();
        (jwk["kid"], jwk["alg"]) = (json!("ours"), json!(algorithm.as_str()));
        let mut client = client(algorithm.as_str(), "private_key_jwt", &jwk);
        client["token_endpoint_auth_signing_alg"] = json!(algorithm.as_str());
        clients.push(client);
    }
    let mut outside = Outside::start_knowing(&json!(clients));
    let settings = |id: &str, file: &str, algorithm: &str| {
        let key = folder.path().join(file);
        let more = format!(
            "client_key = \"{}\"\nclient_key_id = \"ours\"\nclient_key_algorithm = \"{algorithm}\"\n",
            key.display()
        );
        asking(id, "private_key_jwt", &more)
    };
    for name in algorithms.map(OutsideAlgorithm::as_str) {
        let house = House::trusting(&outside.settings(&settings(name, name, name)));
        // An assertion that is used twice is refused there.
        for _ in 0..3 {
            drop(house.opens(&outside.token(ALICE, OPAQUE)));
        }
        house.refuses(ALICE, "not-a-token-of-theirs", "invalid_token");
    }
    fs::write(folder.path().join("stranger"), PrivateKey::make(OutsideAlgorithm::Es256).pem()).unwrap();
    let house = House::trusting(&outside.settings(&settings("ES256", "stranger", "ES256")));
    house.cannot_tell(&outside.token(ALICE, OPAQUE));
}

/// A self-signed certificate and its key in two files, neither of which ends its last line.
fn identity(folder: &Path, name: &str) -> Value {
    let key = PrivateKey::make(OutsideAlgorithm::Es256);
    let pair = rcgen::KeyPair::from_pem(&key.pem()).unwrap();
    let made = rcgen::CertificateParams::new(vec![name.to_owned()]).unwrap().self_signed(&pair).unwrap();
    fs::write(folder.join(format!("{name}.pem")), made.pem().trim_end()).unwrap();
    fs::write(folder.join(format!("{name}.key")), key.pem().trim_end()).unwrap();
    let mut jwk = key.jwk();
    jwk["x5c"] = json!([STANDARD.encode(made.der())]);
    jwk
}

#[test]
fn our_certificate_lets_us_ask_at_the_endpoint_for_certificates_and_another_does_not() {
    let folder = tempfile::tempdir().unwrap();
    let jwk = identity(folder.path(), "ours");
    identity(folder.path(), "stranger");
    let client = client("certified", "self_signed_tls_client_auth", &jwk);
    let mut outside = Outside::start_knowing(&json!([client]));
    let settings = |name: &str| {
        let file = |kind: &str| folder.path().join(format!("{name}.{kind}"));
        let more = format!(
            "client_certificate = \"{}\"\nclient_key = \"{}\"\n",
            file("pem").display(),
            file("key").display()
        );
        asking("certified", "tls", &more)
    };
    let house = House::trusting(&outside.settings(&settings("ours")));
    for _ in 0..2 {
        drop(house.opens(&outside.token(ALICE, OPAQUE)));
    }
    house.refuses(ALICE, "not-a-token-of-theirs", "invalid_token");
    let house = House::trusting(&outside.settings(&settings("stranger")));
    house.cannot_tell(&outside.token(ALICE, OPAQUE));
}
