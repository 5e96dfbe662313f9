"""A person at a browser without scripts, and a mail client that opens the mailbox."""

import html.parser
import imaplib
import re
import ssl
import time
import urllib.parse

import httpx2

from parts import FACTS

# Nobody listens here: the person hands the address over.
REDIRECT_URI = "http://127.0.0.1:49152/"


class Page(html.parser.HTMLParser):
    """The only form of a page: where it goes, its hidden fields, and the names of what can be filled in or pressed."""

    def __init__(self, answer):
        super().__init__()
        self.url, self.status, self.text = answer.url, answer.status_code, answer.text
        self.action, self.fields, self.names = None, {}, set()
        self.feed(answer.text)

    def handle_starttag(self, tag, attrs):
        attrs = dict(attrs)
        if tag == "form":
            assert self.action is None, "more than one form"
            self.action = attrs["action"]
        elif tag in ("input", "button") and "name" in attrs:
            self.names.add(attrs["name"])
            # A button is sent only when it is pressed.
            if tag == "input":
                self.fields[attrs["name"]] = attrs.get("value", "")


class Person:
    def __init__(self, user=None):
        self.user = user or FACTS["users"][0]
        self.browser = httpx2.Client(follow_redirects=False)

    def answer(self, url, decision="allow"):
        """Opens an authorization request and answers every page; the address, away from the issuer, that it ends at."""
        consent = self.submit(self.open(url), login=self.user["login"], password=self.user["password"])
        left = self.submit(consent, decision=decision)
        assert isinstance(left, str), f"there is a page instead of the way back: {left.status}\n{left.text}"
        return left

    def connect_device(self, url, user_code, decision="allow"):
        """Types a device's code and answers every page; the last page."""
        # As people type it.
        sign_in = self.submit(self.open(url), user_code=user_code.lower().replace("-", " "))
        consent = self.submit(sign_in, login=self.user["login"], password=self.user["password"])
        assert user_code in consent.text, "the consent page must show the code"
        return self.submit(consent, decision=decision)

    def open(self, url):
        """A page, or the address away from the issuer that it leads to."""
        return self._follow(self.browser.get(url))

    def submit(self, page, **values):
        """Sends the form of a page, with its hidden fields as they are."""
        missing = values.keys() - page.names
        assert not missing, f"the form on {page.url} has no {missing}: {page.status}\n{page.text}"
        headers = {"Origin": FACTS["issuer"], "Sec-Fetch-Site": "same-origin"}
        target = urllib.parse.urljoin(str(page.url), page.action)
        return self._follow(self.browser.post(target, data={**page.fields, **values}, headers=headers))

    def _follow(self, answer):
        while answer.is_redirect:
            assert answer.status_code != 307, "a redirect must not carry a password on"
            target = urllib.parse.urljoin(str(answer.url), answer.headers["location"])
            if not target.startswith(FACTS["issuer"] + "/"):
                return target
            answer = self.browser.get(target)
        return Page(answer)


def sign_in_to_mail(token, login):
    """Signs in by XOAUTH2."""
    response = f"user={login}\x01auth=Bearer {token}\x01\x01".encode()
    trust = ssl.create_default_context()
    imap = imaplib.IMAP4_SSL(FACTS["hostname"], FACTS["ports"]["imaps"], ssl_context=trust, timeout=10)
    challenges = []

    def respond(challenge):
        # An error challenge is answered with nothing.
        challenges.append(challenge)
        return response if len(challenges) == 1 else b""

    try:
        imap.authenticate("XOAUTH2", respond)
    except imaplib.IMAP4.error:
        imap.shutdown()
        raise
    return imap


def open_mailbox(token, login=FACTS["users"][0]["login"]):
    """Signs in and selects INBOX; how many messages there are."""
    with sign_in_to_mail(token, login) as imap:
        status, (count,) = imap.select("INBOX")
        assert status == "OK", count
        return int(count)


def mailbox_lets_in(token, login):
    """Checks that a token lets its bearer in, whatever the mailbox is like."""
    sign_in_to_mail(token, login).shutdown()


def mailbox_is_shut(token, login=FACTS["users"][0]["login"], within=0):
    """Checks that a token does not open the mailbox, or no longer after so many seconds."""
    deadline = time.monotonic() + within
    while True:
        try:
            sign_in_to_mail(token, login).shutdown()
        except imaplib.IMAP4.error as error:
            assert re.match(r"\[AUTH(ENTICATION|ORIZATION)FAILED\]", str(error)), error
            return
        assert time.monotonic() < deadline, "the mailbox should be shut"
        time.sleep(0.05)
