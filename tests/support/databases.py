"""Throw-away PostgreSQL and MariaDB servers: private folders, loopback only, no promise to survive a power cut.

The tables of the store are made by the real migrations once a server; further databases are copies.
"""

from __future__ import annotations

import contextlib
import functools
import itertools
import os
import pwd
import shutil
import signal
import subprocess
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

import sqlalchemy as sa

from antispam.store import migrate
from support.certificates import make_certificate
from support.network import Network
from support.patience import PATIENCE
from support.processes import wait_until
from support.servers import Server

GUARDED, PASSWORD = "guarded", "p@ss:w/ord %41"
CERTIFIED = "certified"


@dataclass(frozen=True)
class Guarded:
    """The address of a database for a user who needs PASSWORD, which is not in it, and TLS."""

    url: sa.URL
    authority: str
    """The parameter that names the certificate of whom to trust."""


class DatabaseServer(Protocol):
    """A running server that makes databases."""

    authority: Path
    """The certificate that vouches for the server's."""
    certificate: Path
    key: Path

    def new_database(self) -> str:
        """The SQLAlchemy URL of an empty database that nobody has used yet."""

    def new_store(self) -> str:
        """The same with the newest tables, which are empty."""

    def guarded(self, url: str) -> contextlib.AbstractContextManager[Guarded]:
        """Let somebody into that database who has to show a password, over TLS."""

    def certified(self, url: str) -> contextlib.AbstractContextManager[sa.URL]:
        """Let somebody into that database who has to show `certificate`, with its `key`; both are not in the address."""

    def close(self) -> None: ...


def _as_user(user: str, *argv: str | Path) -> list[str]:
    return ["setpriv", f"--reuid={user}", f"--regid={user}", "--clear-groups", "--", *map(str, argv)]


class _Database(Server):
    """What both servers have in common: a user, a port, and numbered databases."""

    def __init__(self, name: str, user: str) -> None:
        super().__init__(Network(), name)
        self.port = self.network.free_port()
        self._user = user
        self._numbers = itertools.count(1)
        account = pwd.getpwnam(user)
        os.chown(self._run.path, account.pw_uid, account.pw_gid)
        with self._cleaning_up():
            self._create()
            self._start()

    def _create(self) -> None:
        raise NotImplementedError

    def _start(self) -> None:
        raise NotImplementedError

    def _url(self, database: str) -> str:
        raise NotImplementedError

    def _with_certificate(self, folder: Path) -> None:
        """Put server.crt and server.key there, and make a client's certificate."""
        self.certificate, self.key = self._run.path / "client.pem", self._run.path / "client.key"
        make_certificate(self.certificate, self.key, CERTIFIED)
        self.key.chmod(0o600)
        self.authority = self._run.path / "authority.pem"
        key = folder / "server.key"
        make_certificate(self.authority, key)
        key.chmod(0o600)
        shutil.copy(self.authority, folder / "server.crt")
        account = pwd.getpwnam(self._user)
        for path in (key, folder / "server.crt"):
            os.chown(path, account.pw_uid, account.pw_gid)

    def _execute(self, statements: Iterable[str], database: str = "") -> None:
        engine = sa.create_engine(self._url(database), isolation_level="AUTOCOMMIT", poolclass=sa.pool.NullPool)
        with engine.connect() as connection:
            for statement in statements:
                connection.exec_driver_sql(statement)

    def _command(self, *argv: str | Path) -> None:
        done = subprocess.run(
            _as_user(self._user, *argv),
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            cwd=self._run.path,
            check=False,
        )
        if done.returncode != 0:
            raise RuntimeError(f"{argv[0]} ended with {done.returncode}: {done.stdout.decode(errors='replace')}")

    def _serve_as_user(self, argv: Sequence[str | Path], ready: Callable[[], bool]) -> None:
        self._serve(_as_user(self._user, *argv), ready, cwd=self._run.path)

    def _end(self) -> None:
        if self._process is not None:
            # Both read QUIT or TERM as "now"; their children end with them, in sessions of their own.
            self._process.send_signal(self._stop_signal)
            try:
                self._process.wait(PATIENCE)
            except subprocess.TimeoutExpired:
                self._process.kill()
                self._process.wait()
            self._process = None

    _stop_signal = signal.SIGTERM

    def keep_promises(self) -> None:
        """From now on answer a commit once it outlives stop(), which MariaDB does anyway."""

    def stop(self) -> None:
        """End it: PostgreSQL as a power cut does, MariaDB as an administrator."""
        self._end()

    def restart(self) -> None:
        self._end()
        self._start()


