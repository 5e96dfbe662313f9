//! The HTTPS listener of a running server, as a browser and a client library reach it.

use std::time::Duration;

use reqwest::{Certificate, Client, ClientBuilder, Version, redirect::Policy};

use crate::support::Trial;

fn client(trial: &Trial, builder: fn(ClientBuilder) -> ClientBuilder) -> Client {
    let pem = std::fs::read(trial.ca()).unwrap();
    let roots = [Certificate::from_pem(&pem).unwrap()];
    let client = Client::builder().tls_certs_only(roots).redirect(Policy::none());
    builder(client.timeout(Duration::from_secs(20))).build().unwrap()
}

#[tokio::test]
async fn a_running_server_serves_issuer_and_pages_over_both_versions_of_http() {
    let trial = Trial::start();
    let issuer = trial.text("/issuer").to_owned();
    for (builder, version) in [
        (ClientBuilder::http1_only as fn(ClientBuilder) -> ClientBuilder, Version::HTTP_11),
        (std::convert::identity, Version::HTTP_2),
    ] {
        let client = client(&trial, builder);
        let url = format!("{issuer}/.well-known/oauth-authorization-server");
        let answer = client.get(&url).send().await.unwrap();
        assert_eq!((answer.status().as_u16(), answer.version()), (200, version));
        let metadata: serde_json::Value = answer.json().await.unwrap();
        assert_eq!(metadata["issuer"], issuer.as_str());
        let authorize = metadata["authorization_endpoint"].as_str().unwrap();
        let query = [
            ("response_type", "code"),
            ("client_id", "open"),
            ("redirect_uri", "http://127.0.0.1:4711/"),
            ("code_challenge", "E9Melhoa2OwvFrEMTJguCHaoeK1t8URWbuGJSstw-cM"),
            ("code_challenge_method", "S256"),
            ("scope", "imap"),
        ];
        let query = form_urlencoded::Serializer::new(String::new()).extend_pairs(query).finish();
        let page = client.get(format!("{authorize}?{query}")).send().await.unwrap();
        assert_eq!(page.status().as_u16(), 200);
        assert_eq!(page.headers()["x-frame-options"], "DENY");
        let cookie = page.headers()["set-cookie"].to_str().unwrap().to_owned();
        let (cookie, _) = cookie.split_once(';').unwrap();
        let html = page.text().await.unwrap();
        let state =
            html.split_once("name=\"state\" value=\"").unwrap().1.split_once('"').unwrap().0.to_owned();
        let user = trial.text("/users/0/login").to_owned();
        let password = trial.text("/users/0/password").to_owned();
        let origin = issuer.as_str();
        let sign_in = async |origin: &str, password: &str| {
            let form = [("state", state.as_str()), ("login", &user), ("password", password)];
            let request = client.post(format!("{issuer}/oauth/sign-in")).form(&form);
            request.header("cookie", cookie).header("origin", origin).send().await.unwrap()
        };
        assert_eq!(sign_in("https://evil.example", &password).await.status().as_u16(), 403);
        assert_eq!(sign_in(origin, "wr0ng-guess").await.status().as_u16(), 422);
        let consent = sign_in(origin, &password).await;
        assert_eq!(consent.status().as_u16(), 200);
        assert!(consent.text().await.unwrap().contains("name=\"decision\" value=\"allow\""));
    }
    let log = trial.log();
    assert!(log.contains("wrong password"), "the log was read: {log}");
    for secret in [trial.text("/users/0/password"), "__Host-bearward-browser", "wr0ng-guess"] {
        assert!(!log.contains(secret), "{secret} in {log}");
    }
}
