"""Automatic training without a user's report. It is limited, and a report undoes it."""

from __future__ import annotations

from antispam.journey.services import Services
from antispam.learning.feedback import PERIOD
from antispam.learning.settings import DspamSettings
from antispam.mail.authors import authors
from antispam.mail.message import Message
from antispam.net.addresses import parse_mailbox
from antispam.store import attempts, rates
from dspam.features import author_key
from dspam.hashing import Keys

SENDERS_SHARE = 10  # messages an hour from one sender's domain that train the shared dictionary
_ATTEMPT = "dspam attempt"


def author_of(message: Message) -> int | None:
    """The dictionary key of the message's first author; None without one."""
    author = next(iter(authors(message)), None)
    return author_key(str(author)) if author is not None else None


def wants_ham(name: str, services: Services) -> bool:
    """Whether a dictionary has too little ham to act on spam. Raises StoreError."""
    return _learned(name, services)[1] < services.settings[DspamSettings].least


def wants_spam(name: str, services: Services) -> bool:
    """Whether a dictionary has too little spam to give an opinion. Raises StoreError."""
    return _learned(name, services)[0] < services.settings[DspamSettings].least


def _learned(name: str, services: Services) -> tuple[int, int]:
    assert services.dictionaries is not None
    teacher = services.dictionaries.get(name)
    return teacher.totals(services.deadline) if teacher is not None else (0, 0)


def may_teach(message: Message, services: Services) -> bool:
    """Whether the sender's domain has not used up its share. It is easy to be written to once, and one sender can own
    all names of a domain.
    """
    assert services.store is not None
    name = f"whitelisted sender {parse_mailbox(message.mail_from).domain}"[:255]
    return rates.use(services.store, name, 1, services.clock(), PERIOD, services.deadline) <= SENDERS_SHARE


def learn_some(source: str, name: str, is_spam: bool, message: Message, keys: Keys, services: Services) -> None:
    """Learn a message within the limit for one user's reports. Strangers write to honeypots, and to users who have
    written to them; without a limit they could train the shared dictionary as they like.
    """
    assert services.store is not None
    used = rates.use(services.store, source[:255], 1, services.clock(), PERIOD, services.deadline)
    if used <= services.settings[DspamSettings].report_rate:
        learn(name, is_spam, message, keys, services)


def learn(name: str, is_spam: bool, message: Message, keys: Keys, services: Services) -> None:
    """Train a dictionary once, however often the client retries the message. The training of an earlier attempt is
    undone, so that a report corrects the one in force. No person confirmed it, so the author does not become known.
    """
    assert services.dictionaries is not None
    teacher = services.dictionaries.make(name)
    earlier = _earlier_attempt(message, services)
    if earlier and earlier != message.ref:
        teacher.forget(earlier, services.deadline)
    teacher.learn(message.ref, keys, is_spam, services.deadline, unconfirmed=author_of(message))


def _earlier_attempt(message: Message, services: Services) -> str:
    """The reference under which the message was last learned; "" if it was not."""
    assert services.store is not None
    if _ATTEMPT not in message.memo:
        identity = message.identity()
        message.memo[_ATTEMPT] = identity and attempts.note(
            services.store, "lessons", identity, message.ref, services.clock(), services.deadline
        )
    earlier: str = message.memo[_ATTEMPT]
    return earlier
