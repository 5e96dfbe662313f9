"""Signs in over every protocol from another loopback address, and sends a message.

from_elsewhere.py CA IMAPS POP3S SMTPS LOGIN TOKEN ADDRESS RECIPIENT"""

import socket
import sys

import mail

ca, imaps, pop3s, smtps, login, token, address, recipient = sys.argv[1:]
connect = socket.create_connection


def from_address(target, timeout=None, source_address=None, **more):
    return connect(("127.0.0.1", target[1]), timeout, source_address=(address, 0))


socket.create_connection = from_address
client = mail.signed_in_imap(ca, imaps, "OAUTHBEARER", login, token)
client.select()
client.logout()
client = mail.pop3(ca, pop3s)
assert mail.pop3_sign_in(client, mail.SignIn("OAUTHBEARER", login, token, pop3s)).startswith(b"+OK")
client.quit()
client = mail.smtp(ca, smtps)
client.auth("OAUTHBEARER", mail.SignIn("OAUTHBEARER", login, token, smtps).for_smtp)
assert client.sendmail(login, [recipient], "Subject: from elsewhere\r\n\r\nhello\r\n") == {}
client.quit()
