//! What the issuer says about a token when it is asked.

use base64::{Engine, engine::general_purpose::STANDARD};
use serde_json::{Map, Value, json};
use zeroize::Zeroizing;

use super::{
    Client, ClientAuth, Config, Fault,
    remote::{Remote, object, shown},
};
use crate::{
    http::{
        Answer, Request, Url,
        header::{self, HeaderMap, HeaderValue},
    },
    model::{GrantId, Secret, UnixTime},
};

const FORM: &str = "application/x-www-form-urlencoded";

/// What became of the question.
pub(super) type Said = Result<Option<Map<String, Value>>, Fault>;

/// RFC 7662 §2. `None` for a token that is not active.
pub(super) async fn introspect(
    config: &Config,
    remote: &Remote,
    url: &Url,
    token: &Secret,
    now: UnixTime,
) -> Said {
    let mut form = Form::default();
    form.add("token", token.expose_str().unwrap_or_default());
    form.add("token_type_hint", "access_token");
    let mut headers = json_wanted();
    authenticate(config, config.client.as_ref(), &mut form, &mut headers, now)?;
    let request = Request { headers, body: Some((FORM, form.finish())) };
    let answer = remote.send(url, request, now).await?;
    if answer.status != 200 {
        // RFC 7662 §2.3: a token that is no good is no error; this is about us.
        return Err(Fault::Operator(format!("{} refuses our question with {}", shown(url), answer.status)));
    }
    let claims = object(&answer, url)?;
    match claims.get("active") {
        Some(Value::Bool(true)) => Ok(Some(claims)),
        Some(Value::Bool(false)) => Ok(None),
        Some(_) | None => Err(Fault::Operator(format!("{} does not say whether it is active", shown(url)))),
    }
}

/// RFC 6749 §4.1.3: a grant, which `form` holds already, for tokens; or the error that the issuer answers with (§5.2).
pub(super) async fn tokens(
    config: &Config,
    remote: &Remote,
    url: &Url,
    mut form: Form,
    now: UnixTime,
) -> Result<Result<Map<String, Value>, String>, Fault> {
    let mut headers = json_wanted();
    authenticate(config, config.client.as_ref(), &mut form, &mut headers, now)?;
    let request = Request { headers, body: Some((FORM, form.finish())) };
    let answer = remote.send(url, request, now).await?;
    match answer.status {
        200 => object(&answer, url).map(Ok),
        400 | 401 => {
            let body: Option<Value> = serde_json::from_slice(&answer.body).ok();
            let error = body.as_ref().and_then(|body| body.get("error")).and_then(Value::as_str);
            Ok(Err(error.unwrap_or("no error").chars().take(64).collect()))
        }
        status => Err(Fault::Operator(format!("{} answers {status}", shown(url)))),
    }
}

/// OpenID Connect Core §5.3. `None` for a token that it does not take.
pub(super) async fn userinfo(remote: &Remote, url: &Url, token: &Secret, now: UnixTime) -> Said {
    let mut headers = json_wanted();
    headers.insert(header::AUTHORIZATION, bearer(token)?);
    let answer = remote.send(url, Request { headers, body: None }, now).await?;
    match answer.status {
        200 => object(&answer, url).map(Some),
        401 => Ok(None),
        400 | 403 if blames_the_token(&answer) => Ok(None),
        status => Err(Fault::Operator(format!("{} answers {status}", shown(url)))),
    }
}

/// Google's form: the token in the query, and numbers and truth as texts.
pub(super) async fn tokeninfo(remote: &Remote, url: &Url, token: &Secret, now: UnixTime) -> Said {
    let mut asked = url.clone();
    asked.query_pairs_mut().append_pair("access_token", token.expose_str().unwrap_or_default());
    let answer = remote.send(&asked, Request { headers: json_wanted(), body: None }, now).await?;
    match answer.status {
        200 => object(&answer, url).map(|mut claims| {
            untext(&mut claims);
            Some(claims)
        }),
        400 | 401 if blames_the_token(&answer) => Ok(None),
        status => Err(Fault::Operator(format!("{} answers {status}", shown(url)))),
    }
}

/// Only the members that Google is known to write so; anything else stays what it is.
fn untext(claims: &mut Map<String, Value>) {
    for name in ["exp", "iat"] {
        let number = claims.get(name).and_then(Value::as_str).and_then(|text| text.parse::<i64>().ok());
        if let Some(number) = number {
            claims.insert(name.to_owned(), number.into());
        }
    }
    if claims.get("email_verified").and_then(Value::as_str) == Some("true") {
        claims.insert("email_verified".to_owned(), true.into());
    }
}

