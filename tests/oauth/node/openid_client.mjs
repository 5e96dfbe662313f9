import { facts, run } from './support/parts.mjs'
import assert from 'node:assert/strict'
import * as client from 'openid-client'
import { mailboxGetsShut, mailboxIsShut, mailboxLetsIn, openMailbox, stayInMailbox } from './support/mailbox.mjs'
import { Person, REDIRECT_URI } from './support/person.mjs'

const issuer = new URL(facts.issuer)
const alice = facts.users[0]
const MAIL = 'urn:ietf:params:oauth:scope:mail'
const SCOPE = `openid email profile offline_access ${MAIL}`

/** The pre-registered public client. */
const openClient = () => client.discovery(issuer, facts.client_id, undefined, client.None())

/** Registers a client that may use a code, with what is special about it. */
const register = (metadata, authentication) =>
  client.dynamicClientRegistration(
    issuer,
    {
      client_name: 'openid-client',
      redirect_uris: [REDIRECT_URI],
      grant_types: ['authorization_code', 'refresh_token'],
      response_types: ['code'],
      ...metadata,
    },
    authentication,
  )

/** Code with proof key, state, nonce and the check of `iss`; what the token endpoint gave. */
async function signIn(config, { scope = SCOPE, more = {}, push = false, checks = {}, nonce = client.randomNonce() } = {}) {
  const pkceCodeVerifier = client.randomPKCECodeVerifier()
  const state = client.randomState()
  const parameters = {
    redirect_uri: REDIRECT_URI,
    scope,
    state,
    code_challenge: await client.calculatePKCECodeChallenge(pkceCodeVerifier),
    code_challenge_method: 'S256',
    ...(scope.includes('openid') ? { nonce } : {}),
    ...more,
  }
  const url = push
    ? await client.buildAuthorizationUrlWithPAR(config, parameters)
    : client.buildAuthorizationUrl(config, parameters)
  const answer = await new Person().answer(url)
  assert.equal(answer.searchParams.get('iss'), facts.issuer)
  const tokens = await client.authorizationCodeGrant(config, answer, {
    pkceCodeVerifier,
    expectedState: state,
    ...(scope.includes('openid') ? { expectedNonce: nonce, idTokenExpected: true } : {}),
    ...checks,
  })
  assert.equal(tokens.scope, scope)
  return tokens
}

/** The right error of the server. */
const refused = (error) => (thrown) => {
  assert.equal(thrown.error, error, String(thrown.cause ?? thrown))
  return true
}

/** A registered client signs somebody in, opens the mailbox and refreshes. */
async function signsIn(config) {
  const tokens = await signIn(config)
  await openMailbox(tokens.access_token)
  const refreshed = await client.refreshTokenGrant(config, tokens.refresh_token)
  await openMailbox(refreshed.access_token)
}

