"""[srs]: signed envelope senders, and the signatures that bounces to us must carry. lib/SRS and lib/SES have the
encodings.
"""

from __future__ import annotations

import dataclasses
import difflib
import enum
import functools
import logging
import stat
import time
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

import SES
import SRS
from antispam.net.addresses import host_list, parse_mailbox
from antispam.settings import CheckSettings, SettingsError, ini, load_text, option, section
from antispam.settings.declare import options_of
from antispam.settings.secret_files import secret_in
from antispam.settings.values import listed

log = logging.getLogger(__name__)

_OLDER = ("secret.0", "secret.1", "secret.2")  # in pysrs.cfg, beside `secret`
_ELSEWHERE = ("config", "mode", "on_error", "reject_spoofed")  # pysrs.cfg does not say what the checks do
_MAX_SECRETS = 10
_MAX_FILE = 10_000
_MOST_LAYERS = 5  # nested signed addresses of ours


def _secret(text: str) -> tuple[str, ...]:
    """Parse a secret; upstream puts it in quotation marks."""
    return tuple(one for one in (part.strip().strip("\"'") for part in text.split(",")) if one)


def _days(value: int) -> None:
    if not 1 <= value < 1000:
        raise ValueError("expected 1 to 999 days")


def _characters(value: int) -> None:
    if not 1 <= value <= 27:
        raise ValueError("expected 1 to 27 characters")


def _separator(value: str) -> None:
    if value not in ("=", "+", "-"):
        raise ValueError("expected =, + or -")


@section("srs")
class SrsSettings(CheckSettings):
    """[srs]: signed envelope senders. Off without a secret."""

    config: Path | None = option(
        None,
        "a file with a section [srs] in pysrs's format; settings here take precedence",
        check=lambda file: _sound(file),
    )
    secret: tuple[str, ...] = option(
        (),
        "the secret that addresses are signed with; several, separated by commas, while it changes: the first signs, all "
        "verify. secret_file keeps it safer",
        parse=_secret,
    )
    secret_file: Path | None = option(
        None,
        "a file with one secret per line, which others may not read; those of secret come first",
        check=lambda file: _usable(file),
    )
    maxage: int = option(8, "how many days bounces to a signed sender are accepted", check=_days)
    hashlength: int = option(8, "length of the hash in an SRS address, in characters", check=_characters)
    separator: str = option("=", "the separator after SRS0: =, + or -", check=_separator)
    database: Path | None = option(
        None,
        "an SQLite file; SRS addresses are then short, and cannot be reversed without it",
        check=lambda file: _sqlite(file),
    )
    ses: tuple[str, ...] = option(
        (), "our domains whose senders are signed by SES: SES=...=ann@example.com", parse=listed, check=host_list
    )
    sign: tuple[str, ...] = option(
        (), "our domains whose senders are signed by SRS: SRS0=...==ann@example.com", parse=listed, check=host_list
    )
    srs: tuple[str, ...] = option(
        (),
        "our domains that another program rewrites forwarded mail to; bounces to them are verified, too",
        parse=listed,
    )
    fwdomain: str = option("", "the domain that forwarded mail is rewritten to")
    nosrs: tuple[str, ...] = option(
        (), "recipients' domains for which senders are not rewritten", parse=listed, check=host_list
    )
    reject_spoofed: bool = option(
        False, "refuse bounces to our domains that are not addressed to a signed sender; first sign for maxage days"
    )
    socket: Path = option(Path("/run/milter/srs.sock"), "socket on which `bms srs serve` answers the MTA")
    banned_users: tuple[str, ...] = option(
        (),
        "local parts whose mail counts as a bounce, because some servers send bounces from them: postmaster, "
        "mailer-daemon",
    )

    @property
    def signs(self) -> bool:
        """Whether there is a secret, or may be one once the files are read."""
        return bool(self.secret or self.secret_file or self.config)

    @property
    def domains(self) -> tuple[str, ...]:
        """The domains in which bounces must be signed."""
        return tuple(filter(None, (*self.ses, *self.sign, *self.srs, self.fwdomain)))


