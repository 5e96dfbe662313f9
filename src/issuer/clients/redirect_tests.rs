use proptest::prelude::*;

use super::*;
use crate::{
    issuer::{ClientMetadata, Standing},
    model::ClientId,
};

fn client(uris: &[&str]) -> Client {
    Client {
        id: ClientId::open(),
        standing: Standing::SelfRegistered,
        metadata: ClientMetadata {
            redirect_uris: uris.iter().map(|uri| (*uri).to_owned()).collect(),
            ..ClientMetadata::default()
        },
        secret: None,
    }
}

fn refused(uris: &[&str], error: InvalidRedirectUri) {
    for uri in uris {
        assert_eq!(RedirectUri::parse(uri), Err(error), "{uri}");
    }
}

#[test]
fn what_rfc_8252_allows_is_taken() {
    for uri in [
        "https://app.example",
        "https://app.example/",
        "https://app.example:8443/cb?next=%2Fhome&a=b",
        "https://xn--mller-kva.example/cb",
        "https://192.0.2.1/cb",
        "https://localhost",
        "https://app.example/a%20b/@me",
        "http://127.0.0.1",
        "http://127.0.0.1:49152/cb",
        "http://[::1]:1/",
        "http://localhost:65535/x?y",
        "com.example.app:/oauth2redirect",
        "org.example.app://oauth2redirect",
        "org.example.app://oauth2redirect/path",
        "xn--p1ai.example:/cb",
    ] {
        assert_eq!(RedirectUri::parse(uri).unwrap().as_str(), uri);
    }
}

#[test]
fn a_user_name_hides_no_host() {
    refused(
        &[
            "https://app.example@evil.example/",
            "https://user:password@app.example/",
            "https://app.example:443@evil.example/",
            "https://@app.example/",
            "https://app.example%40evil.example/",
            "com.example.app://user@place/",
        ],
        InvalidRedirectUri::Authority,
    );
    refused(
        &["http://127.0.0.1@evil.example/", "http://[::1]@evil.example/"],
        InvalidRedirectUri::NotLoopback,
    );
    refused(&["http://127.0.0.1:80@evil.example/"], InvalidRedirectUri::Authority);
}

#[test]
fn nothing_that_only_looks_like_this_machine_is_it() {
    refused(
        &[
            "http://127.0.0.1.evil.example/",
            "http://127.0.0.1.",
            "http://127.0.0.2/",
            "http://127.1/",
            "http://0x7f.1/",
            "http://0/",
            "http://2130706433/",
            "http://017700000001/",
            "http://[::ffff:127.0.0.1]/",
            "http://[0:0:0:0:0:0:0:1]/",
            "http://[::1%25lo]/",
            "http://[::1]evil.example/",
            "http://[::1].evil.example/",
            "http://evil.example/[::1]",
            "http://localhost.evil.example/",
            "http://localhost./",
            "http://evil.localhost/",
            "http://LOCALHOST/",
            "http://app.example/",
            "http:///cb",
        ],
        InvalidRedirectUri::NotLoopback,
    );
}

#[test]
fn a_host_has_one_spelling() {
    refused(
        &[
            "https://App.example/",
            "https://app.example./",
            "https://app..example/",
            "https://.app.example/",
            "https://app/",
            "https://-app.example/",
            "https://app-.example/",
            "https://app_.example/",
            "https://app.exa%6Dple/",
            "https://127.1/",
            "https://0x7f.0.0.1/",
            "https://127.0.0.01/",
            "https://app.0x1/",
            "https://2130706433/",
            "https://[::1]/",
            "https://[::1]]/",
            "https:///cb",
            "https:/app.example",
            "https:app.example",
            "https://",
            "https://*.example/",
        ],
        InvalidRedirectUri::Authority,
    );
    let label = "a".repeat(64);
    refused(&[&format!("https://{label}.example/")], InvalidRedirectUri::Authority);
    let long = vec!["a".repeat(60); 5].join(".");
    refused(&[&format!("https://{long}/")], InvalidRedirectUri::Authority);
}

#[test]
fn a_port_has_one_spelling() {
    for port in ["", "0", "00443", "+443", "-1", "65536", "4 43", "443a", "443:80", "%34"] {
        let uri = format!("https://app.example:{port}/");
        assert!(RedirectUri::parse(&uri).is_err(), "{uri}");
        let uri = format!("http://127.0.0.1:{port}/");
        assert!(RedirectUri::parse(&uri).is_err(), "{uri}");
    }
}

