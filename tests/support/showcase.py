"""A console over believable mail: what tests in a browser look at, and what the pictures of the README are taken of.

The messages go through the real JOURNEY, so that every page shows what the filter would have said.
"""

from __future__ import annotations

import contextlib
import dataclasses
import datetime
import socket
import threading
from collections.abc import Iterator, Sequence
from email.message import EmailMessage
from email.utils import format_datetime, make_msgid
from pathlib import Path

import uvicorn
from bms import JOURNEY

from antispam.journey.protection import protector
from antispam.learning.releases import teaching
from antispam.mail.message import split_message
from antispam.service.application import Application, settings_classes
from antispam.settings import Settings, load_text
from antispam.store import Store, accounts, lists, own_lists, sessions
from antispam.store.accounts import Account, Role
from antispam.store.connecting import url_from
from antispam.store.sessions import How
from antispam.web.app import application
from antispam.web.console import Console
from support.dns import ScriptedResolver, Zones
from support.learning import Learned
from support.lists import without_lists
from support.processes import wait_until
from support.whole_journey import send

NOW = 1_795_773_600.0  # a Friday morning, 27 November 2026, 10:00 in UTC
HOUR = 3600.0
ROLES = {"bob": Role.USER, "helen": Role.HELPDESK, "ann": Role.ADMINISTRATOR}
CONFIG = """\
[milter]
datadir = {folder}
[score]
quarantine = 4
[greylist]
mode = off
[defang]
remedy = quarantine
[dspam]
dspam_users = bob, carol
bob = bob@example.com
carol = carol@example.com
[digest]
send = yes
sender = postmaster@example.com
[web]
listen = 127.0.0.1:{port}
"""
PARTNER, RENTED, BULK = (
    ("192.0.2.10", "mail.partner.example"),
    ("203.0.113.77", ""),
    ("198.51.100.9", "out.shop.example"),
)
ZONES: Zones = {
    "partner.example": {"TXT": ["v=spf1 ip4:192.0.2.0/24 -all"], "MX": [(10, "mail.partner.example")]},
    "shop.example": {"TXT": ["v=spf1 ip4:198.51.100.0/24 -all"], "MX": [(10, "out.shop.example")]},
    "mail.partner.example": {"A": ["192.0.2.10"]},
    "out.shop.example": {"A": ["198.51.100.9"]},
    "bank.example": {"TXT": ["v=spf1 ip4:192.0.2.50 ~all"]},
    "_dmarc.bank.example": {"TXT": ["v=DMARC1; p=quarantine"]},
    "parcel.example": {"A": ["203.0.113.77"], "MX": [(10, "parcel.example")]},
}


@dataclasses.dataclass(frozen=True, slots=True)
class Sent:
    """One message. `client` is the address and the name of who sends it; `ago` is in hours."""

    ago: float
    client: tuple[str, str]
    sender: str
    author: str
    subject: str
    text: str
    to: tuple[str, ...] = ("bob@example.com",)
    html: str = ""
    attached: str = ""

    def built(self) -> bytes:
        """The message as it is sent."""
        made = EmailMessage()
        made["From"], made["To"], made["Subject"] = self.author, ", ".join(self.to), self.subject
        made["Date"] = format_datetime(datetime.datetime.fromtimestamp(NOW - self.ago * HOUR, datetime.UTC))
        made["Message-ID"] = make_msgid(domain=self.sender.rpartition("@")[2])
        made.set_content(self.text)
        if self.html:
            made.add_alternative(self.html, subtype="html")
        if self.attached:
            made.add_attachment(b"MZ\x90\0 a program", maintype="application", subtype="zip", filename=self.attached)
        return made.as_bytes(policy=made.policy.clone(linesep="\r\n"))


_PILLS = "Buy cheap pills now, offer {0}, click here!\nhttp://203.0.113.77/pills/{0}"
_PARCEL = (
    "Your parcel could not be delivered: a customs fee of 2.99 is unpaid.\n"
    "Confirm your address within 24 hours: http://203.0.113.77/parcel/confirm"
)
_LETTER = (
    "<html><body style='font-family:sans-serif'><img src='http://203.0.113.77/open.gif'><h1>Only today</h1>"
    "<p>Watches at <b>80 % less</b>. <a href='http://203.0.113.77/shop'>See the offers</a></p></body></html>"
)