UNUSABLE = (SettingsError, SRS.Unavailable)
"""The exceptions of signature_of() and its result if a file of [srs] can no longer be read or written."""


class State(enum.StrEnum):
    """The state of the address that a bounce goes to."""

    VALID = "valid"
    UNSIGNED = "unsigned"
    FORGED = "forged"
    EXPIRED = "expired"


class Signature:
    """Signs and verifies addresses according to [srs]. Made once from the settings, by signature_of().

    Any method raises SRS.Unavailable while a configured database cannot be used.
    """

    def __init__(self, settings: SrsSettings, secrets: tuple[str, ...], clock: Callable[[], float]) -> None:
        self.settings = settings
        self.ses = SES.Signer(secrets, expiration=settings.maxage, clock=clock)
        options: dict[str, Any] = {
            "maxage": settings.maxage,
            "separator": settings.separator,
            "alwaysrewrite": True,
            "clock": clock,
        }
        self.srs: SRS.Guarded | SRS.DB = SRS.Guarded(secrets, hashlength=settings.hashlength, **options)
        if settings.database is not None:
            self.srs = SRS.DB(secrets, settings.database, **options)
        self.domains = host_list(settings.domains)
        self._ses, self._sign = host_list(settings.ses), host_list(settings.sign)
        self._nosrs = host_list(settings.nosrs)

    def leaves_alone(self, recipient: str) -> bool:
        """Whether senders stay as they are for this recipient."""
        return parse_mailbox(recipient).domain in self._nosrs

    def signed(self, sender: str) -> str:
        """The signed sender; "" if it does not change because it is in another domain or signed already. Raises
        SRS.Unavailable if a database fails.
        """
        domain = parse_mailbox(sender).domain
        if not domain or is_signed(sender):
            return ""
        try:
            if domain in self._ses:
                return self.ses.sign(sender)
            return self.srs.sign(sender) if domain in self._sign else ""
        except (SES.SesError, SRS.SrsError):
            return ""

    def rewritten(self, sender: str, host: str = "") -> str:
        """The sender of mail that we forward, in the domain fwdomain, or signed if it is one of ours; "" if it does not
        change: it is null, rewritten before, or goes to a `host` (if known) in nosrs.
        """
        domain = parse_mailbox(sender).domain
        if not domain or host in self._nosrs:
            return ""
        if domain in self._ses or domain in self._sign:
            return self.signed(sender)
        if domain in self.domains or not self.settings.fwdomain:
            return ""
        try:
            return self.srs.forward(sender, self.settings.fwdomain)
        except SRS.SrsError:
            return ""

    def plain(self, address: str) -> str:
        """The address behind all our signatures, "" if there is none or one is not valid."""
        return self.verified(address)[1]

    def verified(self, address: str) -> tuple[State, str]:
        """The state of an address of ours, and the plain address that it stands for ("" if unknown). The innermost
        signature decides if we signed or rewrote it more than once.
        """
        state, meant = self._verified_once(address)
        for _ in range(_MOST_LAYERS):
            if not is_signed(meant) or parse_mailbox(meant).domain not in self.domains:
                break
            state, meant = self._verified_once(meant)
        return state, meant

    def _verified_once(self, address: str) -> tuple[State, str]:
        if parse_mailbox(address).domain not in self.domains:
            # A hash of ours under somebody else's domain was copied there: we never wrote such an address.
            return State.FORGED if is_signed(address) else State.UNSIGNED, ""
        try:
            if _is_ses(address):
                return State.VALID, self.ses.verify(address).address
            return State.VALID, self.srs.reverse(address)
        except (SES.Expired, SRS.Expired):
            return State.EXPIRED, ""
        except (SES.NotSigned, SRS.NotRewritten):
            return State.FORGED if is_signed(address) else State.UNSIGNED, ""
        except (SES.Forged, SRS.Forged):
            return State.FORGED, ""


def is_signed(address: str) -> bool:
    """Whether the address looks signed or rewritten, by anybody."""
    return bool(SRS.Guarded.tag_of(address.lstrip('"'))) or _is_ses(address)


