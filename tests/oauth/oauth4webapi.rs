//! The npm package `oauth4webapi`, which leaves every step of the protocol to its caller.

use crate::script::Issuer;

fn run(part: &str) {
    Issuer::start().node("oauth4webapi.mjs", part);
}

#[test]
fn oauth4webapi_discovers_the_issuer_and_the_resource() {
    run("discovery");
}

#[test]
fn oauth4webapi_signs_in_as_the_open_client() {
    run("open_client");
}

#[test]
fn oauth4webapi_verifies_id_tokens_of_every_algorithm() {
    run("id_token_algorithms");
}

#[test]
fn oauth4webapi_registers_clients_of_every_kind() {
    run("registered_clients");
}

#[test]
fn oauth4webapi_manages_its_registration() {
    run("managed_registration");
}

#[test]
fn oauth4webapi_is_told_that_its_secret_is_wrong() {
    run("wrong_client");
}

#[test]
fn oauth4webapi_cannot_use_a_code_twice_and_loses_what_it_gave() {
    run("used_code");
}

#[test]
fn oauth4webapi_narrows_the_scope_when_it_refreshes() {
    run("refresh");
}

#[test]
fn oauth4webapi_polls_for_a_device_too_fast_and_then_well() {
    run("device");
}

#[test]
fn oauth4webapi_pushes_its_authorization_request() {
    run("pushed_request");
}

#[test]
fn oauth4webapi_names_the_resource() {
    run("resource_indicator");
}

#[test]
fn oauth4webapi_introspects_a_token_before_and_after_its_revocation() {
    Issuer::start().with_resource_server().node("oauth4webapi.mjs", "introspection");
}

#[test]
fn oauth4webapi_opens_a_mailbox_by_client_credentials() {
    Issuer::with_service_clients().node("oauth4webapi.mjs", "client_credentials");
}

#[test]
fn oauth4webapi_validates_a_jwt_access_token() {
    Issuer::with_service_clients().node("oauth4webapi.mjs", "jwt_access_token");
}
