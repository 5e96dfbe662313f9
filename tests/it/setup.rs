//! The documents by which mail clients set themselves up: what is served, to whom, and what strangers get.

use std::{
    io::Write as _,
    process::{Command, Stdio},
    sync::Arc,
};

use axum::{
    Router,
    body::Body,
    http::{HeaderMap, Method, Request, StatusCode},
};
use bearward::{
    model::Mechanism,
    setup::Offer,
    web::{self, Limits, Site},
};
use http_body_util::BodyExt as _;
use tower::ServiceExt as _;

use crate::web::{caller, foreign, offer};

const AUTOCONFIG: [&str; 4] = [
    "/mail/config-v1.1.xml",
    "/.well-known/autoconfig/mail/config-v1.1.xml",
    "/mail/config-v1.2.xml",
    "/.well-known/autoconfig/mail/config-v1.2.xml",
];
const PACC: &str = "/.well-known/user-agent-configuration.json";
const ADD_ON: &str = "/mail/thunderbird.xpi";
const PREFERENCES: &str = "/mail/thunderbird-prefs.txt";
const PROFILE: &str = "/mail/apple.mobileconfig";
const AUTODISCOVER: &str = "/autodiscover/autodiscover.xml";

/// What came back, whose body may be no text.
struct Answer {
    status: StatusCode,
    headers: HeaderMap,
    body: Vec<u8>,
}

impl Answer {
    fn header(&self, name: &str) -> Option<&str> {
        self.headers.get(name).map(|value| value.to_str().unwrap())
    }

    fn text(&self) -> &str {
        std::str::from_utf8(&self.body).unwrap()
    }
}

fn router(offer: Offer) -> Router {
    web::router(Site {
        hostname: "mail.example.org".into(),
        issuer: None,
        trusted: Vec::new(),
        sign_outs: None,
        setup: Arc::new(offer),
        sessions: Arc::default(),
        limits: Limits::default(),
        metrics: Arc::default(),
    })
}

/// Takes tokens alone.
fn tokens() -> Router {
    router(offer(&[Mechanism::OAuthBearer, Mechanism::XOAuth2]))
}

/// Takes passwords too.
fn passwords() -> Router {
    router(offer(&Mechanism::ALL))
}

async fn send(router: &Router, mut request: Request<Body>) -> Answer {
    request.extensions_mut().insert(caller("192.0.2.1"));
    let (head, body) = router.clone().oneshot(request).await.unwrap().into_parts();
    let body = body.collect().await.unwrap().to_bytes().to_vec();
    Answer { status: head.status, headers: head.headers, body }
}

async fn get(router: &Router, path: &str) -> Answer {
    send(router, Request::get(path).body(Body::empty()).unwrap()).await
}

async fn post(router: &Router, path: &str, body: impl Into<Body>) -> Answer {
    let request = Request::post(path).header("content-type", "text/xml").body(body.into()).unwrap();
    send(router, request).await
}

fn question(address: &str) -> String {
    format!(
        "<?xml version=\"1.0\"?><Autodiscover xmlns=\"http://schemas.microsoft.com/exchange/autodiscover/outlook/\
         requestschema/2006\"><Request><EMailAddress>{address}</EMailAddress></Request></Autodiscover>"
    )
}

fn encoded(address: &str) -> String {
    form_urlencoded::byte_serialize(address.as_bytes()).collect()
}

/// Runs a script of Python on `input`.
fn python(script: &str, input: &[u8]) -> String {
    let mut child = Command::new("python3")
        .args(["-c", script])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    child.stdin.take().unwrap().write_all(input).unwrap();
    let output = child.wait_with_output().unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8(output.stdout).unwrap()
}

#[tokio::test]
async fn documents_can_be_kept_and_are_open_to_no_script_of_another_origin() {
    for (path, media_type) in [
        (AUTOCONFIG[0], "text/xml; charset=utf-8"),
        (AUTOCONFIG[1], "text/xml; charset=utf-8"),
        (AUTOCONFIG[2], "text/xml; charset=utf-8"),
        (AUTOCONFIG[3], "text/xml; charset=utf-8"),
        (PACC, "application/json"),
        (ADD_ON, "application/octet-stream"),
        (PREFERENCES, "text/plain; charset=utf-8"),
    ] {
        let router = tokens();
        let answer = send(&router, foreign(Method::GET, path)).await;
        assert_eq!(answer.status, StatusCode::OK, "{path}");
        assert_eq!(answer.header("content-type"), Some(media_type), "{path}");
        assert_eq!(answer.header("cache-control"), Some("public, max-age=3600"), "{path}");
        assert_eq!(answer.header("access-control-allow-origin"), None, "{path}");
        assert_eq!(answer.header("x-content-type-options"), Some("nosniff"), "{path}");
        let head = send(&router, foreign(Method::HEAD, path)).await;
        assert_eq!((head.status, head.body.len()), (StatusCode::OK, 0), "{path}");
        let length = answer.body.len().to_string();
        assert_eq!(head.header("content-length"), Some(length.as_str()), "{path}");
        let posted = post(&router, path, "").await;
        assert_eq!(posted.status, StatusCode::METHOD_NOT_ALLOWED, "{path}");
        assert_eq!(get(&router, path).await.body, answer.body, "the same octets each time");
    }
}

