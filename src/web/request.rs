//! Reads requests: bodies within their limits, secrets straight into [`Secret`].

use std::{sync::Arc, time::Duration};

use axum::{
    body::{Body, HttpBody as _},
    extract::Request,
    http::{HeaderMap, StatusCode, header, uri::Authority},
};
use http_body_util::BodyExt;
use tokio::time::timeout;
use zeroize::Zeroizing;

use super::{
    guard::Limits,
    messages::Messages,
    pages::{ACCOUNT_COOKIE, COOKIE, LANGUAGE_COOKIE},
};
use crate::{
    issuer::{Call, Caller, ErrorCode, OAuthError, Params},
    model::{Secret, UnixTime},
};

/// Largest form, in octets.
const FORM: usize = 64 * 1024;
/// Largest JSON document, in octets.
const DOCUMENT: usize = 16 * 1024;
/// Parameters that hold a secret. An address is kept in logs and histories, so there they are refused (RFC 6750
/// §5.3, RFC 9700 §4.3).
const SECRETS: [&str; 10] = [
    "access_token",
    "assertion",
    "client_assertion",
    "client_secret",
    "code",
    "code_verifier",
    "device_code",
    "password",
    "refresh_token",
    "token",
];

/// A request that is not looked at any further.
#[derive(Debug)]
pub(super) struct Problem {
    pub(super) status: StatusCode,
    pub(super) error: OAuthError,
}

impl Problem {
    fn new(status: StatusCode, description: &'static str) -> Self {
        Self { status, error: OAuthError::new(ErrorCode::InvalidRequest, description) }
    }
}

impl From<OAuthError> for Problem {
    fn from(error: OAuthError) -> Self {
        Self { status: StatusCode::BAD_REQUEST, error }
    }
}

/// The header `Authorization`, taken out of the request.
#[derive(Clone, Debug, Default)]
enum Authorization {
    #[default]
    Absent,
    One(Arc<Secret>),
    Several,
}

/// Moves the header `Authorization` to where nothing prints it.
pub(super) fn take_authorization(request: &mut Request) {
    let headers = request.headers_mut();
    let mut values = headers.get_all(header::AUTHORIZATION).iter();
    let authorization = match (values.next(), values.next()) {
        (None, _) => Authorization::Absent,
        (Some(value), None) => Authorization::One(Arc::new(Secret::copy_of(value.as_bytes()))),
        (Some(_), Some(_)) => Authorization::Several,
    };
    headers.remove(header::AUTHORIZATION);
    request.extensions_mut().insert(authorization);
}

/// A request of a client, without its body.
pub(super) struct Head {
    pub(super) caller: Arc<Caller>,
    pub(super) authorization: Option<Arc<Secret>>,
    media_type: Option<String>,
}

impl Head {
    /// Splits a request.
    pub(super) fn of(request: Request) -> Result<(Self, Body), Problem> {
        let (mut parts, body) = request.into_parts();
        if has_secret(parts.uri.query().unwrap_or_default()) {
            return Err(Problem::new(
                StatusCode::BAD_REQUEST,
                "the address holds a secret, which belongs into a header or the body",
            ));
        }
        let authorization = match parts.extensions.remove::<Authorization>().unwrap_or_default() {
            Authorization::Absent => None,
            Authorization::One(value) => Some(value),
            Authorization::Several => {
                return Err(Problem::new(
                    StatusCode::BAD_REQUEST,
                    "the header Authorization may come only once",
                ));
            }
        };
        let caller = parts.extensions.remove::<Arc<Caller>>().ok_or_else(|| {
            Problem::new(StatusCode::INTERNAL_SERVER_ERROR, "the address of the client is not known")
        })?;
        let head = Self { caller, authorization, media_type: media_type(&parts.headers) };
        Ok((head, body))
    }

    /// The token of `Authorization: Bearer` (RFC 6750 §2.1).
    pub(super) fn bearer(&self) -> Option<Secret> {
        let (scheme, token) = self.authorization.as_ref()?.expose().split_at_checked(7)?;
        let is_bearer = scheme.eq_ignore_ascii_case(b"bearer ");
        is_bearer.then(|| Secret::copy_of(token.trim_ascii()))
    }

    pub(super) fn is_form(&self) -> bool {
        self.media_type.as_deref() == Some("application/x-www-form-urlencoded")
    }

