"""[dspam]: the filter's users and their settings, with the thresholds of [score]. Several checks read it; users may
override a part.
"""

from __future__ import annotations

import enum
import math
from collections.abc import Mapping
from pathlib import Path
from typing import NamedTuple

from antispam.mail.remedies import Remedy, remedy_option
from antispam.settings import CheckSettings, OnError, option, section
from antispam.settings.values import duration, lines_of, listed, names, not_negative, positive, size, threshold
from dspam.store import Retention

DEFAULT_USER = "site"
DAY = 86400.0  # seconds


class SignaturePlace(enum.StrEnum):
    """The place of the signature that identifies a forwarded message."""

    MESSAGE = "message"  # in the header and in the text
    HEADERS = "headers"


class TrainingMode(enum.StrEnum):
    """What the filter learns by itself; reports always teach."""

    TOE = "toe"  # train on error: from reports only
    TEFT = "teft"  # train everything: from each message as it was classified, until a report corrects it


class UserList(NamedTuple):
    """The configured users: `items` as written, and `users` by name, including the addresses read from files."""

    items: tuple[str, ...] = ()
    users: tuple[tuple[str, tuple[str, ...]], ...] = ()


class _UserListReader:
    def __call__(self, text: str) -> UserList:
        items = names(text)
        users: dict[str, tuple[str, ...]] = {}
        for item in items:
            if item.startswith("file:"):
                users |= dict(_alias(line, item[5:]) for line in lines_of(Path(item[5:].strip())))
            else:
                users.setdefault(item.lower(), ())
        return UserList(items, tuple(users.items()))

    @staticmethod
    def show(value: UserList) -> str:
        return ", ".join(value.items)


def _alias(line: str, file: str) -> tuple[str, tuple[str, ...]]:
    name, colon, addresses = line.partition(":")
    if not colon or not name.strip():
        raise ValueError(f"{file}: expected 'user: address, address', found {line[:60]!r}")
    return name.strip().lower(), listed(addresses)


def _one_line(text: str) -> str:
    if not text.isprintable() or len(text) > 100:
        raise ValueError("expected up to 100 printable characters")
    return text.strip()


