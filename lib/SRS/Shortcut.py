"""SRS that returns bounces directly to the sender, even after several forwarders. Do not use it; see Guarded."""

from __future__ import annotations

from SRS.Base import Base, Expired, Forged, NotRewritten


class Shortcut(Base):
    """SRS0=hash=time=host=user. An address that another forwarder rewrote is decoded without a check and rewritten as our own,
    so anybody who invents such an address can send bounces anywhere through us."""

    def compile(self, sendhost: str, senduser: str, srshost: str = "") -> str:
        tag = self.tag_of(senduser)
        if tag:
            # SRS0: hash, time, host, user. SRS1: hash, host, then the rest of the SRS0 address.
            fields = senduser[5:].split("=", 3 if tag == "SRS0" else 5)
            if len(fields) < (4 if tag == "SRS0" else 6):
                raise NotRewritten(f"an SRS address that is cut off: {senduser[:60]!r}")
            sendhost, senduser = fields[-2:]
        return self._compiled(sendhost, senduser, srshost)

    def _compiled(self, sendhost: str, senduser: str, srshost: str) -> str:
        timestamp = self.timestamp_create()
        hash = self.hash_create(timestamp, sendhost, senduser)
        host = "" if sendhost == srshost else sendhost
        return f"SRS0{self.separator}{hash}={timestamp}={host}={senduser}"

    def parse(self, user: str, srshost: str = "") -> tuple[str, str]:
        fields = user[5:].split("=", 3)
        if self.tag_of(user) != "SRS0" or len(fields) < 4 or not fields[3] or not (fields[2] or srshost):
            raise NotRewritten(f"no SRS0 address: {user[:60]!r}")
        hash, timestamp, host, sender = fields
        host = host or srshost
        if not self.hash_verify(hash, timestamp, host, sender):
            raise Forged("the hash of the SRS address is not ours")
        if not self.timestamp_check(timestamp):
            raise Expired("the SRS address is too old")
        return host, sender
