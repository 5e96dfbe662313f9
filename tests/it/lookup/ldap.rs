//! A directory that speaks just enough LDAP (RFC 4511), octet by octet.

use std::{
    io::{Read, Write},
    net::{TcpListener, TcpStream},
    sync::{
        Arc, Mutex,
        atomic::{AtomicUsize, Ordering},
    },
    thread,
};

use bearward::{
    lookup::{Kind, LdapAttributes, LdapConfig, LdapFilter, LdapTls, Lookups, Scope},
    model::Secret,
};

use super::{EVIL, find, is_operator, is_unavailable, lookups};

const BIND: u8 = 0x60;
const SEARCH: u8 = 0x63;
const EXTENDED: u8 = 0x77;

/// Tag, length, content (X.690 §8.1).
fn tlv(tag: u8, content: &[u8]) -> Vec<u8> {
    let length = content.len();
    let header = match length {
        0..=0x7F => vec![tag, length as u8],
        _ => vec![tag, 0x82, (length >> 8) as u8, length as u8],
    };
    [header, content.to_vec()].concat()
}

fn message(id: &[u8], operation: Vec<u8>) -> Vec<u8> {
    tlv(0x30, &[tlv(2, id), operation].concat())
}

fn result(tag: u8, code: u8) -> Vec<u8> {
    tlv(tag, &[tlv(10, &[code]), tlv(4, b""), tlv(4, b"")].concat())
}

fn entry(attributes: &[(&str, &[&str])]) -> Vec<u8> {
    let attribute = |(name, values): &(&str, &[&str])| {
        let values: Vec<u8> = values.iter().flat_map(|value| tlv(4, value.as_bytes())).collect();
        tlv(0x30, &[tlv(4, name.as_bytes()), tlv(0x31, &values)].concat())
    };
    let attributes: Vec<u8> = attributes.iter().flat_map(attribute).collect();
    tlv(0x64, &[tlv(4, b"cn=x"), tlv(0x30, &attributes)].concat())
}

/// One message: its identifier, the tag of its operation, and all of it.
fn read(stream: &mut TcpStream) -> Option<(Vec<u8>, u8, Vec<u8>)> {
    let mut octet = || {
        let mut one = [0];
        stream.read_exact(&mut one).ok().map(|()| one[0])
    };
    octet()?;
    let length = match octet()? {
        0x81 => usize::from(octet()?),
        0x82 => usize::from(octet()?) << 8 | usize::from(octet()?),
        short => usize::from(short),
    };
    let mut content = vec![0; length];
    stream.read_exact(&mut content).ok()?;
    let id_length = usize::from(content[1]);
    Some((content[2..2 + id_length].to_vec(), content[2 + id_length], content))
}

struct Directory {
    port: u16,
    searches: Arc<Mutex<Vec<Vec<u8>>>>,
    connections: Arc<AtomicUsize>,
    binds: Arc<AtomicUsize>,
}

impl Directory {
    /// `answer` makes the operations that answer a search; none at all closes the connection.
    fn start(answer: impl Fn(&[u8]) -> Vec<Vec<u8>> + Send + Sync + 'static) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let port = listener.local_addr().unwrap().port();
        let searches = Arc::new(Mutex::new(Vec::new()));
        let (connections, binds) = (Arc::new(AtomicUsize::new(0)), Arc::new(AtomicUsize::new(0)));
        let (kept, counted, answer) = (Arc::clone(&searches), Arc::clone(&connections), Arc::new(answer));
        let bound = Arc::clone(&binds);
        thread::spawn(move || {
            for stream in listener.incoming() {
                let Ok(mut stream) = stream else { return };
                counted.fetch_add(1, Ordering::SeqCst);
                let (kept, answer, bound) = (Arc::clone(&kept), Arc::clone(&answer), Arc::clone(&bound));
                thread::spawn(move || {
                    while let Some((id, tag, content)) = read(&mut stream) {
                        let has = |text: &[u8]| content.windows(text.len()).any(|part| part == text);
                        bound.fetch_add(usize::from(tag == BIND), Ordering::SeqCst);
                        let answers = match tag {
                            BIND if has(b"cn=bearward") && has(b"bindsecret") => vec![result(0x61, 0)],
                            BIND => vec![result(0x61, 49)],
                            // StartTLS, which this one never grants.
                            EXTENDED => vec![result(0x78, 52)],
                            SEARCH => {
                                kept.lock().unwrap().push(content.clone());
                                answer(&content)
                            }
                            _ => return,
                        };
                        if answers.is_empty() {
                            return;
                        }
                        for operation in answers {
                            stream.write_all(&message(&id, operation)).ok();
                        }
                    }
                });
            }
        });
        Self { port, searches, connections, binds }
    }

    fn lookups(&self) -> Lookups {
        self.binding_with("bindsecret")
    }

    fn binding_with(&self, password: &str) -> Lookups {
        lookups(Kind::Ldap(self.config(password, LdapTls::Clear)))
    }

    fn config(&self, password: &str, tls: LdapTls) -> LdapConfig {
        let attribute = |name: &str| Some(name.to_owned());
        LdapConfig {
            host: "127.0.0.1".into(),
            port: self.port,
            tls,
            bind: Some(("cn=bearward".into(), Secret::copy_of(password.as_bytes()))),
            base: "dc=example,dc=org".into(),
            scope: Scope::Sub,
            filter: LdapFilter::parse("(mail={user})").unwrap(),
            attributes: LdapAttributes {
                backend: attribute("mailBackend"),
                server: attribute("mailHost"),
                login_name: attribute("uid"),
                password: attribute("mailPassword"),
                addresses: attribute("mailAlternateAddress"),
                mailboxes: None,
            },
            ca: None,
        }
    }
}