def _is_ses(address: str) -> bool:
    return address.lstrip('"')[:4].upper() == "SES="


@functools.lru_cache(maxsize=8)
def signature_of(settings: SrsSettings, clock: Callable[[], float] = time.time) -> Signature | None:
    """The Signature for these settings; None without a secret. Raises UNUSABLE."""
    settings = _with_file(settings)
    secrets = (*settings.secret, *(_secrets_in(settings.secret_file) if settings.secret_file else ()))
    return Signature(settings, secrets, clock) if secrets else None


def _usable(file: Path | None) -> None:
    if file is not None:
        _secrets_in(file)


def _sqlite(file: Path | None) -> None:
    """Parse the database's path. Raises ValueError for the database of an original installation."""
    if file is None:
        return
    try:
        with open(file, "rb") as stream:
            begins = stream.read(16)
    except FileNotFoundError:
        return
    except OSError as error:
        raise ValueError(f"it cannot be read: {error.strerror}") from None
    if begins not in (b"", b"SQLite format 3\0"):
        raise ValueError("it is no SQLite file, and pysrs's cannot be read; name another")


def _sound(file: Path | None) -> None:
    _with_file(dataclasses.replace(load_text("", [SrsSettings])[SrsSettings], config=file))


def _with_file(settings: SrsSettings) -> SrsSettings:
    """The settings, completed from the file [srs] config. A missing file is no error: upstream's default names one that
    many sites do not have.
    """
    if settings.config is None or not settings.config.exists():
        return settings
    try:
        entries = ini.parse(settings.config.read_text("utf-8", "surrogateescape"), str(settings.config))
        mode = settings.config.stat().st_mode
    except OSError as error:
        raise SettingsError(f"[srs] config: {settings.config} cannot be read: {error.strerror}") from None
    given = {entry.option: entry for entry in entries if entry.section == "srs"}
    if "secret" in given and mode & stat.S_IRWXO:
        log.warning("[srs] config: others can read the secret in %s; give it mode 0640", settings.config)
    _demand_known(given.values())
    changes = {}
    for one in options_of(SrsSettings):
        entry = given.get(one.name)
        if one.name == "config" or entry is None or getattr(settings, one.field) != one.default:
            continue
        try:
            changes[one.field] = one.read(entry.value)
        except ValueError as error:
            raise SettingsError(f"{entry.where}: [srs] {entry.option} = {entry.value}: {error}") from None
    older = [given[name].value for name in _OLDER if name in given]
    if older and "secret" in changes:
        changes["secret"] = (*changes["secret"], *(one for text in older for one in _secret(text)))
    return dataclasses.replace(settings, **changes)


def _demand_known(entries: Iterable[ini.Entry]) -> None:
    """Raises SettingsError for an unknown name, as in milter.cfg."""
    known = {one.name for one in options_of(SrsSettings)} | {*_OLDER}
    for entry in entries:
        if entry.option in _ELSEWHERE:
            raise SettingsError(f"{entry.where}: [srs] {entry.option} belongs into milter.cfg")
        if entry.option not in known:
            near = difflib.get_close_matches(entry.option, sorted(known), n=1, cutoff=0.6)
            hint = f"; did you mean {near[0]}?" if near else ""
            raise SettingsError(f"{entry.where}: [srs] has no option {entry.option}{hint}")


def _secrets_in(file: Path) -> tuple[str, ...]:
    """The secrets in a file. Raises SettingsError if it cannot be read, or if others can read it."""
    try:
        content = secret_in(file, _MAX_FILE)
    except OSError as error:
        raise SettingsError(f"[srs] secret_file: {error}") from None
    secrets = [line.strip() for line in content.decode("utf-8", "surrogateescape").splitlines() if line.strip()]
    if not secrets or len(secrets) > _MAX_SECRETS:
        raise SettingsError(
            f"[srs] secret_file: {file} has {len(secrets)} secrets; expected one a line, the newest first"
        )
    return tuple(secrets)
