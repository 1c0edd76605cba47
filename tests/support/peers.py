"""Other people's milters, installed as they are, to be measured and to talk DKIM with: opendkim from Debian's archive,
dkimpy-milter and spf-engine's milter from PyPI on the real pymilter. Fetched when needed, never committed.
"""

from __future__ import annotations

import contextlib
import dataclasses
import os
import pwd
import shutil
import subprocess
import sys
import venv
from collections.abc import Iterator, Sequence
from pathlib import Path

from support.milter_client import MilterClient, ProtocolError
from support.network import Network
from support.patience import ATTEMPT
from support.places import CACHE
from support.servers import Server

MILTERS = ("pymilter==1.0.5", "dkimpy-milter==1.2.3", "spf-engine==3.1.0")
LIBRARIES = ("authres", "dkimpy", "dnspython", "PyNaCl", "pyspf", "setuptools")
# opendkim and the libraries that nothing else on a test machine needs.
PACKAGES = (
    "opendkim", "libopendkim11", "libopendbx1", "libmemcached11", "libhashkit2", "liblua5.3-0", "libvbr2", "librbl1",
    "libunbound8", "libevent-2.1-7", "libmilter1.0.1", "libsasl2-2",
)  # fmt: skip
SLAPD = ("slapd", "libltdl7", "libodbc2", "libperl5.36")
_USER = pwd.getpwuid(os.geteuid()).pw_name  # they hand their files to somebody, and only root may choose whom


MIRROR = "http://deb.debian.org/debian"


class UnavailableError(Exception):
    """A peer can't be had on this machine; the text says why."""


OPENDMARC = ("opendmarc", "libopendmarc2", "libspf2-2", "libbsd0", "libmd0", "libmilter1.0.1", "publicsuffix")


def opendkim_folder() -> Path:
    """The folder with Debian's opendkim, unpacked. Raises UnavailableError."""
    return _unpacked("opendkim", PACKAGES)


def _unpacked(name: str, packages: Sequence[str]) -> Path:
    """The folder with Debian's packages, unpacked. Raises UnavailableError."""
    folder = CACHE / name
    if not (folder / "ready").exists():
        if shutil.which("apt-get") is None:
            raise UnavailableError(f"{name} is fetched with apt-get, which this system has not")
        shutil.rmtree(folder, ignore_errors=True)
        folder.mkdir(parents=True)
        _run(["apt-get", "-q", "-o", "APT::Sandbox::User=root", "download", *packages], folder)
        for package in folder.glob("*.deb"):
            _run(["dpkg", "-x", str(package), str(folder)], folder)
            package.unlink()
        (folder / "ready").touch()
    return folder


def slapd_folder() -> Path:
    """The folder with Debian's slapd, unpacked. Raises UnavailableError."""
    return _unpacked("slapd", SLAPD)


def promtool() -> Path:
    """Prometheus's program that tries rules, from Debian's package. Raises UnavailableError."""
    return _unpacked("prometheus", ("prometheus",)) / "usr" / "bin" / "promtool"


def debian_13_with_dovecot() -> Path:
    """The folder with a Debian 13 that has Dovecot 2.4, made in two minutes. Raises UnavailableError."""
    folder = CACHE / "dovecot-2.4"
    if not (folder / "ready").exists():
        shutil.rmtree(folder, ignore_errors=True)
        folder.mkdir(parents=True)
        included = "--include=dovecot-imapd,dovecot-sieve,python3-minimal"
        _run(["mmdebstrap", "--quiet", "--variant=minbase", included, "trixie", str(folder / "root"), MIRROR], folder)
        (folder / "ready").touch()
    return folder / "root"


def python_milters() -> Path:
    """The folder with the programs of an environment that has MILTERS. Raises UnavailableError."""
    folder = CACHE / "peers" / f"python{sys.version_info.major}.{sys.version_info.minor}"
    wanted = "\n".join((*MILTERS, *LIBRARIES))
    ready = folder / "ready"
    if not ready.exists() or ready.read_text() != wanted:
        shutil.rmtree(folder, ignore_errors=True)
        venv.create(folder, with_pip=True)
        pip = [str(folder / "bin" / "python"), "-m", "pip", "-q", "--disable-pip-version-check", "install"]
        _run([*pip, *LIBRARIES], folder)
        _run([*pip, "--no-deps", *MILTERS], folder)
        ready.write_text(wanted)
    return folder / "bin"


def _run(command: Sequence[str], folder: Path) -> None:
    try:
        subprocess.run(command, cwd=folder, check=True, capture_output=True, text=True, timeout=600)
    except (OSError, subprocess.SubprocessError) as error:
        said = getattr(error, "stderr", "") or str(error)
        raise UnavailableError(f"{command[0]}: {said.strip().rpartition(chr(10))[2]}") from error


@dataclasses.dataclass(frozen=True, slots=True)
class Recipe:
    """How a peer is started: the command, in which {conf} is its configuration, and the texts of its files, in which {dir} is
    its own folder, {socket} its socket and {port} the name server's port."""

    command: tuple[str, ...]
    conf: str
    files: dict[str, str] = dataclasses.field(default_factory=dict)
    environment: dict[str, str] = dataclasses.field(default_factory=dict)


