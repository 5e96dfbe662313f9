"""Signs in while no mail server can be reached: each protocol's temporary answer, and nothing that makes a client
throw its token away."""

import sys

import mail

ca, imaps, pop3s, smtps, login, token = sys.argv[1:]
for mechanism in "OAUTHBEARER", "XOAUTH2":
    client = mail.imap(ca, imaps)
    attempt = mail.SignIn(mechanism, login, token, imaps)
    mail.refused(lambda: client.authenticate(mechanism, attempt.for_imap), r"\[UNAVAILABLE\]")
    assert attempt.challenge is None, attempt.challenge
    attempt = mail.SignIn(mechanism, login, token, pop3s)
    line = mail.pop3_sign_in(mail.pop3(ca, pop3s), attempt)
    assert line.startswith(b"-ERR [SYS/TEMP]") and attempt.challenge is None, line
    client = mail.smtp(ca, smtps)
    attempt = mail.SignIn(mechanism, login, token, smtps)
    mail.refused(lambda: client.auth(mechanism, attempt.for_smtp), r"^\(454, b'4\.")
    assert attempt.challenge is None, attempt.challenge
