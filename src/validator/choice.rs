//! Whose token it is, before anything in it is believed.

use std::sync::Arc;

use super::{
    Request, Validator,
    jwt::looks_like_jwt,
    trusted::{TrustedIssuer, Validate},
};
use crate::{
    model::{Login, Secret},
    token::{InvalidToken, OpaqueToken, unverified_claims},
};

/// Who decides about a token.
pub(super) enum Choice {
    Nobody(String),
    Outside(Arc<TrustedIssuer>),
    Own,
}

impl Validator {
    /// A token is shown to one issuer only: whoever gets another's token could use it.
    pub(super) fn choose(&self, token: &Secret, request: &Request<'_>) -> Choice {
        let own = |why: &str| if self.is_issuing { Choice::Own } else { Choice::Nobody(why.to_owned()) };
        match OpaqueToken::parse(token.expose()) {
            Ok(_) | Err(InvalidToken::Damaged) => return own("the built-in issuer is off"),
            Err(InvalidToken::Foreign) if self.trusted.is_empty() => return own("no issuer is trusted"),
            Err(InvalidToken::Foreign) => {}
        }
        if looks_like_jwt(token.expose()) {
            let claims = token.expose_str().and_then(|text| unverified_claims(text).ok());
            let Some(claims) = claims else { return own("it is neither a JWT nor anything else") };
            if let Some(iss) = claims.get("iss") {
                return self.named(iss.as_str().unwrap_or_default(), request);
            }
        }
        self.asked(request).unwrap_or_else(|| own("no issuer that is trusted here could be asked about it"))
    }

    fn named(&self, iss: &str, request: &Request<'_>) -> Choice {
        if self.is_issuing && *iss == *self.issuer {
            return Choice::Own;
        }
        let issuer = self.trusted.iter().find(|issuer| issuer.is_called(iss));
        match issuer {
            Some(issuer) if takes(issuer, request) => Choice::Outside(Arc::clone(issuer)),
            Some(_) => Choice::Nobody(format!("tokens of {iss} are not taken at this listener or name")),
            None => Choice::Nobody(format!("{iss} is no trusted issuer")),
        }
    }

    /// The one issuer that can be asked about a token that says nothing of itself.
    fn asked(&self, request: &Request<'_>) -> Option<Choice> {
        let login = request.authzid.and_then(|authzid| Login::parse(authzid).ok());
        let mut fitting = self.trusted.iter().filter(|issuer| {
            issuer.config().validate != Validate::Jwt
                && takes(issuer, request)
                && login.as_ref().is_none_or(|login| issuer.speaks_for(login))
        });
        let first = fitting.next()?;
        if fitting.next().is_some() {
            let why = "several issuers could have made it, and no user is named whose domain would tell";
            return Some(Choice::Nobody(why.to_owned()));
        }
        Some(Choice::Outside(Arc::clone(first)))
    }
}

/// Whether tokens of the issuer are taken where the client has come in.
fn takes(issuer: &TrustedIssuer, request: &Request<'_>) -> bool {
    let config = issuer.config();
    let by_name = config.sni.is_empty()
        || request.sni.is_some_and(|sni| config.sni.iter().any(|name| name.eq_ignore_ascii_case(sni)));
    let by_listener = config.listeners.is_empty()
        || request.listener.is_some_and(|listener| config.listeners.contains(&listener));
    by_name && by_listener
}
