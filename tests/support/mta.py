"""Real sendmail, real Postfix and a name server, each in a private folder, each delivering to a sink on loopback."""

from __future__ import annotations

import contextlib
import json
import os
import pwd
import shutil
import socket
import stat
import subprocess
import threading
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Protocol

from support.network import Network
from support.patience import ATTEMPT, PATIENCE
from support.places import POSTFIX, SENDMAIL
from support.processes import end_session, family, wait_until
from support.servers import Server
from support.sink import Sink
from support.smtp_client import SmtpClient
from support.zones import Zone

HOSTNAME = "mx.example.test"


class Mta(Protocol):
    """What the tests know of a mail server, whichever it is."""

    name: str
    network: Network
    sink: Sink
    port: int

    def client(self, source: str = "") -> SmtpClient:
        """A connection from an address, the greeting not yet read."""

    def wait_idle(self, seconds: float = PATIENCE) -> None:
        """Until every accepted message is delivered or on hold."""

    def held(self) -> int:
        """How many messages the queue keeps because a milter said quarantine."""

    def log(self) -> str:
        """All that the server logged so far."""

    def close(self) -> None: ...


def _connect(network: Network, port: int, source: str) -> SmtpClient:
    host = "::1" if ":" in source else "127.0.0.1"
    return SmtpClient(network.connect(host, port, source))


class NameServer(Server):
    """nsd on 127.0.0.1: port 53 in a private network, else a free one. load() replaces all zones (0.2 s)."""

    def __init__(self, network: Network, zones: Iterable[Zone] = ()) -> None:
        super().__init__(network, "nsd")
        self.port = 53 if network.private else network.free_port()
        with self._cleaning_up():
            self.load(zones)

    def load(self, zones: Iterable[Zone]) -> None:
        """Serve these zones and no others. RuntimeError, with nsd's words, where it can't."""
        self._end()
        folder = self._run.folder("zones")
        for old in folder.iterdir():
            old.unlink()
        declared = []
        for number, zone in enumerate(zones):
            file = folder / f"{number}.zone"
            if zone.records is not None:
                file.write_text(zone.text)
            declared.append(f'zone:\n  name: "{zone.name}."\n  zonefile: "{file}"\n')
        config = self._run.write("nsd.conf", self._settings() + "".join(declared))
        self._serve(["/usr/sbin/nsd", "-d", "-c", config], self._answers)

    def _settings(self) -> str:
        run = self._run.path
        return (
            f'server:\n  ip-address: 127.0.0.1@{self.port}\n  zonesdir: "{run}"\n  database: ""\n  xfrdfile: ""\n'
            f'  zonelistfile: "{run}/zone.list"\n  pidfile: "{run}/nsd.pid"\n  logfile: "{run}/nsd.log"\n'
            '  username: ""\n  chroot: ""\n  server-count: 1\n  rrl-ratelimit: 0\n  rrl-whitelist-ratelimit: 0\n'
            "remote-control:\n  control-enable: no\n"
        )

    def _answers(self) -> bool:
        # A query for the root's SOA: any answer, REFUSED too, shows that nsd serves.
        query = b"\0\1\0\0\0\1\0\0\0\0\0\0\0\0\6\0\1"
        with self.network.new_socket("127.0.0.1", socket.SOCK_DGRAM) as sock:
            sock.settimeout(ATTEMPT)
            try:
                sock.connect(("127.0.0.1", self.port))
                sock.send(query)
                return bool(sock.recv(512))
            except OSError:
                return False

    def log(self) -> str:
        log = self._run.path / "nsd.log"
        return log.read_text(errors="replace") if log.exists() else ""