fn contains(content: &[u8], text: &[u8]) -> bool {
    content.windows(text.len()).any(|part| part == text)
}

/// Knows alice alone.
fn alice(search: &[u8]) -> Vec<Vec<u8>> {
    let found = entry(&[
        ("MAILHOST", &["m1.example.org:143"]),
        ("uid", &["alice"]),
        ("mailPassword", &["hunter2"]),
        ("mailAlternateAddress", &["a@example.org", "@example.net"]),
    ]);
    let known = contains(search, b"alice@example.org").then_some(found);
    known.into_iter().chain([result(0x65, 0)]).collect()
}

#[tokio::test]
async fn the_attributes_of_one_entry_are_the_answer() {
    let directory = Directory::start(alice);
    let people = directory.lookups();
    let entry = find(&people, "alice@example.org").await.unwrap().unwrap();
    assert_eq!(entry.server, Some(("m1.example.org".into(), Some(143))), "names of attributes have no case");
    assert_eq!(entry.login_name.as_deref(), Some("alice"));
    assert_eq!(entry.password.unwrap().expose(), b"hunter2");
    assert_eq!(entry.addresses, ["a@example.org", "@example.net"]);
    assert!(entry.backend.is_none());
    assert!(find(&people, "bob@example.org").await.unwrap().is_none());
    assert_eq!(directory.connections.load(Ordering::SeqCst), 1, "one connection serves all");
}

#[tokio::test]
async fn a_name_is_one_value_whatever_it_holds() {
    let directory = Directory::start(alice);
    let people = directory.lookups();
    for evil in EVIL {
        assert!(find(&people, evil).await.unwrap().is_none(), "{evil}");
        let search = directory.searches.lock().unwrap().last().cloned().unwrap();
        // equalityMatch (RFC 4511 §4.5.1.7): the attribute, and the name as it is.
        let expected = tlv(0xA3, &[tlv(4, b"mail"), tlv(4, evil.as_bytes())].concat());
        assert!(contains(&search, &expected), "{evil}");
    }
}

#[tokio::test]
async fn two_entries_a_hash_and_a_refused_bind_are_the_operators_fault() {
    let two = Directory::start(|_| vec![entry(&[]), entry(&[]), result(0x65, 0)]);
    assert!(is_operator(&find(&two.lookups(), "alice@example.org").await));
    let limited = Directory::start(|_| vec![entry(&[]), result(0x65, 4)]);
    assert!(is_operator(&find(&limited.lookups(), "alice@example.org").await));
    let hashed = Directory::start(|_| vec![entry(&[("mailPassword", &["{SSHA}abc"])]), result(0x65, 0)]);
    assert!(is_operator(&find(&hashed.lookups(), "alice@example.org").await));
    let missing = Directory::start(|_| vec![result(0x65, 32)]);
    assert!(is_operator(&find(&missing.lookups(), "alice@example.org").await));
    let directory = Directory::start(alice);
    assert!(is_operator(&find(&directory.binding_with("wrong"), "alice@example.org").await));
    assert!(directory.searches.lock().unwrap().is_empty());
}

#[tokio::test]
async fn an_outage_is_told_and_overcome() {
    let directory = Directory::start(alice);
    let people = directory.lookups();
    let busy = Directory::start(|_| vec![result(0x65, 51)]);
    assert!(is_unavailable(&find(&busy.lookups(), "alice@example.org").await));
    let closing = Directory::start(|_| Vec::new());
    assert!(is_unavailable(&find(&closing.lookups(), "alice@example.org").await));
    assert!(find(&people, "alice@example.org").await.unwrap().is_some());
}

#[tokio::test]
async fn a_connection_that_was_closed_while_idle_is_made_anew() {
    let answered = AtomicUsize::new(0);
    let directory = Directory::start(move |search| match answered.fetch_add(1, Ordering::SeqCst) {
        1 => Vec::new(),
        _ => alice(search),
    });
    let people = directory.lookups();
    assert!(find(&people, "alice@example.org").await.unwrap().is_some());
    assert!(find(&people, "alice@example.org").await.unwrap().is_some());
    assert_eq!(directory.connections.load(Ordering::SeqCst), 2);
}

#[tokio::test]
async fn what_is_no_ldap_ends_no_process() {
    for nonsense in [tlv(0x64, b""), tlv(0x64, &tlv(4, b"\xff")), tlv(0x64, &tlv(2, b"x")), tlv(0x30, b"x")] {
        let directory = Directory::start(move |_| vec![nonsense.clone()]);
        let result = find(&directory.lookups(), "alice@example.org").await;
        assert!(is_unavailable(&result), "{result:?}");
    }
}

/// The password would go in clear otherwise.
#[tokio::test]
async fn a_server_that_refuses_starttls_hears_no_password_and_no_name() {
    let directory = Directory::start(alice);
    for tls in [LdapTls::StartTls, LdapTls::Implicit] {
        let config = directory.config("bindsecret", tls);
        let result = find(&lookups(Kind::Ldap(config)), "alice@example.org").await;
        assert!(result.is_err(), "{tls:?}: {result:?}");
    }
    assert_eq!(directory.binds.load(Ordering::SeqCst), 0);
    assert!(directory.searches.lock().unwrap().is_empty());
}