#[tokio::test]
async fn autoconfig_is_for_the_domain_of_the_address_and_names_no_other() {
    let router = tokens();
    for path in AUTOCONFIG {
        let answer = get(&router, &format!("{path}?emailaddress=bob%40EXAMPLE.net")).await;
        let text = answer.text();
        assert!(text.contains("<emailProvider id=\"example.net\">"), "{text}");
        assert!(!text.contains(">example.org<") && !text.contains("bob"), "{text}");
        assert!(text.contains(&format!("version=\"{}\"", if path.contains("1.1") { "1.1" } else { "1.2" })));
        let answer = get(&router, &format!("{path}?emailaddress=bob%40elsewhere.example")).await;
        assert_eq!(answer.status, StatusCode::NOT_FOUND);
    }
    let of_host = |host: &'static str| {
        let request = Request::get(AUTOCONFIG[0]).header("host", host).body(Body::empty()).unwrap();
        let router = router.clone();
        async move { send(&router, request).await.text().to_owned() }
    };
    assert!(of_host("autoconfig.example.net").await.contains("id=\"example.net\""));
    assert!(of_host("mail.example.org:8443").await.contains("id=\"example.org\""));
}

#[tokio::test]
async fn a_parser_finds_in_autoconfig_what_was_meant() {
    const SCRIPT: &str = "
import json, sys, xml.etree.ElementTree as tree
octets = sys.stdin.buffer.read()
assert octets.startswith(b'<?xml'), 'a byte order mark'
root = tree.fromstring(octets)
provider = root.find('emailProvider')
servers = [[s.tag, s.get('type')] + [s.findtext(n) for n in ('hostname', 'port', 'socketType', 'username')]
           + [a.text for a in s.findall('authentication')] for s in provider if s.tag.endswith('Server')]
print(json.dumps([provider.findtext('displayName'), servers, {e.tag: e.text for e in root.find('oAuth2')}]))
";
    let answer = get(&passwords(), AUTOCONFIG[0]).await;
    let read: serde_json::Value = serde_json::from_str(&python(SCRIPT, &answer.body)).unwrap();
    let both = ["OAuth2", "password-cleartext"];
    let expected = serde_json::json!([
        "Example & Söhne <Mail>",
        [
            ["incomingServer", "imap", "mail.example.org", "993", "SSL", "%EMAILADDRESS%", both[0], both[1]],
            ["outgoingServer", "smtp", "mail.example.org", "465", "SSL", "%EMAILADDRESS%", both[0], both[1]],
        ],
        {
            "authURL": "https://mail.example.org/oauth/authorize",
            "tokenURL": "https://mail.example.org/oauth/token",
            "issuer": "https://mail.example.org",
            "scope": "urn:ietf:params:oauth:scope:mail",
            "clientID": "open",
        },
    ]);
    assert_eq!(read, expected);
}

#[tokio::test]
async fn a_hostile_address_gets_nothing_and_is_not_repeated() {
    let router = passwords();
    let long = format!("{}@example.org", "x".repeat(10_240));
    for hostile in [
        "<script>alert(1)</script>@example.org",
        "MARK\"><x@example.org",
        "MARK\r\nSet-Cookie: a=b@example.org",
        "MARK@example.org\r\n",
        "MARK@evil@example.org",
        "MARK@<example.org>",
        "MARK",
        "",
        &long,
    ] {
        for path in [AUTOCONFIG[0], AUTOCONFIG[3], PROFILE] {
            let answer = get(&router, &format!("{path}?emailaddress={}", encoded(hostile))).await;
            assert_eq!(answer.status, StatusCode::BAD_REQUEST, "{path} {hostile}");
            assert_eq!(answer.text(), "Bad Request\n");
            assert_eq!(answer.header("set-cookie"), None);
        }
        // Space around a text of XML means nothing.
        let inside = if hostile.trim() == hostile { hostile.to_owned() } else { format!("{hostile}x") };
        let answer = post(&router, AUTODISCOVER, question(&inside)).await;
        assert!(answer.text().contains("<ErrorCode>600</ErrorCode>"), "{hostile}: {}", answer.text());
        assert!(!answer.text().contains("MARK") && answer.body.len() < 1024);
    }
    let twice = format!("{}?emailaddress=a@example.org&EmailAddress=b@example.org", AUTOCONFIG[0]);
    assert_eq!(get(&router, &twice).await.status, StatusCode::BAD_REQUEST);
    let not_utf8 = get(&router, &format!("{PROFILE}?emailaddress=%FF%00@example.org")).await;
    assert_eq!(not_utf8.status, StatusCode::BAD_REQUEST);
}