/// Whether a refusal is about the token, and not about us or the way there (RFC 6750 §3.1).
fn blames_the_token(answer: &Answer) -> bool {
    const CODES: [&str; 2] = ["invalid_token", "insufficient_scope"];
    let challenge = answer.headers.get(header::WWW_AUTHENTICATE).and_then(|value| value.to_str().ok());
    let in_header = challenge.is_some_and(|text| CODES.iter().any(|code| text.contains(code)));
    let body: Option<Value> = serde_json::from_slice(&answer.body).ok();
    let error = body.as_ref().and_then(|body| body.get("error")).and_then(Value::as_str);
    in_header || error.is_some_and(|error| CODES.contains(&error))
}

/// RFC 6749 §2.3.1, RFC 7523 §2.2, RFC 8705 §2.1.
fn authenticate(
    config: &Config,
    client: Option<&Client>,
    form: &mut Form,
    headers: &mut HeaderMap,
    now: UnixTime,
) -> Result<(), Fault> {
    let Some(client) = client else { return Ok(()) };
    match &client.auth {
        ClientAuth::Basic(secret) => {
            // Both are form-encoded first: a colon in the identifier would else end it.
            let pair = Zeroizing::new(format!(
                "{}:{}",
                encoded(&client.id),
                &*Zeroizing::new(encoded(secret.expose_str().unwrap_or_default()))
            ));
            let value = Zeroizing::new(format!("Basic {}", &*Zeroizing::new(STANDARD.encode(&*pair))));
            headers.insert(header::AUTHORIZATION, sensitive(&value)?);
        }
        ClientAuth::Bearer(secret) => {
            headers.insert(header::AUTHORIZATION, bearer(secret)?);
        }
        ClientAuth::None | ClientAuth::Tls => form.add("client_id", &client.id),
        ClientAuth::Post(secret) => {
            form.add("client_id", &client.id);
            form.add("client_secret", secret.expose_str().unwrap_or_default());
        }
        ClientAuth::PrivateKey(key) => {
            let unusable = |_| Fault::Operator("our private key there cannot sign".to_owned());
            // It must be unique, and no secret.
            let unique = GrantId::generate();
            let assertion = key
                .sign(&json!({
                    "iss": client.id,
                    "sub": client.id,
                    "aud": &*config.url,
                    "jti": unique.to_string(),
                    "iat": now.0,
                    "exp": now.0.saturating_add(60),
                }))
                .map_err(unusable)?;
            form.add("client_id", &client.id);
            form.add("client_assertion_type", "urn:ietf:params:oauth:client-assertion-type:jwt-bearer");
            form.add("client_assertion", assertion.expose_str().unwrap_or_default());
        }
    }
    Ok(())
}

fn json_wanted() -> HeaderMap {
    HeaderMap::from_iter([(header::ACCEPT, HeaderValue::from_static("application/json"))])
}

fn bearer(token: &Secret) -> Result<HeaderValue, Fault> {
    sensitive(&Zeroizing::new(format!("Bearer {}", token.expose_str().unwrap_or_default())))
}

fn sensitive(text: &str) -> Result<HeaderValue, Fault> {
    let mut value = HeaderValue::from_str(text)
        .map_err(|_| Fault::Operator("a secret cannot stand in a header field".to_owned()))?;
    value.set_sensitive(true);
    Ok(value)
}

fn encoded(text: &str) -> String {
    form_urlencoded::byte_serialize(text.as_bytes()).collect()
}

/// A form that holds secrets.
#[derive(Default)]
pub(super) struct Form(Zeroizing<String>);

impl Form {
    pub(super) fn add(&mut self, name: &str, value: &str) {
        if !self.0.is_empty() {
            self.0.push('&');
        }
        self.0.push_str(name);
        self.0.push('=');
        self.0.extend(form_urlencoded::byte_serialize(value.as_bytes()));
    }

    fn finish(self) -> Secret {
        Secret::copy_of(self.0.as_bytes())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn identifier_and_secret_are_form_encoded_before_they_are_joined() {
        let mut config = Config::new("https://a.example", &["x"], &[]);
        let secret = Secret::copy_of("p:w d%ü".as_bytes());
        config.client = Some(Client { id: "id:1".to_owned(), auth: ClientAuth::Basic(secret) });
        let (mut form, mut headers) = (Form::default(), HeaderMap::new());
        authenticate(&config, config.client.as_ref(), &mut form, &mut headers, UnixTime(0)).unwrap();
        let value = headers[header::AUTHORIZATION].to_str().unwrap().to_owned();
        let decoded = STANDARD.decode(value.strip_prefix("Basic ").unwrap()).unwrap();
        assert_eq!(decoded, b"id%3A1:p%3Aw+d%25%C3%BC");
        assert!(headers[header::AUTHORIZATION].is_sensitive());
    }

    #[test]
    fn what_a_form_holds_cannot_become_another_field() {
        let mut form = Form::default();
        form.add("token", "a&client_id=b+c");
        form.add("x", "");
        assert_eq!(form.finish().expose(), b"token=a%26client_id%3Db%2Bc&x=");
    }
}
