"""A fresh Debian in a folder, in which the commands of a page of docs/ are typed one block after the other.

What several pages begin with is typed once: a Debian with that is copied for each.

It has a process table, mounts and a host name of its own, and shares the machine's network only with the blocks that install
something; everything else, the MTA and the filter above all, sees nothing but a private loopback interface.
"""

from __future__ import annotations

import dataclasses
import os
import re
import shutil
import subprocess
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Self

from support.mta import NameServer
from support.network import PrivateNetwork
from support.places import CACHE, REPOSITORY
from support.processes import RunDirectory, children_of, wait_until
from support.zones import Zone, complete

ON_DISK = Path("/var/tmp")  # too large for memory
MIRROR = "http://deb.debian.org/debian"
HOSTNAME = "mx.example.test"
ZONES = complete(
    [Zone("example.org", '@ A 192.0.2.1\n@ MX 10 mail\n@ TXT "v=spf1 ip4:192.0.2.1 -all"')],
    {"192.0.2.1": "mail.example.org"},
)
_BLOCK = re.compile(r"^```sh( download)?\n(.*?)^```$", re.MULTILINE | re.DOTALL)

_HOLD = """
set -e
root=$1 name=$2 archives=$3 pip=$4
hostname "$name"
mount -t proc proc "$root/proc"
mount -t tmpfs -o mode=755 tmpfs "$root/run"
mount -t tmpfs -o mode=1777 tmpfs "$root/dev/shm"
mkdir -p "$root/var/cache/pip"
mkdir -p "$root/dev/pts"
mount -t devpts devpts "$root/dev/pts"
mount --bind "$archives" "$root/var/cache/apt/archives"
mount --bind "$pip" "$root/var/cache/pip"
touch "$root/ready"
exec sleep infinity
"""


@dataclasses.dataclass(frozen=True)
class Block:
    """Commands that are typed together; `download` are those that need the package registries."""

    commands: str
    download: bool


def blocks_of(page: Path) -> list[Block]:
    """The commands of a page, in order."""
    return [Block(commands, bool(download)) for download, commands in _BLOCK.findall(page.read_text())]


def shared_by(pages: Sequence[Sequence[Block]]) -> list[Block]:
    """What can be typed once for all pages: of the blocks before the first that differs, each that is the same in all; where
    it installs packages, those that all of them name."""
    shared = []
    for blocks in zip(*pages, strict=False):
        common = _common(blocks)
        if common is None:
            break
        shared.append(common)
    return shared


def _common(blocks: Sequence[Block]) -> Block | None:
    lines = [block.commands.splitlines() for block in blocks]
    if len({block.download for block in blocks}) > 1 or len(set(map(len, lines))) > 1:
        return None
    common = [_common_line(same) for same in zip(*lines, strict=True)]
    return None if None in common else Block("".join(f"{line}\n" for line in common), blocks[0].download)


def _common_line(lines: Sequence[str]) -> str | None:
    if len(set(lines)) == 1:
        return lines[0]
    words = [line.split() for line in lines]
    if any(each[:2] != ["apt-get", "install"] for each in words):
        return None
    return " ".join(word for word in words[0] if all(word in each for each in words))


def archive(suite: str = "bookworm") -> Path:
    """Debian as it is before anybody has installed anything, in a tar file that is kept for a day. Making it takes 20 s and
    needs the mirror."""
    kept = CACHE / "debian" / f"{suite}.tar"
    if kept.exists() and time.time() - kept.stat().st_mtime < 86400:
        return kept
    kept.parent.mkdir(parents=True, exist_ok=True)
    made = kept.with_suffix(f".{os.getpid()}.tar")
    # dpkg need not wait for the disk after each file: what is lost with the machine is made again.
    options = ["--variant=minbase", "--include=ca-certificates,procps,hostname", "--dpkgopt=force-unsafe-io"]
    command = ["mmdebstrap", "--quiet", *options, suite]
    done = subprocess.run([*command, made, MIRROR], capture_output=True, text=True, check=False, timeout=1200)
    if done.returncode != 0:
        raise RuntimeError(f"mmdebstrap failed: {done.stderr[-2000:]}")
    return made.replace(kept)


