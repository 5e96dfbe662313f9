//! The npm package `oauth4webapi`, which checks more strictly than `openid-client` shows.

use crate::script::Issuer;

fn run(part: &str) {
    Issuer::start().node("oauth4webapi.mjs", part);
}

#[test]
fn oauth4webapi_discovers_the_issuer_and_the_resource() {
    run("discovery");
}
