//! Every algorithm that another issuer may sign with.

use std::collections::HashMap;

use bearward::{model::Secret, token::OutsideAlgorithm, validator::Rejection};
use serde_json::{Value, json};

use super::{House, IMAP, claims, later, settings};
use crate::support::{HostileIssuer, PrivateKey, forged};

/// One key of each kind, and those algorithms of the table that it signs with.
const KINDS: [&[OutsideAlgorithm]; 4] = [
    &[OutsideAlgorithm::EdDsa],
    &[OutsideAlgorithm::Es256],
    &[OutsideAlgorithm::Es384],
    &[
        OutsideAlgorithm::Ps256,
        OutsideAlgorithm::Ps384,
        OutsideAlgorithm::Ps512,
        OutsideAlgorithm::Rs256,
        OutsideAlgorithm::Rs384,
        OutsideAlgorithm::Rs512,
    ],
];

struct Table {
    issuer: HostileIssuer,
    keys: HashMap<OutsideAlgorithm, usize>,
    made: Vec<PrivateKey>,
}

impl Table {
    async fn start() -> Self {
        let issuer = HostileIssuer::start().await;
        let made = KINDS.iter().map(|kind| PrivateKey::make(kind[0])).collect();
        let of =
            |(index, kind): (usize, &&'static [OutsideAlgorithm])| kind.iter().map(move |one| (*one, index));
        let keys: HashMap<_, _> = KINDS.iter().enumerate().flat_map(of).collect();
        assert_eq!(keys.len(), OutsideAlgorithm::ALL.len());
        Self { issuer, keys, made }
    }

    fn key(&self, algorithm: OutsideAlgorithm) -> &PrivateKey {
        &self.made[self.keys[&algorithm]]
    }

    /// Publishes the key of `algorithm` alone, tied to `only`.
    fn publish(&self, algorithm: OutsideAlgorithm, only: Option<&str>) {
        let mut jwk = self.key(algorithm).jwk();
        jwk["kid"] = json!("k");
        if let Some(only) = only {
            jwk["alg"] = json!(only);
        }
        self.issuer.say("/keys", &json!({ "keys": [jwk] }));
    }

    async fn allowing(&self, algorithms: Vec<OutsideAlgorithm>) -> House {
        let mut config = settings(&self.issuer, "example.net");
        config.algorithms = algorithms;
        House::trusting(vec![config]).await
    }

    /// Signed by `by`, and named `named` in its header.
    fn token(&self, by: OutsideAlgorithm, named: &str) -> Secret {
        let header = json!({ "alg": named, "typ": "at+jwt", "kid": "k" });
        self.key(by).sign(by, &header, &claims(&self.issuer))
    }
}

fn others(algorithm: OutsideAlgorithm) -> impl Iterator<Item = OutsideAlgorithm> {
    OutsideAlgorithm::ALL.into_iter().filter(move |other| *other != algorithm)
}

#[tokio::test]
async fn each_algorithm_is_taken_where_it_is_allowed_and_only_there() {
    let table = Table::start().await;
    for algorithm in OutsideAlgorithm::ALL {
        let name = algorithm.as_str();
        for only in [None, Some(name)] {
            table.publish(algorithm, only);
            let allowing = table.allowing(vec![algorithm]).await;
            allowing.ask(&table.token(algorithm, name)).await.unwrap();
            let forbidding = table.allowing(others(algorithm).collect()).await;
            let error = forbidding.ask(&table.token(algorithm, name)).await.unwrap_err();
            assert_eq!(error, Rejection::Malformed, "{name} {only:?}");
        }
    }
}

#[tokio::test]
async fn a_key_serves_the_algorithm_that_its_publisher_ties_it_to_and_no_other() {
    let table = Table::start().await;
    for algorithm in OutsideAlgorithm::ALL {
        let name = algorithm.as_str();
        for only in others(algorithm) {
            table.publish(algorithm, Some(only.as_str()));
            let house = table.allowing(OutsideAlgorithm::ALL.to_vec()).await;
            let result = house.ask(&table.token(algorithm, name)).await;
            let is_usable = table.keys[&algorithm] == table.keys[&only];
            let (what, error) = (format!("{name} {}", only.as_str()), result.unwrap_err());
            if is_usable {
                assert_eq!(error, Rejection::Malformed, "{what}");
            } else {
                // A key that is tied to what it cannot do is no key, and there is no other.
                assert!(matches!(error, Rejection::Unreachable(_)), "{what}: {error:?}");
            }
        }
    }
}

#[tokio::test]
async fn a_signature_counts_for_the_algorithm_that_the_header_names_alone() {
    let table = Table::start().await;
    for by in OutsideAlgorithm::ALL {
        table.publish(by, None);
        let house = table.allowing(OutsideAlgorithm::ALL.to_vec()).await;
        for named in others(by) {
            let error = house.ask(&table.token(by, named.as_str())).await.unwrap_err();
            assert_eq!(error, Rejection::Malformed, "{} {}", by.as_str(), named.as_str());
        }
        house.ask(&table.token(by, by.as_str())).await.unwrap();
    }
}

#[tokio::test]
async fn what_is_not_in_the_list_is_refused_before_any_key_is_read() {
    let table = Table::start().await;
    let house = table.allowing(OutsideAlgorithm::ALL.to_vec()).await;
    for name in
        ["none", "None", "HS256", "HS384", "HS512", "ES512", "ES256K", "es256", "RS1", "ML-DSA-65", ""]
    {
        let header: Value = json!({ "alg": name, "typ": "at+jwt", "kid": "k" });
        let result =
            house.validator.validate(&forged(&header, &claims(&table.issuer)), &IMAP, later(0)).await;
        assert_eq!(result.unwrap_err(), Rejection::Malformed, "{name}");
    }
    assert!(table.issuer.asked("/keys").is_empty());
}
