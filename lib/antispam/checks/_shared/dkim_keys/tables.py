"""opendkim's KeyTable and SigningTable: which key signs for which author (opendkim.conf(5), "DATA SETS" of opendkim(8)).

    # KeyTable: a name, then domain, selector and key (a file, or the key itself in base64)
    rsa      example.com:r2026:/etc/dkimkeys/r2026.private
    theirs   %:mail:/etc/dkimkeys/%.private

    # SigningTable, refile: a pattern in which * stands for anything, a key's name, optionally an identity for i=
*@example.com     rsa *@*.example.com   rsa:postmaster@example.com

    # SigningTable, file: no patterns, but user@host, host, user@.domain, .domain, user@* and *, searched in that order
    example.com       rsa

% is the author's domain. Tables and their keys are read once, when the settings are loaded.
"""

from __future__ import annotations

import dataclasses
import functools
import re
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path

from antispam.checks._shared.dkim_keys.files import load_private_key
from antispam.net.addresses import Mailbox, is_hostname, normalize_domain
from antispam.protocols.dkim import PrivateKey, Signer, UnusablePrivateKey, parse_private_key

MAX_TABLE = 64 << 20  # octets; a hundred times what a large provider needs
MAX_KEYS_BY_DOMAIN = 4096  # keys from files with % that are kept in memory

LoadKey = Callable[[str], PrivateKey]


@dataclasses.dataclass(frozen=True, slots=True)
class Line:
    """One entry of a table, and its place."""

    key: str
    value: str
    where: str

    def error(self, text: str) -> ValueError:
        return ValueError(f"{self.where}: {text}")


def read_lines(source: str) -> tuple[str, list[Line]]:
    """The kind of a data set ("file" or "refile") and its entries. Raises ValueError if it can't be read."""
    kind, colon, path = source.strip().partition(":")
    if not colon and source.strip().startswith("/"):
        kind, path = "file", source.strip()
    if kind not in ("file", "refile"):
        raise ValueError(
            f"{source!r} is not a table that can be read here; write it as a text, file:/path or refile:/path"
        )
    try:
        with open(path, "rb") as file:
            octets = file.read(MAX_TABLE + 1)
    except OSError as error:
        raise ValueError(f"{path}: {error.strerror}") from None
    if len(octets) > MAX_TABLE:
        raise ValueError(f"{path}: too large for a table")
    return kind, list(_parse(octets.decode("utf-8", "surrogateescape"), path))


def _parse(text: str, path: str) -> Iterator[Line]:
    for number, line in enumerate(text.splitlines(), 1):
        words = line.partition("#")[0].split(None, 1)
        if len(words) == 1:
            raise ValueError(f"{path}:{number}: {words[0]!r} stands alone; expected a key and its value on a line")
        if words:
            yield Line(words[0], words[1].strip(), f"{path}:{number}")


@dataclasses.dataclass(frozen=True)
class Key:
    """One line of a KeyTable. `domain` may be "%"; `key` is None if the file's name has a %, and depends on the author."""

    domain: str
    selector: str
    file: str
    key: PrivateKey | None


class KeyTable:
    """Keys by name. Raises ValueError if the table, or a key in it, can't be used.

    load  reads a key file
    """

    def __init__(self, source: str, load: LoadKey = load_private_key) -> None:
        self._source = source.strip()
        self._load = functools.lru_cache(MAX_KEYS_BY_DOMAIN)(load)
        self._keys: dict[str, Key] = {}
        for line in read_lines(source)[1]:
            if line.key in self._keys:
                raise line.error(f"the key name {line.key} is given a second time")
            self._keys[line.key] = self._key(line)

    def __str__(self) -> str:
        return self._source

    def __contains__(self, name: str) -> bool:
        return name in self._keys

    def __iter__(self) -> Iterator[Key]:
        return iter(self._keys.values())

    def _key(self, line: Line) -> Key:
        fields = [field.strip() for field in line.value.split(":", 2)]
        if len(fields) != 3 or not all(fields):
            raise line.error(f"{line.key}: expected domain:selector:key")
        domain, selector, key = normalize_domain(fields[0]), fields[1], fields[2]
        for name in {domain, selector.lower()} - {"%"}:
            if not is_hostname(name):
                raise line.error(f"{name!r} can't stand in a signature; an international domain is written as xn--")
        try:
            if not key.startswith(("/", "./", "../")):
                return Key(domain, selector, "", parse_private_key(key.encode("utf-8", "replace")))
            return Key(domain, selector, key, None if "%" in key else self._load(key))
        except UnusablePrivateKey as error:
            raise line.error(str(error)) from None

    def signer(self, name: str, author_domain: str, identity: str) -> Signer | None:
        """The signer with the key of that name; None if the key depends on the author's domain and has no file.

        Raises UnusablePrivateKey if that file can't be used, KeyError if no key has that name.
        """
        entry = self._keys[name]
        domain = author_domain if entry.domain == "%" else entry.domain
        key = entry.key or self._key_of(entry.file, author_domain)
        if key is None or not is_hostname(domain):
            return None
        try:
            return Signer(domain, entry.selector, key, identity)
        except ValueError:
            return Signer(domain, entry.selector, key)  # drop an i= outside d=, as opendkim does

    def _key_of(self, file: str, author_domain: str) -> PrivateKey | None:
        # The sender chooses this part of a path: a host name has neither a slash nor an empty label.
        if not is_hostname(author_domain):
            return None
        path = Path(file.replace("%", author_domain))
        return self._load(str(path)) if path.exists() else None


