//! The Python package Authlib.

use crate::script::Issuer;

fn run(part: &str) {
    Issuer::start().python("authlib_client.py", part);
}

#[test]
fn authlib_discovers_the_issuer() {
    run("discovery");
}

#[test]
fn authlib_signs_in_as_the_open_client_and_checks_the_id_token() {
    run("open_client");
}

#[test]
fn authlib_registers_public_clients_and_clients_with_a_secret() {
    run("registered_clients");
}

#[test]
fn authlib_registers_a_client_with_a_key() {
    run("private_key_jwt");
}

#[test]
fn authlib_refreshes_and_a_used_refresh_token_ends_the_grant() {
    run("refresh");
}

#[test]
fn authlib_connects_a_device() {
    run("device");
}

#[test]
fn authlib_learns_that_the_person_refused() {
    run("denied");
}

#[test]
fn authlib_introspects_and_revokes_tokens() {
    Issuer::start().with_resource_server().python("authlib_client.py", "introspection_and_revocation");
}

#[test]
fn authlib_opens_a_mailbox_by_client_credentials() {
    Issuer::with_service_clients().python("authlib_client.py", "client_credentials");
}
