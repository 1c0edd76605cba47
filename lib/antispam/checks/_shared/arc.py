"""[arc]: whose seals count here, and what we seal ourselves."""

from __future__ import annotations

import enum

from antispam.net.addresses import host_list, is_hostname, normalize_domain
from antispam.settings import CheckSettings, OnError, option, section


class Seal(enum.StrEnum):
    """Which messages get a seal of ours."""

    NO = "no"
    YES = "yes"
    ALL = "all"


def _domain(text: str) -> None:
    if text and not is_hostname(normalize_domain(text)):
        raise ValueError("expected a domain that has a key in [dkim_sign]")


@section("arc")
class ArcSettings(CheckSettings):
    """[arc]: seals of servers that a message came through, RFC 8617. docs/arc.md tells more."""

    on_error: OnError = option(
        OnError.ACCEPT, "when the chain can't be looked at: accept (go on without it), tempfail or reject"
    )
    trusted_sealers: tuple[str, ...] = option(
        (),
        "domains whose seals are believed: what they saw proved is not refused for SPF or DMARC. Name those whose users' mail "
        "is forwarded to yours, and who keep their own house clean",
        check=host_list,
    )
    seal: Seal = option(
        Seal.NO,
        "yes seals what we change, send elsewhere, or pass on for our own list server; all seals every message that comes in, "
        "for MTAs whose aliases lead elsewhere. The keys are those of [dkim_sign]",
    )
    domain: str = option("", "whose key of [dkim_sign] seals; empty takes the first that is there", check=_domain)
