use serde::{Deserialize, Serialize};

use super::page::{Answer, LeavePage, Page, Redirect, RedirectMode};
use crate::{
    issuer::{Client, Issuer, OAuthError, RedirectUri, Standing},
    model::Secret,
};

/// How the answer travels (OAuth 2.0 Multiple Response Types §2.1, Form Post Response Mode).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(super) enum ResponseMode {
    #[default]
    Query,
    FormPost,
}

impl ResponseMode {
    pub(super) fn from_name(name: &str) -> Option<Self> {
        match name {
            "query" => Some(Self::Query),
            "form_post" => Some(Self::FormPost),
            _ => None,
        }
    }
}

/// Where an answer goes, and what it must carry.
pub(super) struct WayBack {
    pub(super) redirect: RedirectUri,
    pub(super) mode: ResponseMode,
    pub(super) state: Option<String>,
}

impl Issuer {
    /// The answer with a code (RFC 6749 §4.1.2, RFC 9207 §2).
    pub(super) fn with_code(&self, way: &WayBack, code: &Secret) -> Redirect {
        let code = code.expose_str().unwrap_or_default().to_owned();
        self.back(way, vec![("code".to_owned(), code)])
    }

    /// The answer with an error (RFC 6749 §4.1.2.1, RFC 9207 §2).
    pub(super) fn with_error(&self, way: &WayBack, error: &OAuthError) -> Redirect {
        let pairs = [("error", error.code.as_str()), ("error_description", &*error.description)];
        self.back(way, pairs.map(|(name, value)| (name.to_owned(), value.to_owned())).into())
    }

    /// The answer with an error where nobody has signed in: anyone can register a client, and then this server
    /// would send its visitors wherever they like (RFC 9700 §4.11.2). So the person is asked first, unless
    /// somebody vouches for the client or the way leads nowhere else.
    pub(super) fn refuse(&self, client: &Client, way: &WayBack, error: &OAuthError) -> Answer {
        let redirect = self.with_error(way, error);
        if client.standing != Standing::SelfRegistered || way.redirect.is_local() {
            return Answer::Redirect(redirect);
        }
        Answer::Page(Page::Leave(LeavePage {
            host: way.redirect.host().to_owned(),
            description: error.description.to_string(),
            redirect,
        }))
    }

    /// Every answer names the issuer, so that a client which talks to several notices when one answers in the
    /// place of another.
    fn back(&self, way: &WayBack, mut pairs: Vec<(String, String)>) -> Redirect {
        pairs.extend(way.state.clone().map(|state| ("state".to_owned(), state)));
        pairs.push(("iss".to_owned(), self.config.url.to_string()));
        let uri = way.redirect.as_str();
        match way.mode {
            ResponseMode::FormPost => Redirect { uri: uri.to_owned(), mode: RedirectMode::FormPost(pairs) },
            ResponseMode::Query => {
                let query = form_urlencoded::Serializer::new(String::new()).extend_pairs(pairs).finish();
                let joint = match uri.split_once('?') {
                    None => "?",
                    Some((_, "")) => "",
                    Some((_, own)) if own.ends_with('&') => "",
                    Some(_) => "&",
                };
                Redirect { uri: format!("{uri}{joint}{query}"), mode: RedirectMode::Query }
            }
        }
    }
}
