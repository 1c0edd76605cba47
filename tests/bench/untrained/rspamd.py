"""rspamd as Debian ships it, without network, Bayes and fuzzy hashes: one worker on a socket of its own, ended afterwards."""

from __future__ import annotations

import contextlib
import http.client
import json
import os
import socket
import subprocess
import tempfile
import time
from collections.abc import Iterator, Sequence
from pathlib import Path

from tests.bench.untrained.collections import Mail, UnavailableError
from tests.bench.untrained.debian import library, unpacked

MARK = 6.0  # "add header", as it is shipped
_PATIENCE = 90.0  # seconds; it compiles its patterns when it starts
# What asks the network, or counts that the network does not answer.
_OFF = (
    "rbl",
    "fuzzy_check",
    "greylist",
    "ratelimit",
    "asn",
    "dkim",
    "spf",
    "dmarc",
    "arc",
    "hfilter",
    "mx_check",
    "neural",
)
_OFF_WORKERS = ("controller", "proxy", "fuzzy")


class UnixConnection(http.client.HTTPConnection):
    """HTTP over a unix socket."""

    def __init__(self, path: Path) -> None:
        super().__init__("localhost", timeout=60)
        self._path = path

    def connect(self) -> None:
        self.sock = socket.socket(socket.AF_UNIX)
        self.sock.settimeout(self.timeout)
        self.sock.connect(str(self._path))


def scores(mails: Sequence[Mail], cache: Path) -> list[float]:
    """Its score of each message. Raises UnavailableError."""
    root = unpacked("rspamd", cache)
    with tempfile.TemporaryDirectory(prefix="untrained-") as folder, _running(root, Path(folder)) as path:
        return [_score(path, mail.raw) for mail in mails]


def _score(path: Path, raw: bytes) -> float:
    connection = UnixConnection(path)
    try:
        connection.request("POST", "/checkv2", raw)
        return float(json.loads(connection.getresponse().read())["score"])
    except (OSError, ValueError, KeyError, http.client.HTTPException) as error:
        raise UnavailableError(f"rspamd: {error}") from error
    finally:
        connection.close()


@contextlib.contextmanager
def _running(root: Path, folder: Path) -> Iterator[Path]:
    path = folder / "normal.sock"
    _configure(folder, path)
    share = root / "usr/share/rspamd"
    places = {
        "CONFDIR": root / "etc/rspamd",
        "LOCAL_CONFDIR": folder,
        **dict.fromkeys(("RUNDIR", "DBDIR", "LOGDIR"), folder),
        **{f"{name.upper()}DIR": share / name for name in ("plugins", "rules", "lualib", "www")},
        "SHAREDIR": share,
    }
    # As root it would want a user of its own.
    command = [root / "usr/bin/rspamd", "-f", "-i", "-c", root / "etc/rspamd/rspamd.conf"]
    command += [f"--var={name}={place}" for name, place in places.items()]
    libraries = f"{library(root)}:{root / 'usr/lib/rspamd'}"
    process = subprocess.Popen(
        command,
        env={**os.environ, "LD_LIBRARY_PATH": libraries},
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    try:
        ends = time.monotonic() + _PATIENCE
        while not path.exists():
            if process.poll() is not None or time.monotonic() > ends:
                raise UnavailableError("rspamd: it does not start here")
            time.sleep(0.2)
        yield path
    finally:
        process.terminate()
        try:
            process.wait(20)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()


def _configure(folder: Path, path: Path) -> None:
    own = folder / "override.d"
    own.mkdir()
    (folder / "local.d").mkdir()
    (own / "options.inc").write_text(
        'dns { nameserver = ["127.0.0.1:1"]; timeout = 0.01s; retransmits = 1; }\nlocal_addrs = [];\n'
    )
    (own / "worker-normal.inc").write_text(f'bind_socket = "{path} mode=0600";\ncount = 1;\nenabled = true;\n')
    for name in _OFF:
        (own / f"{name}.conf").write_text("enabled = false;\n")
    for name in _OFF_WORKERS:
        (own / f"worker-{name}.inc").write_text("enabled = false;\n")
