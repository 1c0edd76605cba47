"""The two sets of defaults: today's, and those that the original bms.py had and this program had up to version 0.2.

Every default that differs stands in OTHERWISE. docs/defaults.md shows the table.
"""

from __future__ import annotations

import enum
from typing import NamedTuple


class Manner(enum.StrEnum):
    """The defaults that apply if the configuration sets nothing."""

    TODAY = "today"
    BMS = "bms"


class Otherwise(NamedTuple):
    """An option whose default differs, with the values as written in a file. `why` is a sentence with the reason for
    today's value.
    """

    section: str
    option: str
    today: str
    bms: str
    why: str


OTHERWISE: tuple[Otherwise, ...] = (
    Otherwise(
        "spf",
        "refuse",
        "end",
        "at_once",
        "Forwarders break SPF; a valid signature of the sender's domain saves their mail.",
    ),
    Otherwise(
        "greylist", "when", "suspicious", "always", "First contacts and login codes need not wait for spammers' sake."
    ),
    Otherwise("score", "counts", "all", "learner", "The learner has no opinion on the first day, other signs have."),
    Otherwise("score", "greylist", "4", "never", "What looks like spam can wait for five minutes."),
    Otherwise("score", "refuse", "15", "never", "No honest message of the corpora reaches so many points."),
    Otherwise("impersonation", "mode", "enforce", "off", "Mail in the name of a colleague is the costliest fraud."),
    Otherwise("author_signs", "mode", "enforce", "off", "Fraud takes a known name and another address."),
    Otherwise("header_signs", "mode", "enforce", "off", "Programs that send spam give themselves away in the header."),
    Otherwise("link_signs", "mode", "enforce", "off", "Phishing hides where its links lead."),
    Otherwise("content_signs", "mode", "enforce", "off", "Fraud hides text, and brings forms and locked archives."),
    Otherwise(
        "rates", "mode", "enforce", "off", "An attacker with a stolen password sends to thousands within an hour."
    ),
    Otherwise("arc", "mode", "enforce", "off", "Forwarders that the site trusts say what they saw."),
    Otherwise("dnsbl", "mode", "enforce", "off", "Thousands of sites together see a spammer before one does."),
    Otherwise("fingerprints", "mode", "enforce", "off", "One report is enough for the copies that follow."),
    Otherwise("own_lists", "mode", "enforce", "off", "A user who blocks a sender need not ask an administrator."),
)


def defaults_of(manner: str) -> dict[tuple[str, str], str]:
    """The defaults of this manner that differ from the settings classes, as written in a file; empty for an unknown
    manner, which its own option refuses.
    """
    if manner.strip().lower() != Manner.BMS:
        return {}
    return {(one.section, one.option): one.bms for one in OTHERWISE}
