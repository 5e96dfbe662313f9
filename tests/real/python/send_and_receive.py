"""Sends a message and waits for it at its recipient.

send_and_receive.py CA SMTPS IMAPS SENDER TOKEN RECIPIENT TOKEN"""

import sys

import mail

ca, smtps, imaps, sender, token, recipient, recipient_token = sys.argv[1:]
client = mail.smtp(ca, smtps)
client.auth("OAUTHBEARER", mail.SignIn("OAUTHBEARER", sender, token, smtps).for_smtp)
assert client.sendmail(sender, [recipient], "Subject: sent and received\r\n\r\nhello\r\n") == {}
client.quit()
reader = mail.signed_in_imap(ca, imaps, "OAUTHBEARER", recipient, recipient_token)
mail.wait_for_subject(reader, "sent and received")
reader.logout()
