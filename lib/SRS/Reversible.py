"""SRS that wraps what others rewrote once more, so that each forwarder undoes its own. Addresses grow with each of them."""

from __future__ import annotations

from SRS.Shortcut import Shortcut


class Reversible(Shortcut):
    """SRS0=hash=time=host=user, whatever the user looks like."""

    def compile(self, sendhost: str, senduser: str, srshost: str = "") -> str:
        return self._compiled(sendhost, senduser, srshost)
