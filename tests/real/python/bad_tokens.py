"""Tries tokens that must not work, over every protocol and mechanism.

bad_tokens.py CA IMAPS POP3S SMTPS LOGIN EXPIRED NARROW OF_SOMEBODY_ELSE"""

import sys

import mail

ca, imaps, pop3s, smtps, login, *bad = sys.argv[1:]
bad += ["", "no-such-token", "bw_" + "A" * 60, "x" * 9000]
for mechanism in "OAUTHBEARER", "XOAUTH2":
    for token in bad:
        client = mail.imap(ca, imaps)
        mail.refused(lambda: client.authenticate(mechanism, mail.SignIn(mechanism, login, token, imaps).for_imap), "")
        line = mail.pop3_sign_in(mail.pop3(ca, pop3s), mail.SignIn(mechanism, login, token, pop3s))
        assert line.startswith(b"-ERR"), line
        client = mail.smtp(ca, smtps)
        mail.refused(lambda: client.auth(mechanism, mail.SignIn(mechanism, login, token, smtps).for_smtp), "5")
