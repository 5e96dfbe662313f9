"""smtplib: refusals and a success on one connection, with and without initial response; what is sent arrives,
byte for byte, and wakes an idle session of its recipient."""

import sys

import mail

ca, port, mechanism, login, good, expired, wrong, large, recipient, recipient_token, imap_port = sys.argv[1:]
with open(large, "rb") as file:
    content = file.read()

reader = mail.signed_in_imap(ca, imap_port, mechanism, recipient, recipient_token)
for initial in (True, False):
    client = mail.smtp(ca, port)
    assert mechanism in client.esmtp_features["auth"], client.esmtp_features
    assert "xclient" not in client.esmtp_features and "starttls" not in client.esmtp_features
    for token, reason in ((expired, "expired"), (wrong, "scope")):
        attempt = mail.SignIn(mechanism, login, token, port)
        mail.refused(lambda: client.auth(mechanism, attempt.for_smtp, initial_response_ok=initial), "535.*5\\.7\\.8")
        attempt.check_challenge(reason, "smtp")
    code, text = client.auth(mechanism, mail.SignIn(mechanism, login, good, port).for_smtp, initial_response_ok=initial)
    assert code == 235, (code, text)
    before = mail.exists(reader)
    mail.idle(reader)
    assert client.sendmail(login, [recipient], content) == {}
    mail.wait_for_exists(reader, before + 1)
    fetched = mail.literal(reader.fetch(str(before + 1), "(BODY.PEEK[])")[1])
    # The mail server adds header fields of its own, before and behind those that were sent.
    sent_body, arrived_body = (octets.partition(b"\r\n\r\n")[2] for octets in (content, fetched))
    assert arrived_body == sent_body, f"{len(arrived_body)} octets of {len(sent_body)} arrived"
    client.quit()
reader.logout()
