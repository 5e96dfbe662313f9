"""Authlib against the issuer."""

import contextlib
import time

from authlib.common.security import generate_token
from authlib.common.urls import extract_params
from authlib.integrations.base_client import OAuthError
from authlib.integrations.httpx_client import OAuth2Client
from authlib.oauth2.rfc7523 import PrivateKeyJWT
from authlib.oauth2.rfc8414 import AuthorizationServerMetadata
from authlib.oauth2.rfc8414 import get_well_known_url as get_oauth_url
from authlib.oidc.core import CodeIDToken
from authlib.oidc.discovery import OpenIDProviderMetadata
from authlib.oidc.discovery import get_well_known_url as get_openid_url
from joserfc import jwt
from joserfc.jwk import ECKey, KeySet

from parts import FACTS, run
from person import REDIRECT_URI, Person, mailbox_is_shut, mailbox_lets_in, open_mailbox

MAIL = "urn:ietf:params:oauth:scope:mail"
SCOPE = f"openid email {MAIL}"
DEVICE_GRANT = "urn:ietf:params:oauth:grant-type:device_code"
# Seconds until a mail server knows that a token has ended.
REVOKED = 1.5
ALICE = FACTS["users"][0]["login"]


def metadata():
    with OAuth2Client() as client:
        answer = client.request("GET", get_openid_url(FACTS["issuer"], external=True), withhold_token=True)
        return answer.raise_for_status().json()


def client_of(server, client_id=FACTS["client_id"], client_secret=None, method=None, scope=SCOPE):
    method = method or ("client_secret_basic" if client_secret else "none")
    return OAuth2Client(
        client_id=client_id,
        client_secret=client_secret,
        token_endpoint_auth_method=method,
        revocation_endpoint_auth_method=method,
        scope=scope,
        redirect_uri=REDIRECT_URI,
        code_challenge_method="S256",
        token_endpoint=server["token_endpoint"],
    )


def register(server, **more):
    body = {
        "client_name": "Authlib",
        "redirect_uris": [REDIRECT_URI],
        "grant_types": ["authorization_code", "refresh_token"],
        "response_types": ["code"],
        **more,
    }
    with OAuth2Client() as client:
        answer = client.request("POST", server["registration_endpoint"], json=body, withhold_token=True)
    assert answer.status_code == 201, answer.text
    return answer.json()


def sign_in(server, client, decision="allow"):
    """Code with proof key, state, nonce and the check of `iss`; what the token endpoint gave."""
    verifier, nonce = generate_token(48), generate_token()
    url, state = client.create_authorization_url(
        server["authorization_endpoint"], code_verifier=verifier, nonce=nonce
    )
    answer = Person().answer(url, decision)
    assert dict(extract_params(answer.split("?", 1)[1]))["iss"] == FACTS["issuer"], answer
    token = client.fetch_token(authorization_response=answer, state=state, code_verifier=verifier)
    assert token["scope"] == client.scope, token
    check_id_token(server, client, token, nonce)
    return token


def check_id_token(server, client, token, nonce):
    keys = client.request("GET", server["jwks_uri"], withhold_token=True).json()
    decoded = jwt.decode(token["id_token"], KeySet.import_key_set(keys), algorithms=["RS256", "ES256"])
    claims = CodeIDToken(
        decoded.claims,
        decoded.header,
        options={
            "iss": {"essential": True, "value": FACTS["issuer"]},
            "aud": {"essential": True, "value": client.client_id},
        },
        params={"nonce": nonce, "client_id": client.client_id, "access_token": token["access_token"]},
    )
    claims.validate()


@contextlib.contextmanager
def refused(*errors):
    try:
        yield
    except OAuthError as error:
        assert error.error in errors, error
    else:
        raise AssertionError(f"it should be refused with {errors}")


def discovery():
    with OAuth2Client() as client:
        for url, document in [
            (get_oauth_url(FACTS["issuer"], external=True), AuthorizationServerMetadata),
            (get_openid_url(FACTS["issuer"], external=True), OpenIDProviderMetadata),
        ]:
            found = document(client.request("GET", url, withhold_token=True).raise_for_status().json())
            found.validate()
            assert found["issuer"] == FACTS["issuer"], found