await run({
  async discovery() {
    for (const algorithm of ['oidc', 'oauth2']) {
      const config = await client.discovery(issuer, facts.client_id, undefined, client.None(), { algorithm })
      const server = config.serverMetadata()
      assert.equal(server.issuer, facts.issuer)
      assert.ok(server.supportsPKCE(), 'S256 is not announced')
    }
  },

  async open_client() {
    const config = await openClient()
    const tokens = await signIn(config, { checks: { maxAge: 300 }, more: { max_age: '300' } })
    const claims = tokens.claims()
    assert.equal(claims.aud, facts.client_id)
    assert.ok(await openMailbox(tokens.access_token))
    const person = await client.fetchUserInfo(config, tokens.access_token, claims.sub)
    assert.equal(person.email, alice.login)
    assert.equal(person.email_verified, true)
  },

  async registered_public_client() {
    const config = await register({ token_endpoint_auth_method: 'none' }, client.None())
    assert.equal(config.clientMetadata().client_secret, undefined)
    await signsIn(config)
  },

  async registered_client_secret_basic() {
    const config = await register({ token_endpoint_auth_method: 'client_secret_basic' })
    await signsIn(await client.discovery(issuer, config.clientMetadata().client_id, undefined,
      client.ClientSecretBasic(config.clientMetadata().client_secret)))
  },

  async registered_client_secret_post() {
    const config = await register({ token_endpoint_auth_method: 'client_secret_post' })
    await signsIn(await client.discovery(issuer, config.clientMetadata().client_id, undefined,
      client.ClientSecretPost(config.clientMetadata().client_secret)))
  },

  async registered_private_key_jwt() {
    for (const [alg, kid] of [['ES256', 'one'], ['RS256', undefined]]) {
      const generation = alg === 'ES256'
        ? { name: 'ECDSA', namedCurve: 'P-256' }
        : { name: 'RSASSA-PKCS1-v1_5', hash: 'SHA-256', modulusLength: 2048, publicExponent: new Uint8Array([1, 0, 1]) }
      const pair = await crypto.subtle.generateKey(generation, true, ['sign', 'verify'])
      const { kty, crv, x, y, n, e } = await crypto.subtle.exportKey('jwk', pair.publicKey)
      const key = { kty, crv, x, y, n, e, alg, kid, use: 'sig' }
      const authentication = client.PrivateKeyJwt(kid ? { key: pair.privateKey, kid } : pair.privateKey)
      const metadata = { token_endpoint_auth_method: 'private_key_jwt', jwks: { keys: [key] } }
      await signsIn(await register(metadata, authentication))
    }
  },

  async refresh() {
    const config = await register({ token_endpoint_auth_method: 'none' }, client.None())
    const first = await signIn(config)
    const second = await client.refreshTokenGrant(config, first.refresh_token)
    assert.notEqual(second.refresh_token, first.refresh_token, 'a public client gets a new refresh token each time')
    assert.equal(second.scope, SCOPE)
    assert.equal(second.claims().sub, first.claims().sub)
    // The answer was lost: asked again, it is the same.
    const again = await client.refreshTokenGrant(config, first.refresh_token)
    assert.equal(again.access_token, second.access_token)
    const wider = client.refreshTokenGrant(config, second.refresh_token, { scope: `${SCOPE} sieve` })
    await assert.rejects(wider, refused('invalid_scope'))
    const narrower = await client.refreshTokenGrant(config, second.refresh_token, { scope: MAIL })
    assert.equal(narrower.scope, MAIL)
    await openMailbox(narrower.access_token)
    // Its successor was used: now it is a theft.
    await assert.rejects(client.refreshTokenGrant(config, first.refresh_token), refused('invalid_grant'))
    await assert.rejects(client.refreshTokenGrant(config, narrower.refresh_token), refused('invalid_grant'))
    await mailboxGetsShut(narrower.access_token)
  },

  async device() {
    const config = await openClient()
    const device = await client.initiateDeviceAuthorization(config, { scope: SCOPE })
    const polled = client.pollDeviceAuthorizationGrant(config, device)
    await new Person().connectDevice(device.verification_uri, device.user_code)
    const tokens = await polled
    assert.equal(tokens.scope, SCOPE)
    await openMailbox(tokens.access_token)
    await client.refreshTokenGrant(config, tokens.refresh_token)
  },

  async denied_device() {
    const config = await openClient()
    const device = await client.initiateDeviceAuthorization(config, { scope: MAIL })
    await new Person().connectDevice(device.verification_uri_complete, device.user_code, 'deny')
    await assert.rejects(client.pollDeviceAuthorizationGrant(config, device), refused('access_denied'))
  },

  async pushed_request() {
    const config = await register({ token_endpoint_auth_method: 'client_secret_post' })
    const tokens = await signIn(config, { push: true })
    await openMailbox(tokens.access_token)
  },

  async introspection() {
    const config = await register({ token_endpoint_auth_method: 'client_secret_post' })
    const tokens = await signIn(config)
    const live = await client.tokenIntrospection(config, tokens.access_token)
    assert.equal(live.active, true)
    assert.equal(live.client_id, config.clientMetadata().client_id)
    assert.equal(live.username, alice.login)
    assert.equal(live.iss, facts.issuer)
    const unknown = await client.tokenIntrospection(config, 'unknown')
    assert.deepEqual(Object.keys(unknown), ['active'])
    assert.equal(unknown.active, false)
    const { client_id, client_secret } = facts.clients.resource
    const resource = await client.discovery(issuer, client_id, undefined, client.ClientSecretBasic(client_secret))
    assert.equal((await client.tokenIntrospection(resource, tokens.access_token)).active, true)
    // Another client learns nothing.
    const other = await register({ token_endpoint_auth_method: 'client_secret_post' })
    assert.equal((await client.tokenIntrospection(other, tokens.access_token)).active, false)
  },

  async revocation() {
    const config = await openClient()
    // An access token that is given back ends alone.
    const first = await signIn(config)
    await openMailbox(first.access_token)
    await client.tokenRevocation(config, first.access_token, { token_type_hint: 'access_token' })
    await mailboxGetsShut(first.access_token)
    const second = await client.refreshTokenGrant(config, first.refresh_token)
    const { ended } = await stayInMailbox(second.access_token)
    // A refresh token takes everything along, a live session as well.
    await client.tokenRevocation(config, second.refresh_token, { token_type_hint: 'refresh_token' })
    const revoked = Date.now()
    assert.match(await ended, /^\* BYE/m)
    assert.ok(Date.now() - revoked < 1500, `a live session ended after ${Date.now() - revoked} ms`)
    await mailboxGetsShut(second.access_token)
    await assert.rejects(client.refreshTokenGrant(config, second.refresh_token), refused('invalid_grant'))
    await client.tokenRevocation(config, 'unknown')
  },

  async client_credentials() {
    const { client_id, client_secret } = facts.clients.service
    const config = await client.discovery(issuer, client_id, undefined, client.ClientSecretBasic(client_secret))
    const tokens = await client.clientCredentialsGrant(config, { scope: MAIL })
    assert.equal(tokens.refresh_token, undefined)
    await mailboxLetsIn(tokens.access_token, alice.login)
    await mailboxIsShut(tokens.access_token, facts.users[1].login)
  },

  async denied() {
    const config = await openClient()
    const state = client.randomState()
    const pkceCodeVerifier = client.randomPKCECodeVerifier()
    const url = client.buildAuthorizationUrl(config, {
      redirect_uri: REDIRECT_URI,
      scope: MAIL,
      state,
      code_challenge: await client.calculatePKCECodeChallenge(pkceCodeVerifier),
      code_challenge_method: 'S256',
    })
    const answer = await new Person().answer(url, 'deny')
    const grant = client.authorizationCodeGrant(config, answer, { pkceCodeVerifier, expectedState: state })
    await assert.rejects(grant, refused('access_denied'))
  },
})
