"""A signed-in client that tries to become another user, or to be believed another address.

hostile.py CA SMTPS IMAPS ALICE TOKEN BOB BOB_TOKEN BOB_PASSWORD"""

import base64
import socket
import sys

import mail

ca, smtps, imaps, alice, token, bob, bob_token, bob_password = sys.argv[1:]
PLAIN = base64.b64encode(f"\0{bob}\0{bob_password}".encode()).decode()
FORBIDDEN = [
    f"AUTH PLAIN {PLAIN}",
    f"auth plain {PLAIN}",
    "STARTTLS",
    "StartTLS",
    f"XCLIENT LOGIN={bob} ADDR=203.0.113.9",
    f"xclient LOGIN={bob}",
    "XFORWARD ADDR=203.0.113.9",
    " STARTTLS",
    "\tSTARTTLS",
    "STARTTLS ",
]
ENVELOPE = [f"MAIL FROM:<{alice}>", f"RCPT TO:<{bob}>"]


class Talk:
    """A connection that speaks octets and hears whole replies."""

    def __init__(self, sign_in=True):
        raw = socket.create_connection(("localhost", int(smtps)), timeout=30)
        raw.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self.tls = mail.context(ca).wrap_socket(raw, server_hostname="localhost")
        self.file = self.tls.makefile("rb")
        assert self.reply()[0] == 220
        self.say("EHLO hostile.example")
        assert self.reply()[0] == 250
        if sign_in:
            self.say(self.auth())
            assert self.reply()[0] == 235

    @staticmethod
    def auth():
        response = mail.response("XOAUTH2", alice, token, smtps)
        return "AUTH XOAUTH2 " + base64.b64encode(response).decode()

    def say(self, *lines):
        self.send("".join(f"{line}\r\n" for line in lines).encode())

    def send(self, octets):
        self.tls.sendall(octets)

    def drip(self, *lines):
        """Each octet in a TLS record of its own."""
        for octet in "".join(f"{line}\r\n" for line in lines).encode():
            self.tls.sendall(bytes([octet]))

    def reply(self):
        text = []
        while line := self.file.readline():
            text.append(line.decode())
            if line[3:4] == b" ":
                return int(line[:3]), "".join(text)
        raise AssertionError(f"closed after {text}")

    def expect(self, *classes):
        """One reply for each class: 2, 3, 4 or 5; 0 takes any refusal."""
        for wanted in classes:
            code, text = self.reply()
            assert code // 100 in ((4, 5) if wanted == 0 else (wanted,)), (wanted, text)

    def bye(self):
        self.say("QUIT")
        self.expect(2)
        self.tls.close()


def message(subject):
    return f"Subject: {subject}", "", *FORBIDDEN, "end", "."


# Pipelined behind the sign-in, in one write with it.
for verb in FORBIDDEN:
    talk = Talk(sign_in=False)
    talk.say(talk.auth(), verb, "NOOP")
    talk.expect(2, 0, 2)
    talk.bye()

# Alone, pipelined before and behind good commands, and octet by octet.
talk = Talk()
for verb in FORBIDDEN:
    talk.say(verb)
    talk.expect(0)
    talk.say("NOOP", verb, "RSET", verb, "NOOP")
    talk.expect(2, 0, 2, 0, 2)
    talk.drip("NOOP", verb, "NOOP")
    talk.expect(2, 0, 2)
talk.say("EHLO again.example")
code, offered = talk.reply()
words = [line[4:].split()[0].upper() for line in offered.splitlines()]
assert code == 250 and not {"AUTH", "STARTTLS", "XCLIENT", "XFORWARD"} & set(words), offered
talk.bye()

# Behind a DATA that is refused because nobody was named: what follows is a command and no text.
for verb in FORBIDDEN:
    talk = Talk()
    talk.say(f"MAIL FROM:<{alice}>", "DATA", verb, "NOOP")
    talk.expect(2, 0, 0, 2)
    talk.say("RSET", f"MAIL FROM:<{alice}>", "RCPT TO:<nobody@example.org>", "DATA", verb, "NOOP")
    talk.expect(2, 2, 0, 0, 0, 2)
    talk.drip("RSET", f"MAIL FROM:<{alice}>", "DATA", verb, "NOOP")
    talk.expect(2, 2, 0, 0, 2)
    talk.bye()

# A refused BDAT still consumes its octets, and not one more.
for verb in FORBIDDEN:
    talk = Talk()
    chunk = f"{verb}\r\n" * 3
    for last in "", " LAST":
        talk.send(f"BDAT {len(chunk)}{last}\r\n{chunk}{verb}\r\nNOOP\r\n".encode())
        talk.expect(0, 0, 2)
    talk.bye()

# Inside a message they are text; right behind it they are commands.
talk = Talk()
talk.say(*ENVELOPE, "DATA")
talk.expect(2, 2, 3)
talk.say(*message("hostile one"), FORBIDDEN[0], "STARTTLS", "NOOP")
talk.expect(2, 0, 0, 2)
talk.say(*ENVELOPE, "DATA")
talk.expect(2, 2, 3)
talk.drip(*message("hostile two"), FORBIDDEN[4], "NOOP")
talk.expect(2, 0, 2)
talk.bye()

# The whole message behind DATA without waiting for the 354.
talk = Talk()
talk.say(*ENVELOPE, "DATA", *message("hostile three"), "STARTTLS", "NOOP")
talk.expect(2, 2, 3, 2, 0, 2)
talk.bye()

# By BDAT, where it is taken.
talk = Talk()
text = "".join(f"{line}\r\n" for line in message("hostile four")[:-1])
talk.send(("\r\n".join(ENVELOPE) + f"\r\nBDAT {len(text)}\r\n{text}BDAT 2 LAST\r\n\r\nSTARTTLS\r\nNOOP\r\n").encode())
talk.expect(2, 2, 2, 2, 0, 2)
talk.bye()

reader = mail.signed_in_imap(ca, imaps, "XOAUTH2", bob, bob_token)
for number in "one", "two", "three", "four":
    (found,) = mail.wait_for_subject(reader, f"hostile {number}")
    body = mail.literal(reader.fetch(found, "(BODY.PEEK[TEXT])")[1])
    assert body.rstrip() == "\r\n".join([*FORBIDDEN, "end"]).encode(), body
assert mail.exists(reader) == 4
reader.logout()
