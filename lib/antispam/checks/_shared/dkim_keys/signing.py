"""[dkim_sign]: the signing keys and what they sign. The keys also seal ([arc] seal)."""

from __future__ import annotations

import functools
import logging
import re
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

from antispam.checks._shared.dkim_keys.files import load_private_key
from antispam.checks._shared.dkim_keys.folder import KeyFolder
from antispam.checks._shared.dkim_keys.tables import KeyTable, SigningTable, Tables, words
from antispam.checks._shared.sendmail_cf import quoted_by
from antispam.net.addresses import Mailbox, normalize_domain, parents
from antispam.protocols.dkim import (
    SEALED,
    SIGNED_IF_PRESENT,
    PrivateKey,
    Signer,
    SigningPolicy,
)
from antispam.settings import CheckSettings, OnError, option, section
from antispam.settings.values import boolean, duration, path

HEADER_ONLY = "header"
SENDMAIL_CF = Path("/etc/mail/sendmail.cf")
_FIELD_NAME = re.compile(r"[!-9;-~]+")  # RFC 5322 section 2.2

log = logging.getLogger(__name__)


def _load(file: str) -> PrivateKey:
    key = load_private_key(file)
    if key.warning:
        log.warning("%s: %s", file, key.warning)
    return key


def _private_key(text: str) -> PrivateKey | None:
    return _load(text.strip()) if text.strip() else None


def _domain(text: str) -> str:
    if len(re.split(r"[,\s]+", text.strip())) > 1:
        raise ValueError("expected one domain; each of several has a line of its own in [dkim_sign] keys")
    return normalize_domain(text)


def _selector(text: str) -> str:
    if not text.strip():
        raise ValueError("expected the name under which the key is published: r2026, where it is r2026._domainkey")
    return text.strip()


def _signers(text: str) -> tuple[Signer, ...]:
    """Parse signers, one a line: domain, selector, file."""
    found = []
    for line in filter(None, map(str.strip, text.replace(",", "\n").splitlines())):
        words = line.split()
        if len(words) != 3:
            raise ValueError(f"{line!r}: expected domain, selector and key file on a line")
        found.append(Signer(normalize_domain(words[0]), words[1], _load(words[2])))
    return tuple(found)


def _key_table(text: str) -> KeyTable | None:
    return KeyTable(text, _load) if text.strip() else None


def _signing_table(text: str) -> SigningTable | None:
    return SigningTable(text) if text.strip() else None


def _key_folder(text: str) -> KeyFolder | None:
    folder = KeyFolder(path(text)) if text.strip() else None
    if folder is not None:
        try:
            folder.signers(_load)  # an unusable key is reported with its place in the configuration
        except OSError as error:
            raise ValueError(f"{folder}: {error.strerror}") from None
    return folder


def _relaxed(text: str) -> bool | str:
    return HEADER_ONLY if text.strip().lower() == HEADER_ONLY else boolean(text)


def _names(defaults: tuple[bytes, ...]) -> Callable[[str], tuple[str, ...]]:
    """A reader of lists of field names, in which * stands for the defaults."""
    usual = tuple(name.decode("ascii") for name in defaults)

    def read(text: str) -> tuple[str, ...]:
        names = [name for word in words(text) for name in (usual if word == "*" else (word,))]
        _policy(tuple(names), ())
        return tuple(dict.fromkeys(names))

    return read


def _policy(sealed: tuple[str, ...], present: tuple[str, ...], **more: Any) -> SigningPolicy:
    """The signing policy. From is always signed. Raises ValueError for a field that must not be signed."""
    names = tuple(dict.fromkeys(("from", *sealed)))
    for name in (*names, *present):
        if not _FIELD_NAME.fullmatch(name):
            raise ValueError(f"{name!r} is not the name of a header field")
    return SigningPolicy(
        sealed=tuple(name.encode("ascii") for name in names),
        signed_if_present=tuple(name.encode("ascii") for name in present if name not in names),
        **more,
    )


