"""poplib: refusals and a success on one connection, fetch the 10 MB that imap.py left, delete them."""

import sys

import mail

ca, port, mechanism, login, good, expired, wrong, large = sys.argv[1:]
with open(large, "rb") as file:
    content = file.read()

client = mail.pop3(ca, port)
assert mechanism in client.capa()["SASL"], client.capa()
for token, reason in ((expired, "expired"), (wrong, "scope")):
    attempt = mail.SignIn(mechanism, login, token, port)
    line = mail.pop3_sign_in(client, attempt)
    assert line.startswith(b"-ERR [AUTH]"), line
    attempt.check_challenge(reason, "pop3")
line = mail.pop3_sign_in(client, mail.SignIn(mechanism, login, good, port), initial=False)
assert line.startswith(b"+OK"), line
assert client.stat()[0] == 1
fetched = b"".join(line + b"\r\n" for line in client.retr(1)[1])
assert fetched == content, f"{len(fetched)} octets of {len(content)} came back"
client.dele(1)
client.quit()

for with_initial_response in (True, False):
    client = mail.pop3(ca, port)
    assert mail.pop3_sign_in(client, mail.SignIn(mechanism, login, good, port), with_initial_response).startswith(b"+OK")
    assert client.list()[1] == []
    client.quit()