#[test]
fn fragments_controls_backslashes_and_letters_of_other_scripts_are_in_no_uri() {
    for bad in [
        "https://app.example/#",
        "https://app.example/cb#fragment",
        "https://app.example\\@evil.example/",
        "https://app.example\\.evil.example/",
        "https://app.example/\\evil.example",
        "https://app.example/ ",
        " https://app.example/",
        "https://app.example/\t",
        "https://app.example/\r\nSet-Cookie:a=b",
        "https://app.example/\0",
        "https://müller.example/",
        "https://аpp.example/",
        "https://app。example/",
        "https://app.example/ü",
        "https://app.example/\u{202E}",
        "https://app.example/<script>",
        "https://app.example/\"",
        "https://app.example/{a}|b`c^",
    ] {
        assert_eq!(RedirectUri::parse(bad), Err(InvalidRedirectUri::Character), "{bad:?}");
    }
}

#[test]
fn a_path_climbs_nowhere_and_hides_nothing() {
    refused(
        &[
            "https://app.example/..",
            "https://app.example/cb/../evil",
            "https://app.example/cb/..;/evil",
            "https://app.example/a..b",
            "https://app.example/./cb",
            "https://app.example/cb/.",
            "https://app.example/.;x/cb",
            "https://app.example/%2e%2e/evil",
            "https://app.example/%2E/evil",
            "https://app.example/cb%2Fevil",
            "https://app.example/cb%2fevil",
            "https://app.example/cb%5Cevil",
            "https://app.example/%252e%252e/",
            "https://app.example/%63b",
            "https://app.example/%00",
            "https://app.example/%0d%0a",
            "https://app.example/%",
            "https://app.example/%2",
            "https://app.example/%zz",
            "https://app.example/%c0%ae%c0%ae/",
            "https://app.example/%ff",
            "https://app.example/[x]",
            "http://127.0.0.1/%2e%2e/",
            "com.example.app:/../x",
            "com.example.app:path",
            "com.example.app:",
        ],
        InvalidRedirectUri::Path,
    );
}

#[test]
fn a_query_answers_for_nobody() {
    refused(
        &[
            "https://app.example/?code=theirs",
            "https://app.example/?a=b&state=theirs",
            "https://app.example/?a;iss=theirs",
            "https://app.example/?error",
            "https://app.example/?c%6Fde=theirs",
            "https://app.example/?a=%0d%0a",
            "https://app.example/?a=%",
        ],
        InvalidRedirectUri::Query,
    );
}

#[test]
fn a_scheme_is_https_or_a_domain_backwards() {
    refused(
        &[
            "javascript:alert(1)",
            "javascript://app.example/%0aalert(1)",
            "data:text/html,x",
            "file:///etc/passwd",
            "vbscript:x",
            "blob:https://app.example/x",
            "about:blank",
            "ftp://app.example/",
            "myapp:/cb",
            "HTTPS://app.example/",
            "Https://app.example/",
            "HTTP://127.0.0.1/",
            "Com.example.app:/cb",
            "com..app:/cb",
            ".example.app:/cb",
            "com.example.:/cb",
            "1.example:/cb",
            "a.b:/cb",
            "com.exa+mple:/cb",
            "://app.example",
            "//app.example/",
            "/cb",
            "",
            "app.example",
        ],
        InvalidRedirectUri::Scheme,
    );
    refused(
        &["com.example.app://", "com.example.app:///cb", "com.example.app://a:1/", "com.example.app://a..b"],
        InvalidRedirectUri::Authority,
    );
}

#[test]
fn a_uri_longer_than_the_limit_is_refused() {
    let uri = |length: usize| format!("https://app.example/{}", "a".repeat(length - 20));
    assert!(RedirectUri::parse(&uri(RedirectUri::MAX)).is_ok());
    refused(&[&uri(RedirectUri::MAX + 1)], InvalidRedirectUri::Length);
}

