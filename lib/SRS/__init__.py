"""The Sender Rewriting Scheme: forwarded mail gets an envelope sender in our domain, through which bounces find their way back.

    import SRS
    srs = SRS.new(secret="...")
    srs.forward("ann@example.org", "forwarder.example")     # SRS0=HHHH=TT=example.org=ann@forwarder.example
    srs.reverse("SRS0=HHHH=TT=example.org=ann@forwarder.example")

The addresses are those of Mail::SRS, libsrs2 and pysrs (http://www.libsrs2.org/srs/srs.pdf). `new` makes the guarded variant,
which is the recommended one: a second forwarder writes SRS1, which leads back through the first, so no forwarder can be abused
as an open relay.
"""

from __future__ import annotations

from typing import Any

from SRS.Base import BASE32, Expired, Forged, NotRewritten, SrsError, Unavailable
from SRS.DB import DB
from SRS.Guarded import Guarded
from SRS.Reversible import Reversible
from SRS.Shortcut import Shortcut

__all__ = [
    "BASE32",
    "DB",
    "Expired",
    "Forged",
    "Guarded",
    "NotRewritten",
    "Reversible",
    "Shortcut",
    "SrsError",
    "Unavailable",
    "new",
]


def new(secret: str | bytes | list[str] | tuple[str, ...], **options: Any) -> Guarded:
    """A rewriter of the guarded variant. The options are those of `SRS.Base.Base`."""
    return Guarded(secret, **options)
