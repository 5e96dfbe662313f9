//! The npm package `openid-client`.

use crate::script::Issuer;

fn run(part: &str) {
    Issuer::start().node("openid_client.mjs", part);
}

#[test]
fn openid_client_discovers_the_issuer() {
    run("discovery");
}

#[test]
fn openid_client_signs_in_as_the_open_client_and_checks_the_id_token() {
    run("open_client");
}

#[test]
fn openid_client_registers_a_public_client() {
    run("registered_public_client");
}

#[test]
fn openid_client_registers_a_client_with_a_secret_in_the_header() {
    run("registered_client_secret_basic");
}

#[test]
fn openid_client_registers_a_client_with_a_secret_in_the_body() {
    run("registered_client_secret_post");
}

#[test]
fn openid_client_registers_a_client_with_a_key() {
    run("registered_private_key_jwt");
}

#[test]
fn openid_client_refreshes_and_a_used_refresh_token_ends_the_grant() {
    run("refresh");
}

#[test]
fn openid_client_connects_a_device() {
    run("device");
}

#[test]
fn openid_client_learns_that_a_device_is_refused() {
    run("denied_device");
}

#[test]
fn openid_client_pushes_its_authorization_request() {
    run("pushed_request");
}

#[test]
fn openid_client_revokes_its_tokens() {
    run("revocation");
}

#[test]
fn openid_client_learns_that_the_person_refused() {
    run("denied");
}

#[test]
fn openid_client_introspects_tokens() {
    Issuer::start().with_resource_server().node("openid_client.mjs", "introspection");
}

#[test]
fn openid_client_opens_a_mailbox_by_client_credentials() {
    Issuer::with_service_clients().node("openid_client.mjs", "client_credentials");
}
