"""What the scripts share: signing in with a token through Python's own mail libraries."""

import base64
import imaplib
import json
import poplib
import re
import smtplib
import socket
import ssl
import time

LIMIT = 50
imaplib._MAXLINE = 1 << 20


def response(mechanism, login, token, port):
    """The client's response as octets."""
    if mechanism == "XOAUTH2":
        return f"user={login}\1auth=Bearer {token}\1\1".encode()
    return f"n,a={login},\1host=localhost\1port={port}\1auth=Bearer {token}\1\1".encode()


class SignIn:
    """One attempt; keeps the error challenge that came, if any."""

    def __init__(self, mechanism, login, token, port):
        self.mechanism = mechanism
        self.first = response(mechanism, login, token, port)
        self.challenge = None

    def for_imap(self, challenge):
        if challenge:
            self.challenge = json.loads(challenge)
            return b"\1"
        return self.first

    def for_smtp(self, challenge=None):
        if challenge:
            self.challenge = json.loads(challenge)
            return "\1"
        return self.first.decode()

    def check_challenge(self, expected, scope):
        """The challenge says what RFC 7628 §3.2.2 (or XOAUTH2) wants for an expired or a narrow token."""
        told = self.challenge
        assert told is not None, "no error challenge came"
        bearer = {"expired": "invalid_token", "scope": "insufficient_scope"}
        number = {"expired": "400", "scope": "403"}
        wanted = (number if self.mechanism == "XOAUTH2" else bearer)[expected]
        assert told["status"] == wanted, told
        assert scope in told["scope"] or told["scope"].endswith(":mail"), told
        if self.mechanism == "OAUTHBEARER":
            assert told["openid-configuration"].startswith("https://localhost:"), told


def context(ca):
    return ssl.create_default_context(cafile=ca)


def imap(ca, port):
    return imaplib.IMAP4_SSL("localhost", int(port), ssl_context=context(ca), timeout=LIMIT)


def signed_in_imap(ca, port, mechanism, login, token):
    client = imap(ca, port)
    client.authenticate(mechanism, SignIn(mechanism, login, token, port).for_imap)
    return client


def pop3(ca, port):
    return poplib.POP3_SSL("localhost", int(port), context=context(ca), timeout=LIMIT)


def pop3_sign_in(client, attempt, initial=True):
    """AUTH, for which poplib has no method; returns the last line."""
    encoded = base64.b64encode(attempt.first).decode()
    if initial:
        client._putcmd(f"AUTH {attempt.mechanism} {encoded}")
    else:
        client._putcmd(f"AUTH {attempt.mechanism}")
        line, _ = client._getline()
        assert line.startswith(b"+ "), line
        client._putcmd(encoded)
    line, _ = client._getline()
    if line.startswith(b"+ "):
        attempt.challenge = json.loads(base64.b64decode(line[2:]))
        client._putcmd("AQ==")
        line, _ = client._getline()
    return line


def smtp(ca, port):
    client = smtplib.SMTP_SSL("localhost", int(port), context=context(ca), timeout=LIMIT)
    client.ehlo()
    return client


class Sieve:
    """ManageSieve (RFC 5804), for which Python has no library: STARTTLS, then one command after another."""

    def __init__(self, ca, port):
        plain = socket.create_connection(("localhost", int(port)), LIMIT)
        self.connection, self.lines = plain, plain.makefile("rb")
        assert b'"STARTTLS"' in self.answer()
        self.command(b"STARTTLS")
        self.connection = context(ca).wrap_socket(plain, server_hostname="localhost")
        self.lines = self.connection.makefile("rb")
        self.capabilities = self.answer()

    def answer(self):
        """Everything up to a line that begins with OK."""
        told = b""
        while not (line := self.lines.readline()).startswith(b"OK"):
            assert line and not line.startswith((b"NO", b"BYE")), told + line
            told += line
        return told

    def command(self, line):
        self.connection.sendall(line + b"\r\n")
        return self.answer()

    def sign_in(self, attempt):
        assert attempt.mechanism.encode() in self.capabilities, self.capabilities
        response = base64.b64encode(attempt.first).decode()
        return self.command(f'AUTHENTICATE "{attempt.mechanism}" "{response}"'.encode())


def idle(client):
    """Begins IDLE (RFC 2177) on an imaplib client."""
    client.send(b"IDLE1 IDLE\r\n")
    while not (line := client.readline()).startswith(b"+"):
        assert line, "closed instead of idling"


def wait_for_exists(client, number):
    """Reads until the idle session is told of `number` messages, then ends IDLE."""
    while client.readline().strip() != f"* {number} EXISTS".encode():
        pass
    client.send(b"DONE\r\n")
    while not (line := client.readline()).startswith(b"IDLE1"):
        assert line, "closed instead of ending IDLE"
    assert line.startswith(b"IDLE1 OK"), line


def exists(client, mailbox="INBOX"):
    status, (number,) = client.select(mailbox)
    assert status == "OK"
    return int(number)


def wait_for_subject(client, subject, count=1):
    """Waits until `count` messages with that subject are in INBOX, and returns their numbers."""
    deadline = time.monotonic() + 20
    while True:
        exists(client)
        _, (numbers,) = client.search(None, "HEADER", "Subject", f'"{subject}"')
        if len(numbers.split()) >= count:
            return numbers.split()
        assert time.monotonic() < deadline, f"{subject}: {numbers}"
        time.sleep(0.1)


def literal(answer):
    """The one literal of a FETCH answer."""
    (found,) = [part[1] for part in answer if isinstance(part, tuple)]
    return found


def refused(call, pattern):
    """Calls, and expects an exception whose text matches."""
    try:
        call()
    except (imaplib.IMAP4.error, smtplib.SMTPException) as error:
        assert re.search(pattern, str(error)), error
        return
    raise AssertionError("it was not refused")
