"""[dnsbl NAME]: the description of one list."""

from __future__ import annotations

import enum
import functools

from antispam.net.addresses import ascii_domain
from antispam.protocols.dnsbl import Code, Hash, parse_answer, parse_code
from antispam.settings import Contradiction, option, section
from antispam.settings.values import names


class About(enum.StrEnum):
    """The kinds of subjects, the most significant first: if there are too many subjects, the last are left out."""

    CLIENT = "client"  # its address; for mail through a trusted relay, the address that the relay saw
    SENDER = "sender"  # the domain of MAIL FROM
    AUTHOR = "author"  # the domains in From
    REPLY_TO = "reply_to"
    SIGNERS = "signers"  # the domains whose DKIM signatures pass
    HELO = "helo"
    LINKS = "links"  # the domains that links lead to
    LINK_ADDRESSES = "link_addresses"  # addresses in links in place of a host name
    EMAILS = "emails"  # the mailboxes in From, Reply-To, links and text, hashed
    HOPS = "hops"  # the addresses in Received before the client


def _about(text: str) -> tuple[About, ...]:
    words = {about.value: about for about in About}
    for name in names(text):
        if name.lower() not in words:
            raise ValueError(f"{name!r} is not one of {', '.join(words)}")
    return tuple(dict.fromkeys(words[name.lower()] for name in names(text)))


def _codes(text: str) -> tuple[Code, ...]:
    return tuple(parse_code(one) for one in names(text))


def _check_zone(zone: str) -> None:
    if zone and (ascii_domain(zone) is None or "." not in zone or len(zone) > 150):
        raise ValueError("expected the domain of a list, such as bl.example.net")


def _check_answers(answers: tuple[str, ...]) -> None:
    for one in answers:
        parse_answer(one)


@section("dnsbl")
class Zone:
    """[dnsbl NAME]: one list."""

    zone: str = option("", "its domain, such as bl.example.net", check=_check_zone)
    about: tuple[About, ...] = option(
        (About.CLIENT,),
        "what it is asked about: client, hops, sender, author, reply_to, signers, helo, links, link_addresses, emails",
        parse=_about,
    )
    codes: tuple[Code, ...] = option(
        (),
        "what its answers mean: ANSWER TEST POINTS, such as 127.0.0.2 RCVD_IN_EXAMPLE 2.0; also 127.0.0.4-7, 127.0.*.3, and &8 "
        "for a bit of the last octet. Empty: any answer is one point for DNSBL_NAME",
        parse=_codes,
    )
    blocked: tuple[str, ...] = option(
        (),
        "answers by which it says that it does not serve us, besides 127.0.0.1 and 127.255.255.*",
        check=_check_answers,
    )
    hash: Hash = option(Hash.SHA1, "how mailboxes are hashed: sha1, sha256 or md5")
    refuse: bool = option(False, "refuse clients for which it gives more than 0 points, before the message is sent")
    listed: str = option(
        "",
        "the entry it lists for tests, in front of its domain; empty uses that of RFC 5782: 2.0.0.127, or TEST for domains",
    )

    def __post_init__(self) -> None:
        if not self.zone:
            raise Contradiction("zone", "is missing: it is the domain of the list, such as bl.example.net")
        if self.refuse and About.CLIENT not in self.about:
            raise Contradiction("refuse", "only clients can be refused: about = client")

    @functools.cached_property
    def refusals(self) -> tuple[tuple[tuple[int, int], ...], ...]:
        return tuple(map(parse_answer, self.blocked))
