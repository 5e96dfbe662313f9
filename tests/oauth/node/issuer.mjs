// An issuer by `oidc-provider`. It does what each line of its standard input says, a JSON array of a command and its
// arguments, and answers with a line of JSON.
import { once } from "node:events";
import { generateKeyPairSync } from "node:crypto";
import { readFileSync } from "node:fs";
import { createServer } from "node:https";
import { createInterface } from "node:readline";

// Node.js 20 has none, and `oidc-provider` calls it.
URL.parse ??= (text) => (URL.canParse(text) ? new URL(text) : null);

import Provider from "oidc-provider";

// Clients prove who they are by a certificate at `certified` alone: `url` asks for none.
const { url, certified, certificate, key, clients } = JSON.parse(process.env.FACTS);
const tls = { cert: readFileSync(certificate), key: readFileSync(key) };

function client(client_id, grant_types) {
  return { client_id, client_secret: `secret-of-${client_id}`, grant_types, response_types: [], redirect_uris: [] };
}

const configuration = {
  clients: [client("mua", ["client_credentials"]), client("bearward", []), ...clients],
  clientAuthMethods: ["client_secret_basic", "private_key_jwt", "self_signed_tls_client_auth"],
  enabledJWA: { clientAuthSigningAlgValues: ["ES256", "ES384", "EdDSA", "PS256", "PS512", "RS384"] },
  discovery: { mtls_endpoint_aliases: { introspection_endpoint: `${certified}/token/introspection` } },
  scopes: ["imap", "smtp", "pop3"],
  // Which kind of token it is, for whom and for how long stands in the resource that it is asked for.
  features: {
    clientCredentials: { enabled: true },
    devInteractions: { enabled: false },
    introspection: { enabled: true },
    mTLS: {
      enabled: true,
      selfSignedTlsClientAuth: true,
      getCertificate: (context) => context.req.socket.getPeerX509Certificate()?.toString(),
    },
    revocation: { enabled: true },
    resourceIndicators: {
      enabled: true,
      getResourceServerInfo: (_, resource) => {
        const { hostname, pathname, searchParams } = new URL(resource);
        return {
          scope: "imap smtp pop3",
          audience: hostname,
          accessTokenFormat: pathname.slice(1),
          accessTokenTTL: Number(searchParams.get("lifetime") ?? 600),
          jwt: { sign: { alg: "RS256" } },
        };
      },
    },
  },
  extraTokenClaims: (context) => ({ email: context.oidc.body.person, email_verified: true }),
};

let keys = 0;
let provider;
let servers;

async function post(path, client_id, form) {
  const authorization = `Basic ${btoa(`${client_id}:secret-of-${client_id}`)}`;
  return fetch(url + path, { method: "POST", headers: { authorization }, body: new URLSearchParams(form) });
}

const commands = {
  // Signs with a key that nobody has seen; those of before are published no more.
  rotate() {
    keys += 1;
    const { privateKey } = generateKeyPairSync("rsa", { modulusLength: 2048 });
    const jwk = { ...privateKey.export({ format: "jwk" }), kid: `key-${keys}`, use: "sig", alg: "RS256" };
    provider = new Provider(url, { ...configuration, jwks: { keys: [jwk] } }).callback();
  },
  async start() {
    const asking = { ...tls, requestCert: true, rejectUnauthorized: false };
    servers = [[url, tls], [certified, asking]].map(([address, options]) => {
      const server = createServer(options, (request, response) => provider(request, response));
      return server.listen(new URL(address).port, "127.0.0.1");
    });
    await Promise.all(servers.map((server) => once(server, "listening")));
  },
  async stop() {
    const closed = servers.map((server) => once(server, "close"));
    for (const server of servers) {
      server.close();
      server.closeAllConnections();
    }
    await Promise.all(closed);
  },
  async token(person, resource) {
    const form = { grant_type: "client_credentials", scope: "imap smtp pop3", resource, person };
    const answer = await post("/token", "mua", form);
    const document = await answer.json();
    if (!answer.ok) throw new Error(JSON.stringify(document));
    return document.access_token;
  },
  async revoke(token) {
    const answer = await post("/token/revocation", "mua", { token });
    if (!answer.ok) throw new Error(await answer.text());
  },
};

commands.rotate();
for await (const line of createInterface({ input: process.stdin })) {
  const [name, ...rest] = JSON.parse(line);
  console.log(JSON.stringify((await commands[name](...rest)) ?? null));
}
process.exit(0);
