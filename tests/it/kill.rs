//! The server is killed at any moment of a stream of exchanges and refreshes: what it acknowledged stands, and no code
//! is honoured twice.

use std::{
    collections::HashMap,
    path::Path,
    sync::{Arc, Mutex},
    time::Duration,
};

use bearward::{
    model::{ClientId, GrantId, Login, Scope, Secret, TokenKind, UnixTime},
    store::{self, Config, Location, NewCode, NewGrant, Store, server_key},
    token::{GrantKey, OpaqueToken, ServerKey},
};
use serde_json::{Value, json};

use crate::support::{ALICE, Serve};

const REDIRECT: &str = "http://127.0.0.1/";
/// The example of RFC 7636, appendix B.
const VERIFIER: &str = "dBjftJeZ4CVP-mB92K27uhbUJU1p1r_wW1gFWFOEjXk";
const CHALLENGE: &str = "E9Melhoa2OwvFrEMTJguCHaoeK1t8URWbuGJSstw-cM";
/// Clients that work at once.
const CLIENTS: usize = 4;
/// Codes that each client turns into tokens in one life of the server, if it lives that long.
const CODES: usize = 16;

/// The store of a running server, in which codes are put as its pages would.
pub(crate) struct House {
    store: Arc<dyn Store>,
    key: ServerKey,
    pub(crate) url: String,
}

impl House {
    pub(crate) async fn of(serve: &Serve) -> Self {
        let file = serve.folder().join("data/bearward.db");
        let config = Config { location: Location::Sqlite(file), poll_interval: Duration::from_secs(1) };
        Self::over(store::open(&config).await.unwrap(), serve)
    }

    pub(crate) fn over(store: Arc<dyn Store>, serve: &Serve) -> Self {
        let octets = server_key::load(&serve.folder().join("data/server.key")).unwrap().unwrap();
        Self { store, key: ServerKey::from_secret(octets).unwrap(), url: serve.url() }
    }

    /// A code as the consent page makes it.
    pub(crate) async fn code(&self) -> String {
        let (id, key, now) = (GrantId::generate(), GrantKey::generate().unwrap(), UnixTime::now());
        let code = OpaqueToken::generate(TokenKind::Code).unwrap();
        let details = json!({
            "client": "open", "redirect_uri": REDIRECT, "code_challenge": CHALLENGE,
            "scope": Scope::MAIL, "audience": self.url, "auth_time": now.0,
        });
        let wrapped_key = key.wrap(&code.wrap_key(&self.key).unwrap(), id, TokenKind::Code).unwrap();
        let grant = NewGrant {
            id,
            user: Login::parse(ALICE).unwrap(),
            client: ClientId::open(),
            scope: Scope::mail(),
            created_at: now,
            expires_at: None,
            audience: self.url.clone(),
            auth_time: Some(now),
            mailboxes: Vec::new(),
            public_key: *key.public().as_bytes(),
            credentials: Vec::new(),
            code: Some(NewCode {
                lookup: code.lookup().unwrap(),
                details: details.to_string(),
                created_at: now,
                expires_at: UnixTime(now.0 + 600),
                wrapped_key,
            }),
            tokens: Vec::new(),
        };
        self.store.create_grant(grant).await.unwrap();
        text(&code.text())
    }

    /// Whether the store holds the token, alive.
    async fn is_live(&self, token: &str) -> bool {
        let lookup = OpaqueToken::parse(token.as_bytes()).unwrap().lookup().unwrap();
        let (record, now) = (self.store.token(&lookup).await.unwrap(), UnixTime::now());
        record.is_some_and(|row| row.revoked_at.is_none() && row.grant.is_live(now) && now < row.expires_at)
    }
}

fn text(secret: &Secret) -> String {
    secret.expose_str().unwrap().to_owned()
}

pub(crate) fn http(ca: &Path) -> reqwest::Client {
    let ca = reqwest::Certificate::from_pem(&std::fs::read(ca).unwrap()).unwrap();
    let client = reqwest::Client::builder().tls_certs_only([ca]).timeout(Duration::from_secs(10));
    client.build().unwrap()
}

/// What a client heard: an answer, a refusal, or nothing because the server died.
pub(crate) enum Heard {
    Tokens { access: String, refresh: String },
    Refused(Value),
    Nothing,
}

async fn ask(http: &reqwest::Client, url: &str, form: &[(&str, &str)]) -> Heard {
    let Ok(answer) = http.post(format!("{url}/oauth/token")).form(form).send().await else {
        return Heard::Nothing;
    };
    let status = answer.status();
    let Ok(body) = answer.json::<Value>().await else { return Heard::Nothing };
    if !status.is_success() {
        return Heard::Refused(body);
    }
    let member = |name: &str| body[name].as_str().unwrap().to_owned();
    Heard::Tokens { access: member("access_token"), refresh: member("refresh_token") }
}

