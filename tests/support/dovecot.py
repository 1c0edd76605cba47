"""A real Dovecot, Debian's, with mailboxes of virtual users and the configuration of docs/examples/dovecot."""

from __future__ import annotations

import contextlib
import os
import shutil
import signal
from collections.abc import Iterable
from pathlib import Path

from support import peers
from support.certificates import make_certificate
from support.network import Network
from support.places import DOVECOT, REPOSITORY
from support.processes import family
from support.servers import Server

EXAMPLES = REPOSITORY / "docs" / "examples" / "dovecot"
PASSWORD = "secret"
MAIL_USER = "mail"  # owns all mailboxes, as vmail does elsewhere
_CLIENT = (
    "__init__.py",
    "commands/__init__.py",
    "commands/start.py",
    "commands/learn_client.py",
    "protocols/__init__.py",
    "protocols/lesson_wire.py",
)  # all that the hook imports; who owns the mailboxes may not enter every checkout

# Programs and modules of an unpacked Dovecot look for one another in /usr: a copy of the file system's view has them there.
_ENTER = 'mount -t overlay overlay -o "lowerdir=$0/usr:/usr" /usr && exec "$@"'

# What both versions have.
_MAILBOXES_AND_PORTS = """\
namespace inbox {{
  inbox = yes
  mailbox Unwanted {{
    auto = create
  }}
  mailbox Wanted {{
    auto = create
  }}
}}
service imap-login {{
  inet_listener imap {{
    port = {port}
  }}
  inet_listener imaps {{
    port = {tls_port}
  }}
}}
!include {run}/90-bms.conf
"""
_CONFIG = """\
protocols = imap
listen = 127.0.0.1
base_dir = {run}/base
state_dir = {run}/state
log_path = {run}/dovecot.log
ssl = yes
ssl_cert = <{run}/cert.pem
ssl_key = <{run}/key.pem
disable_plaintext_auth = no
default_internal_user = postfix
default_internal_group = postfix
default_login_user = nobody
first_valid_uid = 1
first_valid_gid = 1
mail_location = maildir:~/Maildir
mail_fsync = never
passdb {{
  driver = passwd-file
  args = scheme=plain {run}/users
}}
userdb {{
  driver = static
  args = uid={user} gid={user} home={run}/homes/%u
}}
"""


_CONFIG_24 = """\
dovecot_config_version = 2.4.0
dovecot_storage_version = 2.4.0
protocols {{
  imap = yes
}}
listen = 127.0.0.1
base_dir = {run}/base
log_path = {run}/dovecot.log
ssl = yes
ssl_server_cert_file = {run}/cert.pem
ssl_server_key_file = {run}/key.pem
auth_allow_cleartext = yes
first_valid_uid = 1
first_valid_gid = 1
mail_driver = maildir
mail_path = ~/Maildir
mail_fsync = never
passdb passwd-file {{
  default_password_scheme = plain
  passwd_file_path = {run}/users
}}
userdb static {{
  fields {{
    uid = {user}
    gid = {user}
    home = {run}/homes/%{{user}}
  }}
}}
"""

# Into another Debian, in which the folder for temporary files is the same.
_ENTER_24 = """
set -e
root=$0 shared=$1; shift
mkdir -p "$root$shared"
mount --rbind "$shared" "$root$shared"
mount -t proc proc "$root/proc"
exec chroot "$root" "$@"
"""


class Dovecot(Server):
    """Dovecot 2.3 of Debian 12. IMAP on 127.0.0.1: `port` plain, `tls_port` with TLS and the certificate `authority`, which
    vouches for itself. Mail that is moved is taught over the socket `learn`. Every user of `users` has PASSWORD."""

    version = "2.3"
    _template = _CONFIG

    def __init__(self, network: Network, learn: Path, users: Iterable[str]) -> None:
        super().__init__(network, "dovecot")
        self._log = self._run.path / "dovecot.log"
        self.authority = self._run.path / "cert.pem"
        self.port, self.tls_port = network.free_port(), network.free_port()
        with self._cleaning_up():
            self._write_hook(learn)
            self._run.write("users", "".join(f"{user}:{PASSWORD}\n" for user in users))
            shutil.chown(self._run.folder("homes"), MAIL_USER, MAIL_USER)
            make_certificate(self.authority, self._run.path / "key.pem")
            config = (self._template + _MAILBOXES_AND_PORTS).format(
                run=self._run.path, port=self.port, tls_port=self.tls_port, user=MAIL_USER
            )
            self._config = self._run.write("dovecot.conf", config)
            self._compile()
            self._serve(self._inside("/usr/sbin/dovecot", "-F", "-c", self._config), self._answers)

    def _inside(self, *argv: str | Path) -> list[str]:
        return ["unshare", "--mount", "sh", "-c", _ENTER, str(DOVECOT), *map(str, argv)]

    def _write_hook(self, learn: Path) -> None:
        """The scripts as docs/dovecot.md has them installed."""
        folder = self._run.folder("bms")
        for name in ("report-spam.sieve", "report-ham.sieve"):
            shutil.copy(EXAMPLES / name, folder)
        package = self._run.folder("lib")
        for name in _CLIENT:
            target = package / "antispam" / name
            target.parent.mkdir(parents=True, exist_ok=True)
            shutil.copy(REPOSITORY / "lib" / "antispam" / name, target)
        first, rest = (EXAMPLES / "bms-learn").read_text().split("\n", 1)
        assert first.startswith("#!/opt/bms/")
        hook = rest.replace("import sys\n", f"import sys\nsys.path.insert(0, {str(package)!r})\n", 1)
        hook = hook.replace('["learn",', f'["learn", "--socket={learn}",')
        (folder / "bms-learn").write_text(f"#!/usr/bin/python3 -I\n{hook}")
        (folder / "bms-learn").chmod(0o755)
        config = (EXAMPLES / f"90-bms-{self.version}.conf").read_text()
        self._run.write("90-bms.conf", config.replace("/etc/dovecot/bms", str(folder)))

    def _compile(self) -> None:
        for script in sorted((self._run.path / "bms").glob("*.sieve")):
            self.network.run(self._inside("/usr/bin/sievec", "-c", self._config, script))

    def _answers(self) -> bool:
        return self.network.accepts("127.0.0.1", self.port)

    def cut(self) -> None:
        """Break all connections, as a restart or a bad line does."""
        assert self._process is not None
        for pid in family(self._process.pid):
            with contextlib.suppress(
                FileNotFoundError, ProcessLookupError
            ):  # those of other connections end by themselves
                if Path(f"/proc/{pid}/comm").read_text().strip() in ("imap", "imap-login"):
                    os.kill(pid, signal.SIGKILL)

    def log(self) -> str:
        return self._log.read_text(errors="replace") if self._log.exists() else ""


class Dovecot24(Dovecot):
    """The same of Debian 13, in a folder. Raises peers.UnavailableError."""

    version = "2.4"
    _template = _CONFIG_24

    def __init__(self, network: Network, learn: Path, users: Iterable[str]) -> None:
        self._root = peers.debian_13_with_dovecot()
        super().__init__(network, learn, users)

    def _inside(self, *argv: str | Path) -> list[str]:
        shared = str(self._run.path.parent)
        return ["unshare", "--mount", "sh", "-c", _ENTER_24, str(self._root), shared, *map(str, argv)]
