"""[rates]: the limits of mail, and the names under which it is counted."""

from __future__ import annotations

import enum
import ipaddress

from antispam.net.addresses import parse_ip
from antispam.settings import CheckSettings, OnError, option, section
from antispam.settings.values import duration, not_negative, positive
from antispam.text import from_wire

_IPV4_PREFIX, _IPV6_PREFIX = 24, 64  # a network of one customer, or shared by few


class Of(enum.StrEnum):
    """The kinds of counters."""

    LOGIN = "login"
    CLIENT = "client"
    SENDER = "sender"
    RECIPIENT = "recipient"


@section("rates")
class RatesSettings(CheckSettings):
    """[rates]: limits on the amount of mail."""

    period: float = option(3600.0, "the time for which all limits are", parse=duration("s"), check=positive)
    login: int = option(
        300,
        "recipients of one login (SMTP AUTH), beyond which it is stopped until `bms rates release`; 0 off",
        check=not_negative,
    )
    client: int = option(0, "messages of one network outside (/24, or /64 of IPv6); 0 off", check=not_negative)
    sender: int = option(0, "messages of one envelope sender outside; 0 off", check=not_negative)
    recipient: int = option(0, "messages from outside to one recipient; 0 off", check=not_negative)
    except_logins: tuple[str, ...] = option(
        (), "logins that may send as much as they like: a newsletter's, for example"
    )
    postmaster: str = option("", "who is told of a login that was stopped; empty is postmaster at our MTA's name")
    on_error: OnError = option(
        OnError.ACCEPT, "when the store can't count: accept (mail passes uncounted), tempfail or reject"
    )


def login_key(login: str) -> str:
    """A login in the form for comparison. Most servers treat Ann and ann as one, so an attacker must not get two
    counters.
    """
    return from_wire(login.strip().lower(), 200)


def counted_as(of: Of, name: str) -> str:
    """The name of a counter in the store."""
    return f"{of} {from_wire(name.lower(), 230)}"


def network_of(ip: str) -> str:
    """The network of a client, "" without one."""
    address = parse_ip(ip)
    if address is None or address.is_loopback:
        return ""
    prefix = _IPV4_PREFIX if address.version == 4 else _IPV6_PREFIX
    return str(ipaddress.ip_network((address, prefix), strict=False))


def period_in_words(seconds: float) -> str:
    """3600 as "hour", 7200 as "2 hours": for the log, which is English."""
    for unit, size in (("day", 86400), ("hour", 3600), ("minute", 60)):
        if seconds >= size and seconds % size == 0:
            number = int(seconds // size)
            return unit if number == 1 else f"{number} {unit}s"
    return f"{seconds:g} seconds"