pub(crate) async fn exchange(http: &reqwest::Client, url: &str, code: &str) -> Heard {
    let form = [
        ("grant_type", "authorization_code"),
        ("client_id", "open"),
        ("redirect_uri", REDIRECT),
        ("code_verifier", VERIFIER),
        ("code", code),
    ];
    ask(http, url, &form).await
}

pub(crate) async fn refresh(http: &reqwest::Client, url: &str, token: &str) -> Heard {
    ask(http, url, &[("grant_type", "refresh_token"), ("client_id", "open"), ("refresh_token", token)]).await
}

/// What a client knows when the server dies.
#[derive(Default)]
struct Known {
    /// How often each code was honoured.
    honoured: HashMap<String, u32>,
    /// Codes of which nothing was heard.
    unknown: Vec<String>,
    /// The last tokens of each grant that were acknowledged, and the refresh token that was on its way.
    acknowledged: Vec<(String, String)>,
}

async fn work(house: Arc<House>, http: reqwest::Client, codes: Vec<String>, known: Arc<Mutex<Known>>) {
    for code in codes {
        let (access, mut latest) = match exchange(&http, &house.url, &code).await {
            Heard::Tokens { access, refresh } => (access, refresh),
            Heard::Refused(body) => panic!("a fresh code was refused: {body}"),
            Heard::Nothing => {
                known.lock().unwrap().unknown.push(code);
                return;
            }
        };
        *known.lock().unwrap().honoured.entry(code).or_default() += 1;
        let place = {
            let mut known = known.lock().unwrap();
            known.acknowledged.push((access, latest.clone()));
            known.acknowledged.len() - 1
        };
        for _ in 0..2 {
            match refresh(&http, &house.url, &latest).await {
                Heard::Tokens { access, refresh } => {
                    latest.clone_from(&refresh);
                    known.lock().unwrap().acknowledged[place] = (access, refresh);
                }
                Heard::Refused(body) => panic!("a fresh refresh token was refused: {body}"),
                Heard::Nothing => return,
            }
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn two_hundred_kills_lose_no_acknowledged_grant_and_honour_no_code_twice() {
    const KILLS: u32 = 200;
    let mut serve = Serve::start_issuer("imap = [\"imap://127.0.0.1:1\"]\nlogin = \"trusted\"\n");
    let ca = serve.folder().join("certs/ca.pem");
    let house = Arc::new(House::of(&serve).await);
    let (mut acknowledged, mut cut_off, mut committed_unheard) = (0, 0, 0);
    for round in 0..KILLS {
        let known = Arc::new(Mutex::new(Known::default()));
        let http = http(&ca);
        let mut working = Vec::new();
        for _ in 0..CLIENTS {
            let mut codes = Vec::new();
            for _ in 0..CODES {
                codes.push(house.code().await);
            }
            working.push(tokio::spawn(work(Arc::clone(&house), http.clone(), codes, Arc::clone(&known))));
        }
        // From before the first answer until a good many were given, not the same in any two rounds.
        tokio::time::sleep(Duration::from_micros(u64::from(round) * 7919 % 60_000)).await;
        serve.kill();
        for one in working {
            one.await.unwrap();
        }
        serve.start_again();

        let http = self::http(&ca);
        let mut known = std::mem::take(&mut *known.lock().unwrap());
        for (access, _) in &known.acknowledged {
            assert!(house.is_live(access).await, "round {round}: an acknowledged token is gone");
        }
        acknowledged += known.acknowledged.len();
        for code in std::mem::take(&mut known.unknown) {
            cut_off += 1;
            match exchange(&http, &house.url, &code).await {
                Heard::Tokens { .. } => *known.honoured.entry(code).or_default() += 1,
                Heard::Refused(body) => {
                    committed_unheard += 1;
                    assert_eq!(body["error"], "invalid_grant", "round {round}");
                }
                Heard::Nothing => panic!("round {round}: no answer"),
            }
        }
        // The last refresh may have been used without an answer: the same answer is given again.
        if let Some((_, token)) = known.acknowledged.last()
            && let Heard::Refused(body) = refresh(&http, &house.url, token).await
        {
            panic!("round {round}: an acknowledged refresh token was refused: {body}");
        }
        let again = known.honoured.keys().next().cloned();
        if let Some(code) = again {
            match exchange(&http, &house.url, &code).await {
                Heard::Refused(body) => assert_eq!(body["error"], "invalid_grant"),
                Heard::Tokens { .. } => *known.honoured.entry(code).or_default() += 1,
                Heard::Nothing => panic!("round {round}: no answer"),
            }
        }
        assert!(known.honoured.values().all(|times| *times == 1), "round {round}: a code was honoured twice");
    }
    println!(
        "{acknowledged} grants acknowledged, {cut_off} exchanges cut off, {committed_unheard} of them committed"
    );
    assert!(acknowledged > 100 && cut_off > 20, "{acknowledged} acknowledged, {cut_off} cut off");
}
