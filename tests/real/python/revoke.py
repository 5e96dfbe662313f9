"""Two idle sessions of two grants: one grant is revoked, its session ends, the other's goes on. Prints how long it
took from the start of the command until the session was over.

revoke.py CA IMAPS LOGIN TOKEN OTHER_TOKEN BEARWARD CONFIGURATION"""

import json
import subprocess
import sys
import time

import mail

ca, imaps, login, token, other_token, bearward, configuration = sys.argv[1:]


def ask(*words):
    command = [bearward, *words, "--json", "-c", configuration]
    return json.loads(subprocess.run(command, check=True, capture_output=True, text=True, timeout=30).stdout or "null")


told = ask("token", "inspect", token)
assert told["outcome"] == "ok" and told["user"] == login, told
assert told["grant_id"] in [grant["grant_id"] for grant in ask("grant", "list")]

idling = mail.signed_in_imap(ca, imaps, "OAUTHBEARER", login, token)
idling.select()
mail.idle(idling)
other = mail.signed_in_imap(ca, imaps, "XOAUTH2", login, other_token)
other.select()
time.sleep(0.3)

start = time.monotonic()
revoking = subprocess.Popen([bearward, "grant", "revoke", told["grant_id"], "-c", configuration], stdout=subprocess.DEVNULL)
said = b""
while line := idling.readline():
    said += line
took = time.monotonic() - start
assert revoking.wait(timeout=30) == 0
assert said == b"" or said.startswith(b"* BYE"), said

assert other.noop()[0] == "OK"
other.logout()
attempt = mail.SignIn("OAUTHBEARER", login, token, imaps)
client = mail.imap(ca, imaps)
mail.refused(lambda: client.authenticate("OAUTHBEARER", attempt.for_imap), "AUTHENTICATIONFAILED")
assert attempt.challenge["status"] == "invalid_token", attempt.challenge
print(f"{took:.3f}")