class PostgreSQL(_Database):
    """The newest PostgreSQL that Debian's packages have installed here, run as user postgres."""

    _stop_signal = signal.SIGQUIT

    def __init__(self) -> None:
        versions = Path("/usr/lib/postgresql").glob("*/bin/postgres")
        self._bin = max(versions, key=lambda path: float(path.parts[-3])).parent
        super().__init__("postgresql", "postgres")

    def _create(self) -> None:
        initdb: list[str | Path] = [
            self._bin / "initdb",
            "-D",
            self._run.path / "data",
            "-U",
            "bms",
            "-A",
            "trust",
        ]
        self._command(*initdb, "-E", "UTF8", "--locale=C.UTF-8", "--no-sync", "--no-instructions")
        rules = self._run.path / "data" / "pg_hba.conf"
        first = f"hostssl all {GUARDED} all scram-sha-256\nhostssl all {CERTIFIED} all cert\nhost all {CERTIFIED} all reject\n"
        rules.write_text(first + rules.read_text())
        self._with_certificate(self._run.path / "data")

    def _start(self) -> None:
        settings = {
            "listen_addresses": "127.0.0.1",
            "unix_socket_directories": self._run.path,
            "fsync": "off",
            "synchronous_commit": "off",
            "full_page_writes": "off",
            "max_connections": 200,
            "shared_buffers": "32MB",
            "ssl_ca_file": self.certificate,
        }
        options = [word for name, value in settings.items() for word in ("-c", f"{name}={value}")]
        command: list[str | Path] = [
            self._bin / "postgres",
            "-D",
            self._run.path / "data",
            "-p",
            str(self.port),
            *options,
        ]
        self._serve_as_user(command, self._accepts_connections)

    def _accepts_connections(self) -> bool:
        ask = [str(self._bin / "pg_isready"), "-q", "-h", "127.0.0.1", "-p", str(self.port)]
        return subprocess.run(ask, check=False).returncode == 0

    def _url(self, database: str) -> str:
        return f"postgresql+psycopg://bms@127.0.0.1:{self.port}/{database or 'postgres'}"

    def new_database(self, template: str = "template1") -> str:
        name = f"test{next(self._numbers)}"
        self._execute([f"CREATE DATABASE {name} TEMPLATE {template}"])
        return self._url(name)

    @functools.cached_property
    def _with_tables(self) -> str:
        """The name of a database with the newest tables."""
        url = self.new_database()
        migrate(url)
        return url.rpartition("/")[2]

    def new_store(self) -> str:
        return self.new_database(self._with_tables)

    @contextlib.contextmanager
    def guarded(self, url: str) -> Iterator[Guarded]:
        self._switch("ALTER SYSTEM SET ssl = on", "on")
        try:
            self._let_in(GUARDED, f"PASSWORD '{PASSWORD.replace('%', '%%')}'")
            yield Guarded(self._over_tls(url, GUARDED), "sslrootcert")
        finally:
            self._switch("ALTER SYSTEM RESET ssl", "off")

    @contextlib.contextmanager
    def certified(self, url: str) -> Iterator[sa.URL]:
        self._switch("ALTER SYSTEM SET ssl = on", "on")
        try:
            self._let_in(CERTIFIED)
            yield self._over_tls(url, CERTIFIED)
        finally:
            self._switch("ALTER SYSTEM RESET ssl", "off")

    def _let_in(self, user: str, by: str = "") -> None:
        create = f"CREATE ROLE {user} SUPERUSER LOGIN {by}"
        self._execute([f"DO $$ BEGIN {create}; EXCEPTION WHEN duplicate_object THEN NULL; END $$"])

    def _over_tls(self, url: str, user: str) -> sa.URL:
        options = {"sslmode": "verify-full", "sslrootcert": str(self.authority)}
        return sa.engine.make_url(url).set(username=user, query=options)

    def _switch(self, statement: str, state: str) -> None:
        self._execute([statement, "SELECT pg_reload_conf()"])

        self._await("SHOW ssl", state)

    def _await(self, ask: str, answer: str) -> None:
        def done() -> bool:
            engine = sa.create_engine(self._url(""), poolclass=sa.pool.NullPool)
            with engine.connect() as connection:
                return connection.exec_driver_sql(ask).scalar() == answer

        wait_until(done, f"{ask} is {answer}")

    def keep_promises(self) -> None:
        self._execute(["ALTER ROLE bms SET synchronous_commit = on"])  # stronger than the option of _start()

    def demand_copies(self) -> None:
        """Answer a commit once a replica has it as well."""
        self.keep_promises()
        self._execute(["ALTER SYSTEM SET synchronous_standby_names = '*'", "SELECT pg_reload_conf()"])

    def by_socket(self, url: str) -> str:
        """The same database for programs in other networks, by the unix socket."""
        name = url.rpartition("/")[2]
        return f"postgresql+psycopg://bms@/{name}?host={self._run.path}&port={self.port}"


