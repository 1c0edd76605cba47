"""Refuses clients outside that send as our own domain without a login. python own_domain.py SOCKET DOMAIN"""

import ipaddress
import socket
import sys

import Milter
from Milter.utils import parse_addr

DOMAIN = "example.com"


class OwnDomain(Milter.Base):
    """One SMTP connection. What lasts as long as the connection is set in connect(), what belongs to a message in envfrom():
    a client may send many."""

    @Milter.noreply  # nothing is decided here: the MTA need not wait
    def connect(self, hostname, family, hostaddr):
        self.outside = not (hostaddr and family == socket.AF_INET and ipaddress.ip_address(hostaddr[0]).is_loopback)
        return Milter.CONTINUE

    @Milter.symlist("i", "{auth_authen}")  # the macros that we want, and no others
    def envfrom(self, sender, *parameters):
        self.login = self.getsymval("{auth_authen}")
        address = parse_addr(sender)
        domain = address[1].lower() if len(address) == 2 else ""
        self.forged = self.outside and not self.login and domain == DOMAIN
        return Milter.CONTINUE

    def envrcpt(self, recipient, *parameters):
        if not self.forged:
            return Milter.CONTINUE
        # A refusal here names the recipient in the MTA's log. % would have to be doubled: libmilter reads a format.
        self.setreply(
            "550", "5.7.1", f"Mail from {DOMAIN} comes from our own servers.", "Log in, or use another sender."
        )
        return Milter.REJECT


if __name__ == "__main__":
    DOMAIN = sys.argv[2].lower()
    Milter.factory = OwnDomain
    Milter.set_exception_policy(Milter.TEMPFAIL)  # a defect of ours makes mail wait, and lets nothing pass
    Milter.runmilter("own-domain", sys.argv[1], timeout=600)