#[test]
fn only_the_port_of_a_loopback_address_is_free() {
    let client = client(&["http://127.0.0.1", "http://[::1]:80/cb?x=1", "https://app.example/cb"]);
    for good in [
        "http://127.0.0.1",
        "http://127.0.0.1/",
        "http://127.0.0.1:49152",
        "http://127.0.0.1:49152/",
        "http://[::1]/cb?x=1",
        "http://[::1]:8080/cb?x=1",
        "https://app.example/cb",
    ] {
        assert_eq!(client.redirect(good).unwrap().as_str(), good);
    }
    for bad in [
        "http://localhost/",
        "http://[::1]/",
        "http://[::1]:8080/cb",
        "http://[::1]:8080/cb?x=2",
        "http://[::1]:8080/cb/?x=1",
        "http://127.0.0.1:49152/cb",
        "http://127.0.0.1:49152/?x",
        "http://127.0.0.1:49152//",
        "http://127.0.0.1:49152/..",
        "http://127.0.0.1:49152@evil.example/",
        "http://127.0.0.1.evil.example:49152/",
        "https://127.0.0.1:49152/",
        "https://app.example/cb/",
        "https://app.example/cb?",
        "https://app.example/CB",
        "https://app.example/c%62",
        "https://app.example:443/cb",
        "https://app.example:8443/cb",
        "https://app.example",
        "https://APP.example/cb",
        "https://app.example./cb",
        "https://app.example/cb#",
        "https://evil.example/cb",
        "https://app.example.evil.example/cb",
        "http://app.example/cb",
        "",
    ] {
        assert_eq!(client.redirect(bad), None, "{bad}");
    }
}

#[test]
fn the_client_open_has_the_redirects_of_the_contract_and_no_other() {
    let open = Client::open();
    for good in [
        "http://127.0.0.1",
        "http://127.0.0.1:1/",
        "http://[::1]:65535",
        "http://[::1]/",
        "http://localhost:3000/",
        "http://localhost",
        "https://localhost",
    ] {
        assert!(open.redirect(good).is_some(), "{good}");
    }
    for bad in ["https://localhost/", "https://localhost:8443", "http://localhost/cb", "https://127.0.0.1"] {
        assert!(open.redirect(bad).is_none(), "{bad}");
    }
}

#[test]
fn people_and_browsers_are_told_where_it_leads() {
    for (uri, host, is_local, target) in [
        ("https://app.example/cb", "app.example", false, "https://app.example"),
        ("https://app.example:8443/", "app.example", false, "https://app.example:8443"),
        ("https://192.0.2.1/", "192.0.2.1", false, "https:"),
        ("https://localhost", "localhost", true, "https://localhost"),
        ("http://127.0.0.1:49152/", "127.0.0.1", true, "http://127.0.0.1:*"),
        ("http://localhost/", "localhost", true, "http://localhost:*"),
        ("http://[::1]:49152/", "[::1]", true, "http:"),
        ("com.example.app:/cb", "com.example.app", true, "com.example.app:"),
        ("com.example.app://place", "com.example.app", true, "com.example.app:"),
    ] {
        let uri = RedirectUri::parse(uri).unwrap();
        assert_eq!(
            (uri.host(), uri.is_local(), uri.form_target().as_str()),
            (host, is_local, target),
            "{uri:?}"
        );
    }
}

proptest! {
    #[test]
    fn whatever_is_read_nothing_breaks_and_nothing_changes(text in "\\PC{0,80}") {
        if let Ok(uri) = RedirectUri::parse(&text) {
            prop_assert_eq!(uri.as_str(), text);
        }
    }

    #[test]
    fn no_pieces_put_together_lead_from_one_host_to_another(
        pieces in prop::collection::vec(
            prop::sample::select(vec![
                "https://", "http://", "127.0.0.1", "[::1]", "localhost", "app.example", "evil.example", "@", ":",
                "80", "/", "//", "..", ".", "%2e", "%2F", "\\", "?", "#", "a", "&", ";", "%",
            ]),
            0..8,
        ),
    ) {
        let text = pieces.concat();
        let client = client(&["https://app.example/a", "http://127.0.0.1"]);
        if let Some(found) = client.redirect(&text) {
            let rest = text.strip_prefix("http://127.0.0.1");
            let port = rest.map(|rest| rest.trim_end_matches('/').trim_start_matches(':'));
            let is_plain_loopback = port.is_some_and(|port| port.bytes().all(|octet| octet.is_ascii_digit()));
            prop_assert!(text == "https://app.example/a" || is_plain_loopback, "{}", text);
            prop_assert_eq!(found.as_str(), text);
        }
    }
}
