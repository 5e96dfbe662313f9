// An issuer made with oidc-provider: JWT and opaque access tokens by client credentials, introspection, revocation.
// Commands on standard input, each answered by a line: "rotate" signs with a new key and still shows the old one,
// "forget" shows the new one alone, "stop" closes the port, "start" opens it again.
import { readFileSync } from 'node:fs';
import { generateKeyPairSync } from 'node:crypto';
import https from 'node:https';
import readline from 'node:readline';
import Provider from 'oidc-provider';

const [port, certificate, privateKey] = process.argv.slice(2);
const issuer = `https://localhost:${port}`;
const people = { 'alice-mua': 'alice@example.org', 'mallory-mua': 'mallory@example.com' };

const newKey = (kid) => ({
  ...generateKeyPairSync('ec', { namedCurve: 'P-256' }).privateKey.export({ format: 'jwk' }),
  kid, alg: 'ES256', use: 'sig',
});
let keys = [newKey('first')];

const client = (client_id, extra = {}) => ({
  client_id,
  client_secret: `${client_id}-secret`,
  grant_types: ['client_credentials'],
  redirect_uris: [],
  response_types: [],
  ...extra,
});

const provider = () => new Provider(issuer, {
  jwks: { keys },
  clients: [client('bearward'), ...Object.keys(people).map((name) => client(name))],
  scopes: ['imap', 'smtp'],
  clientDefaults: { id_token_signed_response_alg: 'ES256' },
  enabledJWA: { idTokenSigningAlgValues: ['ES256'] },
  ttl: { ClientCredentials: 600 },
  extraTokenClaims: (ctx, token) => ({ email: people[token.clientId], email_verified: true }),
  features: {
    devInteractions: { enabled: false },
    clientCredentials: { enabled: true },
    introspection: { enabled: true, allowedPolicy: () => true },
    revocation: { enabled: true, allowedPolicy: () => true },
    resourceIndicators: {
      enabled: true,
      getResourceServerInfo: (ctx, resource) => ({
        scope: 'imap smtp',
        audience: new URL(resource).host,
        accessTokenFormat: new URL(resource).pathname === '/opaque' ? 'opaque' : 'jwt',
        jwt: { sign: { alg: 'ES256', kid: keys[0].kid } },
      }),
      useGrantedResource: () => true,
    },
  },
});

const tls = { cert: readFileSync(certificate), key: readFileSync(privateKey) };
// It keeps its opaque tokens in memory, so stopping and starting must not make another.
let current = provider();
let server;
const start = () => new Promise((done) => {
  server = https.createServer(tls, current.callback()).listen(Number(port), '127.0.0.1', done);
});
const stop = () => new Promise((done) => {
  server.close(done);
  server.closeAllConnections();
});

const renew = async (next) => {
  keys = next;
  current = provider();
  await stop();
  await start();
};

const commands = {
  rotate: () => renew([newKey('second'), ...keys]),
  forget: () => renew(keys.slice(0, 1)),
  stop,
  start,
};

await start();
console.log('ready');
for await (const line of readline.createInterface({ input: process.stdin })) {
  await commands[line]();
  console.log('done');
}
process.exit(0);