class StandBy(PostgreSQL):
    """A replica that follows another server by streaming. It has the databases that the other one has."""

    def __init__(self, primary: PostgreSQL) -> None:
        self._primary = primary
        self.certificate = primary.certificate
        super().__init__()

    def _create(self) -> None:
        copy: list[str | Path] = [self._bin / "pg_basebackup", "-R", "-D", self._run.path / "data", "-U", "bms"]
        self._command(
            *copy, "-h", "127.0.0.1", "-p", str(self._primary.port), "-c", "fast", "--no-sync", "-X", "stream"
        )

    def of(self, url: str) -> str:
        """The same database here."""
        return sa.engine.make_url(url).set(port=self.port).render_as_string(hide_password=False)

    def pause(self) -> None:
        """Fall behind, until follow()."""
        self._execute(["SELECT pg_wal_replay_pause()"])
        self._await("SELECT pg_get_wal_replay_pause_state()", "paused")

    def follow(self) -> None:
        self._execute(["SELECT pg_wal_replay_resume()"])

    def promote(self) -> None:
        """Become a server of its own, that can be written to."""
        self._execute(["ALTER SYSTEM RESET synchronous_standby_names", "SELECT pg_promote()"])


class MariaDB(_Database):
    """MariaDB, run as user mysql; root has no password."""

    def __init__(self) -> None:
        super().__init__("mariadb", "mysql")

    def _create(self) -> None:
        data = self._run.path / "data"
        self._command(
            "mariadb-install-db",
            "--no-defaults",
            f"--datadir={data}",
            "--auth-root-authentication-method=normal",
            "--skip-test-db",
        )
        self._with_certificate(self._run.path)

    def _start(self) -> None:
        settings = {
            "datadir": self._run.path / "data",
            "socket": self._socket,
            "pid-file": self._run.path / "pid",
            "port": self.port,
            "bind-address": "127.0.0.1",
            "innodb-flush-log-at-trx-commit": 0,
            "innodb-buffer-pool-size": "32M",
            "innodb-doublewrite": 0,
            "max-connections": 200,
            "character-set-server": "utf8mb4",
            "ssl-cert": self._run.path / "server.crt",
            "ssl-key": self._run.path / "server.key",
            "ssl-ca": self.certificate,
        }
        options = [f"--{name}={value}" for name, value in settings.items()]
        command = ["/usr/sbin/mariadbd", "--no-defaults", "--skip-name-resolve", *options]
        self._serve_as_user(command, lambda: self.network.accepts("127.0.0.1", self.port))

    @property
    def _socket(self) -> Path:
        return self._run.path / "socket"

    def _url(self, database: str) -> str:
        return f"mysql+pymysql://root@127.0.0.1:{self.port}/{database}?charset=utf8mb4"

    def new_database(self) -> str:
        name = f"test{next(self._numbers)}"
        self._execute([f"CREATE DATABASE {name} CHARACTER SET utf8mb4"])
        return self._url(name)

    @functools.cached_property
    def _tables(self) -> list[str]:
        """Statements that make the newest tables, and the row that says which they are."""
        url = self.new_database()
        migrate(url)
        engine = sa.create_engine(url, poolclass=sa.pool.NullPool)
        with engine.connect() as connection:
            names = sa.inspect(connection).get_table_names()
            made = [str(connection.exec_driver_sql(f"SHOW CREATE TABLE {name}").one()[1]) for name in names]
            version = connection.exec_driver_sql("SELECT version_num FROM alembic_version").scalar_one()
        return ["SET foreign_key_checks = 0", *made, f"INSERT INTO alembic_version VALUES ('{version}')"]

    def new_store(self) -> str:
        url = self.new_database()
        self._execute(self._tables, str(sa.engine.make_url(url).database))
        return url

    @contextlib.contextmanager
    def guarded(self, url: str) -> Iterator[Guarded]:
        create = f"CREATE OR REPLACE USER {GUARDED} IDENTIFIED BY '{PASSWORD.replace('%', '%%')}' REQUIRE SSL"
        self._execute([create, f"GRANT ALL ON *.* TO {GUARDED}"])
        yield Guarded(self._over_tls(url, GUARDED), "ssl_ca")

    @contextlib.contextmanager
    def certified(self, url: str) -> Iterator[sa.URL]:
        create = f"CREATE OR REPLACE USER {CERTIFIED} REQUIRE SUBJECT '/CN={CERTIFIED}'"
        self._execute([create, f"GRANT ALL ON *.* TO {CERTIFIED}"])
        yield self._over_tls(url, CERTIFIED)

    def _over_tls(self, url: str, user: str) -> sa.URL:
        options = {"charset": "utf8mb4", "ssl_ca": str(self.authority), "ssl_check_hostname": "true"}
        return sa.engine.make_url(url).set(username=user, query=options)
