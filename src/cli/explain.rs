use std::path::Path;

use base64::prelude::{BASE64_STANDARD, Engine};
use zeroize::Zeroizing;

use super::{
    Failure, Output,
    arguments::Explain,
    open,
    table::{table, utc},
};
use crate::{
    app::{self, Config},
    model::{Mechanism, Outcome, Protocol, Secret, UnixTime},
    proto::{
        Credentials,
        sasl::{SaslStep, ServerExchange},
    },
    telemetry::Clean,
    upstream::Login,
    validator::{Explanation, Presented, Request, Step, StepResult, Validator},
};

/// `explain`: the decision that a token or a SASL response would get.
pub(super) async fn run(command: Explain, file: Option<&Path>, output: Output) -> Result<(), Failure> {
    let config = open::load(file)?;
    let request = Request { client: command.client_ip, ..Request::new(command.protocol) };
    let explanation = match (command.presented.token, command.presented.sasl) {
        (Some(token), _) => decide(&config, &argument(token)?, &request).await?,
        (None, sasl) => {
            let response = argument(sasl.unwrap_or_default())?;
            let (step, credentials) = read(response.expose(), config.limits.sasl_response);
            match credentials {
                Ok(Credentials::Bearer { token, authzid }) => {
                    let request = Request { authzid: authzid.as_deref(), ..request };
                    let mut decided = decide(&config, &token, &request).await?;
                    decided.steps.insert(0, step);
                    decided
                }
                Ok(Credentials::Password { authzid, login, password }) => {
                    let request = Request { authzid: authzid.as_deref(), ..request };
                    let presented = Presented { login: &login, password: &password };
                    let mut decided = decide_password(&config, &presented, &request).await?;
                    decided.steps.insert(0, step);
                    decided
                }
                Err(()) => refusal(Outcome::ProtocolError, vec![step]),
            }
        }
    };
    print(&explanation, output);
    Ok(())
}

async fn decide(config: &Config, token: &Secret, request: &Request<'_>) -> Result<Explanation, Failure> {
    let mut explanation = validator(config).await?.explain(token, request, UnixTime::now()).await;
    if explanation.outcome == Outcome::Ok {
        add_route(config, request.protocol, &mut explanation).await;
    }
    Ok(explanation)
}

/// The same for a password. Whether a mailbox password is right would have to be tried, and that counts.
async fn decide_password(
    config: &Config,
    presented: &Presented<'_>,
    request: &Request<'_>,
) -> Result<Explanation, Failure> {
    let policy = &config.session.passwords;
    if !policy.takes_any() {
        let refused = bad("passwords", "passwords.mode lets no password in".to_owned());
        return Ok(refusal(Outcome::Policy, vec![refused]));
    }
    let validator = validator(config).await?;
    let mut explanation = validator.explain_password(presented, request, UnixTime::now()).await;
    if explanation.outcome == Outcome::Ok {
        add_route(config, request.protocol, &mut explanation).await;
    } else if explanation.user.is_none() && policy.takes_mailbox_passwords() {
        let detail = "it is no app password that is known; where passwords.mode = \"backend\" the mail server is asked";
        explanation.steps.push(bad("passwords", detail.to_owned()));
    }
    Ok(explanation)
}

/// `token inspect`: the same for a protocol that the token is for.
pub(super) async fn inspect(config: &Config, token: &str, output: Output) -> Result<(), Failure> {
    let token = argument(token.to_owned())?;
    let validator = validator(config).await?;
    let mut first = None;
    for protocol in Protocol::ALL {
        let request = Request::new(protocol);
        let explanation = validator.explain(&token, &request, UnixTime::now()).await;
        if explanation.outcome != Outcome::InsufficientScope {
            print(&explanation, output);
            return Ok(());
        }
        first.get_or_insert(explanation);
    }
    if let Some(explanation) = first {
        print(&explanation, output);
    }
    Ok(())
}

/// A secret as an argument; `-` reads it from standard input, where no list of processes shows it.
fn argument(secret: String) -> Result<Secret, Failure> {
    if secret == "-" { open::secret_from_stdin() } else { Ok(Secret::from(secret)) }
}

async fn validator(config: &Config) -> Result<Validator, Failure> {
    let (store, key) = open::store(config).await?;
    app::lone_validator(config, &store, key).map_err(Failure::failed)
}

