"""Signs in over every protocol with both mechanisms, with a good token and with one that has a wrong end.

sign_in_everywhere.py CA IMAPS POP3S SMTPS LOGIN TOKEN"""

import sys

import mail

ca, imaps, pop3s, smtps, login, token = sys.argv[1:]
for mechanism in "OAUTHBEARER", "XOAUTH2":
    client = mail.signed_in_imap(ca, imaps, mechanism, login, token)
    client.list()
    client.logout()
    client = mail.pop3(ca, pop3s)
    assert mail.pop3_sign_in(client, mail.SignIn(mechanism, login, token, pop3s)).startswith(b"+OK")
    client.quit()
    client = mail.smtp(ca, smtps)
    client.auth(mechanism, mail.SignIn(mechanism, login, token, smtps).for_smtp)
    client.quit()
    client = mail.imap(ca, imaps)
    mail.refused(lambda: client.authenticate(mechanism, mail.SignIn(mechanism, login, token + "x", imaps).for_imap), "")
