"""[arc]: the trusted sealers, and the messages that we seal."""

from __future__ import annotations

import enum

from antispam.net.addresses import host_list, is_hostname, normalize_domain
from antispam.settings import CheckSettings, OnError, option, section


class Seal(enum.StrEnum):
    """The messages that we seal."""

    NO = "no"
    YES = "yes"
    ALL = "all"


def _domain(text: str) -> None:
    if text and not is_hostname(normalize_domain(text)):
        raise ValueError("expected a domain that has a key in [dkim_sign]")


@section("arc")
class ArcSettings(CheckSettings):
    """[arc]: the seals of servers that a message passed through, RFC 8617. See docs/arc.md."""

    on_error: OnError = option(
        OnError.ACCEPT, "when the chain cannot be examined: accept (go on without it), tempfail or reject"
    )
    trusted_sealers: tuple[str, ...] = option(
        (),
        "domains whose seals are trusted: mail they saw proved is not refused for SPF or DMARC. Name forwarders of your "
        "users' mail that check what they forward",
        check=host_list,
    )
    seal: Seal = option(
        Seal.NO,
        "yes seals mail that we change, send elsewhere, or pass on for our own list server; all seals every incoming "
        "message, for MTAs whose aliases lead elsewhere. The keys are those of [dkim_sign]",
    )
    domain: str = option("", "the domain whose key of [dkim_sign] seals; empty uses the first one", check=_domain)
