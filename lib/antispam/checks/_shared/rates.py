"""[rates]: the limits of mail, the names under which it is counted, and the notices about a stopped login."""

from __future__ import annotations

import email.policy
import enum
import hashlib
import ipaddress
from datetime import UTC, datetime
from email.message import EmailMessage
from email.utils import format_datetime

from antispam.net.addresses import parse_ip
from antispam.settings import CheckSettings, OnError, option, section
from antispam.settings.values import duration, not_negative, positive
from antispam.text import for_log, from_wire

_IPV4_PREFIX, _IPV6_PREFIX = 24, 64  # a network that one customer has, or shares with few
_POLICY = email.policy.SMTP.clone(max_line_length=998)


class Of(enum.StrEnum):
    """What mail is counted by."""

    LOGIN = "login"
    CLIENT = "client"
    SENDER = "sender"
    RECIPIENT = "recipient"


@section("rates")
class RatesSettings(CheckSettings):
    """[rates]: how much mail is usual."""

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
    """A login in the form that is compared. Most servers treat Ann and ann as one, and an attacker must not have two."""
    return from_wire(login.strip().lower(), 200)


def counted_as(of: Of, name: str) -> str:
    """The name under which it is counted in the store."""
    return f"{of} {from_wire(name.lower(), 230)}"


def network_of(ip: str) -> str:
    """The network of a client, "" for none."""
    address = parse_ip(ip)
    if address is None or address.is_loopback:
        return ""
    prefix = _IPV4_PREFIX if address.version == 4 else _IPV6_PREFIX
    return str(ipaddress.ip_network((address, prefix), strict=False))


def period_in_words(seconds: float) -> str:
    """3600 as "hour", 7200 as "2 hours"."""
    for unit, size in (("day", 86400), ("hour", 3600), ("minute", 60)):
        if seconds >= size and seconds % size == 0:
            number = int(seconds // size)
            return unit if number == 1 else f"{number} {unit}s"
    return f"{seconds:g} seconds"


def letter(login: str, reason: str, *, sender: str, recipients: tuple[str, ...], now: float) -> bytes:
    """What the owner of a login and the postmaster are told when it is stopped, as octets with CRLF.

    login   as it is compared
    reason  how much it sent
    sender  who writes: an address of ours
    """
    mail = EmailMessage(policy=_POLICY)
    mail["From"] = sender
    mail["To"] = ", ".join(recipients)
    mail["Subject"] = "A login was stopped: it sends unusually much mail"
    mail["Date"] = format_datetime(datetime.fromtimestamp(now, UTC))
    name = hashlib.sha256(login.encode("utf-8", "replace")).hexdigest()[:12]
    mail["Message-ID"] = f"<rates.{now:.0f}.{name}@{sender.rpartition('@')[2]}>"
    mail["Auto-Submitted"] = "auto-generated"  # RFC 3834 section 5
    mail["X-Auto-Response-Suppress"] = "All"  # Exchange
    shown = for_log(login).encode("ascii", "backslashreplace").decode()
    mail.set_content(
        f"The mail filter has stopped the login {shown}: {reason}.\n\n"
        "If that is your login and you did not send so much, somebody else knows your password:\n"
        "change it now, and tell your postmaster.\n\n"
        "Nothing is lost: mail programs keep what they could not send.\n\n"
        "For the postmaster: once the password is changed, or if all is well, this lets it go on:\n\n"
        f"    bms rates release {shown}\n\n"
        "[rates] except_logins names logins that may send as much as they like.\n"
    )
    return mail.as_bytes()