def open_client():
    server = metadata()
    with client_of(server) as client:
        token = sign_in(server, client)
        assert open_mailbox(token["access_token"]) > 0
        person = client.get(server["userinfo_endpoint"]).raise_for_status().json()
        assert person["email"] == ALICE, person


def registered_clients():
    server = metadata()
    for method in ["none", "client_secret_basic", "client_secret_post"]:
        made = register(server, token_endpoint_auth_method=method)
        with client_of(server, made["client_id"], made.get("client_secret"), method) as client:
            open_mailbox(sign_in(server, client)["access_token"])
            open_mailbox(client.refresh_token()["access_token"])


def private_key_jwt():
    server = metadata()
    key = ECKey.generate_key("P-256", {"use": "sig", "alg": "ES256"}, private=True, auto_kid=True)
    jwks = {"keys": [key.as_dict(private=False)]}
    made = register(server, token_endpoint_auth_method="private_key_jwt", jwks=jwks)
    with client_of(server, made["client_id"], key, "private_key_jwt") as client:
        client.register_client_auth_method(PrivateKeyJWT(server["token_endpoint"], alg="ES256"))
        open_mailbox(sign_in(server, client)["access_token"])
        open_mailbox(client.refresh_token()["access_token"])


def refresh():
    server = metadata()
    with client_of(server) as client:
        first = sign_in(server, client)
        second = client.refresh_token(refresh_token=first["refresh_token"], scope=MAIL)
        assert second["scope"] == MAIL and second["refresh_token"] != first["refresh_token"], second
        open_mailbox(second["access_token"])
        third = client.refresh_token(refresh_token=second["refresh_token"], scope=MAIL)
        with refused("invalid_grant"):
            client.refresh_token(refresh_token=first["refresh_token"], scope=MAIL)
        mailbox_is_shut(third["access_token"], within=REVOKED)


def device():
    server = metadata()
    with client_of(server, scope=MAIL) as client:
        body = {"client_id": client.client_id, "scope": MAIL}
        answer = client.request("POST", server["device_authorization_endpoint"], data=body, withhold_token=True)
        started = answer.raise_for_status().json()

        def ask():
            return client.fetch_token(grant_type=DEVICE_GRANT, device_code=started["device_code"])

        with refused("authorization_pending"):
            ask()
        Person().connect_device(started["verification_uri"], started["user_code"])
        time.sleep(started["interval"] + 0.5)
        open_mailbox(ask()["access_token"])


def denied():
    server = metadata()
    with client_of(server) as client:
        verifier = generate_token(48)
        url, state = client.create_authorization_url(server["authorization_endpoint"], code_verifier=verifier)
        answer = dict(extract_params(Person().answer(url, "deny").split("?", 1)[1]))
        assert answer["error"] == "access_denied" and answer["state"] == state, answer
        assert answer["iss"] == FACTS["issuer"] and "code" not in answer, answer


def introspection_and_revocation():
    server = metadata()
    resource = FACTS["clients"]["resource"]
    with (
        client_of(server) as client,
        client_of(server, resource["client_id"], resource["client_secret"]) as asking,
    ):
        token = sign_in(server, client)

        def told(text):
            answer = asking.introspect_token(server["introspection_endpoint"], token=text)
            return answer.raise_for_status().json()

        live = told(token["access_token"])
        assert live["active"] and live["username"] == ALICE and live["scope"] == SCOPE, live
        hint = "refresh_token"
        client.revoke_token(
            server["revocation_endpoint"], token=token["refresh_token"], token_type_hint=hint
        ).raise_for_status()
        assert told(token["access_token"]) == {"active": False}
        mailbox_is_shut(token["access_token"], within=REVOKED)
        with refused("invalid_grant"):
            client.refresh_token(refresh_token=token["refresh_token"])


def client_credentials():
    server = metadata()
    service = FACTS["clients"]["service"]
    with client_of(server, service["client_id"], service["client_secret"], scope=MAIL) as client:
        token = client.fetch_token(grant_type="client_credentials")
        assert token["scope"] == MAIL and "refresh_token" not in token, token
        mailbox_lets_in(token["access_token"], ALICE)
        mailbox_is_shut(token["access_token"], FACTS["users"][1]["login"])


run(
    discovery,
    open_client,
    registered_clients,
    private_key_jwt,
    refresh,
    device,
    denied,
    introspection_and_revocation,
    client_credentials,
)