    fn is_json(&self) -> bool {
        self.media_type.as_deref() == Some("application/json")
    }
}

/// A form, and who sent it.
pub(super) struct Form {
    pub(super) head: Head,
    pub(super) params: Params,
}

impl Form {
    /// Reads a form body.
    pub(super) async fn read(request: Request, limits: &Limits) -> Result<Self, Problem> {
        let (head, body) = Head::of(request)?;
        Self::read_body(head, body, limits).await
    }

    pub(super) async fn read_body(head: Head, body: Body, limits: &Limits) -> Result<Self, Problem> {
        if !head.is_form() {
            return Err(Problem::new(
                StatusCode::BAD_REQUEST,
                "the body must be application/x-www-form-urlencoded, and the header Content-Type say so",
            ));
        }
        let octets = octets(body, FORM, limits.body).await?;
        Ok(Self { head, params: Params::parse(&octets)? })
    }

    /// What the issuer needs of it.
    pub(super) fn call(&self, now: UnixTime) -> Call<'_> {
        Call {
            params: &self.params,
            authorization: self.head.authorization.as_deref(),
            caller: &self.head.caller,
            now,
        }
    }
}

/// Reads a JSON document, as octets.
pub(super) async fn document(
    head: &Head,
    body: Body,
    limits: &Limits,
) -> Result<Zeroizing<Vec<u8>>, Problem> {
    if !head.is_json() {
        return Err(Problem::new(
            StatusCode::BAD_REQUEST,
            "the body must be application/json, and the header Content-Type say so",
        ));
    }
    octets(body, DOCUMENT, limits.body).await
}

/// Reads a body of at most `limit` octets.
pub(super) async fn octets(
    mut body: Body,
    limit: usize,
    time: Duration,
) -> Result<Zeroizing<Vec<u8>>, Problem> {
    let too_large = || Problem::new(StatusCode::PAYLOAD_TOO_LARGE, "the body is too large");
    let announced = usize::try_from(body.size_hint().lower()).unwrap_or(usize::MAX);
    if announced > limit {
        return Err(too_large());
    }
    // Never grown, so that no copy of a secret is left behind.
    let room = if body.size_hint().exact().is_some() { announced } else { limit };
    let mut octets = Zeroizing::new(Vec::with_capacity(room));
    let read = async {
        while let Some(frame) = body.frame().await {
            let frame =
                frame.map_err(|_| Problem::new(StatusCode::BAD_REQUEST, "the body came to no end"))?;
            let Ok(data) = frame.into_data() else { continue };
            if octets.len() + data.len() > room {
                return Err(too_large());
            }
            octets.extend_from_slice(&data);
        }
        Ok(())
    };
    match timeout(time, read).await {
        Ok(Ok(())) => Ok(octets),
        Ok(Err(problem)) => Err(problem),
        Err(_) => Err(Problem::new(StatusCode::REQUEST_TIMEOUT, "the body came too slowly")),
    }
}

/// The media type without parameters, in lower case; `None` when there is none or more than one.
fn media_type(headers: &HeaderMap) -> Option<String> {
    let mut values = headers.get_all(header::CONTENT_TYPE).iter();
    let value = values.next().filter(|_| values.next().is_none())?.to_str().ok()?;
    let essence = value.split(';').next().unwrap_or_default();
    Some(essence.trim().to_ascii_lowercase())
}

fn has_secret(query: &str) -> bool {
    form_urlencoded::parse(query.as_bytes()).any(|(name, _)| SECRETS.contains(&&*name))
}

/// What the headers of a browser tell.
pub(super) struct Visit {
    pub(super) messages: &'static Messages,
    /// The value of the cookie.
    pub(super) browser: Option<Secret>,
    /// The value of the cookie of whoever is signed in to the account page.
    pub(super) account: Option<Secret>,
    /// Whether the request may have been sent by a page of this server.
    pub(super) is_ours: bool,
}

impl Visit {
    pub(super) fn of(request: &Request) -> Self {
        let headers = request.headers();
        let languages = headers.get(header::ACCEPT_LANGUAGE).and_then(|value| value.to_str().ok());
        let chosen = cookie(headers, LANGUAGE_COOKIE);
        let chosen = chosen.as_ref().and_then(Secret::expose_str).and_then(Messages::named);
        Self {
            messages: chosen.unwrap_or_else(|| Messages::of_header(languages.unwrap_or_default())),
            browser: cookie(headers, COOKIE),
            account: cookie(headers, ACCOUNT_COOKIE),
            is_ours: is_ours(headers, request.uri().authority()),
        }
    }

