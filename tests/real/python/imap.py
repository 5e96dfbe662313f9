"""imaplib: refusals and a success on one connection, list, append, fetch 10 MB, IDLE woken by an APPEND.

The message stays, for pop3.py."""

import sys

import mail

ca, port, mechanism, login, good, expired, wrong, large = sys.argv[1:]
with open(large, "rb") as file:
    content = file.read()

client = mail.imap(ca, port)
assert f"AUTH={mechanism}" in client.capabilities and "LOGINDISABLED" in client.capabilities, client.capabilities
for token, reason in ((expired, "expired"), (wrong, "scope")):
    attempt = mail.SignIn(mechanism, login, token, port)
    mail.refused(lambda: client.authenticate(mechanism, attempt.for_imap), "AUTHENTICATIONFAILED|AUTHORIZATIONFAILED")
    attempt.check_challenge(reason, "imap")
mail.refused(lambda: client.login(login, good), "asswords are not accepted")
client.authenticate(mechanism, mail.SignIn(mechanism, login, good, port).for_imap)

assert any(line.endswith(b"INBOX") for line in client.list()[1])
before = mail.exists(client)
mail.idle(client)
other = mail.signed_in_imap(ca, port, mechanism, login, good)
assert other.append("INBOX", None, None, content)[0] == "OK"
mail.wait_for_exists(client, before + 1)
fetched = mail.literal(client.fetch(str(before + 1), "(BODY.PEEK[])")[1])
assert fetched == content, f"{len(fetched)} octets of {len(content)} came back"
part = mail.literal(client.fetch(str(before + 1), "(BODY.PEEK[]<5000000.1000>)")[1])
assert part == content[5000000:5001000]
other.logout()
client.logout()
