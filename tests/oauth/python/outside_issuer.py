"""An issuer of the standard library's HTTP server and Authlib's JOSE: RFC 8414 metadata, JWT and opaque tokens, RFC 7662.

GET /mint?kind=ES256|EdDSA|opaque&aud=...&email=... gives a token; commands on standard input as the other issuer's.
"""

import json
import secrets
import ssl
import sys
import threading
import time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from urllib.parse import parse_qs, urlsplit

from authlib.jose import JsonWebKey, jwt

port, certificate, private_key = int(sys.argv[1]), sys.argv[2], sys.argv[3]
issuer = f"https://localhost:{port}"
opaque = {}


def new_keys(name):
    elliptic = JsonWebKey.generate_key("EC", "P-256", {"kid": f"{name}-ec"}, is_private=True)
    edwards = JsonWebKey.generate_key("OKP", "Ed25519", {"kid": f"{name}-ed"}, is_private=True)
    return {"ES256": elliptic, "EdDSA": edwards}


generations = [new_keys("first")]


def claims(query):
    now = int(time.time())
    return {
        "iss": issuer, "sub": query["email"], "aud": query["aud"], "client_id": "mua", "scope": "imap smtp",
        "iat": now, "exp": now + 600, "email": query["email"], "email_verified": True,
    }


class Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def log_message(self, *_):
        pass

    def answer(self, status, document):
        body = document if isinstance(document, bytes) else json.dumps(document).encode()
        self.send_response(status)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(body)))
        self.send_header("Connection", "close")
        self.end_headers()
        self.wfile.write(body)

    def do_GET(self):
        url = urlsplit(self.path)
        query = {name: values[0] for name, values in parse_qs(url.query).items()}
        if url.path == "/.well-known/oauth-authorization-server":
            self.answer(200, {
                "issuer": issuer, "jwks_uri": f"{issuer}/keys", "introspection_endpoint": f"{issuer}/introspect",
            })
        elif url.path == "/keys":
            shown = [key.as_dict(is_private=False) for keys in generations for key in keys.values()]
            self.answer(200, {"keys": shown})
        elif url.path == "/mint" and query["kind"] == "opaque":
            token = secrets.token_urlsafe(32)
            opaque[token] = claims(query)
            self.answer(200, token.encode())
        elif url.path == "/mint":
            key = generations[0][query["kind"]]
            header = {"alg": query["kind"], "kid": key.as_dict()["kid"], "typ": "at+jwt"}
            self.answer(200, jwt.encode(header, claims(query), key))
        elif url.path == "/revoke":
            opaque.pop(query["token"], None)
            self.answer(200, {})
        else:
            self.answer(404, {})

    def do_POST(self):
        body = self.rfile.read(int(self.headers["Content-Length"])).decode()
        form = {name: values[0] for name, values in parse_qs(body).items()}
        if self.path != "/introspect":
            self.answer(404, {})
        elif (form.get("client_id"), form.get("client_secret")) != ("bearward", "bearward-secret"):
            self.answer(401, {"error": "invalid_client"})
        else:
            known = opaque.get(form["token"])
            self.answer(200, {"active": True, **known} if known else {"active": False})


def start():
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(certificate, private_key)
    server = ThreadingHTTPServer(("127.0.0.1", port), Handler)
    server.daemon_threads = True
    server.socket = context.wrap_socket(server.socket, server_side=True)
    threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.05}, daemon=True).start()
    return server


server = start()
print("ready", flush=True)
for line in sys.stdin:
    command = line.strip()
    if command == "rotate":
        generations.insert(0, new_keys("second"))
    elif command == "forget":
        del generations[1:]
    elif command == "stop":
        server.shutdown()
        server.server_close()
    elif command == "start":
        server = start()
    print("done", flush=True)
