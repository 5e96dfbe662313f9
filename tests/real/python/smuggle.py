"""SMTP smuggling: a second message hides behind something that might be taken for the end of the first.
Prints, for each disguise, how many messages arrived.

smuggle.py direct|through CA SMTP_PORT IMAP_PORT SENDER SECRET RECIPIENT SECRET
Directly the secrets are passwords, through Bearward they are tokens."""

import imaplib
import smtplib
import sys
import time

import mail

how, ca, smtp_port, imap_port, sender, secret, recipient, recipient_secret = sys.argv[1:]
DISGUISES = [b"\n.\n", b"\n.\r\n", b"\r.\r", b"\r\n.\n", b"\r.\n", b"\r\n.\r", b"\n.\r"]


def submission():
    if how == "through":
        client = mail.smtp(ca, smtp_port)
        client.auth("XOAUTH2", mail.SignIn("XOAUTH2", sender, secret, smtp_port).for_smtp)
        return client
    client = smtplib.SMTP("localhost", int(smtp_port), timeout=mail.LIMIT)
    client.starttls(context=mail.context(ca))
    client.login(sender, secret)
    return client


def inbox():
    if how == "through":
        return mail.signed_in_imap(ca, imap_port, "XOAUTH2", recipient, recipient_secret)
    client = imaplib.IMAP4("localhost", int(imap_port), timeout=mail.LIMIT)
    client.starttls(mail.context(ca))
    client.login(recipient, recipient_secret)
    return client


reader = inbox()
for number, disguise in enumerate(DISGUISES):
    mark = f"{how}-{number}-end"
    client = submission()
    client.mail(sender)
    client.rcpt(recipient)
    assert client.docmd("DATA")[0] == 354
    hidden = f"MAIL FROM:<{sender}>\r\nRCPT TO:<{recipient}>\r\nDATA\r\nSubject: {mark}\r\n\r\nhidden".encode()
    client.send(f"Subject: {mark}\r\n\r\nfirst".encode() + disguise + hidden + b"\r\n.\r\n")
    try:
        code, text = client.getreply()
        assert code == 250, (code, text)
        client.quit()
    except smtplib.SMTPServerDisconnected:
        pass
    # A later message marks the point at which all have arrived.
    client = submission()
    client.sendmail(sender, [recipient], f"Subject: after {mark}\r\n\r\n.\r\n")
    client.quit()
    mail.wait_for_subject(reader, f"after {mark}")
    time.sleep(0.2)
    mail.exists(reader)
    _, (numbers,) = reader.search(None, "HEADER", "Subject", f'"{mark}"', "NOT", "HEADER", "Subject", '"after"')
    print(len(numbers.split()))
reader.logout()
