"""The recommended variant: SRS1 for addresses that another forwarder rewrote. It leads back to that forwarder, which checks its
own hash."""

from __future__ import annotations

from SRS.Base import Forged, NotRewritten
from SRS.Shortcut import Shortcut


class Guarded(Shortcut):
    """SRS0=hash=time=host=user for a sender; SRS1=hash=forwarder==hash=time=host=user for an address that another forwarder has
    rewritten. A third forwarder keeps the first forwarder and replaces the hash."""

    def compile(self, sendhost: str, senduser: str, srshost: str = "") -> str:
        tag = self.tag_of(senduser)
        if not tag:
            return self._compiled(sendhost, senduser, srshost)
        # Its content was hashed by another forwarder. The separator after that forwarder's SRS0 is part of it.
        forwarder, rest = sendhost, senduser[4:]
        if tag == "SRS1":
            fields = senduser[5:].split("=", 2)
            if len(fields) < 3:
                raise NotRewritten(f"an SRS1 address that is cut off: {senduser[:60]!r}")
            forwarder, rest = fields[1:]
        return f"SRS1{self.separator}{self.hash_create(forwarder, rest)}={forwarder}={rest}"

    def parse(self, user: str, srshost: str = "") -> tuple[str, str]:
        if self.tag_of(user) != "SRS1":
            return super().parse(user, srshost)
        fields = user[5:].split("=", 2)
        if len(fields) < 3 or not fields[1] or not fields[2]:
            raise NotRewritten(f"no SRS1 address: {user[:60]!r}")
        hash, forwarder, rest = fields
        if not self.hash_verify(hash, forwarder, rest):
            raise Forged("the hash of the SRS address is not ours")
        return forwarder, f"SRS0{rest}"
