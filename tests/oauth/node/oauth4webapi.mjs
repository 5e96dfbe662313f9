import { facts, run } from './support/parts.mjs'
import assert from 'node:assert/strict'
import * as oauth from 'oauth4webapi'

const issuer = new URL(facts.issuer)

await run({
  async discovery() {
    for (const algorithm of ['oidc', 'oauth2']) {
      const server = await oauth.processDiscoveryResponse(issuer, await oauth.discoveryRequest(issuer, { algorithm }))
      assert.equal(server.issuer, facts.issuer)
    }
    const answer = await oauth.resourceDiscoveryRequest(issuer)
    const resource = await oauth.processResourceDiscoveryResponse(issuer, answer)
    assert.deepEqual(resource.authorization_servers, [facts.issuer])
  },
})
