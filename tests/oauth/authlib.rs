//! The Python package Authlib.

use crate::script::Issuer;

fn run(part: &str) {
    Issuer::start().python("authlib_client.py", part);
}

#[test]
fn authlib_discovers_the_issuer() {
    run("discovery");
}