class SigningTable:
    """Names of keys, and identities, by author. Raises ValueError if the table can't be read."""

    def __init__(self, source: str) -> None:
        self._source = source.strip()
        kind, lines = read_lines(source)
        self.lines = tuple(lines)
        find = _Patterns(lines) if kind == "refile" else _Names(lines)
        self._find: Callable[[Mailbox], Iterable[str]] = find

    def __str__(self) -> str:
        return self._source

    def entries(self, author: Mailbox) -> Iterator[tuple[str, str]]:
        """(name of a key, identity) of every line that matches the author, in order of precedence."""
        for value in self._find(author):
            name, _, identity = value.partition(":")
            name, identity = name.strip(), identity.strip()
            yield author.domain if name == "%" else name, identity.replace("%", author.domain)


class _Names:
    """A table of type file, searched by a few exact look-ups."""

    def __init__(self, lines: Iterable[Line]) -> None:
        self._values: dict[str, list[str]] = {}
        for line in lines:
            self._values.setdefault(line.key.lower(), []).append(line.value)

    def __call__(self, author: Mailbox) -> Iterator[str]:
        local, domain = author.local.lower(), author.domain
        above = [domain[position:] for position, char in enumerate(domain) if char == "."]
        names = [f"{local}@{domain}", domain, *(f"{local}@{one}" for one in above), *above, f"{local}@*", "*"]
        for name in names:
            yield from self._values.get(name, ())


class _Patterns:
    """A table of type refile: patterns in order. Lines for a whole domain may be thousands; they are found by look-up."""

    def __init__(self, lines: Iterable[Line]) -> None:
        self._values: list[str] = []
        self._by_domain: dict[str, list[int]] = {}
        self._others: list[tuple[int, tuple[str, ...]]] = []
        for number, line in enumerate(lines):
            self._values.append(line.value)
            pattern = line.key.lower()
            if pattern.startswith("*@") and "*" not in pattern[2:]:
                self._by_domain.setdefault(pattern[2:], []).append(number)
            else:
                self._others.append((number, tuple(pattern.split("*"))))

    def __call__(self, author: Mailbox) -> Iterator[str]:
        address = f"{author.local}@{author.domain}".lower()
        found = [number for number, parts in self._others if _fits(address, parts)]
        # The pattern's * may stand for a local part with an @ of its own; the domain is what follows the last one.
        for number in sorted(found + self._by_domain.get(author.domain, [])):
            yield self._values[number]


def _fits(text: str, parts: tuple[str, ...]) -> bool:
    """Whether `text` consists of these parts in this order, with anything between them. Linear in time."""
    if len(parts) == 1:
        return text == parts[0]
    first, *middle, last = parts
    if len(text) < len(first) + len(last) or not text.startswith(first) or not text.endswith(last):
        return False
    position, end = len(first), len(text) - len(last)
    for part in middle:
        found = text.find(part, position, end)
        if found < 0:
            return False
        position = found + len(part)
    return True


class Tables:
    """Both tables together. Raises ValueError if the signing table names a key that is not in the key table.

    several  sign with all lines that match an author, not only with the first (opendkim's MultipleSignatures)
    """

    def __init__(self, keys: KeyTable, signing: SigningTable, *, several: bool) -> None:
        for line in signing.lines:
            name = line.value.partition(":")[0].strip()
            if name != "%" and name not in keys:
                raise line.error(f"no key in {keys} is named {name!r}")
        self._keys = keys
        self._signing = signing
        self._several = several

    def signers_for(self, author: Mailbox) -> tuple[Signer, ...]:
        """The signers for the author. Raises UnusablePrivateKey if the key file of the author's domain can't be used."""
        found: list[Signer] = []
        for name, identity in self._signing.entries(author):
            signer = self._keys.signer(name, author.domain, identity) if name in self._keys else None
            if signer is not None:
                found.append(signer)
                if not self._several:
                    break
        return tuple(found)


def words(text: str) -> tuple[str, ...]:
    """The field names in an opendkim list: separated by commas or blanks, without a leading +, in lower case."""
    return tuple(word.lstrip("+").lower() for word in re.split(r"[,\s]+", text) if word)
