"""Signs in over SMTP and prints the final answer, whatever it is."""

import sys

import mail

ca, port, login, token = sys.argv[1:]
client = mail.smtp(ca, port)
try:
    code, text = client.auth("XOAUTH2", mail.SignIn("XOAUTH2", login, token, port).for_smtp)
except mail.smtplib.SMTPResponseException as error:
    code, text = error.smtp_code, error.smtp_error
print(code, text.decode())
