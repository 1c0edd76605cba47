"""SRS that wraps rewritten addresses again; each forwarder undoes its own step. Addresses grow with every forwarder."""

from __future__ import annotations

from SRS.Shortcut import Shortcut


class Reversible(Shortcut):
    """SRS0=hash=time=host=user, even if the user is an SRS address."""

    def compile(self, sendhost: str, senduser: str, srshost: str = "") -> str:
        return self._compiled(sendhost, senduser, srshost)
