use super::{
    details::CodeDetails,
    page::{Answer, ConsentPage, Page, PageError, Redirect},
    reply::WayBack,
    request::Request,
    sign_in::{client_name, error, fault, is_fresh, is_vouched_for, unavailable},
    state::{Asked, Browser, CodeText, ConsentState, Octets, Place, Prepared, PreparedCode},
};
use crate::{
    directory::Verified,
    issuer::{AccessTokenFormat, Client, ErrorCode, Issuer, OAuthError},
    model::{CredentialKind, GrantId, Login, Secret, TokenHash, TokenKind, UnixTime},
    store::{EphemeralKind, NewCode, NewGrant, SealedCredential, StoreError},
    token::{CryptoError, GrantKey, GrantPublicKey, OpaqueToken, SealContext},
};

/// What a refused request leaves behind, so that it is not allowed afterwards.
const DENIED: &[u8] = b"denied";

/// Who has signed in, and how.
pub(super) struct Person<'a> {
    pub(super) user: Login,
    /// The mailbox password; empty where none was needed, and then nothing is to be sealed.
    pub(super) password: &'a Secret,
    pub(super) verified: Verified,
    /// When they proved who they are.
    pub(super) auth_time: UnixTime,
}

impl Issuer {
    /// After the right password: the consent page, or the end, where consent is remembered.
    pub(super) async fn signed_in(
        &self,
        client: Option<&Client>,
        asked: Asked,
        person: Person<'_>,
        browser: &Browser,
        now: UnixTime,
    ) -> Answer {
        let (client, request) = match (client, asked) {
            (_, Asked::Account(request)) => return self.account_signed_in(&request, person, now).await,
            (None, _) => return no_way_back(),
            (Some(client), Asked::Client(request)) => (client, request),
            (Some(client), Asked::Device(request)) => {
                return self.device_signed_in(client, request, person, browser, now).await;
            }
        };
        let Some(way) = request.way_back(client) else { return no_way_back() };
        if opens_nothing(client, &person.verified) {
            return Answer::Redirect(self.with_error(&way, &sealed_jwt()));
        }
        let (prepared, sealed) = match self.prepare(request, &person) {
            Ok(prepared) => prepared,
            Err(error) => return fault(error),
        };
        let scope = prepared.request.scope.clone();
        let is_remembered = self.is_remembered(client, &prepared.request, &person.user).await;
        let prepared = Prepared::Code(Box::new(prepared));
        let state =
            ConsentState { user: person.user, auth_time: person.auth_time, asked_at: now, sealed, prepared };
        match (is_remembered, &state.prepared) {
            (Ok(true), Prepared::Code(prepared)) => return self.allow(client, &state, prepared, now).await,
            (Err(store), _) => return unavailable(&store),
            (Ok(_), _) => {}
        }
        let page = ConsentPage {
            state: String::new(),
            user: state.user.clone(),
            client_name: client_name(client),
            is_vouched_for: is_vouched_for(client),
            redirect_host: Some(way.redirect.host().to_owned()),
            is_local: way.redirect.is_local(),
            scope,
            device: None,
            form_target: Some(way.redirect.form_target()),
        };
        self.consent_page(page, &state, browser)
    }

    pub(super) fn consent_page(&self, page: ConsentPage, state: &ConsentState, browser: &Browser) -> Answer {
        match browser.seal(Place::Consent, state, &self.server_key) {
            Ok(state) => Answer::Page(Page::Consent(ConsentPage { state, ..page })),
            Err(error) => fault(error),
        }
    }

    /// The answer to the consent page: whether the client may. `browser` is the value of the browser cookie.
    pub async fn decide(&self, state: &str, allow: bool, browser: Option<&Secret>, now: UnixTime) -> Answer {
        let Some(browser) = Browser::of_cookie(browser) else { return error(PageError::Stale) };
        let opened: Option<ConsentState> = browser.open(Place::Consent, state, &self.server_key);
        let Some(state) = opened.filter(|state| is_fresh(state.asked_at, now)) else {
            return error(PageError::Stale);
        };
        let prepared = match &state.prepared {
            Prepared::Code(prepared) => prepared,
            Prepared::Device(request) => return self.decide_device(request, &state, allow, now).await,
        };
        let client = match self.client(&prepared.request.client).await {
            Ok(Some(client)) => client,
            Ok(None) => return no_way_back(),
            Err(store) => return unavailable(&store),
        };
        if allow {
            self.allow(&client, &state, prepared, now).await
        } else {
            self.deny(&client, &prepared.request, now).await
        }
    }

