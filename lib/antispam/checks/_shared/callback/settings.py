"""Whom we call back, and how."""

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
    """[callback]: asking a sender's mail server whether his address exists, where the access map says CBV or DSN."""

    forged: bool = option(
        False,
        "call back, and write to, senders whose SPF or DKIM failed as well: most of them never wrote, and their servers "
        "are bothered",
    )
    temporary: Remedy = remedy_option(
        Remedy.TEMPFAIL, "where it can't be known now: ignore (go on), quarantine, tempfail or reject"
    )
    unknown: Remedy = remedy_option(
        Remedy.IGNORE,
        "where it can't be found out: the domain's mail comes to us, or its server does not talk to us; in the same words",
    )
    timeout: float = option(
        20.0, "how long the servers of one address may take altogether", parse=duration("s"), check=positive
    )
    at_once: int = option(8, "addresses that one worker asks for at the same time", check=_at_least_one)
    per_domain: int = option(60, "calls an hour to the servers of one domain; 0 is without limit", check=not_negative)
    keep_ok: float = option(7 * 86400.0, "how long it is remembered that an address exists", parse=duration("d"))
    keep_failed: float = option(86400.0, "that it does not", parse=duration("d"))
    keep_temporary: float = option(300.0, "that it could not be known", parse=duration("m"))
    blacklist: float = option(
        7 * 86400.0,
        "how long a sender stays on the blacklist whose address does not exist; 0 puts nobody there",
        parse=duration("d"),
        check=not_negative,
    )
    helo: str = option("", "the name that we say; empty takes our MTA's", check=_name)
    port: int = option(25, "where their servers listen; another one for a relay that passes calls on", check=_port)
    also_call: tuple[str, ...] = option(
        (),
        "networks that are called although they are private or ours: other addresses inside never are, whatever DNS says",
        check=_sensible,
    )


# What is found of senders who were forged mostly.
_FORGED = frozenset(f"{kind}-{result}" for kind in ("spf", "helo") for result in ("fail", "softfail"))


def warnings(table: AccessTable, settings: CallbackSettings) -> Iterator[str]:
    """Entries of the access map that ask for what is not done."""
    for entry in table.entries():
        if not settings.forged and entry.action in (Wanted.CBV, Wanted.DSN) and entry.key.partition(":")[0] in _FORGED:
            yield f"{entry.key} {entry.action}: nobody is called about these while [callback] forged = no"


def _templates(text: str) -> Templates | None:
    return Templates(path(text)) if text.strip() else None


def _address(text: str) -> None:
    if text and not sendable(text):
        raise ValueError("expected a mail address")


@section("dsn")
class DsnSettings(CheckSettings):
    """[dsn]: writing to senders what is wrong with their mail, where the access map says DSN, and knowing what comes back."""

    sender: str = option("", "from whom these notices are; empty is postmaster at our MTA's name", check=_address)
    every: float = option(
        86400.0, "one sender gets at most one notice in that time", parse=duration("d"), check=positive
    )
    templates: Templates | None = option(
        None,
        "folder of texts of your own: softfail.txt, fail.txt, neutral.txt, permerror.txt, temperror.txt, none.txt, helo.txt, "
        "dkim.txt, quarantine.txt; ours stand for those that are missing",
        parse=_templates,
    )
    quarantine: bool = option(False, "tell senders whom SPF or DKIM prove that their message waits in the quarantine")
    blacklist: float = option(
        30 * 86400.0,
        "how long a sender stays on the blacklist to whom a notice could not be delivered; 0 puts nobody there",
        parse=duration("d"),
        check=not_negative,
    )
