"""A throw-away PgBouncer in transaction mode before a PostgreSQL server under test."""

from __future__ import annotations

import os
import pwd

import sqlalchemy as sa

from support.databases import PostgreSQL
from support.network import Network
from support.servers import Server

CONNECTIONS = 3  # to the server, for each database
_CONFIG = """\
[databases]
* = host=127.0.0.1 port={server}
[pgbouncer]
listen_addr = 127.0.0.1
listen_port = {port}
unix_socket_dir =
auth_type = trust
auth_file = {users}
pool_mode = transaction
default_pool_size = {connections}
max_client_conn = 200
"""


class PgBouncer(Server):
    """Debian's, run as user postgres. New databases are made at the server itself."""

    def __init__(self, server: PostgreSQL) -> None:
        super().__init__(Network(), "pgbouncer")
        self._server = server
        self.port = self.network.free_port()
        with self._cleaning_up():
            users = self._run.write("users", '"bms" ""\n')
            config = self._run.write(
                "pgbouncer.ini",
                _CONFIG.format(server=server.port, port=self.port, users=users, connections=CONNECTIONS),
            )
            account = pwd.getpwnam("postgres")
            for path in (self._run.path, users, config):
                os.chown(path, account.pw_uid, account.pw_gid)
            self._serve(
                ["setpriv", "--reuid=postgres", "--regid=postgres", "--clear-groups", "--", "pgbouncer", config],
                lambda: self.network.accepts("127.0.0.1", self.port),
                cwd=self._run.path,
            )

    def through(self, url: str) -> str:
        """The same database by way of the pool."""
        return sa.engine.make_url(url).set(port=self.port).render_as_string(hide_password=False)

    def new_database(self) -> str:
        return self.through(self._server.new_database())

    def new_store(self) -> str:
        return self.through(self._server.new_store())
