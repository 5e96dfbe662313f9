import { facts, run } from './support/parts.mjs'
import assert from 'node:assert/strict'
import * as oauth from 'oauth4webapi'
import { mailboxGetsShut, mailboxLetsIn, openMailbox } from './support/mailbox.mjs'
import { Person, REDIRECT_URI } from './support/person.mjs'

const issuer = new URL(facts.issuer)
const alice = facts.users[0]
const MAIL = 'urn:ietf:params:oauth:scope:mail'
const SCOPE = `openid email ${MAIL}`
const open = { client_id: facts.client_id, token_endpoint_auth_method: 'none' }

const discover = async (algorithm = 'oauth2') =>
  oauth.processDiscoveryResponse(issuer, await oauth.discoveryRequest(issuer, { algorithm }))

async function register(server, metadata) {
  const answer = await oauth.dynamicClientRegistrationRequest(server, {
    client_name: 'oauth4webapi',
    redirect_uris: [REDIRECT_URI],
    grant_types: ['authorization_code', 'refresh_token'],
    response_types: ['code'],
    ...metadata,
  })
  return oauth.processDynamicClientRegistrationResponse(answer)
}

/** Signs somebody in; what the token endpoint gave, with its ID token checked against the published keys. */
async function signIn(server, client, authentication, { scope = SCOPE, push = false, more = {} } = {}) {
  const verifier = oauth.generateRandomCodeVerifier()
  const [state, nonce] = [oauth.generateRandomState(), oauth.generateRandomNonce()]
  let parameters = {
    client_id: client.client_id,
    redirect_uri: REDIRECT_URI,
    response_type: 'code',
    scope,
    state,
    nonce,
    code_challenge: await oauth.calculatePKCECodeChallenge(verifier),
    code_challenge_method: 'S256',
    ...more,
  }
  if (push) {
    const answer = await oauth.pushedAuthorizationRequest(server, client, authentication, parameters)
    const { request_uri } = await oauth.processPushedAuthorizationResponse(server, client, answer)
    parameters = { client_id: client.client_id, request_uri }
  }
  const url = new URL(server.authorization_endpoint)
  url.search = new URLSearchParams(parameters)
  const callback = oauth.validateAuthResponse(server, client, await new Person().answer(url), state)
  const answer = await oauth.authorizationCodeGrantRequest(server, client, authentication, callback, REDIRECT_URI, verifier)
  const tokens = await oauth.processAuthorizationCodeResponse(server, client, answer, {
    expectedNonce: nonce,
    requireIdToken: true,
  })
  await oauth.validateApplicationLevelSignature(server, answer)
  assert.equal(tokens.scope, scope)
  return tokens
}

async function refresh(server, client, authentication, token, parameters = {}) {
  const answer = await oauth.refreshTokenGrantRequest(server, client, authentication, token, {
    additionalParameters: parameters,
  })
  return oauth.processRefreshTokenResponse(server, client, answer)
}

async function poll(server, client, device) {
  const answer = await oauth.deviceCodeGrantRequest(server, client, oauth.None(), device.device_code)
  return oauth.processDeviceCodeResponse(server, client, answer)
}

async function introspect(server, client, authentication, token) {
  const answer = await oauth.introspectionRequest(server, client, authentication, token)
  return oauth.processIntrospectionResponse(server, client, answer)
}

/** An error of the token endpoint or a neighbour, as RFC 6749 §5.2 names it. */
const refused = (error, status) => (thrown) => {
  assert.equal(thrown.error, error, String(thrown.cause ?? thrown))
  if (status) assert.equal(thrown.status, status)
  return true
}