@section("dspam")
class DspamSettings(CheckSettings):
    """[dspam]: the learning filter. It has no opinion until it is trained: `bms train spam|ham PATH...`."""

    on_error: OnError = option(
        OnError.ACCEPT, "when the store cannot answer: accept (unclassified), tempfail or reject"
    )
    dspam_users: UserList = option(
        UserList(),
        "users with a dictionary (token database) of their own; each needs a line `NAME = addresses` below. Or file:PATH "
        "with lines `name: address, address`",
        parse=_UserListReader(),
    )
    addresses: Mapping[str, tuple[str, ...]] = option(
        {}, "addresses and domains (@example.com) of this user", parse=listed, named_by="dspam_users"
    )
    dspam_screener: tuple[str, ...] = option(
        (DEFAULT_USER,),
        "users whose dictionaries classify for everybody else, and support users' own while these are young: the first "
        "that has learned enough is used. Users' reports also train the first of them",
    )
    least: int = option(
        100, "how many messages of each kind a dictionary must have learned before its opinion counts in the score"
    )
    spam_action: Remedy = remedy_option(
        Remedy.TAG,
        "what to do with spam: deliver (with the X-DSPAM fields only), tag (with X-Spam-Flag), quarantine, reject or hold",
        allowed=(Remedy.DELIVER, Remedy.TAG, Remedy.QUARANTINE, Remedy.REJECT, Remedy.HOLD),
    )
    mark: float = option(
        6.0,
        "a message with this many points is spam, and [dspam] spam_action applies",
        section="score",
        parse=threshold,
    )
    greylist: float = option(
        4.0,
        "the client of a message with this many points is asked to come back, if [greylist] when = suspicious",
        section="score",
        parse=threshold,
    )
    quarantine: float = option(
        math.inf,
        "a message with this many points is quarantined, whatever spam_action says",
        section="score",
        parse=threshold,
    )
    refuse: float = option(15.0, "a message with this many points is refused", section="score", parse=threshold)
    discard: float = option(
        math.inf, "a message with this many points is accepted and discarded unseen", section="score", parse=threshold
    )
    spam_subject: str = option("", "what tag puts before the subject of spam, for example [SPAM]", parse=_one_line)
    signature_location: SignaturePlace = option(
        SignaturePlace.HEADERS,
        "where to put the signature by which a forwarded message is recognised: headers, or message (header and text, "
        "which breaks DKIM signatures; in the text only for dspam_users, who can report)",
    )
    opt_out: bool = option(False, "do not filter; if the site says yes, users can opt in by preference")
    whitelist_threshold: int = option(
        10,
        "an authenticated author with this many messages taught as honest by people, and none as spam, is never "
        "spam; 0 is off",
        check=not_negative,
    )
    training_mode: TrainingMode = option(
        TrainingMode.TOE,
        "toe learns from reports only, teft from each message as it was classified, until it is reported",
    )
    dspam_train: tuple[str, ...] = option(
        (), "users with teft: their dictionaries learn each message as it was classified, not only reports"
    )
    dspam_exempt: tuple[str, ...] = option(
        (), "recipients whose mail is not classified: addresses and domains (@example.com), or file:PATH", parse=listed
    )
    dspam_whitelist: tuple[str, ...] = option(
        (),
        "senders whose mail is not spam if SPF or DKIM proves them: addresses, domains, or file:PATH",
        parse=listed,
    )
    dspam_reject: tuple[str, ...] = option(
        (), "recipients, usually domains, for whom spam is refused, whatever spam_action says", parse=listed
    )
    dspam_internal: bool = option(False, "also classify mail of internal clients and authenticated senders")
    dspam_sizelimit: int = option(0, "messages of this size or larger are not classified; 0 classifies all", parse=size)
    dspam_dict: str = option("", "a dictionary that refuses mail by its header alone; empty is off")
    dspam_userdir: str = option("", "no effect: dictionaries are in the store. Kept for old configurations")
    spam: tuple[str, ...] = option((), "addresses to which users forward spam", parse=listed)
    ham: tuple[str, ...] = option((), "addresses to which they forward mail wrongly called spam", parse=listed)
    falsepositive: tuple[str, ...] = option((), "the same; upstream's name of the option", parse=listed)
    bandom: tuple[str, ...] = option(
        (), "addresses to which they forward spam whose domain they want banned", parse=listed
    )
    honeypot: tuple[str, ...] = option(
        (),
        "addresses that no honest sender uses: mail to them is learned as spam (at most report_rate an hour) and discarded",
        parse=listed,
    )
    answers: bool = option(True, "answer reports by mail")
    report_rate: int = option(300, "how many messages one user may report per hour", check=not_negative)
    alarm: float = option(
        14 * DAY, "warn once a day when nobody has taught anything for this long; 0 never warns", parse=duration("d")
    )
    retain_signatures: float = option(
        30 * DAY, "how long a message can be reported by its signature", parse=duration("d"), check=positive
    )
    retain_undo: float = option(
        30 * DAY,
        "how long a training can be undone or corrected; this takes about 10 kB per message",
        parse=duration("d"),
        check=positive,
    )
    retain_tokens: float = option(
        365 * DAY, "how long a token is kept after it was last taught", parse=duration("d"), check=positive
    )
    retain_rare: float = option(
        120 * DAY, "the same for a token that occurred in one message only", parse=duration("d"), check=positive
    )

    @property
    def warnings(self) -> tuple[str, ...]:
        """Settings that are valid but probably not intended, as sentences for the administrator."""
        nobody = [name for name, addresses in self.users.items() if not addresses]
        found = [
            f"[dspam] {name} is in dspam_users, but no address is: a line `{name} = ...` is missing" for name in nobody
        ]
        if self.taught_by_mail and not self.users:
            found.append("[dspam] there are addresses to report to, but no dspam_users who may do so")
        found += [
            f"[score] {name} = {value:g} is below mark = {self.mark:g}: mail that nobody calls spam would be gone"
            for name, value in (("quarantine", self.quarantine), ("refuse", self.refuse), ("discard", self.discard))
            if value < self.mark < math.inf
        ]
        return tuple(found)

    @property
    def taught_by_mail(self) -> bool:
        """Whether training addresses are configured."""
        return bool(self.spam or self.ham or self.falsepositive or self.bandom)

    @property
    def retention(self) -> Retention:
        """The retention times of the store."""
        return Retention(
            signatures=self.retain_signatures, undo=self.retain_undo, tokens=self.retain_tokens, rare=self.retain_rare
        )

    def __post_init__(self) -> None:
        owners: dict[str, str] = {}
        for user, addresses in self.users.items():
            for address in addresses:
                other = owners.setdefault(address.lower().removeprefix("@"), user)
                if other != user:
                    raise ValueError(f"[dspam] {address} belongs to both {other} and {user}")

    @property
    def users(self) -> dict[str, tuple[str, ...]]:
        """The addresses of each user, by name in lower case."""
        return {name: (*listed, *self.addresses.get(name, ())) for name, listed in self.dspam_users.users}