def opendkim(options: str, files: dict[str, str] | None = None) -> Recipe:
    """opendkim with further options in opendkim.conf. Raises UnavailableError."""
    folder = opendkim_folder()
    (library,) = folder.glob("usr/lib/*-linux-gnu")
    conf = (
        "Socket local:{socket}\nUMask 000\nBackground no\nSyslog no\nPidFile {dir}/pid\nAuthservID mx.example.test\n"
        "AlwaysAddARHeader yes\nNameservers 127.0.0.1@{port}\n"
    )
    return Recipe(
        (str(folder / "usr/sbin/opendkim"), "-f", "-x", "{conf}"),
        conf + options,
        files or {},
        {"LD_LIBRARY_PATH": f"{library}:{folder}/usr/lib"},
    )


def opendmarc() -> Recipe:
    """opendmarc, which believes the results of mx.example.test and only says what it finds. It asks the name server of
    /etc/resolv.conf, so it needs a private network. Raises UnavailableError."""
    folder = _unpacked("opendmarc", OPENDMARC)
    (library,) = folder.glob("usr/lib/*-linux-gnu")
    conf = (
        "Socket local:{socket}\nUMask 000\nBackground no\nSyslog no\nPidFile {dir}/pid\nAuthservID mx.example.test\n"
        "TrustedAuthservIDs mx.example.test\nRejectFailures no\nSPFSelfValidate no\n"
        f"PublicSuffixList {folder}/usr/share/publicsuffix/public_suffix_list.dat\n"
    )
    command = (str(folder / "usr/sbin/opendmarc"), "-f", "-c", "{conf}")
    return Recipe(command, conf, {}, {"LD_LIBRARY_PATH": f"{library}:{folder}/usr/lib:{folder}/lib/{library.name}"})


# What a real machine would have: a name server (in /etc/resolv.conf), and a syslog that takes messages.
_SITE = """\
import dns.resolver
import logging
logging.raiseExceptions = False
dns.resolver.default_resolver = dns.resolver.Resolver(configure=False)
dns.resolver.default_resolver.nameservers = ["127.0.0.1"]
dns.resolver.default_resolver.port = {port}
"""


def dkimpy_milter(options: str = "", files: dict[str, str] | None = None) -> Recipe:
    """dkimpy-milter as a verifier. Raises UnavailableError."""
    conf = "Syslog no\nUMask 000\nMode v\nSocket local:{socket}\nPidFile {dir}/pid\nUserID " + _USER + "\n"
    return _python("dkimpy-milter", f"{conf}AuthservID mx.example.test\n{options}", files)


def spf_engine() -> Recipe:
    """spf-engine's milter, which refuses what SPF says is forged. Raises UnavailableError."""
    conf = (
        "debugLevel = 0\nTestOnly = 1\nHELO_reject = Fail\nMail_From_reject = Fail\nPidFile = {dir}/pid\nUMask = 000\n"
    )
    conf += (
        "Socket = local:{socket}\nInternalHosts = 127.0.0.1\nAuthserv_Id = mx.example.test\nUserID = " + _USER + "\n"
    )
    return _python("pyspf-milter", conf)


def _python(program: str, conf: str, files: dict[str, str] | None = None) -> Recipe:
    programs = python_milters()
    command = (str(programs / "python"), str(programs / program), "{conf}")
    return Recipe(command, conf, {"sitecustomize.py": _SITE, **(files or {})}, {"PYTHONPATH": "{dir}"})


class Peer(Server):
    """A peer that serves on a unix socket of its own."""

    _patience = 0.0

    def __init__(self, recipe: Recipe, network: Network, nameserver_port: int = 53) -> None:
        super().__init__(network, "peer")
        self.socket = self._run.path / "peer.sock"
        filled = {"{dir}": self._run.path, "{socket}": self.socket, "{port}": nameserver_port}
        filled["{conf}"] = self._run.path / "peer.conf"

        def fill(text: str) -> str:
            for name, value in filled.items():
                text = text.replace(name, str(value))
            return text

        for name, text in {**recipe.files, "peer.conf": recipe.conf}.items():
            self._run.write(name, fill(text)).chmod(0o600)
        environment = {**os.environ, **{name: fill(value) for name, value in recipe.environment.items()}}
        command = [fill(word) for word in recipe.command]
        with self._cleaning_up():
            self._serve(command, self._answers, env=environment, cwd=self._run.path)

    def _answers(self) -> bool:
        with contextlib.suppress(OSError, ProtocolError), MilterClient(str(self.socket), timeout=ATTEMPT) as client:
            client.negotiate()
            return True
        return False

    def log(self) -> str:
        return self._output.read_text(errors="replace")


@contextlib.contextmanager
def running(recipe: Recipe, port: int) -> Iterator[tuple[str, list[int]]]:
    """A peer on this machine's own network; yields its socket's path and its process ids."""
    with Peer(recipe, Network(), port) as peer:
        yield str(peer.socket), [peer.pid]
