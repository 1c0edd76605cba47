"""A real LDAP directory, Debian's slapd, with the mailboxes of a small site. Fetched when needed, never committed."""

from __future__ import annotations

import os
import subprocess
from collections.abc import Iterable

from support import peers
from support.network import Network
from support.servers import Server

BASE = "dc=example,dc=com"
ADMIN, PASSWORD = f"cn=admin,{BASE}", "secret"  # everybody's password

_CONFIG = """\
include {root}/etc/ldap/schema/core.schema
include {root}/etc/ldap/schema/cosine.schema
include {root}/etc/ldap/schema/inetorgperson.schema
pidfile {run}/slapd.pid
modulepath {root}/usr/lib/ldap
moduleload back_mdb
{security}
database mdb
maxsize 1048576
suffix "{base}"
rootdn "{admin}"
rootpw {password}
directory {run}/database
"""


class Slapd(Server):
    """slapd on a port of 127.0.0.1, whose people have these addresses. Raises peers.UnavailableError.

    anonymous  whether it answers those who don't say who they are
    """

    def __init__(self, network: Network, addresses: Iterable[str], *, anonymous: bool = True) -> None:
        root = peers.slapd_folder()
        super().__init__(network, "slapd")
        with self._cleaning_up():
            self._run.folder("database")
            security = "" if anonymous else "disallow bind_anon\nrequire authc"
            config = self._run.write(
                "slapd.conf",
                _CONFIG.format(
                    root=root, run=self._run.path, base=BASE, admin=ADMIN, password=PASSWORD, security=security
                ),
            )
            (libraries,) = root.glob("usr/lib/*-linux-gnu")
            environment = {**os.environ, "LD_LIBRARY_PATH": str(libraries)}
            program = root / "usr/sbin/slapd"
            entries = self._run.write("site.ldif", _ldif(addresses))
            subprocess.run(
                [program, "-T", "add", "-f", config, "-l", entries], env=environment, check=True, capture_output=True
            )
            port = network.free_port()
            self.url = f"ldap://127.0.0.1:{port}"
            self._serve(
                [program, "-d", "0", "-f", config, "-h", self.url],
                lambda: network.accepts("127.0.0.1", port),
                env=environment,
            )


def _ldif(addresses: Iterable[str]) -> str:
    entries = [f"dn: {BASE}\nobjectClass: domain\ndc: example\n"]
    entries += [
        f"dn: uid=user{number},{BASE}\nobjectClass: inetOrgPerson\nuid: user{number}\ncn: user\nsn: user\nmail: {address}\n"
        f"userPassword: {PASSWORD}\n"
        for number, address in enumerate(addresses)
    ]
    return "\n".join(entries)