    /// The key pair of the grant and its code, and the password sealed to it: all secrets put away.
    fn prepare(
        &self,
        request: Request,
        person: &Person<'_>,
    ) -> Result<(PreparedCode, Vec<(String, Octets)>), CryptoError> {
        let key = GrantKey::generate()?;
        let code = OpaqueToken::generate(TokenKind::Code)?;
        let wrapped_key = key.wrap(&code.wrap_key(&self.server_key)?, request.id, code.kind())?;
        let sealed = seal(&key.public(), request.id, person)?;
        let public_key = *key.public().as_bytes();
        let prepared = PreparedCode {
            request,
            code: CodeText(code.text()),
            public_key,
            wrapped_key: Octets(wrapped_key),
        };
        Ok((prepared, sealed))
    }

    /// What a client that can prove who it is was allowed once, it is allowed again.
    async fn is_remembered(
        &self,
        client: &Client,
        request: &Request,
        user: &Login,
    ) -> Result<bool, StoreError> {
        if request.asks_consent || !is_to_be_remembered(client) {
            return Ok(false);
        }
        let remembered = self.store.consent(user, &client.id).await?;
        Ok(remembered.is_some_and(|known| request.scope.iter().all(|value| known.contains(value))))
    }

    /// Stores the grant with its code, in one step that can succeed once.
    async fn allow(
        &self,
        client: &Client,
        state: &ConsentState,
        prepared: &PreparedCode,
        now: UnixTime,
    ) -> Answer {
        let PreparedCode { request, code, public_key, wrapped_key } = prepared;
        let Some(way) = request.way_back(client) else { return no_way_back() };
        let Ok(Ok(lookup)) = OpaqueToken::parse(code.0.expose()).map(|code| code.lookup()) else {
            return error(PageError::Stale);
        };
        match self.is_denied(request.id, now).await {
            Ok(false) => {}
            Ok(true) => return error(PageError::Answered),
            Err(store) => return Answer::Redirect(self.with_error(&way, &store.into())),
        }
        let Ok(details) = serde_json::to_string(&self.details(request, state.auth_time)) else {
            return fault(CryptoError::Library);
        };
        let row = NewCode {
            lookup,
            details,
            created_at: now,
            expires_at: now.after(self.config.authorization_code_lifetime),
            wrapped_key: wrapped_key.0.clone(),
        };
        let grant = NewGrant {
            code: Some(row),
            ..self.grant(request.id, &request.client, &request.scope, *public_key, state, now)
        };
        match self.store.create_grant(grant).await {
            Ok(()) => {
                tracing::info!(grant = %request.id, client_id = %client.id, "a grant was given");
                self.remember(client, request, &state.user, now).await;
                Answer::Redirect(self.with_code(&way, &code.0))
            }
            Err(StoreError::Conflict(_)) => match self.same_code(&way, &lookup, &code.0, now).await {
                Ok(Some(again)) => Answer::Redirect(again),
                Ok(None) => error(PageError::Answered),
                Err(store) => unavailable(&store),
            },
            Err(store) => Answer::Redirect(self.with_error(&way, &store.into())),
        }
    }

    /// The answer once more, for a form that was sent twice, while its code is good.
    async fn same_code(
        &self,
        way: &WayBack,
        lookup: &TokenHash,
        code: &Secret,
        now: UnixTime,
    ) -> Result<Option<Redirect>, StoreError> {
        let record = self.store.code(lookup).await?;
        let is_good = record.is_some_and(|record| {
            record.used_at.is_none() && now < record.expires_at && record.grant.is_live(now)
        });
        Ok(is_good.then(|| self.with_code(way, code)))
    }

