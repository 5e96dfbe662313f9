"""A mailbox session and a submission over every protocol that the mail server speaks, with both mechanisms, from an
address that is not the mail server's or Bearward's.

mailbox.py CA LARGE IMAPS POP3S SMTPS SIEVE DELIVERED ALICE ALICE_TOKEN BOB BOB_TOKEN

A port of "-" means that the server does not speak the protocol. DELIVERED is the folder of maildirs that submitted
messages are delivered to. LARGE has a line "needle LARGE" in its body."""

import pathlib
import socket
import sys
import time

import mail

ca, large, imaps, pop3s, smtps, sieve, delivered, alice, alice_token, bob, bob_token = sys.argv[1:]
with open(large, "rb") as file:
    content = file.read()


connect = socket.create_connection
socket.create_connection = lambda target, timeout=None, *_, **__: connect(("127.0.0.1", target[1]), timeout, ("127.0.0.5", 0))


def small(mechanism):
    """A message that is complete, so that nobody has a field to add, with what a relay could get wrong in its body."""
    head = f"From: <{alice}>\r\nTo: <list@example.org>\r\nSubject: small {mechanism}\r\n"
    head += f"Date: Wed, 25 Nov 2026 12:00:00 +0000\r\nMessage-ID: <{mechanism}.{time.time()}@client.example.org>\r\n"
    head += "MIME-Version: 1.0\r\nContent-Type: text/plain; charset=utf-8\r\nContent-Transfer-Encoding: 8bit\r\n\r\n"
    return head.encode() + f"needle {mechanism}\r\n.\r\n..\r\n.a dot\r\n\r\nGrüße \t\r\n".encode()


def mailbox(mechanism, number, message, subject, needle):
    """Append, idle, fetch, search, on two sessions at once; nothing of it is in the other user's mailbox."""
    reader = mail.signed_in_imap(ca, imaps, mechanism, alice, alice_token)
    assert mail.exists(reader) == number - 1
    mail.idle(reader)
    writer = mail.signed_in_imap(ca, imaps, mechanism, alice, alice_token)
    assert writer.append("INBOX", None, None, message)[0] == "OK"
    mail.wait_for_exists(reader, number)
    fetched = mail.literal(reader.fetch(str(number), "(BODY.PEEK[])")[1])
    assert fetched == message, f"{mechanism}: {len(fetched)} octets of {len(message)} came back"
    for criterion, word in (("SUBJECT", subject), ("BODY", needle)):
        found = reader.search(None, criterion, f'"{word}"')[1]
        assert found == [str(number).encode()], (mechanism, criterion, found)
    writer.logout()
    reader.logout()
    other = mail.signed_in_imap(ca, imaps, mechanism, bob, bob_token)
    assert mail.exists(other) == 0
    other.logout()


def drop(mechanism, number, message, *_):
    """The message that IMAP appended is the same by POP3."""
    client = mail.pop3(ca, pop3s)
    line = mail.pop3_sign_in(client, mail.SignIn(mechanism, alice, alice_token, pop3s))
    assert line.startswith(b"+OK"), line
    assert client.stat()[0] == len(messages)
    fetched = b"".join(line + b"\r\n" for line in client.retr(number)[1])
    assert fetched == message, f"{mechanism}: {len(fetched)} octets of {len(message)} came by POP3"
    client.quit()


def script(mechanism, *_):
    """A script is stored, listed, fetched and removed, with ManageSieve (RFC 5804)."""
    text = f"# {mechanism}\r\nrequire \"fileinto\";\r\nkeep;\r\n".encode()
    client = mail.Sieve(ca, sieve)
    client.sign_in(mail.SignIn(mechanism, alice, alice_token, sieve))
    client.command(f'PUTSCRIPT "{mechanism}" {{{len(text)}+}}\r\n'.encode() + text)
    assert f'"{mechanism}"'.encode() in client.command(b"LISTSCRIPTS")
    fetched = client.command(f'GETSCRIPT "{mechanism}"'.encode())
    assert fetched == f"{{{len(text)}}}\r\n".encode() + text + b"\r\n", fetched
    client.command(f'DELETESCRIPT "{mechanism}"'.encode())
    assert b'"' not in client.command(b"LISTSCRIPTS")
    client.command(b"LOGOUT")


def submit(mechanism, _, message, subject, *__):
    """Arrives with trace fields before it and otherwise as it was sent; for the recipient of the envelope, from its
    sender, whatever the message's own fields say."""
    client = mail.smtp(ca, smtps)
    code, text = client.auth(mechanism, mail.SignIn(mechanism, alice, alice_token, smtps).for_smtp)
    assert code == 235, (code, text)
    options = ["BODY=8BITMIME"] if "8bitmime" in client.esmtp_features else []
    assert client.sendmail(alice, [bob], message, mail_options=options) == {}
    client.quit()
    arrived = wait_for_file(pathlib.Path(delivered) / bob, f"Subject: {subject}\r\n".encode())
    assert arrived.endswith(message), f"{mechanism}: {len(arrived)} octets arrived for {len(message)}"
    trace = arrived[: -len(message)].decode()
    assert f"Return-path: <{alice}>\r\n".lower() in trace.lower(), trace
    assert any(f"{field}: {to}\r\n" in trace for field in ("Envelope-to", "Delivered-To") for to in (bob, f"<{bob}>")), trace


def wait_for_file(maildir, line):
    """The one delivered message with that line, with the line ends of the Internet."""
    deadline = time.monotonic() + 20
    while time.monotonic() < deadline:
        for path in maildir.glob("new/*"):
            text = path.read_bytes().replace(b"\n", b"\r\n")
            if line in text:
                return text
        time.sleep(0.05)
    raise AssertionError(f"{line} did not arrive in {maildir}")


messages = {"OAUTHBEARER": (content, "large", "needle LARGE"), "XOAUTH2": (small("XOAUTH2"), "small XOAUTH2", "needle XOAUTH2")}
# Everything is sent after Bob's mailbox was seen empty.
for protocol, step in ((imaps, mailbox), (pop3s, drop), (sieve, script), (smtps, submit)):
    if protocol != "-":
        for number, (mechanism, message) in enumerate(messages.items(), 1):
            step(mechanism, number, *message)
