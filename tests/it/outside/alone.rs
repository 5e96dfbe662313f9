//! `[issuer] enabled = false`: only tokens of other issuers, and nothing left of the built-in one.

use std::{process::Output, time::Duration};

use bearward::store::{self, Config, Location};
use serde_json::{Value, json};

use super::{House, PROTOCOLS};
use crate::support::ALICE;

/// What people and clients reach of the issuer beside what its metadata names.
const PATHS: [&str; 13] = [
    "/.well-known/oauth-authorization-server",
    "/.well-known/openid-configuration",
    "/device",
    "/oauth/authorize",
    "/oauth/callback",
    "/oauth/device_authorization",
    "/oauth/introspect",
    "/oauth/jwks",
    "/oauth/par",
    "/oauth/register",
    "/oauth/revoke",
    "/oauth/token",
    "/oauth/userinfo",
];

impl House {
    /// Ends the server, and starts it again without its own issuer.
    fn turn_issuer_off(&mut self) {
        assert_eq!(self.serve.terminate(), Some(0));
        let file = self.serve.folder().join("bearward.toml");
        let text = std::fs::read_to_string(&file).unwrap();
        std::fs::write(&file, text.replace("[issuer]\n", "[issuer]\nenabled = false\n")).unwrap();
        self.serve.start_again();
    }

    async fn status(&self, method: reqwest::Method, path: &str) -> u16 {
        let http = crate::kill::http(&self.serve.folder().join("certs/ca.pem"));
        let request = http.request(method, format!("{}{path}", self.serve.url()));
        request.send().await.unwrap().status().as_u16()
    }

    async fn document(&self, path: &str) -> Value {
        let http = crate::kill::http(&self.serve.folder().join("certs/ca.pem"));
        let answer = http.get(format!("{}{path}", self.serve.url())).send().await.unwrap();
        serde_json::from_str(&answer.text().await.unwrap()).unwrap()
    }

    async fn of_alice() -> Self {
        Self::start("", "client_id = \"bearward\"\nclient_secret = \"secret\"\n", "").await
    }
}

fn of_alice() -> Value {
    json!({ "email": ALICE, "email_verified": true })
}

#[tokio::test(flavor = "multi_thread")]
async fn without_the_issuer_its_endpoints_are_gone_and_the_rest_stays() {
    let mut house = House::of_alice().await;
    let metadata = house.document("/.well-known/openid-configuration").await;
    let url = house.serve.url();
    let named: Vec<_> = metadata
        .as_object()
        .unwrap()
        .values()
        .filter_map(|value| value.as_str()?.strip_prefix(&url))
        .collect();
    let paths: Vec<_> = PATHS.into_iter().chain(named).filter(|path| path.len() > 1).collect();
    assert!(paths.len() > PATHS.len() + 8, "{paths:?}");
    for path in &paths {
        // Without a provider elsewhere nobody is sent back from there.
        if *path != "/oauth/callback" {
            assert_ne!(house.status(reqwest::Method::GET, path).await, 404, "{path}");
        }
    }
    house.turn_issuer_off();
    for path in paths {
        for method in [reqwest::Method::GET, reqwest::Method::POST, reqwest::Method::OPTIONS] {
            assert_eq!(house.status(method.clone(), path).await, 404, "{method} {path}");
        }
    }
    let resource = house.document("/.well-known/oauth-protected-resource").await;
    assert_eq!(resource["authorization_servers"], json!([house.issuer.url]));
    assert_eq!(house.status(reqwest::Method::GET, "/").await, 200);
    // Others still tell here that somebody has signed out.
    assert_eq!(house.status(reqwest::Method::POST, "/oauth/backchannel-logout").await, 400);
}

#[tokio::test(flavor = "multi_thread")]
async fn without_the_issuer_its_own_tokens_open_nothing_and_those_of_others_do() {
    let mut house = House::of_alice().await;
    let (own, outside) = (house.serve.token(ALICE), house.token(&of_alice()));
    let session = |house: &House| {
        for protocol in PROTOCOLS {
            house.opens(protocol, ALICE, &outside, ALICE);
        }
    };
    for protocol in PROTOCOLS {
        house.opens(protocol, ALICE, &own, ALICE);
    }
    session(&house);
    house.turn_issuer_off();
    session(&house);
    let elsewhere = format!("{}/.well-known/openid-configuration", house.issuer.url);
    for protocol in PROTOCOLS {
        for user in [ALICE, "alice@elsewhere.example"] {
            let logins = house.logins(protocol);
            let answer = house.sign_in(protocol, user, &own);
            assert!(!answer.line.starts_with(super::taken(protocol)), "{protocol}: {}", answer.line);
            let challenge: Value = serde_json::from_str(&answer.challenge.unwrap()).unwrap();
            assert_eq!(challenge["status"], "400", "the client must get another token");
            // XOAUTH2 has no member for where that is.
            let place = challenge.get("openid-configuration");
            assert!(place.is_none_or(|place| *place == elsewhere.as_str()), "{challenge}");
            assert_eq!(house.logins(protocol), logins, "{protocol}");
        }
        let protocol = format!("protocol=\"{protocol}\"");
        house.serve.wait_for_log(&["outcome=\"invalid_token\"", &protocol]);
    }
    let mut client = house.serve.connect("imap");
    client.say(&format!("a AUTHENTICATE OAUTHBEARER {}", crate::support::oauthbearer(ALICE, &own)));
    let challenge: Value =
        serde_json::from_str(&super::answer("imap", &mut client).challenge.unwrap()).unwrap();
    assert_eq!(challenge["openid-configuration"], elsewhere.as_str());
}

#[tokio::test(flavor = "multi_thread")]
async fn without_the_issuer_its_commands_say_so_and_make_nothing() {
    let mut house = House::of_alice().await;
    house.turn_issuer_off();
    assert_eq!(house.serve.terminate(), Some(0));
    let data = house.serve.folder().join("data");
    for file in std::fs::read_dir(&data).unwrap() {
        let file = file.unwrap();
        if file.file_name() != "server.key" {
            std::fs::remove_file(file.path()).unwrap();
        }
    }
    house.serve.start_again();
    let commands: [&[&str]; 9] = [
        &["token", "issue", "--user", ALICE],
        &["token", "issue", "--user", ALICE, "--password-stdin"],
        &["token", "request"],
        &["client", "add", "--name", "x", "--redirect-uri", "https://client.example.net/"],
        &["client", "invite"],
        &["client", "list"],
        &["client", "remove", "open"],
        &["key", "list"],
        &["key", "rotate"],
    ];
    for command in commands {
        let Output { status, stdout, stderr } = house.serve.command(command, "password\n");
        let said = String::from_utf8(stderr).unwrap();
        assert_eq!((status.code(), stdout.as_slice()), (Some(1), &b""[..]), "{command:?}: {said}");
        assert!(said.contains("the built-in issuer is off (issuer.enabled = false)"), "{command:?}: {said}");
        assert!(said.contains("issuer.enabled = true"), "what to do: {said}");
    }
    house.opens("imap", ALICE, &house.token(&of_alice()), ALICE);
    assert_eq!(house.serve.terminate(), Some(0));
    let location = Location::Sqlite(data.join("bearward.db"));
    let store = store::open(&Config { location, poll_interval: Duration::from_secs(1) }).await.unwrap();
    assert_eq!(store.signing_keys().await.unwrap().len(), 0, "an issuer that is off has no keys");
    assert_eq!(store.clients().await.unwrap().len(), 0);
}