    async fn deny(&self, client: &Client, request: &Request, now: UnixTime) -> Answer {
        let Some(way) = request.way_back(client) else { return no_way_back() };
        let key = match self.answered_key(request.id) {
            Ok(key) => key,
            Err(error) => return fault(error),
        };
        let until = now.after(2 * Request::LIFETIME);
        // Refusing twice is refusing once.
        match self.store.keep(EphemeralKind::Answered, &key, DENIED.to_vec(), until).await {
            Ok(()) | Err(StoreError::Conflict(_)) => {}
            Err(store) => return Answer::Redirect(self.with_error(&way, &store.into())),
        }
        match self.store.grant(request.id).await {
            Ok(None) => {}
            Ok(Some(_)) => return error(PageError::Answered),
            Err(store) => return unavailable(&store),
        }
        let denied = OAuthError::new(ErrorCode::AccessDenied, "the person refused");
        Answer::Redirect(self.with_error(&way, &denied))
    }

    async fn is_denied(&self, id: GrantId, now: UnixTime) -> Result<bool, StoreError> {
        let key = self.answered_key(id).map_err(|error| StoreError::Unavailable(error.to_string()))?;
        Ok(self.store.kept(EphemeralKind::Answered, &key, now).await?.is_some())
    }

    fn answered_key(&self, id: GrantId) -> Result<TokenHash, CryptoError> {
        self.server_key.hash("answered request", &[id.as_bytes()])
    }

    /// A consent that cannot be remembered is asked for again, so its loss is no error.
    async fn remember(&self, client: &Client, request: &Request, user: &Login, now: UnixTime) {
        if !is_to_be_remembered(client) {
            return;
        }
        if let Err(store) = self.store.remember_consent(user, &client.id, &request.scope, now).await {
            tracing::warn!(%store, "a consent cannot be remembered");
        }
    }

    fn details(&self, request: &Request, auth_time: UnixTime) -> CodeDetails {
        CodeDetails {
            client: request.client.clone(),
            redirect_uri: request.redirect_uri.clone(),
            code_challenge: request.code_challenge.clone(),
            nonce: request.nonce.clone(),
            scope: request.scope.clone(),
            requested_scope: request.requested_scope.clone(),
            audience: self.audience(),
            resource: request.resource.clone(),
            auth_time,
            max_age: request.max_age,
        }
    }

    /// A person's grant without code and tokens.
    pub(super) fn grant(
        &self,
        id: GrantId,
        client: &crate::model::ClientId,
        scope: &crate::model::Scope,
        public_key: [u8; 32],
        state: &ConsentState,
        now: UnixTime,
    ) -> NewGrant {
        let credential = |(backend, sealed): &(String, Octets)| SealedCredential {
            backend: backend.clone(),
            kind: CredentialKind::Password,
            sealed: sealed.0.clone(),
        };
        NewGrant {
            id,
            user: state.user.clone(),
            client: client.clone(),
            scope: scope.clone(),
            created_at: now,
            expires_at: self.config.grant_lifetime.map(|lifetime| now.after(lifetime)),
            audience: self.audience(),
            auth_time: Some(state.auth_time),
            mailboxes: Vec::new(),
            public_key,
            credentials: state.sealed.iter().map(credential).collect(),
            code: None,
            tokens: Vec::new(),
        }
    }
}

/// Seals the password for every backend that logs in with it.
pub(super) fn seal(
    key: &GrantPublicKey,
    grant: GrantId,
    person: &Person<'_>,
) -> Result<Vec<(String, Octets)>, CryptoError> {
    let Person { user, password, verified, .. } = person;
    let sealed = verified.seal_for.iter().map(|backend| {
        let context = SealContext { grant, user, backend, kind: CredentialKind::Password };
        Ok((backend.to_string(), Octets(key.seal(password, &context)?)))
    });
    sealed.collect()
}

/// A client that cannot prove who it is might be any program, so its consent is asked for every time.
fn is_to_be_remembered(client: &Client) -> bool {
    !client.is_public() && is_vouched_for(client)
}

/// A JWT holds no key, so it could never open the password that the mail server wants.
pub(super) fn opens_nothing(client: &Client, verified: &Verified) -> bool {
    client.metadata.access_token_format == AccessTokenFormat::Jwt && !verified.seal_for.is_empty()
}

fn sealed_jwt() -> OAuthError {
    let description = "this client gets JWT access tokens, which cannot open a sealed mailbox password; \
                       the operator must give it opaque ones, or another login to the backend";
    OAuthError::new(ErrorCode::UnauthorizedClient, description)
}

fn no_way_back() -> Answer {
    error(PageError::BadRequest("the client, or its redirect URI, is no longer registered".into()))
}
