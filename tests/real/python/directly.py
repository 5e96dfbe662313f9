"""Checks the mail servers themselves, with passwords: what the tests behind Bearward rely on."""

import imaplib
import poplib
import smtplib
import ssl
import sys
import time

ca, imap, pop3s, smtp, submission, alice, alice_password, bob, bob_password, master, master_password = sys.argv[1:]
tls = ssl.create_default_context(cafile=ca)


def mailbox():
    client = imaplib.IMAP4("localhost", int(imap))
    client.starttls(tls)
    return client


for authzid, authcid, password in (
    ("", alice, alice_password),
    ("", f"{alice}*{master}", master_password),
    (alice, master, master_password),
):
    client = mailbox()
    assert not [word for word in client.capabilities if word in ("AUTH=OAUTHBEARER", "AUTH=XOAUTH2")]
    client.authenticate("PLAIN", lambda _: f"{authzid}\0{authcid}\0{password}".encode())
    assert client.select()[0] == "OK"
    client.logout()

for port in smtp, submission:
    sender = smtplib.SMTP("localhost", int(port))
    sender.starttls(context=tls)
    sender.login(alice, alice_password)
    sender.sendmail(alice, [bob], f"Subject: by port {port}\r\n\r\nhello\r\n")
    sender.quit()

reader = mailbox()
reader.login(bob, bob_password)
deadline = time.monotonic() + 15
while reader.select()[1] != [b"2"]:
    assert time.monotonic() < deadline, "the messages did not arrive"
    time.sleep(0.1)
reader.logout()

drop = poplib.POP3_SSL("localhost", int(pop3s), context=tls)
drop.user(bob)
drop.pass_(bob_password)
assert drop.stat()[0] == 2
drop.quit()
