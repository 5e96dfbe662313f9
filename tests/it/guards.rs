//! Sessions of a running server, with and without a guard, in front of mail servers that record every octet.

use crate::{
    support::{ALICE, Act, Serve, Upstream, before_login, send, taking, until},
    upstreams::{MASTER, scene},
};

/// A server that takes the login of IMAP and then has these capabilities.
fn imap(capabilities: &str, more: Vec<Act>) -> Vec<Act> {
    let login = send(&format!("L OK [CAPABILITY {capabilities}] welcome\r\n"));
    [before_login("imap"), vec![login], more].concat()
}

#[test]
fn a_client_cannot_unauthenticate_where_the_mail_server_would_let_it() {
    let script = imap(
        "IMAP4rev1 IDLE UNAUTHENTICATE COMPRESS=DEFLATE",
        vec![
            until("b NOOP\r\nc CAPABILITY\r\n"),
            send(
                "* 1 EXISTS\r\nb OK\r\n\
                 * CAPABILITY IMAP4rev1 UNAUTHENTICATE COMPRESS=DEFLATE AUTH=PLAIN IDLE\r\nc OK done\r\n",
            ),
            until("d APPEND x {18}\r\n"),
            send("+ go\r\n"),
            until("x UNAUTHENTICATE\r\n\r\n"),
            send("d OK appended\r\n"),
        ],
    );
    let (upstream, serve) = scene("imap", MASTER, script);
    let mut client = serve.sign_in(
        "imap",
        &serve.token(ALICE),
        "b UNAUTHENTICATE\r\nc CAPABILITY\r\nd APPEND x {18+}\r\nx UNAUTHENTICATE\r\n\r\n",
    );
    assert_eq!(client.line(), "a OK [CAPABILITY IMAP4rev1 IDLE] Logged in");
    for line in [
        "* 1 EXISTS",
        "b BAD Command not available",
        "* CAPABILITY IMAP4rev1 IDLE",
        "c OK done",
        "d OK appended",
    ] {
        assert_eq!(client.line(), line);
    }
    let text = upstream.got("d APPEND").text();
    assert!(
        text.ends_with("\r\nb NOOP\r\nc CAPABILITY\r\nd APPEND x {18}\r\nx UNAUTHENTICATE\r\n\r\n"),
        "{text}"
    );
}

#[test]
fn without_need_of_a_guard_every_octet_passes_untouched() {
    let compressed: Vec<u8> = (0..=255).cycle().take(20_000).collect();
    let back: Vec<u8> = compressed.iter().rev().copied().collect();
    let script = imap(
        "IMAP4rev1 IDLE COMPRESS=DEFLATE LITERAL+",
        vec![
            until("c COMPRESS DEFLATE\r\n"),
            send("+ idling\r\nb OK\r\nc OK [CAPABILITY AUTH=X UNAUTHENTICATE] on\r\n"),
            Act::Send(back.clone()),
        ],
    );
    let (upstream, serve) = scene("imap", MASTER, script);
    let commands = "b IDLE\r\nodd {3+}\r\nDONE\r\n\tx LOGIN {2}\r\nc COMPRESS DEFLATE\r\n";
    let mut client = serve.sign_in("imap", &serve.token(ALICE), commands);
    client.expect("a OK [CAPABILITY IMAP4rev1 IDLE COMPRESS=DEFLATE LITERAL+] ");
    for line in ["+ idling", "b OK", "c OK [CAPABILITY AUTH=X UNAUTHENTICATE] on"] {
        assert_eq!(client.line(), line);
    }
    client.send(&compressed);
    client.end();
    let received = upstream.ended("c COMPRESS DEFLATE").received;
    let start = received.windows(7).position(|octets| octets == b"b IDLE\r").expect("the commands");
    assert!(received[start..] == [commands.as_bytes(), &compressed].concat(), "what the client sent");
    assert_eq!(client.octets(back.len()), back, "what the server sent");
}

#[test]
fn only_own_senders_pass_where_senders_are_checked() {
    let upstream = Upstream::start(vec![Act::Close]);
    let settings = format!("{MASTER}[submission]\nsender = \"own\"\nbare_newline = \"refuse\"\n");
    let serve = Serve::start(&format!("smtp = [\"smtp://127.0.0.1:{}\"]\n{settings}", upstream.port()));
    upstream.play(taking(
        "smtp",
        vec![
            until("NOOP\r\n"),
            send("250 ok\r\n"),
            until("MAIL FROM:<alice@example.org>\r\n"),
            send("250 ok\r\n"),
            until("DATA\r\n"),
            send("250 ok\r\n354 go\r\n"),
        ],
    ));
    let token = serve.token(ALICE);
    let mut client = serve.sign_in("smtp", &token, "MAIL FROM:<bob@example.org>\r\n");
    client.expect("235 ");
    client.expect("553 5.7.1 ");
    client.say("MAIL FROM: <alice@EXAMPLE.org>");
    // Written as the mail server is sure to read it, but for the case that the client chose.
    client.say("QUIT");
    let text = upstream.got("QUIT").text();
    assert!(text.contains("NOOP\r\nMAIL FROM:<alice@EXAMPLE.org>\r\n"), "{text}");

    let mut client = serve.sign_in("smtp", &token, "NOOP\r\nMAIL FROM:<alice@example.org>\r\n");
    client.expect("235 ");
    client.say("RCPT TO:<bob@example.org>\r\nDATA");
    client.until("354 ");
    client.say("Subject: smuggled\r\n\r\ntext\n.\nMAIL FROM:<root@example.org>\r\n.");
    client.expect("550 5.6.11 ");
    assert_eq!(client.rest(), "");
    let record = upstream.ended("DATA\r\n");
    assert!(record.text().ends_with("DATA\r\n"), "{}", record.text());
    serve.wait_for_log(&["session ended", "guard_violation"]);
}