MAIL = (
    Sent(0.4, RENTED, "help@parcel.example", "Parcel Service <help@parcel.example>", "Your parcel is waiting", _PARCEL),
    Sent(1.1, RENTED, "service@bank.example", "Your Bank <service@bank.example>", "Your account was locked", _PARCEL),
    Sent(2.2, PARTNER, "ann@partner.example", "Ann Archer <ann@partner.example>", "Minutes of Thursday", "Here they are."),
    Sent(3.5, RENTED, "win@lucky.example", "Lucky Draw <win@lucky.example>", "WIN 4711 in our draw", _PILLS.format(4711)),
    Sent(5.0, BULK, "news@shop.example", "The Shop <news@shop.example>", "Our offers of this week", "New shoes."),
    Sent(7.5, RENTED, "deal@watches.example", "Finest Watches <deal@watches.example>", "80 % off, only today",
         _PILLS.format(80), html=_LETTER),
    Sent(9.0, PARTNER, "carl@partner.example", "Carl Cooper <carl@partner.example>", "Lunch on Monday?", "At noon?"),
    Sent(12.0, RENTED, "billing@invoices.example", "Billing <billing@invoices.example>", "Unpaid invoice 2026-118",
         "Please find the invoice attached.", attached="invoice.exe"),
    Sent(15.0, RENTED, "pharmacy@pills.example", "Pharmacy <pharmacy@pills.example>", "WIN 99 cheap pills",
         _PILLS.format(99), to=("bob@example.com", "carol@example.com")),
    Sent(19.0, BULK, "news@shop.example", "The Shop <news@shop.example>", "Your order is on its way", "Thank you."),
    Sent(22.0, PARTNER, "dora@partner.example", "Dora Dale <dora@partner.example>", "Photos of the summer party",
         "They are in the shared folder.", to=("bob@example.com", "carol@example.com")),
    Sent(23.0, RENTED, "loan@money.example", "Easy Loans <loan@money.example>", "Your loan is granted",
         _PILLS.format(5000)),
)  # fmt: skip


def _earlier(days: int) -> Iterator[Sent]:
    """What came on the days before, more of it by day than by night."""
    for hour in range(days * 24, 24, -1):
        if 7 <= (10 - hour) % 24 <= 19:
            yield Sent(hour, PARTNER, "ann@partner.example", "Ann <ann@partner.example>", f"Minutes {hour}", "Here.")
        if hour % 3 == 0:
            yield Sent(
                hour, RENTED, "win@lucky.example", "Lucky <win@lucky.example>", f"WIN {hour}", _PILLS.format(hour)
            )


class Showcase:
    """The console at `address`, served in a thread of this process; `clock` is its clock."""

    def __init__(self, app: Application, settings: Settings, port: int, clock: Clock) -> None:
        self.address = f"http://127.0.0.1:{port}"
        self.clock = clock
        self.store: Store = app.store
        self.console = Console(
            settings=settings,
            store=app.store,
            journey=JOURNEY,
            clock=clock,
            protect=protector(JOURNEY, settings),
            teach=teaching(settings, app.store),
            dns=ScriptedResolver(ZONES),
        )

    def session(self, name: str) -> str:
        """The secret of a login of that account."""
        return sessions.begin(self.store, name, How.PASSWORD, self.clock(), 12 * HOUR)


class Clock:
    """Seconds since the epoch; when messages came, tests choose."""

    now = NOW

    def __call__(self) -> float:
        return self.now


@contextlib.contextmanager
def showcase(folder: Path, mail: Sequence[Sent] = MAIL, *, days: int = 0, password: str = "") -> Iterator[Showcase]:
    """A console with that mail, and with more on the days before; `password` is the hash of everybody's."""
    with socket.create_server(("127.0.0.1", 0)) as listening:
        port = listening.getsockname()[1]
        clock = Clock()
        settings = load_text(without_lists(CONFIG.format(folder=folder, port=port)), settings_classes(JOURNEY))
        Learned((("bob", 40), ("carol", 40))).put_into(url_from(settings))
        app = Application(JOURNEY, settings, resolver=ScriptedResolver(ZONES), clock=clock)
        with contextlib.closing(app):
            for one in sorted((*mail, *_earlier(days)), key=lambda one: -one.ago):
                clock.now = NOW - one.ago * HOUR
                _send(app, one)
            clock.now = NOW
            assert app.history is not None
            app.history.flush()
            _fill(app.store, password)
            made = Showcase(app, settings, port, clock)
            made.console.hours.last(days * 24 + 24, NOW, 30.0)
            with _served(made, listening):
                yield made


def _send(app: Application, one: Sent) -> None:
    session = app.session()
    address, name = one.client
    session.connect(address, name=name, ptr=name, resolve="OK" if name else "FAIL", receiver="mx.example.com")
    session.helo(name or f"host{address.rpartition('.')[2]}.rented.example")
    headers, body = split_message(one.built())
    send(session, headers, body, one.sender, one.to)
    session.close()


def _fill(store: Store, password: str) -> None:
    for name, role in ROLES.items():
        accounts.add(store, Account(name, role, password, (name,)), NOW)
    lists.add(store, lists.Kind.WHITELIST, "partner.example", reason="our partner", by="ann", now=NOW)
    lists.add(store, lists.Kind.BLACKLIST, "win@lucky.example", reason="reported by many", by="ann", now=NOW)
    own_lists.put(store, "bob", own_lists.Kind.BLOCK, "casino.example", NOW)
    own_lists.put(store, "bob", own_lists.Kind.ALLOW, "aunt@family.example", NOW)


@contextlib.contextmanager
def _served(made: Showcase, listening: socket.socket) -> Iterator[None]:
    config = uvicorn.Config(application(made.console), log_config=None, access_log=False, lifespan="off")
    server = uvicorn.Server(config)
    thread = threading.Thread(target=server.run, kwargs={"sockets": [listening]})
    thread.start()
    try:
        wait_until(lambda: server.started, "the console is served")
        yield
    finally:
        server.should_exit = True
        thread.join()