/// Where the session would go, for a token that is good.
async fn add_route(config: &Config, protocol: Protocol, explanation: &mut Explanation) {
    let Some(user) = explanation.mailbox.as_ref().or(explanation.user.as_ref()) else { return };
    let backends = match open::backends_of(config, user).await {
        Ok(backends) => backends,
        Err(failure) => {
            explanation.outcome = Outcome::BackendUnreachable;
            explanation.steps.push(bad("route", failure.message().to_owned()));
            return;
        }
    };
    let backends: Vec<String> = backends
        .into_iter()
        .filter(|backend| backend.servers.iter().any(|server| server.protocol == protocol))
        .map(|backend| format!("{} ({})", backend.name, login(&backend.login)))
        .collect();
    if backends.is_empty() {
        explanation.outcome = Outcome::Policy;
        explanation.steps.push(bad("route", format!("no route leads {user} to a server for {protocol}")));
    } else {
        explanation.steps.push(good("route", format!("to backend {}", backends.join(" or "))));
    }
}

const fn login(login: &Login) -> &'static str {
    match login {
        Login::Authzid(_) => "login authzid",
        Login::Bearer(_) => "login bearer",
        Login::External => "login external",
        Login::Master { .. } => "login master",
        Login::Sealed => "login sealed",
        Login::Secret(_) => "login secret",
        Login::Trusted => "login trusted",
        Login::Xclient => "login xclient",
    }
}

/// Reads a SASL response as a listener would.
fn read(response: &[u8], limit: usize) -> (Step, Result<Credentials, ()>) {
    let mechanism = mechanism(response);
    let (mut exchange, mut step) = ServerExchange::start(mechanism, Some(response), limit);
    if exchange.awaits_dummy_response() {
        step = exchange.dummy_response_timed_out();
    }
    let failed = |why: &str| (bad("sasl", format!("{mechanism}: {why}")), Err(()));
    match step {
        SaslStep::Attempt(credentials) => {
            (good("sasl", format!("{mechanism}: the response is well formed")), Ok(credentials))
        }
        SaslStep::Cancelled | SaslStep::Challenge(_) | SaslStep::Failed(_) => {
            failed("this is no whole response")
        }
        SaslStep::Malformed(why) => failed(why),
        SaslStep::TooLong => failed("it is longer than limits.sasl_response"),
    }
}

/// The mechanism whose message this looks like; a client would have named it.
fn mechanism(response: &[u8]) -> Mechanism {
    let message = Zeroizing::new(BASE64_STANDARD.decode(response).unwrap_or_default());
    if message.starts_with(b"user=") {
        Mechanism::XOAuth2
    } else if message.contains(&0) && !message.contains(&1) {
        Mechanism::Plain
    } else {
        Mechanism::OAuthBearer
    }
}

const fn good(step: &'static str, detail: String) -> Step {
    Step { step, result: StepResult::Ok, detail }
}

const fn bad(step: &'static str, detail: String) -> Step {
    Step { step, result: StepResult::Failed, detail }
}

/// A decision that fell before any token was looked at.
const fn refusal(outcome: Outcome, steps: Vec<Step>) -> Explanation {
    Explanation {
        outcome,
        user: None,
        mailbox: None,
        client_id: None,
        grant_id: None,
        scope: None,
        expires_at: None,
        steps,
    }
}

fn print(explanation: &Explanation, output: Output) {
    if output.json {
        output.document(explanation);
        return;
    }
    let row = |step: &Step| {
        let result = match step.result {
            StepResult::Failed => "failed",
            StepResult::Ok => "ok",
        };
        // What a stranger sent must not steer the terminal.
        [step.step.to_owned(), result.to_owned(), Clean(&step.detail).to_string()]
    };
    let mut text =
        table(["step", "result", "detail"], &explanation.steps.iter().map(row).collect::<Vec<_>>());
    let facts = [
        ("outcome", Some(explanation.outcome.to_string())),
        ("user", explanation.user.as_ref().map(ToString::to_string)),
        ("mailbox", explanation.mailbox.as_ref().map(ToString::to_string)),
        ("client", explanation.client_id.as_ref().map(ToString::to_string)),
        ("grant", explanation.grant_id.as_ref().map(ToString::to_string)),
        ("scope", explanation.scope.as_ref().map(ToString::to_string)),
        ("expires", explanation.expires_at.map(|at| utc(at.0))),
    ];
    for (name, value) in facts {
        if let Some(value) = value {
            text.push_str(&format!("{name}: {value}\n"));
        }
    }
    output.text(&text);
}