    /// With the language that a client or a page of ours asks for, if it is here.
    #[must_use]
    pub(super) fn in_language(mut self, messages: Option<&'static Messages>) -> Self {
        self.messages = messages.unwrap_or(self.messages);
        self
    }
}

fn cookie(headers: &HeaderMap, name: &str) -> Option<Secret> {
    headers
        .get_all(header::COOKIE)
        .iter()
        .flat_map(|value| value.as_bytes().split(|octet| *octet == b';'))
        .find_map(|pair| pair.trim_ascii().strip_prefix(name.as_bytes())?.strip_prefix(b"="))
        .map(Secret::copy_of)
}

/// Whether another site has sent this: what the browser says of it counts, where it says something.
///
/// `Sec-Fetch-Site` goes first. From a page without referrer, as ours are, a browser sends `Origin: null`, which then
/// tells nothing (Fetch §3.2); there the cookie alone decides, which another site's form does not bring along.
fn is_ours(headers: &HeaderMap, authority: Option<&Authority>) -> bool {
    if let Some(site) = headers.get("sec-fetch-site") {
        return site == "same-origin" || site == "none";
    }
    let Some(origin) = headers.get(header::ORIGIN) else { return true };
    let host = authority.map(Authority::as_str).map(str::as_bytes);
    let host = host.or_else(|| headers.get(header::HOST).map(|host| host.as_bytes()));
    origin == "null" || origin.as_bytes().strip_prefix(b"https://").is_some_and(|origin| Some(origin) == host)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn headers(pairs: &[(&'static str, &str)]) -> HeaderMap {
        let mut headers = HeaderMap::new();
        for (name, value) in pairs {
            headers.append(*name, value.parse().expect("a header"));
        }
        headers
    }

    #[test]
    fn what_the_browser_says_of_the_sender_counts() {
        for (pairs, expected) in [
            (&[][..], true),
            (&[("origin", "https://a.example")], true),
            (&[("origin", "https://a.example:443")], false),
            (&[("origin", "http://a.example")], false),
            (&[("origin", "https://b.example")], false),
            (&[("origin", "https://a.example.b.example")], false),
            (&[("origin", "null")], true),
            (&[("origin", "null"), ("sec-fetch-site", "cross-site")], false),
            (&[("origin", "null"), ("sec-fetch-site", "same-origin")], true),
            (&[("origin", "https://a.example"), ("sec-fetch-site", "same-site")], false),
            (&[("sec-fetch-site", "none")], true),
        ] {
            let mut all = headers(pairs);
            all.insert("host", "a.example".parse().unwrap());
            assert_eq!(is_ours(&all, None), expected, "{pairs:?}");
        }
        let origin = headers(&[("origin", "https://a.example:8443")]);
        assert!(is_ours(&origin, Some(&"a.example:8443".parse().unwrap())));
        assert!(!is_ours(&origin, None));
    }

    #[test]
    fn the_cookie_is_found_among_others() {
        let value = |pairs: &[(&'static str, &str)]| {
            cookie(&headers(pairs), COOKIE).map(|secret| secret.expose_str().unwrap().to_owned())
        };
        assert_eq!(value(&[("cookie", "a=b; __Host-bearward-browser=x; c=d")]).as_deref(), Some("x"));
        assert_eq!(
            value(&[("cookie", "a=b"), ("cookie", "__Host-bearward-browser=y")]).as_deref(),
            Some("y")
        );
        assert_eq!(value(&[("cookie", "x__Host-bearward-browser=y; __Host-bearward-browser2=z")]), None);
    }

    #[test]
    fn a_media_type_is_read_without_its_parameters() {
        let of = |value: &str| media_type(&headers(&[("content-type", value)]));
        assert_eq!(of("Application/JSON; charset=utf-8").as_deref(), Some("application/json"));
        assert_eq!(media_type(&headers(&[("content-type", "a/b"), ("content-type", "a/b")])), None);
    }

    #[test]
    fn a_secret_in_the_address_is_seen_through_encoding() {
        assert!(has_secret("a=b&access%5Ftoken=x"));
        assert!(has_secret("token"));
        assert!(!has_secret("tokens=x&user_code=WDJB-MJHT"));
    }
}
