use std::{
    io::{Read, Write},
    net::{TcpListener, TcpStream},
    sync::{Arc, Mutex},
    thread,
    time::{Duration, Instant},
};

use bearward::lookup::{AuthMethodName, Header, HttpConfig, Kind, Lookups};

use super::{EVIL, find, is_operator, is_unavailable, lookups};
use crate::support::wait;

/// A service that plays the same to every request, and remembers the requests in small letters.
struct Service {
    url: String,
    requests: Arc<Mutex<Vec<String>>>,
}

impl Service {
    fn answering(answer: impl Into<Vec<u8>>) -> Self {
        let answer = answer.into();
        Self::playing(move |stream| {
            stream.write_all(&answer).ok();
        })
    }

    fn playing(play: impl Fn(&mut TcpStream) + Send + 'static) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let url = format!("http://{}/auth", listener.local_addr().unwrap());
        let requests = Arc::new(Mutex::new(Vec::new()));
        let kept = Arc::clone(&requests);
        thread::spawn(move || {
            for stream in listener.incoming() {
                let Ok(mut stream) = stream else { return };
                let (mut text, mut chunk) = (Vec::new(), [0; 4096]);
                while !text.windows(4).any(|end| end == b"\r\n\r\n") {
                    match stream.read(&mut chunk) {
                        Ok(read) if read > 0 => text.extend_from_slice(&chunk[..read]),
                        _ => break,
                    }
                }
                kept.lock().unwrap().push(String::from_utf8_lossy(&text).to_lowercase());
                play(&mut stream);
            }
        });
        Self { url, requests }
    }

    fn lookups(&self) -> Lookups {
        lookups(Kind::Http(HttpConfig {
            url: bearward::lookup::url(&self.url).unwrap(),
            header: Some(Header::parse("X-Key: hunter2").unwrap()),
            method: AuthMethodName::Plain,
            ca: None,
            allow_cleartext: false,
        }))
    }

    fn last(&self) -> String {
        self.requests.lock().unwrap().last().cloned().unwrap_or_default()
    }
}

fn ok(fields: &str) -> String {
    format!("HTTP/1.1 200 OK\r\nAuth-Status: OK\r\n{fields}Content-Length: 0\r\nConnection: close\r\n\r\n")
}

#[tokio::test]
async fn a_service_for_nginx_is_asked_as_nginx_asks_and_its_headers_are_the_entry() {
    let service = Service::answering(ok(
        "Auth-Server: 198.51.100.1\r\nAuth-Port: 143\r\nAuth-User: alice%\r\nAuth-Pass: hunter2\r\n\
         X-Bearward-Backend: main\r\nX-Bearward-Addresses: a@example.org, @example.net\r\n",
    ));
    let entry = find(&service.lookups(), "alice@example.org").await.unwrap().unwrap();
    assert_eq!(entry.server, Some(("198.51.100.1".into(), Some(143))));
    assert_eq!(entry.login_name.as_deref(), Some("alice%"), "an answer is not decoded");
    assert_eq!(entry.password.unwrap().expose(), b"hunter2");
    assert_eq!(entry.backend.as_deref(), Some("main"));
    assert_eq!(entry.addresses, ["a@example.org", "@example.net"]);
    let request = service.last();
    for line in [
        "get /auth http/1.1",
        "auth-method: plain",
        "auth-user: alice@example.org",
        "auth-pass: ",
        "auth-protocol: imap",
        "auth-login-attempt: 1",
        "auth-ssl: on",
        "client-ip: 192.0.2.7",
        "x-key: hunter2",
    ] {
        assert!(request.lines().any(|known| known == line), "{line} in {request}");
    }
}

