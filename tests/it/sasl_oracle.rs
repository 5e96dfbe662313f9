//! Another implementation of SASL, as judge of both sides.
#![allow(clippy::wildcard_enum_match_arm, reason = "the arm is a failure")]

use std::{io::Cursor, sync::Mutex};

use base64::{Engine as _, engine::general_purpose::STANDARD};
use bearward::{
    model::{Mechanism, Secret, SessionId},
    proto::{
        Credentials, Refusal, RefusalKind,
        sasl::{
            SaslStep, ServerExchange, login_response, oauthbearer_response, plain_response, xoauth2_response,
        },
    },
};
use rsasl::{
    callback::{Context, Request, SessionCallback, SessionData},
    mechanisms::{
        oauthbearer::properties::{OAuthBearerErrored, OAuthBearerValidate},
        xoauth2::properties::{XOAuth2Error, XOAuth2Validate},
    },
    prelude::{Mechname, SASLClient, SASLConfig, SASLServer, SessionError, State, Validation},
    property::{AuthId, AuthzId, OAuthBearerKV, OAuthBearerToken, Password},
    validate::{Validate, ValidationError},
};

const LIMIT: usize = 16 * 1024;
const NAME: &str = "alice@example.org";
const TOKEN: &str = "ya29.vF9dft4qmTc2Nvb3RlckBhdHRhdmlzdGEuY29tCg==";

/// What the other client knows, and what the error challenge told it.
struct OtherClient {
    authzid: Option<&'static str>,
    told: &'static Mutex<Vec<String>>,
}

impl SessionCallback for OtherClient {
    fn callback(
        &self,
        _session: &SessionData,
        _context: &Context<'_>,
        request: &mut Request<'_>,
    ) -> Result<(), SessionError> {
        if let Some(error) = request.get_action::<OAuthBearerErrored>() {
            self.told.lock().unwrap().push(format!("{} {:?}", error.status, error.scope));
            return Ok(());
        }
        if let Some(error) = request.get_action::<XOAuth2Error>() {
            self.told.lock().unwrap().push(error.to_owned());
            return Ok(());
        }
        if let Some(authzid) = self.authzid {
            request.satisfy::<AuthzId>(authzid)?;
        }
        request
            .satisfy::<AuthId>(NAME)?
            .satisfy::<Password>(b"secret")?
            .satisfy::<OAuthBearerToken>(TOKEN)?
            .satisfy::<OAuthBearerKV>(&[("host", "imap.example.org"), ("port", "993")])?;
        Ok(())
    }
}

/// Signs in with the other client, is refused, and gives what was attempted and what the client was told.
fn sign_in(mechanism: Mechanism, authzid: Option<&'static str>) -> (Credentials, Vec<String>) {
    let told: &'static Mutex<Vec<String>> = Box::leak(Box::default());
    let config = SASLConfig::builder().with_defaults().with_callback(OtherClient { authzid, told }).unwrap();
    let name = Mechname::parse(mechanism.as_str().as_bytes()).unwrap();
    let mut client = SASLClient::new(config).start_suggested(&[name]).unwrap();
    let (mut server, mut step) = ServerExchange::start(mechanism, None, LIMIT);
    let mut attempt = None;
    for _ in 0..5 {
        match step {
            SaslStep::Challenge(text) => {
                let mut line = Cursor::new(Vec::new());
                let input = (!text.is_empty()).then(|| STANDARD.decode(text).unwrap());
                client.step(input.as_deref(), &mut line).unwrap();
                step = server.receive(STANDARD.encode(line.get_ref()).as_bytes(), false);
            }
            SaslStep::Attempt(credentials) => {
                attempt = Some(credentials);
                step = server.refuse(Refusal {
                    kind: RefusalKind::InsufficientScope,
                    scope: "mail".into(),
                    openid_configuration: None,
                    session: SessionId::new(7),
                });
            }
            SaslStep::Failed(_) => break,
            other => panic!("{other:?}"),
        }
    }
    (attempt.unwrap(), told.lock().unwrap().clone())
}

