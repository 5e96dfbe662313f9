//! An OpenID provider of the tests: it does what it should, until it is told to do something else.

use std::{
    collections::HashMap,
    sync::{Arc, Mutex},
    time::Duration,
};

use aws_lc_rs::hmac;
use axum::{
    Json, Router,
    body::Body,
    extract::State,
    http::{HeaderMap, StatusCode, header},
    response::{IntoResponse, Response},
    routing::{get, post},
};
use base64::{
    Engine,
    engine::general_purpose::{STANDARD, URL_SAFE_NO_PAD},
};
use bearward::{
    model::UnixTime,
    token::{Algorithm, SigningKey, base64url, sha256},
};
use serde_json::{Map, Value, json};
use tokio::net::TcpListener;

pub(super) const CLIENT: &str = "bearward";
pub(super) const SECRET: &str = "s3cret:of/bearward";

/// What the provider does; the default is right.
#[derive(Default)]
pub(super) struct Behaviour {
    /// Claims of the ID token; `null` leaves one out.
    pub(super) claims: Map<String, Value>,
    pub(super) signature: Signature,
    pub(super) token: TokenAnswer,
    /// What userinfo says.
    pub(super) userinfo: Option<Value>,
    pub(super) names_itself: bool,
    /// Where it says that people are to be sent.
    pub(super) authorization: Option<&'static str>,
    pub(super) is_away: bool,
}

#[derive(Clone, Copy, Default)]
pub(super) enum Signature {
    #[default]
    Right,
    /// By a key that nobody publishes, under the name of one that is.
    OtherKey,
    /// With a shared key: the published one.
    Hs256,
    None,
    /// By its own key, but of another type.
    AccessToken,
}

#[derive(Clone, Default)]
pub(super) enum TokenAnswer {
    #[default]
    Right,
    Html,
    Huge,
    Redirect,
    Slow,
    Says(u16, Value),
}

/// Somebody who was sent here.
#[derive(Clone, Debug)]
pub(super) struct Asked(pub(super) HashMap<String, String>);

impl Asked {
    pub(super) fn of(location: &str) -> Self {
        let (_, query) = location.split_once('?').unwrap();
        Self(form_urlencoded::parse(query.as_bytes()).into_owned().collect())
    }

    pub(super) fn get(&self, name: &str) -> &str {
        self.0.get(name).map_or("", String::as_str)
    }
}

pub(super) struct Provider {
    pub(super) url: String,
    house: Arc<House>,
}

struct House {
    url: String,
    key: SigningKey,
    behaviour: Mutex<Behaviour>,
    codes: Mutex<HashMap<String, Asked>>,
    /// Requests by path.
    requests: Mutex<Vec<String>>,
}

impl Provider {
    pub(super) async fn start() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("http://{}", listener.local_addr().unwrap());
        let house = Arc::new(House {
            url: url.clone(),
            key: SigningKey::generate(Algorithm::Es256).unwrap(),
            behaviour: Mutex::default(),
            codes: Mutex::default(),
            requests: Mutex::default(),
        });
        let router = Router::new()
            .route("/.well-known/openid-configuration", get(metadata))
            .route("/jwks", get(keys))
            .route("/token", post(token))
            .route("/userinfo", get(userinfo))
            .with_state(Arc::clone(&house));
        tokio::spawn(async move { axum::serve(listener, router).await });
        Self { url, house }
    }

    pub(super) fn behave(&self, change: impl FnOnce(&mut Behaviour)) {
        change(&mut self.house.behaviour.lock().unwrap());
    }

    /// Says other claims in its ID tokens.
    pub(super) fn claim(&self, name: &str, value: Value) {
        self.behave(|behaviour| {
            behaviour.claims.insert(name.to_owned(), value);
        });
    }

    /// The person signs in and agrees: the code for whoever was sent to `location`.
    pub(super) fn agree(&self, location: &str) -> String {
        let mut codes = self.house.codes.lock().unwrap();
        let code = format!("code-{}", codes.len());
        codes.insert(code.clone(), Asked::of(location));
        code
    }

    /// How often a path was asked.
    pub(super) fn asked(&self, path: &str) -> usize {
        self.house.requests.lock().unwrap().iter().filter(|own| *own == path).count()
    }
}

impl House {
    fn seen(&self, path: &str) -> Result<(), Box<Response>> {
        self.requests.lock().unwrap().push(path.to_owned());
        if self.behaviour.lock().unwrap().is_away {
            return Err(Box::new(StatusCode::BAD_GATEWAY.into_response()));
        }
        Ok(())
    }

