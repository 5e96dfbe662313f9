//! The npm package `openid-client`.

use crate::script::Issuer;

fn run(part: &str) {
    Issuer::start().node("openid_client.mjs", part);
}

#[test]
fn openid_client_discovers_the_issuer() {
    run("discovery");
}
