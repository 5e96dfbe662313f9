import { facts, run } from './support/parts.mjs'
import assert from 'node:assert/strict'
import * as client from 'openid-client'

const issuer = new URL(facts.issuer)

await run({
  async discovery() {
    for (const algorithm of ['oidc', 'oauth2']) {
      const config = await client.discovery(issuer, facts.client_id, undefined, client.None(), { algorithm })
      const server = config.serverMetadata()
      assert.equal(server.issuer, facts.issuer)
      assert.ok(server.jwks_uri.startsWith(`${facts.issuer}/`), server.jwks_uri)
    }
  },
})