#[tokio::test]
async fn no_name_adds_a_header_field_or_parts_one() {
    let service = Service::answering(ok("Auth-Server: 127.0.0.1\r\n"));
    let people = service.lookups();
    for evil in EVIL {
        find(&people, evil).await.unwrap();
        let request = service.last();
        let fields: Vec<&str> = request.lines().filter(|line| line.contains("auth-")).collect();
        assert_eq!(fields.len(), 6, "{request}");
        let user = fields.iter().find_map(|line| line.strip_prefix("auth-user: ")).unwrap();
        assert!(user.bytes().all(|octet| octet.is_ascii_graphic()), "{user}");
        assert_eq!(user.matches('%').count() >= 1, evil.contains('%') || !evil.is_ascii(), "{user}");
    }
}

#[tokio::test]
async fn a_refusal_is_an_unknown_user_and_an_outage_is_not() {
    let answer = |fields: &str| {
        format!("HTTP/1.1 200 OK\r\n{fields}\r\nContent-Length: 0\r\nConnection: close\r\n\r\n")
    };
    let service = Service::answering(answer("Auth-Status: Invalid login or password\r\nAuth-Wait: 3"));
    assert!(find(&service.lookups(), "alice@example.org").await.unwrap().is_none());
    let service = Service::answering(answer("Auth-Status: no\r\nAuth-Error-Code: 451 4.3.0"));
    assert!(is_unavailable(&find(&service.lookups(), "alice@example.org").await));
    let service =
        Service::answering("HTTP/1.1 502 Bad Gateway\r\nContent-Length: 0\r\nConnection: close\r\n\r\n");
    assert!(is_unavailable(&find(&service.lookups(), "alice@example.org").await));
    let service = Service::playing(|_| {});
    assert!(is_unavailable(&find(&service.lookups(), "alice@example.org").await));
}

#[tokio::test]
async fn a_redirect_is_not_followed() {
    let elsewhere = Service::answering(ok("Auth-Server: 127.0.0.1\r\n"));
    let service = Service::answering(format!(
        "HTTP/1.1 302 Found\r\nLocation: {}\r\nContent-Length: 0\r\nConnection: close\r\n\r\n",
        elsewhere.url
    ));
    assert!(is_operator(&find(&service.lookups(), "alice@example.org").await));
    assert!(elsewhere.requests.lock().unwrap().is_empty());
}

#[tokio::test]
async fn hostile_answers_are_no_entries() {
    let huge = "x".repeat(2 << 20);
    for (name, answer) in [
        ("a huge field", ok(&format!("Auth-Server: {huge}\r\n"))),
        ("many fields", ok(&"X-Many: 1\r\n".repeat(50_000))),
        ("two servers", ok("Auth-Server: 127.0.0.1\r\nAuth-Server: 127.0.0.2\r\n")),
        ("a host with a blank", ok("Auth-Server: 127.0.0.1 x\r\n")),
        ("a port that is none", ok("Auth-Server: 127.0.0.1\r\nAuth-Port: 0\r\n")),
        ("a user with a blank", ok("Auth-User: alice x\r\n")),
        ("a user with a bare LF", ok("Auth-User: alice\n x\r\n")),
        ("a backend that is none", ok("X-Bearward-Backend: ../x\r\n")),
        ("no status", "HTTP/1.1 200 OK\r\nContent-Length: 0\r\nConnection: close\r\n\r\n".into()),
        ("no HTTP", "* OK IMAP4rev1\r\n".into()),
        (
            "a huge body",
            format!("HTTP/1.1 200 OK\r\nAuth-Status: OK\r\nContent-Length: {}\r\n\r\n{huge}", huge.len()),
        ),
    ] {
        let service = Service::answering(answer);
        let result = find(&service.lookups(), "alice@example.org").await;
        assert!(result.is_err(), "{name}: {result:?}");
    }
}

#[tokio::test]
async fn a_service_that_trickles_is_left_in_time() {
    let service = Service::playing(|stream| {
        for octet in ok("Auth-Server: 127.0.0.1\r\n").bytes() {
            if stream.write_all(&[octet]).is_err() {
                return;
            }
            wait(Duration::from_millis(200));
        }
    });
    let started = Instant::now();
    assert!(is_unavailable(&find(&service.lookups(), "alice@example.org").await));
    assert!(started.elapsed() < Duration::from_secs(4));
}
