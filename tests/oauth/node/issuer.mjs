// An issuer by `oidc-provider`. It does what each line of its standard input says, a JSON array of a command and its
// arguments, and answers with a line of JSON.
import { once } from "node:events";
import { generateKeyPairSync } from "node:crypto";
import { readFileSync } from "node:fs";
import { createServer } from "node:https";
import { createInterface } from "node:readline";

// Node.js 20 has none, and `oidc-provider` calls it.
URL.parse ??= (text) => (URL.canParse(text) ? new URL(text) : null);

import Provider, { interactionPolicy } from "oidc-provider";

// Clients prove who they are by a certificate at `certified` alone: `url` asks for none.
const { url, certified, certificate, key, clients = [] } = JSON.parse(process.env.FACTS);
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
  // Who signs in here is whoever they say; what is in their names says what the issuer says of them.
  claims: { openid: ["sub"], email: ["email", "email_verified"] },
  cookies: { keys: ["of the tests"] },
  findAccount: (_, accountId) => ({
    accountId,
    claims: () => ({ sub: accountId, email: accountId, email_verified: !accountId.startsWith("unverified") }),
  }),
  async loadExistingGrant({ oidc: { client, session, provider } }) {
    const grant = new provider.Grant({ clientId: client.clientId, accountId: session.accountId });
    grant.addOIDCScope("openid email");
    await grant.save();
    return grant;
  },
  interactions: { url: (_, interaction) => `/interaction/${interaction.uid}` },
  extraTokenClaims: (context) => ({ email: context.oidc.body.person, email_verified: true }),
};

let keys = 0;
let issuer;
let servers;

const escaped = (text) => text.replaceAll("&", "&amp;").replaceAll('"', "&quot;").replaceAll("<", "&lt;");

/** The page where people sign in, or cancel. */
async function interact(request, response) {
  const { params } = await issuer.interactionDetails(request, response);
  if (request.method !== "POST") {
    response.setHeader("content-type", "text/html");
    return response.end(`<!doctype html><link rel="icon" href="data:,"><title>Outside</title><form method="post"><h1>Sign in outside</h1>
      <input name="login" autocomplete="username" value="${escaped(params.login_hint ?? "")}">
      <input name="password" type="password" autocomplete="current-password">
      <button type="submit">Sign in</button><button name="cancel" value="yes">Cancel</button></form>`);
  }
  let body = "";
  for await (const chunk of request) body += chunk;
  const form = new URLSearchParams(body);
  const result = form.has("cancel")
    ? { error: "access_denied", error_description: "the person cancelled" }
    : { login: { accountId: form.get("login") }, select_account: {} };
  return issuer.interactionFinished(request, response, result, { mergeWithLastSubmission: false });
}

let hangs_up = false;

async function answer(request, response) {
  if (hangs_up && request.url === "/token") return request.socket.destroy();
  if (!request.url.startsWith("/interaction/")) return issuer.callback()(request, response);
  try {
    await interact(request, response);
  } catch (error) {
    response.writeHead(500).end(String(error));
  }
}

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
    issuer = new Provider(url, { ...configuration, jwks: { keys: [jwk] } });
  },
  // People may be sent here, and back to that address.
  send_back_to(address) {
    const known = { ...client("bearward", ["authorization_code"]), response_types: ["code"], redirect_uris: [address] };
    configuration.clients[1] = known;
    commands.rotate();
  },
  // From now on it knows `prompt=select_account`, which it refuses otherwise.
  select_account() {
    const policy = interactionPolicy.base();
    policy.add(new interactionPolicy.Prompt({ name: "select_account", requestable: true }), 0);
    configuration.interactions.policy = policy;
    commands.rotate();
  },
  // Whether it hangs up on whoever brings a code.
  hang_up(does) {
    hangs_up = does;
  },
  async start() {
    const asking = { ...tls, requestCert: true, rejectUnauthorized: false };
    const addresses = [[url, tls], ...(certified ? [[certified, asking]] : [])];
    servers = addresses.map(([address, options]) => {
      const server = createServer(options, answer);
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
