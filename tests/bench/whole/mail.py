"""The mail of the benchmark of the whole filter: real messages of many clients, what they prove in the DNS, and the lessons."""

from __future__ import annotations

import contextlib
import dataclasses
import random
import re
from collections.abc import Sequence
from typing import NamedTuple

import dkim

from antispam.mail.message import split_message
from bench.core.load import Sample
from support import corpus
from support.signing import SigningKey
from support.zones import Zone, complete, quoted_text

SENT = 300
TAUGHT = 200  # of each kind
DOMAINS = 100
SIGNED = 3  # of ten
SEED = 17
KEY = SigningKey.make("s1", "domain0.example", "rsa")
# Most permit their client by name or by network, one in ten through somebody else, as small domains do.
RECORDS = (
    "v=spf1 mx include:_spf.provider.example -all",
    "v=spf1 a mx ip4:203.0.113.0/24 ~all",
    "v=spf1 a:mail.{0} -all",
)

_FROM = re.compile(rb"(?im)^From:.*(?:\r\n[ \t].*)*")


class Lesson(NamedTuple):
    """A message to teach, with CRLF, and what it is."""

    content: bytes
    is_spam: bool


class Mail(NamedTuple):
    """What is sent, and what was taught before; none is in both."""

    samples: Sequence[Sample]
    lessons: Sequence[Lesson]


def read() -> Mail:
    """300 messages of the SpamAssassin corpus, and 200 of each kind to teach, the kinds in turn. Fetched the first time."""
    messages = corpus.read_messages(corpus.fetch())
    random.Random(SEED).shuffle(messages)
    kinds: dict[bool, list[Lesson]] = {True: [], False: []}
    for message in messages[SENT:]:
        spam = message.name.startswith("spam") or "/spam-" in message.name
        if len(kinds[spam]) < TAUGHT:
            kinds[spam].append(Lesson(message.content, spam))
    samples = [_sample(number, message.content) for number, message in enumerate(messages[:SENT])]
    return Mail(samples, [lesson for pair in zip(*kinds.values(), strict=True) for lesson in pair])


def again(samples: Sequence[Sample], turn: int) -> list[Sample]:
    """The same messages from other senders of the same domains, so that no round is a retry of the one before."""
    return [dataclasses.replace(one, sender=b"%b.%b" % (_letters(turn), one.sender)) for one in samples]


def _letters(number: int) -> bytes:
    """A number as a word: to a greylist, senders that differ in digits only are the same (protocols/senders.py)."""
    return b"".join(b"%c" % (ord("a") + int(digit)) for digit in str(number))


def _sample(number: int, content: bytes) -> Sample:
    place = number % DOMAINS
    domain = b"domain%d.example" % place
    if number % 10 < SIGNED:
        # Aligned with its author, as signed mail nearly always is.
        content = _FROM.sub(b"From: Sender <user%d@%b>" % (number, domain), content, count=1)
        with contextlib.suppress(dkim.DKIMException):  # a few have a header that no signer takes
            content = dataclasses.replace(KEY, domain=domain.decode()).sign(content)
    headers, body = split_message(content)
    fields = [(header.name, header.value.removeprefix(b" ")) for header in headers]
    return Sample(
        fields,
        body,
        sender=b"user.%b@%b" % (_letters(number), domain),
        recipient=b"person%d@ours.example" % (number % 50),
        client=b"198.51.100.%d" % (place + 1),
        client_name=b"mail.%b" % domain,
    )


def zones() -> list[Zone]:
    """What the senders' domains publish: SPF, DKIM, DMARC, the names of their servers."""
    found = [Zone("provider.example", '_spf TXT "v=spf1 ip4:198.51.100.0/24 ip4:192.0.2.0/28 -all"')]
    hosts = {}
    for place in range(DOMAINS):
        name, address = f"domain{place}.example", f"198.51.100.{place + 1}"
        policy = RECORDS[place % len(RECORDS)].replace("{0}", name)
        lines = (
            f'@ TXT "{policy}"',
            f"@ A {address}",
            "@ MX 10 mail",
            f"mail A {address}",
            'mail TXT "v=spf1 a -all"',
            '_dmarc TXT "v=DMARC1; p=none"',
            f"s1._domainkey TXT {quoted_text(KEY.record)}",
        )
        found.append(Zone(name, "\n".join(lines)))
        hosts[address] = f"mail.{name}"
    return complete(found, hosts)
