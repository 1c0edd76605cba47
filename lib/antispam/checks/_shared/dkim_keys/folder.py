"""A folder of keys in rotation: FOLDER/DOMAIN/SELECTOR.private, and rotation.json with their states."""

from __future__ import annotations

import contextlib
import fcntl
import os
import string
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import msgspec

from antispam.checks._shared.dkim_keys import files
from antispam.checks._shared.dkim_keys.files import Algorithm, load_private_key
from antispam.checks._shared.dkim_keys.rotation import Key, Stage
from antispam.net.addresses import is_hostname
from antispam.protocols.dkim import PrivateKey, Signer

STATES = "rotation.json"
MAX_STATES = 1 << 20


class _Record(msgspec.Struct):
    version: int
    keys: list[Key]


class KeyFolder:
    """The keys of all domains below a path. Methods raise OSError, and ValueError if a file has invalid content."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def __str__(self) -> str:
        return str(self.path)

    def domains(self) -> list[str]:
        """The domains with keys in rotation."""
        return sorted(file.parent.name for file in self.path.glob(f"*/{STATES}"))

    def keys(self, domain: str) -> tuple[Key, ...]:
        """The states of a domain's keys, possibly empty."""
        file = self._home(domain) / STATES
        try:
            octets = file.read_bytes()
        except FileNotFoundError:
            return ()
        try:
            if len(octets) > MAX_STATES:
                raise ValueError("too large")
            record = msgspec.json.decode(octets, type=_Record)
            if record.version != 1 or not all(is_hostname(key.selector) for key in record.keys):
                raise ValueError("not a state of this version")
        except ValueError as error:
            raise ValueError(f"{file}: {error}") from None
        return tuple(record.keys)

    def save(self, domain: str, keys: tuple[Key, ...]) -> None:
        """Write the states atomically."""
        content = msgspec.json.format(msgspec.json.encode(_Record(1, list(keys))), indent=2)
        files.replace(self._home(domain) / STATES, content + b"\n")

    def file(self, domain: str, selector: str) -> Path:
        """The file of a key."""
        return self._home(domain) / f"{selector}.private"

    def private_key(self, domain: str, selector: str) -> PrivateKey:
        """The private key. Raises UnusablePrivateKey, in particular if others can read its file."""
        return load_private_key(self.file(domain, selector))

    def signers(self, load: Callable[[str], PrivateKey] = load_private_key) -> tuple[Signer, ...]:
        """The signers in use now. Raises UnusablePrivateKey."""
        return tuple(
            Signer(domain, key.selector, load(str(self.file(domain, key.selector))))
            for domain in self.domains()
            for key in self.keys(domain)
            if key.stage is Stage.SIGNING
        )

    def make(self, domain: str, selector: str, algorithm: Algorithm, bits: int) -> None:
        """A new key file."""
        files.write_new(self.file(domain, selector), files.make_private_key(algorithm, bits))

    def new_selector(self, domain: str, algorithm: Algorithm, now: float) -> str:
        """An unused selector made of algorithm and date: r20261124, e20261124, r20261124b."""
        base = algorithm.value[0] + time.strftime("%Y%m%d", time.gmtime(now))
        used = {key.selector for key in self.keys(domain)}
        for suffix in ["", *string.ascii_lowercase[1:]]:
            selector = f"{base}{suffix}"
            if selector not in used and not self.file(domain, selector).exists():
                return selector
        raise ValueError(f"{domain} has had twenty-six {algorithm} keys today")

    @contextlib.contextmanager
    def locked(self, domain: str) -> Iterator[None]:
        """Lock a domain's keys for one process at a time. Creates the folder if it is missing."""
        home = self._home(domain)
        if not home.is_dir():
            home.mkdir(mode=0o750)
            owner = self.path.stat()
            if os.geteuid() == 0:
                os.chown(home, owner.st_uid, owner.st_gid)
        descriptor = os.open(home, os.O_RDONLY | os.O_DIRECTORY)
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX)
            yield
        finally:
            os.close(descriptor)

    def _home(self, domain: str) -> Path:
        if not is_hostname(domain):
            raise ValueError(f"{domain!r} is not a domain; an international one is written as xn--")
        return self.path / domain