#[tokio::test]
async fn outlook_is_answered_in_whatever_case_it_asks() {
    const SCRIPT: &str = "
import sys, xml.etree.ElementTree as tree
space = '{http://schemas.microsoft.com/exchange/autodiscover/outlook/responseschema/2006a}'
root = tree.fromstring(sys.stdin.buffer.read())
for protocol in root.iter(space + 'Protocol'):
    print(*(protocol.findtext(space + name) for name in ('Type', 'Server', 'Port', 'SSL', 'LoginName')))
";
    let router = passwords();
    for path in [AUTODISCOVER, "/Autodiscover/Autodiscover.xml", "/AutoDiscover/AutoDiscover.xml"] {
        let answer = post(&router, path, question("o&apos;b&amp;c@example.org")).await;
        assert_eq!(answer.status, StatusCode::OK, "{path}");
        assert_eq!(answer.header("content-type"), Some("text/xml; charset=utf-8"));
        assert_eq!(answer.header("cache-control"), Some("no-store"), "it is about one person");
        let read = python(SCRIPT, &answer.body);
        let expected = "IMAP mail.example.org 993 on o'b&c@example.org\nSMTP mail.example.org 465 on o'b&c@example.org\n";
        assert_eq!(read, expected);
    }
    let answer = get(&router, AUTODISCOVER).await;
    assert_eq!((answer.status, answer.header("allow")), (StatusCode::METHOD_NOT_ALLOWED, Some("POST")));
}

#[tokio::test]
async fn outlook_gets_no_settings_that_it_could_not_use() {
    let refused = |text: &str| text.contains("<ErrorCode>601</ErrorCode>") && !text.contains("<Protocol>");
    let answer = post(&tokens(), AUTODISCOVER, question("a@example.org")).await;
    assert!(refused(answer.text()), "{}", answer.text());
    let answer = post(&passwords(), AUTODISCOVER, question("a@elsewhere.example")).await;
    assert!(refused(answer.text()), "{}", answer.text());
}

#[tokio::test]
async fn an_autodiscover_request_is_bounded_and_nothing_in_it_is_expanded() {
    let router = passwords();
    let bomb = format!(
        "<!DOCTYPE x [<!ENTITY a \"aaaaaaaaaa\"><!ENTITY b \"&a;&a;&a;\">]>{}",
        question("&b;@example.org")
    );
    let file =
        "<!DOCTYPE x [<!ENTITY a SYSTEM \"file:///etc/passwd\">]>".to_owned() + &question("&a;@example.org");
    for body in [bomb, file, String::new(), "\u{0}".repeat(100), "<EMailAddress>".repeat(1000)] {
        let answer = post(&router, AUTODISCOVER, body.clone()).await;
        assert_eq!(answer.status, StatusCode::OK);
        assert!(answer.text().contains("<ErrorCode>600</ErrorCode>"), "{body:.80}");
    }
    let large = question("a@example.org") + &" ".repeat(16 * 1024);
    assert_eq!(post(&router, AUTODISCOVER, large).await.status, StatusCode::PAYLOAD_TOO_LARGE);
}

#[tokio::test]
async fn autodiscover_by_json_says_where_the_other_one_is() {
    let path = "/Autodiscover/Autodiscover.json/?Email=a@example.org";
    assert_eq!(get(&passwords(), path).await.status, StatusCode::NOT_FOUND);
    let path = "/autodiscover/autodiscover.json?Email=a@example.org&Protocol=AutodiscoverV1";
    let answer = get(&passwords(), path).await;
    assert_eq!(answer.status, StatusCode::OK);
    let expected = "{\"Protocol\":\"AutodiscoverV1\",\"Url\":\"https://mail.example.org/autodiscover/autodiscover.xml\"}";
    assert_eq!(answer.text(), expected);
    let answer = get(&passwords(), &path.replace("AutodiscoverV1", "ActiveSync")).await;
    assert_eq!(answer.status, StatusCode::BAD_REQUEST);
    assert!(answer.text().contains("\"ErrorCode\":\"InvalidProtocol\""));
    assert_eq!(get(&tokens(), path).await.status, StatusCode::BAD_REQUEST);
}