class FreshDebian:
    """A context manager; needs root, and the file that `archive` made or a folder that another one was moved to. The project's
    sources are in /usr/src/bms, its tests among them only if asked for."""

    def __init__(self, source: Path, *, tests: bool = False) -> None:
        self._run = RunDirectory("debian", ON_DISK)
        self.root = self._run.path / "root"
        self._network = PrivateNetwork(HOSTNAME)
        self._names: NameServer | None = None
        self._holder: subprocess.Popen[bytes] | None = None
        try:
            self._names = NameServer(self._network, ZONES)
            self._make(source, tests)
            self._hold()
        except BaseException:
            self.close()
            raise

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exc: object) -> None:
        self.close()

    def _make(self, source: Path, tests: bool) -> None:
        self._run.path.chmod(0o755)
        if source.is_dir():
            subprocess.run(["cp", "--archive", "--reflink=auto", source, self.root], check=True)
            return
        self.root.mkdir()
        subprocess.run(["tar", "--extract", "--file", source, "--directory", self.root], check=True)
        etc = self.root / "etc"
        (etc / "hosts").write_text(f"127.0.0.1 localhost\n::1 localhost\n127.0.1.1 {HOSTNAME} mx\n")
        (etc / "hostname").write_text(f"{HOSTNAME}\n")
        # Packages start nothing while they are installed, as always where there is no init system.
        policy = self.root / "usr" / "sbin" / "policy-rc.d"
        policy.write_text("#!/bin/sh\nexit 101\n")
        policy.chmod(0o755)
        shutil.copy(Path(__file__).with_name("systemctl"), self.root / "usr" / "local" / "bin")
        # Registries may be behind a proxy with a certificate of its own.
        shutil.copy("/etc/ssl/certs/ca-certificates.crt", etc / "ssl" / "certs")
        self._copy_sources(tests)

    def _copy_sources(self, tests: bool) -> None:
        """What is under version control, as an archive of the project would have it."""
        names = subprocess.run(
            ["git", "-C", REPOSITORY, "ls-files", "-z", "--cached", "--others", "--exclude-standard"],
            capture_output=True, check=True,
        ).stdout.decode().split("\0")  # fmt: skip
        target = self.root / "usr" / "src" / "bms"
        for name in filter(None, names):
            if (REPOSITORY / name).is_file() and (tests or not name.startswith("tests/")):
                (target / name).parent.mkdir(parents=True, exist_ok=True)
                shutil.copy(REPOSITORY / name, target / name)

    def _hold(self) -> None:
        # One Debian at a time holds the lock of a folder of packages, and each release has its own packages.
        release = re.search(r"^VERSION_CODENAME=(\w+)$", (self.root / "etc/os-release").read_text(), re.MULTILINE)
        archives = CACHE / "debian" / "archives" / (release[1] if release else "unknown")
        pip = CACHE / "debian" / "pip"
        (archives / "partial").mkdir(parents=True, exist_ok=True)
        pip.mkdir(parents=True, exist_ok=True)
        with self._network.entered():
            self._holder = subprocess.Popen(
                ["unshare", "--mount", "--pid", "--uts", "--ipc", "--fork", "--kill-child",
                 "sh", "-c", _HOLD, "sh", self.root, HOSTNAME, archives, pip],
                stdin=subprocess.DEVNULL,
            )  # fmt: skip
        wait_until((self.root / "ready").exists, "the mounts of the fresh Debian")

    def type(self, block: Block, seconds: float = 1200, *, shown: bool = False) -> str:
        """Type the commands; their output, unless that is `shown` as it comes. AssertionError at the first that fails."""
        assert self._holder is not None
        inside = children_of(self._holder.pid)[0]
        resolver = Path("/etc/resolv.conf").read_text() if block.download else "nameserver 127.0.0.1\n"
        (self.root / "etc" / "resolv.conf").write_text(resolver)
        network = [] if block.download else ["--net"]
        done = subprocess.run(
            ["nsenter", "--target", str(inside), "--mount", "--pid", "--uts", "--ipc", *network, "--",
             "chroot", self.root, "sh", "-c", 'cd /usr/src/bms && exec bash -euo pipefail -x -c "$1"', "sh", block.commands],
            stdin=subprocess.DEVNULL, stdout=None if shown else subprocess.PIPE, stderr=subprocess.STDOUT, timeout=seconds,
            check=False,
            env=_environment(),
        )  # fmt: skip
        output = (done.stdout or b"").decode(errors="replace")
        assert done.returncode == 0, f"{block.commands}\nended with {done.returncode}:\n{output[-6000:]}"
        return output

    def move_to(self, folder: Path) -> None:
        """Shut it down; from the folder, others can be copied."""
        self._shut_down()
        (self.root / "ready").unlink()
        self.root.rename(folder)

    def _shut_down(self) -> None:
        if self._holder is not None:
            self._holder.kill()
            self._holder.wait()
            self._holder = None

    def close(self) -> None:
        self._shut_down()
        if self._names is not None:
            self._names.close()
        self._network.close()
        self._run.remove()


def _environment() -> dict[str, str]:
    passed = {name: value for name, value in os.environ.items() if name.lower().endswith("_proxy")}
    passed |= {name: os.environ[name] for name in ("PIP_INDEX_URL", "PIP_DEFAULT_TIMEOUT") if name in os.environ}
    return {
        "PATH": "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin",
        "HOME": "/root",
        "LANG": "C.UTF-8",
        "DEBIAN_FRONTEND": "noninteractive",
        "PIP_CACHE_DIR": "/var/cache/pip",
        "PIP_CERT": "/etc/ssl/certs/ca-certificates.crt",
        **passed,
    }