@section("dkim_sign")
class SigningSettings(CheckSettings):
    """[dkim_sign]: signing mail from internal and authenticated senders. Upstream's names for a single key stand in
    [dkim].
    """

    on_error: OnError = option(OnError.ACCEPT, "when a message cannot be signed: accept sends it unsigned")
    keys: tuple[Signer, ...] = option(
        (),
        "one key per line: domain, selector, file. Several lines for a domain give several signatures, for example "
        "RSA and Ed25519",
        parse=_signers,
    )
    key_table: KeyTable | None = option(
        None,
        "opendkim's KeyTable: a text file, file:/path, with lines `name domain:selector:/key/file`",
        parse=_key_table,
    )
    signing_table: SigningTable | None = option(
        None,
        "opendkim's SigningTable: refile:/path with lines `*@example.com name`, or file:/path without patterns",
        parse=_signing_table,
    )
    multiple_signatures: bool = option(False, "sign with all matching lines of the signing table, not only the first")
    key_folder: KeyFolder | None = option(
        None,
        "folder of the keys that `dkim rotate` manages; it says which of them sign",
        parse=_key_folder,
    )
    domain: str = option("", "the domain that [dkim] privkey signs for", parse=_domain, section="dkim")
    selector: str = option("default", "the selector of [dkim] privkey", parse=_selector, section="dkim")
    privkey: PrivateKey | None = option(None, "file of a private key", parse=_private_key, section="dkim")
    subdomains: bool = option(True, "also sign for authors in subdomains that have no key of their own")
    relaxed: bool | str = option(
        True,
        "yes survives refolded lines and changed white space, header does so for header fields only; no is 'simple' for "
        "both parts",
        parse=_relaxed,
    )
    expire: float = option(0.0, "how long a signature is valid; 0 means for ever", parse=duration("d"))
    oversign: tuple[str, ...] = option(
        tuple(name.decode("ascii") for name in SEALED),
        "header fields that are signed once more than they occur, so that nobody can add one; From always is, and * "
        "stands for these defaults",
        parse=_names(SEALED),
    )
    sign_headers: tuple[str, ...] = option(
        tuple(name.decode("ascii") for name in SIGNED_IF_PRESENT),
        "further header fields that are signed if present; * stands for these defaults",
        parse=_names(SIGNED_IF_PRESENT),
    )

    def __post_init__(self) -> None:
        if self.privkey is not None:
            if not self.domain:
                raise ValueError("[dkim] privkey needs [dkim] domain, the domain that it signs for")
            try:
                Signer(self.domain, self.selector, self.privkey)
            except ValueError as error:
                raise ValueError(f"[dkim] domain and selector: {error}") from None
        if (self.key_table is None) != (self.signing_table is None):
            raise ValueError("[dkim_sign] key_table and signing_table need one another")
        _ = self.tables, self.signers  # report unusable keys now, not at the first message

    @property
    def warnings(self) -> tuple[str, ...]:
        """Warnings about settings that are allowed but probably not intended, for the administrator."""
        keyless = "[dkim] domain is set, but privkey is not: nothing is signed with it"
        found = [keyless] if self.domain and not self.privkey else []
        if self.can_sign and (quoted := quoted_by(SENDMAIL_CF)):
            found.append(
                f"{SENDMAIL_CF}: sendmail quotes names that contain one of {quoted} after we have signed, which breaks "
                "our signatures. Put define(`confMUST_QUOTE_CHARS', `@')dnl into sendmail.mc (docs/dkim.md)"
            )
        return tuple(found)

    @functools.cached_property
    def tables(self) -> Tables | None:
        if self.key_table is None or self.signing_table is None:
            return None
        return Tables(self.key_table, self.signing_table, several=self.multiple_signatures)

    @property
    def can_sign(self) -> bool:
        return bool(self.signers or self.tables)

    @functools.cached_property
    def signers(self) -> tuple[Signer, ...]:
        own = (Signer(self.domain, self.selector, self.privkey),) if self.privkey is not None else ()
        rotated = self.key_folder.signers() if self.key_folder is not None else ()
        return (*own, *self.keys, *rotated)

    @functools.cached_property
    def _by_domain(self) -> dict[str, tuple[Signer, ...]]:
        found: dict[str, tuple[Signer, ...]] = {}
        for signer in self.signers:
            found[signer.domain] = (*found.get(signer.domain, ()), signer)
        return found

    def signers_for(self, author: Mailbox) -> tuple[Signer, ...]:
        """The signers named by the tables, and those of the author's domain, or of the nearest parent that has keys.

        Raises UnusablePrivateKey.
        """
        listed = self.tables.signers_for(author) if self.tables is not None else ()
        for domain in parents(author.domain) if self.subdomains else (author.domain,):
            if domain in self._by_domain:
                return (*listed, *self._by_domain[domain])
        return listed

    def signers_of(self, authors: Iterable[Mailbox]) -> tuple[Signer, ...]:
        """The signers for all authors, each once. Raises UnusablePrivateKey."""
        return tuple(dict.fromkeys(signer for author in authors for signer in self.signers_for(author)))

    @functools.cached_property
    def policy(self) -> SigningPolicy:
        return _policy(
            self.oversign,
            self.sign_headers,
            relaxed_header=bool(self.relaxed),
            relaxed_body=self.relaxed is True,
            lifetime=int(self.expire),
        )