await run({
  async discovery() {
    for (const algorithm of ['oidc', 'oauth2']) {
      const server = await discover(algorithm)
      assert.equal(server.issuer, facts.issuer)
      assert.deepEqual(server.code_challenge_methods_supported, ['S256'])
      assert.equal(server.authorization_response_iss_parameter_supported, true)
    }
    const answer = await oauth.resourceDiscoveryRequest(issuer)
    const resource = await oauth.processResourceDiscoveryResponse(issuer, answer)
    assert.deepEqual(resource.authorization_servers, [facts.issuer])
  },

  async open_client() {
    const server = await discover()
    const tokens = await signIn(server, open, oauth.None())
    await openMailbox(tokens.access_token)
    const { sub } = oauth.getValidatedIdTokenClaims(tokens)
    const answer = await oauth.userInfoRequest(server, open, tokens.access_token)
    const person = await oauth.processUserInfoResponse(server, open, sub, answer)
    assert.equal(person.email, alice.login)
  },

  async id_token_algorithms() {
    const server = await discover()
    for (const alg of ['RS256', 'ES256', 'EdDSA']) {
      const client = await register(server, {
        token_endpoint_auth_method: 'none',
        id_token_signed_response_alg: alg,
      })
      assert.equal(client.id_token_signed_response_alg, alg)
      const tokens = await signIn(server, client, oauth.None())
      const [header] = tokens.id_token.split('.')
      assert.equal(JSON.parse(Buffer.from(header, 'base64url')).alg, alg)
    }
  },

  async registered_clients() {
    const server = await discover()
    const pair = await oauth.generateKeyPair('ES256', { extractable: true })
    const { kty, crv, x, y } = await crypto.subtle.exportKey('jwk', pair.publicKey)
    const kinds = {
      none: [{}, () => oauth.None()],
      client_secret_basic: [{}, (client) => oauth.ClientSecretBasic(client.client_secret)],
      client_secret_post: [{}, (client) => oauth.ClientSecretPost(client.client_secret)],
      private_key_jwt: [
        { jwks: { keys: [{ kty, crv, x, y, alg: 'ES256', use: 'sig', kid: 'only' }] } },
        () => oauth.PrivateKeyJwt({ key: pair.privateKey, kid: 'only' }),
      ],
    }
    for (const [method, [metadata, authenticate]] of Object.entries(kinds)) {
      const client = await register(server, { token_endpoint_auth_method: method, ...metadata })
      assert.equal(client.token_endpoint_auth_method, method)
      const authentication = authenticate(client)
      const tokens = await signIn(server, client, authentication)
      await openMailbox(tokens.access_token)
      const refreshed = await refresh(server, client, authentication, tokens.refresh_token)
      await openMailbox(refreshed.access_token)
    }
  },

  async managed_registration() {
    const server = await discover()
    const client = await register(server, { token_endpoint_auth_method: 'client_secret_basic' })
    const call = (method, body) =>
      oauth.protectedResourceRequest(
        client.registration_access_token,
        method,
        new URL(client.registration_client_uri),
        new Headers(body ? { 'content-type': 'application/json' } : {}),
        body ? JSON.stringify(body) : undefined,
      )
    const read = await (await call('GET')).json()
    assert.equal(read.client_id, client.client_id)
    const { client_id, redirect_uris } = client
    const changed = { client_id, redirect_uris, token_endpoint_auth_method: 'client_secret_basic', client_name: 'Renamed' }
    assert.equal((await (await call('PUT', changed)).json()).client_name, 'Renamed')
    assert.equal((await call('DELETE')).status, 204)
    await assert.rejects(call('GET').then(async (answer) => { throw { status: answer.status } }), (thrown) => {
      assert.equal(thrown.status ?? thrown.cause?.status ?? 401, 401)
      return true
    })
  },

  async wrong_client() {
    const server = await discover()
    const client = await register(server, { token_endpoint_auth_method: 'client_secret_basic' })
    const wrong = refresh(server, client, oauth.ClientSecretBasic('wrong'), 'unknown')
    await assert.rejects(wrong, (thrown) => {
      assert.ok(thrown.status === 401, String(thrown.cause ?? thrown))
      return true
    })
    const unknown = refresh(server, client, oauth.ClientSecretBasic(client.client_secret), 'unknown')
    await assert.rejects(unknown, refused('invalid_grant', 400))
  },

  async used_code() {
    const server = await discover()
    const verifier = oauth.generateRandomCodeVerifier()
    const url = new URL(server.authorization_endpoint)
    url.search = new URLSearchParams({
      client_id: open.client_id,
      redirect_uri: REDIRECT_URI,
      response_type: 'code',
      scope: MAIL,
      state: 'one',
      code_challenge: await oauth.calculatePKCECodeChallenge(verifier),
      code_challenge_method: 'S256',
    })
    const callback = oauth.validateAuthResponse(server, open, await new Person().answer(url), 'one')
    const exchange = async (verifier) => oauth.processAuthorizationCodeResponse(server, open,
      await oauth.authorizationCodeGrantRequest(server, open, oauth.None(), callback, REDIRECT_URI, verifier))
    const tokens = await exchange(verifier)
    await openMailbox(tokens.access_token)
    await assert.rejects(exchange(verifier), refused('invalid_grant', 400))
    await mailboxGetsShut(tokens.access_token)
  },

  async refresh() {
    const server = await discover()
    const first = await signIn(server, open, oauth.None())
    const second = await refresh(server, open, oauth.None(), first.refresh_token, { scope: MAIL })
    assert.equal(second.scope, MAIL)
    assert.notEqual(second.refresh_token, first.refresh_token)
    await openMailbox(second.access_token)
    const wide = refresh(server, open, oauth.None(), second.refresh_token, { scope: `${MAIL} profile` })
    await assert.rejects(wide, refused('invalid_scope', 400))
  },

  async device() {
    const server = await discover()
    const request = await oauth.deviceAuthorizationRequest(server, open, oauth.None(), { scope: MAIL })
    const device = await oauth.processDeviceAuthorizationResponse(server, open, request)
    await assert.rejects(poll(server, open, device), refused('authorization_pending', 400))
    await assert.rejects(poll(server, open, device), refused('slow_down', 400))
    const person = new Person()
    await person.connectDevice(device.verification_uri_complete, device.user_code)
    // The interval has grown by five seconds (RFC 8628 §3.5).
    await new Promise((resolve) => setTimeout(resolve, (device.interval + 5.5) * 1000))
    const tokens = await poll(server, open, device)
    await openMailbox(tokens.access_token)
    await assert.rejects(poll(server, open, device), (thrown) => ['invalid_grant', 'expired_token'].includes(thrown.error))
  },

  async pushed_request() {
    const server = await discover()
    await openMailbox((await signIn(server, open, oauth.None(), { push: true })).access_token)
    const client = await register(server, { token_endpoint_auth_method: 'client_secret_post' })
    const authentication = oauth.ClientSecretPost(client.client_secret)
    await openMailbox((await signIn(server, client, authentication, { push: true })).access_token)
  },

  async resource_indicator() {
    const server = await discover()
    const tokens = await signIn(server, open, oauth.None(), { more: { resource: facts.issuer } })
    await openMailbox(tokens.access_token)
  },

  async introspection() {
    const server = await discover()
    const { client_id, client_secret } = facts.clients.resource
    const [resource, authentication] = [{ client_id }, oauth.ClientSecretBasic(client_secret)]
    const tokens = await signIn(server, open, oauth.None())
    const live = await introspect(server, resource, authentication, tokens.access_token)
    assert.equal(live.active, true)
    assert.equal(live.scope, SCOPE)
    assert.equal(live.client_id, open.client_id)
    const answer = await oauth.revocationRequest(server, open, oauth.None(), tokens.access_token)
    assert.equal(await oauth.processRevocationResponse(answer), undefined)
    assert.deepEqual(await introspect(server, resource, authentication, tokens.access_token), { active: false })
    // A caller that does not authenticate learns nothing at all.
    await assert.rejects(introspect(server, open, oauth.None(), tokens.access_token), (thrown) => thrown.status >= 400)
  },

  async client_credentials() {
    const server = await discover()
    const { client_id, client_secret } = facts.clients.service
    const client = { client_id }
    const authentication = oauth.ClientSecretBasic(client_secret)
    const answer = await oauth.clientCredentialsGrantRequest(server, client, authentication, { scope: MAIL })
    const tokens = await oauth.processClientCredentialsResponse(server, client, answer)
    assert.equal(tokens.scope, MAIL)
    await mailboxLetsIn(tokens.access_token, alice.login)
  },

  async jwt_access_token() {
    const server = await discover()
    const { client_id, client_secret } = facts.clients.jwt
    const client = { client_id }
    const authentication = oauth.ClientSecretBasic(client_secret)
    const answer = await oauth.clientCredentialsGrantRequest(server, client, authentication, { scope: MAIL })
    const tokens = await oauth.processClientCredentialsResponse(server, client, answer)
    const request = new Request(facts.issuer, { headers: { authorization: `Bearer ${tokens.access_token}` } })
    const claims = await oauth.validateJwtAccessToken(server, request, facts.issuer)
    assert.equal(claims.client_id, client_id)
    assert.equal(claims.scope, MAIL)
    await mailboxLetsIn(tokens.access_token, alice.login)
  },
})
