"""Lists of authors in the configuration, and how authors must match the envelope sender."""

from __future__ import annotations

import enum
import functools
from collections.abc import Sequence

from antispam.net.addresses import HostList, Mailbox, is_hostname, parse_mailbox


class Alignment(enum.StrEnum):
    """How From must match the envelope sender."""

    OFF = "off"
    RELAXED = "relaxed"  # one domain is the other, or below it
    STRICT = "strict"  # the same domain
    ADDRESS = "address"  # the same address


class AuthorList:
    """Domains, `*.example.com`, and whole addresses. Raises ValueError for an item that is none of these."""

    def __init__(self, items: Sequence[str]) -> None:
        split = [(item, parse_mailbox(item)) for item in items]
        for item, mailbox in split:
            if "@" in item and not is_hostname(mailbox.domain):
                raise ValueError(f"{item} is no address")
        self._addresses = frozenset(str(mailbox).lower() for _, mailbox in split if mailbox.local and mailbox.domain)
        self._domains = HostList(mailbox.domain or item for item, mailbox in split if "@" not in item[1:])

    def __contains__(self, author: Mailbox) -> bool:
        return author.domain in self._domains or str(author).lower() in self._addresses


@functools.lru_cache(maxsize=64)
def author_list(items: tuple[str, ...]) -> AuthorList:
    """The AuthorList of these items, cached."""
    return AuthorList(items)


def aligned(author: Mailbox, sender: Mailbox, alignment: Alignment) -> bool:
    """Whether the author matches the envelope sender. True for bounces and read receipts, which have no envelope sender
    to match.
    """
    if alignment is Alignment.OFF or not sender:
        return True
    if alignment is Alignment.ADDRESS:
        return str(author).lower() == str(sender).lower()
    if author.domain == sender.domain:
        return True
    above = author.domain.endswith(f".{sender.domain}"), sender.domain.endswith(f".{author.domain}")
    shorter = min(author.domain, sender.domain, key=len)
    return alignment is Alignment.RELAXED and any(above) and "." in shorter