#[test]
fn another_client_signs_in_and_understands_the_error_challenge() {
    for authzid in [None, Some("alice@example.org")] {
        let (attempt, told) = sign_in(Mechanism::OAuthBearer, authzid);
        let Credentials::Bearer { token, authzid: read } = attempt else { panic!() };
        assert_eq!((token.expose_str(), read.as_deref()), (Some(TOKEN), authzid));
        assert_eq!(told, ["insufficient_scope Some(\"mail\")"]);
    }
    let (attempt, told) = sign_in(Mechanism::XOAuth2, None);
    let Credentials::Bearer { token, authzid } = attempt else { panic!() };
    assert_eq!((token.expose_str(), authzid.as_deref()), (Some(TOKEN), Some(NAME)));
    assert_eq!(told, [r#"{"status":"403","schemes":"bearer","scope":"mail"}"#]);
}

#[test]
fn another_client_signs_in_with_a_password() {
    for mechanism in [Mechanism::Plain, Mechanism::Login] {
        let authzid = (mechanism == Mechanism::Plain).then_some("victim@example.org");
        let (attempt, _) = sign_in(mechanism, authzid);
        let Credentials::Password { authzid: read, login, password } = attempt else { panic!() };
        assert_eq!((read.as_deref(), &*login, password.expose_str()), (authzid, NAME, Some("secret")));
    }
}

/// What the other server read: identity, name, and password or token.
struct Read;

impl Validation for Read {
    type Value = (Option<String>, Option<String>, Vec<u8>);
}

struct OtherServer;

impl SessionCallback for OtherServer {
    fn callback(
        &self,
        _session: &SessionData,
        _context: &Context<'_>,
        request: &mut Request<'_>,
    ) -> Result<(), SessionError> {
        if request.is::<OAuthBearerValidate>() {
            request.satisfy::<OAuthBearerValidate>(&Ok(()))?;
        }
        if request.is::<XOAuth2Validate>() {
            request.satisfy::<XOAuth2Validate>(&Ok(()))?;
        }
        Ok(())
    }

    fn validate(
        &self,
        _session: &SessionData,
        context: &Context<'_>,
        validate: &mut Validate<'_>,
    ) -> Result<(), ValidationError> {
        validate.with::<Read, _>(|| {
            let token = context.get_ref::<OAuthBearerToken>().map(str::as_bytes);
            let secret = token.or_else(|| context.get_ref::<Password>()).unwrap_or_default();
            Ok((
                context.get_ref::<AuthzId>().map(str::to_owned),
                context.get_ref::<AuthId>().map(str::to_owned),
                secret.to_vec(),
            ))
        })?;
        Ok(())
    }
}

fn read_by_other_server(mechanism: Mechanism, lines: &[Secret]) -> (Option<String>, Option<String>, Vec<u8>) {
    let config = SASLConfig::builder().with_defaults().with_callback(OtherServer).unwrap();
    let name = Mechname::parse(mechanism.as_str().as_bytes()).unwrap();
    let mut server = SASLServer::<Read>::new(config).start_suggested(name).unwrap();
    if mechanism == Mechanism::Login {
        server.step(None, &mut Cursor::new(Vec::new())).unwrap();
    }
    let mut last = State::Running;
    for line in lines {
        let message = STANDARD.decode(line.expose()).unwrap();
        last = server.step(Some(&message), &mut Cursor::new(Vec::new())).unwrap();
    }
    assert!(last.is_finished());
    server.validation().unwrap()
}

#[test]
fn another_server_reads_what_the_client_side_writes() {
    let name = Some(NAME.to_owned());
    let secret = Secret::copy_of(b"secret");
    let token = Secret::copy_of(TOKEN.as_bytes());
    assert_eq!(
        read_by_other_server(Mechanism::Plain, &[plain_response("victim", NAME, &secret)]),
        (Some("victim".into()), name.clone(), b"secret".to_vec())
    );
    assert_eq!(
        read_by_other_server(
            Mechanism::Login,
            &[login_response(NAME.as_bytes()), login_response(secret.expose())]
        ),
        (None, name.clone(), b"secret".to_vec())
    );
    assert_eq!(
        read_by_other_server(Mechanism::OAuthBearer, &[oauthbearer_response(Some(NAME), &token)]),
        // It gives the whole value of `auth`, scheme included.
        (name.clone(), None, format!("Bearer {TOKEN}").into_bytes())
    );
    assert_eq!(
        read_by_other_server(Mechanism::XOAuth2, &[xoauth2_response(NAME, &token)]),
        (None, name, TOKEN.into())
    );
}
