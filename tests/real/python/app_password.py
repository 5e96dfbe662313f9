"""Signs in with an app password by every way that Python's libraries know, and sends a message.

Arguments: CA file, ports of IMAP, POP3 and SMTP with implicit TLS, user, app password, recipient."""

import base64
import imaplib
import poplib
import smtplib
import ssl
import sys

ca, imaps, pop3s, smtps, user, password, recipient = sys.argv[1:]
tls = ssl.create_default_context(cafile=ca)


def imap():
    return imaplib.IMAP4_SSL("localhost", int(imaps), ssl_context=tls, timeout=30)


def reads(session):
    status, _ = session.select("INBOX", readonly=True)
    assert status == "OK", status
    session.logout()


with imap() as session:
    assert "AUTH=PLAIN" in session.capabilities and "LOGINDISABLED" not in session.capabilities
    session.login(user, password)
    reads(session)
with imap() as session:
    session.authenticate("PLAIN", lambda _: f"\0{user}\0{password}".encode())
    reads(session)
with imap() as session:
    answers = iter([user, password.replace("-", "").upper()])
    session.authenticate("LOGIN", lambda _: next(answers).encode())
    reads(session)
with imap() as session:
    try:
        session.login(user, "not-this-one")
        raise SystemExit("a wrong password was taken")
    except imaplib.IMAP4.error as error:
        assert "AUTHENTICATIONFAILED" in str(error), error

for way in ["USER", "PLAIN", "LOGIN"]:
    session = poplib.POP3_SSL("localhost", int(pop3s), context=tls, timeout=30)
    assert "USER" in session.capa() and "PLAIN" in session.capa()["SASL"]
    if way == "USER":
        session.user(user)
        session.pass_(password)
    elif way == "PLAIN":
        session._shortcmd("AUTH PLAIN " + base64.b64encode(f"\0{user}\0{password}".encode()).decode())
    else:
        session._shortcmd("AUTH LOGIN")
        session._shortcmd(base64.b64encode(user.encode()).decode())
        session._shortcmd(base64.b64encode(password.encode()).decode())
    session.stat()
    session.quit()

for way in ["PLAIN", "LOGIN"]:
    with smtplib.SMTP_SSL("localhost", int(smtps), context=tls, timeout=30) as session:
        session.ehlo()
        assert way in session.esmtp_features["auth"].split(), session.esmtp_features
        session.user, session.password = user, password
        session.auth(way, session.auth_plain if way == "PLAIN" else session.auth_login)
        message = f"From: <{user}>\r\nTo: <{recipient}>\r\nSubject: python {way}\r\n\r\nhello\r\n"
        session.sendmail(user, [recipient], message)
