"""A person with a browser, beside whatever else is under test."""

from parts import FACTS, run
from person import Person, open_mailbox


def allow_device():
    """Allows the device whose code is among the facts."""
    done = Person().connect_device(FACTS["clients"]["device"]["verification_uri"], FACTS["clients"]["device"]["user_code"])
    assert done.status == 200, done.text


def open_with_token():
    """Opens the mailbox with the token among the facts."""
    open_mailbox(FACTS["clients"]["device"]["access_token"])


run(allow_device, open_with_token)