#[tokio::test]
async fn a_profile_is_a_property_list_without_a_password() {
    const SCRIPT: &str = "
import json, plistlib, sys
profile = plistlib.loads(sys.stdin.buffer.read())
[account] = profile['PayloadContent']
assert profile['PayloadType'] == 'Configuration' and profile['PayloadVersion'] == 1
assert profile['PayloadUUID'] != account['PayloadUUID']
print(json.dumps(account, sort_keys=True))
";
    let path = format!("{PROFILE}?emailaddress={}", encoded("o'b&c@example.org"));
    let answer = get(&passwords(), &path).await;
    assert_eq!(answer.status, StatusCode::OK);
    assert_eq!(answer.header("content-type"), Some("application/x-apple-aspen-config"));
    assert_eq!(answer.header("content-disposition"), Some("attachment; filename=\"mail.mobileconfig\""));
    assert_eq!(answer.header("cache-control"), Some("no-store"), "it is about one person");
    let account: serde_json::Value = serde_json::from_str(&python(SCRIPT, &answer.body)).unwrap();
    for (key, value) in [
        ("PayloadType", "com.apple.mail.managed".into()),
        ("EmailAccountType", "EmailTypeIMAP".into()),
        ("EmailAddress", "o'b&c@example.org".into()),
        ("EmailAccountDescription", "Example & Söhne <Mail>".into()),
        ("IncomingMailServerHostName", "mail.example.org".into()),
        ("IncomingMailServerPortNumber", 993.into()),
        ("IncomingMailServerUseSSL", true.into()),
        ("IncomingMailServerUsername", "o'b&c@example.org".into()),
        ("IncomingMailServerAuthentication", "EmailAuthPassword".into()),
        ("OutgoingMailServerPortNumber", serde_json::Value::from(465)),
        ("OutgoingPasswordSameAsIncomingPassword", true.into()),
    ] {
        assert_eq!(account[key], value, "{key}");
    }
    assert!(account.get("IncomingPassword").is_none());

    let router = passwords();
    assert_eq!(get(&router, PROFILE).await.status, StatusCode::BAD_REQUEST);
    let elsewhere = get(&router, &format!("{PROFILE}?emailaddress=a@elsewhere.example")).await;
    assert_eq!(elsewhere.status, StatusCode::NOT_FOUND);
    let useless = get(&tokens(), &format!("{PROFILE}?emailaddress=a@example.org")).await;
    assert_eq!(useless.status, StatusCode::NOT_FOUND);
}

#[tokio::test]
async fn the_add_on_is_an_archive_with_a_manifest_and_nothing_else() {
    const SCRIPT: &str = "
import io, sys, zipfile
archive = zipfile.ZipFile(io.BytesIO(sys.stdin.buffer.read()))
assert archive.testzip() is None and archive.namelist() == ['manifest.json']
print(archive.read('manifest.json').decode())
";
    let answer = get(&tokens(), ADD_ON).await;
    let manifest: serde_json::Value = serde_json::from_str(&python(SCRIPT, &answer.body)).unwrap();
    assert_eq!(manifest["name"], "Sign-in for Example & Söhne <Mail>");
    let provider = serde_json::json!({
        "issuer": "mail.example.org",
        "clientId": "open",
        "authorizationEndpoint": "https://mail.example.org/oauth/authorize",
        "tokenEndpoint": "https://mail.example.org/oauth/token",
        "redirectionEndpoint": "http://127.0.0.1",
        "usePKCE": true,
        "hostnames": ["mail.example.org"],
        "scopes": "urn:ietf:params:oauth:scope:mail",
    });
    assert_eq!(manifest["oauth_provider"], provider);
    let gecko = &manifest["browser_specific_settings"]["gecko"];
    assert_eq!(gecko["id"], "oauth@mail.example.org");
    assert_eq!(gecko["strict_min_version"], "140.0");

    let preferences = get(&tokens(), PREFERENCES).await;
    for key in ["server.serverN", "smtpserver.smtpN"] {
        let line = format!("mail.{key}.oauth2.tokenEndpoint = https://mail.example.org/oauth/token\n");
        assert!(preferences.text().contains(&line), "{}", preferences.text());
    }
}
