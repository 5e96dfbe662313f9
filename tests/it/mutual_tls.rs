//! A client that authenticates by its certificate, and a token that is bound to it, on a running server.

use std::{fs, path::Path, process::Command};

use base64::{Engine, engine::general_purpose::STANDARD};
use serde_json::{Value, json};

use crate::support::{ALICE, Ports, Serve, Upstream, send, taking, until};

/// A service account that opens every mailbox, and two listeners that ask for certificates.
fn backend(upstream: &Upstream, https: u16, imaps: u16) -> String {
    let listener = |protocol: &str, port: u16| {
        format!(
            "[[listener]]\nprotocol = \"{protocol}\"\nbind = \"127.0.0.1:{port}\"\nclient_certificates = true\n"
        )
    };
    format!(
        "imap = [\"imap://127.0.0.1:{}\"]\nlogin = \"master\"\n[backend.main.master]\nuser = \"m\"\n\
         password = \"swordfish\"\n{}{}",
        upstream.port(),
        listener("https", https),
        listener("imap", imaps)
    )
}

/// A self-signed certificate with its key in two files; its DER.
fn identity(folder: &Path, name: &str) -> Vec<u8> {
    let made = rcgen::generate_simple_self_signed(vec![name.to_owned()]).unwrap();
    fs::write(folder.join(format!("{name}.pem")), made.cert.pem()).unwrap();
    fs::write(folder.join(format!("{name}.key")), made.signing_key.serialize_pem()).unwrap();
    made.cert.der().to_vec()
}

/// curl as a client that holds `identity`, or none.
fn curl(serve: &Serve, identity: Option<&str>, arguments: &[&str]) -> (bool, String) {
    let folder = serve.folder();
    let mut command = Command::new("curl");
    command.args(["-sS", "--max-time", "10", "--cacert"]).arg(folder.join("certs/ca.pem"));
    if let Some(name) = identity {
        let file = |kind: &str| folder.join(format!("{name}.{kind}"));
        command.arg("--cert").arg(file("pem")).arg("--key").arg(file("key"));
    }
    let output = command.args(arguments).output().unwrap();
    let text = |octets: &[u8]| String::from_utf8_lossy(octets).into_owned();
    (output.status.success(), text(&output.stdout) + &text(&output.stderr))
}

fn answer(text: &str) -> Value {
    serde_json::from_str(text).unwrap_or_else(|_| panic!("no JSON: {text}"))
}

#[test]
fn a_token_that_a_certificate_got_works_with_that_certificate_alone() {
    let upstream = Upstream::start(taking(
        "imap",
        vec![until("NOOP"), send("A003 OK done\r\n"), until("LOGOUT"), send("* BYE\r\nA004 OK bye\r\n")],
    ));
    let mut ports = Ports::reserve();
    let (https, imaps) = (ports.take(), ports.take());
    let serve = Serve::start_issuer(&backend(&upstream, https, imaps));
    let own = identity(serve.folder(), "own");
    identity(serve.folder(), "other");
    let keys = serve.folder().join("keys.json");
    let jwks = json!({ "keys": [{ "kty": "EC", "x5c": [STANDARD.encode(own)] }] });
    fs::write(&keys, jwks.to_string()).unwrap();
    let added = serve.succeed(
        &[
            "client",
            "add",
            "--json",
            "--name",
            "Archiver",
            "--auth",
            "self_signed_tls_client_auth",
            "--jwks",
            keys.to_str().unwrap(),
            "--grant",
            "client_credentials",
            "--mailbox",
            ALICE,
            "--certificate-bound",
        ],
        "",
    );
    let id = answer(&added)["client_id"].as_str().unwrap().to_owned();

    let metadata = format!("{}/.well-known/oauth-authorization-server", serve.url());
    let metadata = answer(&curl(&serve, None, &[&metadata]).1);
    let endpoint = metadata["mtls_endpoint_aliases"]["token_endpoint"].as_str().unwrap().to_owned();
    assert_eq!(endpoint, format!("https://localhost:{https}/oauth/token"));

    let form = format!("grant_type=client_credentials&client_id={id}");
    for stranger in [None, Some("other")] {
        let refused = answer(&curl(&serve, stranger, &["-d", &form, &endpoint]).1);
        assert_eq!(refused["error"], "invalid_client", "{stranger:?}");
    }
    let usual = format!("{}/oauth/token", serve.url());
    let refused = answer(&curl(&serve, Some("own"), &["-d", &form, &usual]).1);
    assert_eq!(refused["error"], "invalid_client", "where nobody asks, no certificate is shown");
    let given = answer(&curl(&serve, Some("own"), &["-d", &form, &endpoint]).1);
    let token = given["access_token"].as_str().unwrap_or_else(|| panic!("{given}")).to_owned();

    let mail = |identity: Option<&str>, port: u16| {
        let url = format!("imaps://localhost:{port}/");
        curl(
            &serve,
            identity,
            &["--user", &format!("{ALICE}:"), "--oauth2-bearer", &token, &url, "-X", "NOOP"],
        )
    };
    for (identity, port) in
        [(None, imaps), (Some("other"), imaps), (Some("own"), serve.address("imap").port())]
    {
        let (is_in, said) = mail(identity, port);
        assert!(!is_in, "{identity:?} on {port}: {said}");
    }
    let (is_in, said) = mail(Some("own"), imaps);
    assert!(is_in, "{said}");
    serve.wait_for_log(&["outcome=\"ok\"", ALICE]);
    assert_eq!(serve.log().matches("outcome=\"ok\"").count(), 1, "{}", serve.log());
}
