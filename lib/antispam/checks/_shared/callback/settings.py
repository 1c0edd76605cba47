"""The settings of callbacks and notices."""

from __future__ import annotations

import re
from collections.abc import Iterator

from antispam.checks._shared.callback.notice import Templates, sendable
from antispam.mail.access_map import AccessTable
from antispam.mail.access_map.policy import Action as Wanted
from antispam.mail.remedies import Remedy, remedy_option
from antispam.net.addresses import ClientList
from antispam.settings import CheckSettings, option, section
from antispam.settings.values import duration, not_negative, path, positive


def _sensible(patterns: tuple[str, ...]) -> None:
    if ClientList(patterns).hosts:
        raise ValueError("expected addresses and networks")


def _name(text: str) -> None:
    if not re.fullmatch(r"[!-~]{0,255}", text):
        raise ValueError("expected a host name or an address in brackets")


def _at_least_one(number: int) -> None:
    if number < 1:
        raise ValueError("must be 1 or more")


def _port(number: int) -> None:
    if not 0 < number < 65536:
        raise ValueError(f"there is no port {number}")


@section("callback")
class CallbackSettings(CheckSettings):
    """[callback]: asking a sender's mail server whether the address exists, if the access map says CBV or DSN."""

    forged: bool = option(
        False,
        "call back, and notify, senders whose SPF or DKIM failed as well; most of them never sent the message, so this "
        "bothers innocent servers",
    )
    temporary: Remedy = remedy_option(
        Remedy.TEMPFAIL, "when the answer is not available now: ignore (go on), quarantine, tempfail or reject"
    )
    unknown: Remedy = remedy_option(
        Remedy.IGNORE,
        "when it cannot be found out, because the domain's mail comes to us or its server does not talk to us; same values",
    )
    timeout: float = option(
        20.0, "how long all servers of one address may take together", parse=duration("s"), check=positive
    )
    at_once: int = option(8, "how many addresses one worker verifies at the same time", check=_at_least_one)
    per_domain: int = option(60, "calls per hour to the servers of one domain; 0 means no limit", check=not_negative)
    keep_ok: float = option(7 * 86400.0, "how long an address that exists is remembered", parse=duration("d"))
    keep_failed: float = option(86400.0, "how long an address that does not exist is remembered", parse=duration("d"))
    keep_temporary: float = option(300.0, "how long an unclear answer is remembered", parse=duration("m"))
    blacklist: float = option(
        7 * 86400.0,
        "how long a sender whose address does not exist stays on the blacklist; 0 blacklists nobody",
        parse=duration("d"),
        check=not_negative,
    )
    helo: str = option("", "our HELO name; empty uses our MTA's", check=_name)
    port: int = option(25, "port of the servers; another one for a relay that passes calls on", check=_port)
    also_call: tuple[str, ...] = option(
        (),
        "networks that may be called although they are private or ours; other internal addresses never are, whatever "
        "DNS says",
        check=_sensible,
    )


# Tags of results whose senders are usually forged.
_FORGED = frozenset(f"{kind}-{result}" for kind in ("spf", "helo") for result in ("fail", "softfail"))


def warnings(table: AccessTable, settings: CallbackSettings) -> Iterator[str]:
    """Warnings about entries of the access map whose action is not available."""
    for entry in table.entries():
        if not settings.forged and entry.action in (Wanted.CBV, Wanted.DSN) and entry.key.partition(":")[0] in _FORGED:
            yield f"{entry.key} {entry.action} has no effect while [callback] forged = no"


def _templates(text: str) -> Templates | None:
    return Templates(path(text)) if text.strip() else None


def _address(text: str) -> None:
    if text and not sendable(text):
        raise ValueError("expected a mail address")


@section("dsn")
class DsnSettings(CheckSettings):
    """[dsn]: telling senders what is wrong with their mail, if the access map says DSN, and recognising bounces of such
    notices.
    """

    sender: str = option("", "the author of these notices; empty is postmaster at our MTA's name", check=_address)
    every: float = option(86400.0, "a sender gets at most one notice in this time", parse=duration("d"), check=positive)
    templates: Templates | None = option(
        None,
        "folder with texts of your own: softfail.txt, fail.txt, neutral.txt, permerror.txt, temperror.txt, none.txt, "
        "helo.txt, dkim.txt, quarantine.txt; ours are used for those that are missing",
        parse=_templates,
    )
    quarantine: bool = option(False, "tell senders proved by SPF or DKIM that their message is in the quarantine")
    blacklist: float = option(
        30 * 86400.0,
        "how long a sender whose notice could not be delivered stays on the blacklist; 0 blacklists nobody",
        parse=duration("d"),
        check=not_negative,
    )