    fn id_token(&self, asked: &Asked, access_token: &str) -> String {
        let now = UnixTime::now().0;
        let hash = sha256(access_token.as_bytes());
        let mut claims = json!({
            "iss": self.url, "sub": "248289761001", "aud": CLIENT, "iat": now, "exp": now + 300,
            "nonce": asked.get("nonce"), "auth_time": now, "at_hash": base64url(&hash[..16]),
            "email": "alice@example.org", "email_verified": true,
        });
        let behaviour = self.behaviour.lock().unwrap();
        let all = claims.as_object_mut().unwrap();
        for (name, value) in &behaviour.claims {
            if value.is_null() {
                all.remove(name)
            } else {
                all.insert(name.clone(), value.clone())
            };
        }
        let jws = |header: Value, sign: &dyn Fn(&[u8]) -> Vec<u8>| {
            let encoded = |value: &Value| URL_SAFE_NO_PAD.encode(value.to_string());
            let input = format!("{}.{}", encoded(&header), encoded(&claims));
            format!("{input}.{}", URL_SAFE_NO_PAD.encode(sign(input.as_bytes())))
        };
        let named = |alg: &str| json!({ "alg": alg, "kid": self.key.kid(), "typ": "JWT" });
        match behaviour.signature {
            Signature::Right => self.key.sign_jwt("JWT", &claims).unwrap(),
            Signature::OtherKey => {
                let other = SigningKey::generate(Algorithm::Es256).unwrap().sign_jwt("JWT", &claims).unwrap();
                let (_, signature) = other.rsplit_once('.').unwrap();
                jws(named("ES256"), &|_| URL_SAFE_NO_PAD.decode(signature).unwrap())
            }
            Signature::Hs256 => {
                let public = serde_json::to_vec(self.key.jwk()).unwrap();
                let key = hmac::Key::new(hmac::HMAC_SHA256, &public);
                jws(named("HS256"), &|input| hmac::sign(&key, input).as_ref().to_vec())
            }
            Signature::AccessToken => self.key.sign_jwt("at+jwt", &claims).unwrap(),
            Signature::None => jws(json!({ "alg": "none" }), &|_| Vec::new()),
        }
    }
}

async fn metadata(State(house): State<Arc<House>>) -> Result<Json<Value>, Response> {
    house.seen("metadata").map_err(|away| *away)?;
    let url = &house.url;
    let (names_itself, authorization) = {
        let behaviour = house.behaviour.lock().unwrap();
        (behaviour.names_itself, behaviour.authorization)
    };
    Ok(Json(json!({
        "issuer": url,
        "authorization_endpoint": authorization.map_or_else(|| format!("{url}/authorize?tenant=7"), str::to_owned),
        "token_endpoint": format!("{url}/token"),
        "userinfo_endpoint": format!("{url}/userinfo"),
        "jwks_uri": format!("{url}/jwks"),
        "authorization_response_iss_parameter_supported": names_itself,
    })))
}

async fn keys(State(house): State<Arc<House>>) -> Result<Json<Value>, Response> {
    house.seen("keys").map_err(|away| *away)?;
    Ok(Json(json!({ "keys": [house.key.jwk()] })))
}

async fn token(
    State(house): State<Arc<House>>,
    headers: HeaderMap,
    body: String,
) -> Result<Response, Response> {
    house.seen("token").map_err(|away| *away)?;
    let answer = house.behaviour.lock().unwrap().token.clone();
    match answer {
        TokenAnswer::Right => Ok(right(&house, &headers, &body)),
        TokenAnswer::Html => Ok(([(header::CONTENT_TYPE, "text/html")], "<h1>Welcome</h1>").into_response()),
        TokenAnswer::Huge => Ok(Body::from(vec![b' '; 4 << 20]).into_response()),
        TokenAnswer::Redirect => {
            let to = format!("{}/token?again", house.url);
            Ok((StatusCode::TEMPORARY_REDIRECT, [(header::LOCATION, to)]).into_response())
        }
        TokenAnswer::Slow => {
            tokio::time::sleep(Duration::from_secs(30)).await;
            Ok(StatusCode::OK.into_response())
        }
        TokenAnswer::Says(status, value) => {
            Ok((StatusCode::from_u16(status).unwrap(), Json(value)).into_response())
        }
    }
}

fn right(house: &House, headers: &HeaderMap, body: &str) -> Response {
    let refuse = |status: StatusCode, error: &str| (status, Json(json!({ "error": error }))).into_response();
    let form: HashMap<String, String> = form_urlencoded::parse(body.as_bytes()).into_owned().collect();
    let encoded = |text: &str| form_urlencoded::byte_serialize(text.as_bytes()).collect::<String>();
    let basic = format!("Basic {}", STANDARD.encode(format!("{}:{}", encoded(CLIENT), encoded(SECRET))));
    if headers.get(header::AUTHORIZATION).and_then(|value| value.to_str().ok()) != Some(&basic) {
        return refuse(StatusCode::UNAUTHORIZED, "invalid_client");
    }
    let field = |name: &str| form.get(name).map_or("", String::as_str);
    let Some(asked) = house.codes.lock().unwrap().remove(field("code")) else {
        return refuse(StatusCode::BAD_REQUEST, "invalid_grant");
    };
    let challenge = base64url(&sha256(field("code_verifier").as_bytes()));
    let is_good = field("grant_type") == "authorization_code"
        && asked.get("code_challenge_method") == "S256"
        && asked.get("code_challenge") == challenge
        && asked.get("redirect_uri") == field("redirect_uri");
    if !is_good {
        return refuse(StatusCode::BAD_REQUEST, "invalid_grant");
    }
    let access_token = "at-0123456789";
    let id_token = house.id_token(&asked, access_token);
    Json(json!({ "access_token": access_token, "token_type": "Bearer", "expires_in": 300, "id_token": id_token }))
        .into_response()
}

async fn userinfo(State(house): State<Arc<House>>, headers: HeaderMap) -> Result<Response, Response> {
    house.seen("userinfo").map_err(|away| *away)?;
    if headers.get(header::AUTHORIZATION).is_none_or(|value| value != "Bearer at-0123456789") {
        return Ok(StatusCode::UNAUTHORIZED.into_response());
    }
    Ok(Json(house.behaviour.lock().unwrap().userinfo.clone().unwrap_or(Value::Null)).into_response())
}