class Syslog:
    """Receives what a program writes to /dev/log; the program sees this socket there in a private mount namespace."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self._lines: list[str] = []
        self._socket = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        self._socket.bind(str(path))
        path.chmod(0o666)
        self._thread = threading.Thread(target=self._receive, name="syslog", daemon=True)
        self._thread.start()

    def _receive(self) -> None:
        while line := self._socket.recv(65536):
            self._lines.append(line.decode(errors="replace").rstrip("\n\0"))

    def text(self) -> str:
        return "\n".join(self._lines) + "\n"

    def close(self) -> None:
        with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as last:
            last.sendto(b"", str(self.path))
        self._thread.join(PATIENCE)
        self._socket.close()


_SENDMAIL_MC = """\
include(`{sm}/usr/share/sendmail/cf/m4/cf.m4')dnl
OSTYPE(`linux')dnl
undefine(`confCT_FILE')dnl
define(`MAIL_SETTINGS_DIR',`{run}/')dnl
define(`confDOMAIN_NAME',`{hostname}')dnl
define(`confPID_FILE',`{run}/sendmail.pid')dnl
define(`QUEUE_DIR',`{run}/mqueue')dnl
define(`STATUS_FILE',`{run}/statistics')dnl
define(`HELP_FILE',`{sm}/etc/mail/helpfile')dnl
define(`ALIAS_FILE',`{run}/aliases')dnl
define(`confSERVICE_SWITCH_FILE',`{run}/service.switch')dnl
define(`confHOSTS_FILE',`{run}/hosts')dnl
define(`confDELIVERY_MODE',`{delivery}')dnl
define(`confLOG_LEVEL',`14')dnl
define(`confMILTER_LOG_LEVEL',`14')dnl
define(`confDONT_PROBE_INTERFACES',`True')dnl
define(`confDONT_BLAME_SENDMAIL',`TrustStickyBit')dnl
define(`confTO_IDENT',`0')dnl
define(`confTO_ICONNECT',`5s')dnl
define(`confTO_CONNECT',`5s')dnl
define(`confQUEUE_LA',`1000')dnl
define(`confREFUSE_LA',`1000')dnl
define(`confDELAY_LA',`1000')dnl
define(`confCONNECTION_RATE_THROTTLE',`0')dnl
define(`confDEF_USER_ID',`nobody:nogroup')dnl
define(`confTRUSTED_USER',`root')dnl
define(`confMILTER_MACROS_CONNECT',`j, _, {{daemon_name}}, {{daemon_addr}}, {{daemon_port}}, {{if_name}}, {{if_addr}}, \
{{client_addr}}, {{client_name}}, {{client_ptr}}, {{client_resolve}}, {{client_port}}, v')dnl
FEATURE(`no_default_msa')dnl
FEATURE(`nocanonify')dnl
FEATURE(`accept_unresolvable_domains')dnl
FEATURE(`accept_unqualified_senders')dnl
FEATURE(`promiscuous_relay')dnl
FEATURE(`access_db',`hash -o -T<TMPF> {run}/access')dnl
DAEMON_OPTIONS(`Name=MTA, Family=inet, Addr=127.0.0.1, Port={port}')dnl
DAEMON_OPTIONS(`Name=MTA6, Family=inet6, Addr=::1, Port={port}')dnl
{filters}\
define(`RELAY_MAILER_ARGS',`TCP $h {sink}')dnl
define(`SMTP_MAILER_ARGS',`TCP $h {sink}')dnl
define(`ESMTP_MAILER_ARGS',`TCP $h {sink}')dnl
define(`SMTP8_MAILER_ARGS',`TCP $h {sink}')dnl
define(`DSMTP_MAILER_ARGS',`TCP $h {sink}')dnl
define(`SMART_HOST',`relay:[127.0.0.1]')dnl
define(`MAIL_HUB',`relay:[127.0.0.1]')dnl
define(`LOCAL_RELAY',`relay:[127.0.0.1]')dnl
{extra}\
MAILER(`local')dnl
MAILER(`smtp')dnl
"""


class Sendmail(Server):
    """sendmail on 127.0.0.1 and ::1. milters are addresses in its own words: "local:/path", "inet:8891@127.0.0.1".

    extra_mc   further m4 lines, ahead of MAILER
    fail       what happens when a milter is away: "T" tempfail (default), "R" reject, "" accept
    delivery   "background" delivers each message at once, "queueonly" leaves that to the queue runner
    files      further files of its folder, which m4 lines name as RUN/NAME: aliases, tables; makemap makes NAME.db of those
               that end in "table"
    """

    name = "sendmail"

    def __init__(
        self,
        network: Network,
        sink: Sink,
        milters: Sequence[str] = (),
        *,
        extra_mc: str = "",
        fail: str = "T",
        delivery: str = "background",
        files: Mapping[str, str] | None = None,
    ) -> None:
        super().__init__(network, "sendmail")
        self._files = dict(files or {})
        self.sink = sink
        self.port = network.free_port()
        self._syslog = Syslog(self._run.path / "log")
        with self._cleaning_up():
            self._configure(milters, extra_mc, fail, delivery)
            self._start()

    def _configure(self, milters: Sequence[str], extra_mc: str, fail: str, delivery: str) -> None:
        run = self._run
        run.path.chmod(0o700)
        run.folder("mqueue", 0o700)
        run.write("service.switch", "hosts files dns\naliases files\n")
        run.write("hosts", f"127.0.0.1 localhost {HOSTNAME}\n")
        for name in ("statistics", "aliases", "access", "local-host-names"):
            run.write(name, "")
        for name, text in self._files.items():
            run.write(name, text)
        names = [f"filter{number}" for number in range(len(milters))]
        wait = f"{fail and f'F={fail}, '}T=C:10s;S:30s;R:60s;E:120s"
        named = zip(names, milters, strict=True)
        filters = [f"INPUT_MAIL_FILTER(`{name}',`S={address}, {wait}')dnl" for name, address in named]
        if names:
            filters.append(f"define(`confINPUT_MAIL_FILTERS',`{', '.join(names)}')dnl")
        mc = _SENDMAIL_MC.format(
            sm=SENDMAIL,
            run=run.path,
            hostname=HOSTNAME,
            port=self.port,
            sink=self.sink.port,
            delivery=delivery,
            filters="".join(f"{line}\n" for line in filters),
            extra=extra_mc.replace("RUN", str(run.path)),
        )
        source = run.write("test.mc", mc)
        m4 = ["m4", f"-D_CF_DIR_={SENDMAIL}/usr/share/sendmail/cf/", str(source)]
        made = subprocess.run(m4, capture_output=True, text=True, check=True)
        run.write("sendmail.cf", made.stdout)
        for name in ("access", *(name for name in self._files if name.endswith("table"))):
            self._make_map(name)

    def _make_map(self, name: str) -> None:
        run = self._run.path
        makemap = f"{SENDMAIL}/usr/libexec/sendmail/makemap"
        with (run / name).open() as entries:
            # Without -C it would look for its settings in /etc/mail.
            command = [makemap, "-C", f"{run}/sendmail.cf", "hash", f"{run}/{name}"]
            subprocess.run(command, stdin=entries, capture_output=True, check=True)

    def _command(self, *options: str) -> list[str]:
        return [f"{SENDMAIL}/usr/libexec/sendmail/sendmail", "-C", str(self._run.path / "sendmail.cf"), *options]

    def _start(self) -> None:
        self.network.run(self._command("-bi"), hostname=HOSTNAME)
        self._serve(
            self._command("-bD", "-q1s"),
            lambda: self.network.accepts("127.0.0.1", self.port),
            hostname=HOSTNAME,
            syslog=self._syslog.path,
        )

    def client(self, source: str = "") -> SmtpClient:
        return _connect(self.network, self.port, source)

    def _queued(self, kind: str) -> int:
        return sum(name.startswith(kind) for name in os.listdir(self._run.path / "mqueue"))

    def wait_idle(self, seconds: float = PATIENCE) -> None:
        # A qf file exists from the 250 until the delivery is done (hf: held); the others also while mail is taken in.
        wait_until(lambda: not self._queued("qf"), "sendmail's queue is empty", seconds)

    def held(self) -> int:
        return self._queued("hf")

    def log(self) -> str:
        return self._syslog.text()

    def close(self) -> None:
        self._end()
        self._syslog.close()
        self._run.remove()


_POSTFIX_MAIN_CF = """\
compatibility_level = 3.6
queue_directory = {run}/spool
data_directory = {run}/data
command_directory = {pf}/usr/sbin
daemon_directory = {pf}/usr/lib/postfix/sbin
shlib_directory = {pf}/usr/lib/postfix
meta_directory = {run}/etc
sendmail_path = {pf}/usr/sbin/sendmail
newaliases_path = {pf}/usr/bin/newaliases
mailq_path = {pf}/usr/bin/mailq
html_directory = no
readme_directory = no
sample_directory = no
manpage_directory = {run}/man
mail_owner = postfix
setgid_group = postdrop
import_environment = MAIL_CONFIG MAIL_DEBUG MAIL_LOGTAG TZ LANG=C LD_LIBRARY_PATH={pf}/usr/lib/postfix
maillog_file = {run}/log/mail.log
maillog_file_prefixes = {run}
inet_interfaces = 127.0.0.1, [::1]
inet_protocols = all
myhostname = {hostname}
mydestination =
alias_maps =
local_recipient_maps =
mynetworks = 127.0.0.0/8
relay_domains = static:all
smtpd_relay_restrictions = permit_mynetworks, reject_unauth_destination
smtpd_authorized_xclient_hosts = static:all
smtpd_delay_reject = no
smtpd_client_connection_count_limit = 0
smtpd_error_sleep_time = 0
smtpd_soft_error_limit = 1000
smtpd_hard_error_limit = 1000
smtpd_peername_lookup = yes
strict_rfc821_envelopes = no
local_header_rewrite_clients =
default_transport = smtp:[127.0.0.1]:{sink}
relay_transport = $default_transport
local_transport = error:no
smtp_dns_support_level = disabled
smtp_host_lookup = native
smtpd_milters = {milters}
milter_default_action = {default_action}
milter_protocol = 6
milter_connect_macros = j _ {{daemon_name}} {{daemon_addr}} {{daemon_port}} {{client_addr}} {{client_name}} \
{{client_ptr}} {{client_port}} {{client_resolve}} v
{extra}
"""

# The shipped master.cf chroots; here no service does, and smtpd listens on a port of its own on loopback only.
_POSTFIX_MASTER_CF = """\
127.0.0.1:{port} inet n - n - - smtpd
[::1]:{port} inet n - n - - smtpd
pickup unix n - n 60 1 pickup
cleanup unix n - n - 0 cleanup
qmgr unix n - n 300 1 qmgr
tlsmgr unix - - n 1000? 1 tlsmgr
rewrite unix - - n - - trivial-rewrite
bounce unix - - n - 0 bounce
defer unix - - n - 0 bounce
trace unix - - n - 0 bounce
verify unix - - n - 1 verify
flush unix n - n 1000? 0 flush
proxymap unix - - n - - proxymap
proxywrite unix - - n - 1 proxymap
smtp unix - - n - - smtp
relay unix - - n - - smtp
showq unix n - n - - showq
error unix - - n - - error
retry unix - - n - - error
discard unix - - n - - discard
local unix - n n - - local
virtual unix - n n - - virtual
anvil unix - - n - 1 anvil
scache unix - - n - 1 scache
postlog unix-dgram n - n - 1 postlogd
"""


class Postfix(Server):
    """Postfix on 127.0.0.1 and ::1. milters are addresses in its own words: "unix:/path", "inet:127.0.0.1:8891".

    extra           further main.cf lines; a later line overrides an earlier one
    default_action  what happens when a milter is away
    Any client may use XCLIENT, so that a test can claim a client name or an SMTP AUTH login.
    """

    name = "postfix"

    def __init__(
        self,
        network: Network,
        sink: Sink,
        milters: Sequence[str] = (),
        *,
        extra: Mapping[str, str] | None = None,
        default_action: str = "tempfail",
    ) -> None:
        super().__init__(network, "postfix")
        self.sink = sink
        self.port = network.free_port()
        self._master = 0
        libraries = f"{POSTFIX}/usr/lib/postfix"
        self._env = {"PATH": "/usr/sbin:/usr/bin:/sbin:/bin", "LD_LIBRARY_PATH": libraries, "LC_ALL": "C"}
        with self._cleaning_up():
            self._configure(milters, extra or {}, default_action)
            self._start()

    def _configure(self, milters: Sequence[str], extra: Mapping[str, str], default_action: str) -> None:
        run = self._run
        for name in ("etc", "spool", "log", "data"):
            run.folder(name)
        os.chown(run.path / "data", pwd.getpwnam("postfix").pw_uid, -1)
        main_cf = _POSTFIX_MAIN_CF.format(
            pf=POSTFIX,
            run=run.path,
            hostname=HOSTNAME,
            sink=self.sink.port,
            milters=", ".join(milters),
            default_action=default_action,
            extra="".join(f"{name} = {value}\n" for name, value in extra.items()),
        )
        run.write("etc/main.cf", main_cf)
        run.write("etc/master.cf", _POSTFIX_MASTER_CF.format(port=self.port))
        shutil.copy(POSTFIX / "usr/share/postfix/dynamicmaps.cf", run.path / "etc")
        listed = (POSTFIX / "etc/postfix/postfix-files").read_text().splitlines()
        own = [line for line in listed if line.startswith(("$queue_directory", "$data_directory"))]
        run.write("etc/postfix-files", "\n".join(own) + "\n")

    def _start(self) -> None:
        try:
            self.network.run([POSTFIX / "usr/sbin/postfix", "-c", self._run.path / "etc", "start"], env=self._env)
        except RuntimeError as error:
            raise RuntimeError(f"{error}{self.log()}") from error
        pid_file = self._run.path / "spool/pid/master.pid"
        wait_until(lambda: pid_file.exists() and pid_file.read_text().strip(), "Postfix' master writes its pid")
        self._master = int(pid_file.read_text())
        wait_until(lambda: self.network.accepts("127.0.0.1", self.port), f"Postfix listens ({self.log()})")

    def client(self, source: str = "") -> SmtpClient:
        return _connect(self.network, self.port, source)

    def wait_idle(self, seconds: float = PATIENCE) -> None:
        wait_until(self._is_idle, "Postfix' queues are empty", seconds)

    def _is_idle(self) -> bool:
        """Twice in a row: what moves between two queues while they are looked at, or is a bounce that was born meanwhile, is in
        one of them at the second look."""
        return not any(self._under_way()) and not any(self._under_way())

    def _under_way(self) -> Iterator[Path]:
        for queue in ("maildrop", "incoming", "active", "deferred"):
            for folder, _, files in os.walk(self._run.path / "spool" / queue):
                yield from (file for file in map(Path(folder).joinpath, files) if _is_complete(file))

    def held(self) -> int:
        return sum(1 for _ in (self._run.path / "spool/hold").rglob("*") if _.is_file())

    def queue(self) -> list[dict[str, object]]:
        """What postqueue -j reports, one object a message."""
        postqueue = [f"{POSTFIX}/usr/sbin/postqueue", "-c", f"{self._run.path}/etc", "-j"]
        return [json.loads(line) for line in self.network.run(postqueue, env=self._env).splitlines()]

    def log(self) -> str:
        with contextlib.suppress(FileNotFoundError):
            return (self._run.path / "log/mail.log").read_text(errors="replace")
        return ""

    def close(self) -> None:
        # `postfix stop` waits in whole seconds; the master leads its own session, which is all that it would end.
        if self._master and family(self._master):
            end_session(self._master)
        self._run.remove()


def _is_complete(file: Path) -> bool:
    """Whether Postfix has accepted this message: while a client still sends it, its file is not executable."""
    try:
        return bool(file.stat().st_mode & stat.S_IXUSR)
    except FileNotFoundError:
        return False
