"""Authlib against the issuer."""

from authlib.oidc.discovery import OpenIDProviderMetadata, get_well_known_url
from authlib.oauth2.rfc8414 import AuthorizationServerMetadata
from authlib.oauth2.rfc8414 import get_well_known_url as get_oauth_url
from authlib.integrations.httpx_client import OAuth2Client

from parts import FACTS, run


def discovery():
    with OAuth2Client() as client:
        for url, document in [
            (get_oauth_url(FACTS["issuer"], external=True), AuthorizationServerMetadata),
            (get_well_known_url(FACTS["issuer"], external=True), OpenIDProviderMetadata),
        ]:
            metadata = document(client.request("GET", url, withhold_token=True).raise_for_status().json())
            metadata.validate_issuer()
            assert metadata["issuer"] == FACTS["issuer"], metadata


run(discovery)
