"""Where the public keys of signatures come from."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from antispam.deadline import Deadline
from antispam.net.resolver import DNSTemporaryError, Lookup
from antispam.protocols.dkim import KeyLookupFailed
from antispam.text import for_log


def key_lookup(resolver: Lookup, deadline: Deadline) -> Callable[[str], Sequence[bytes]]:
    """Asks for the TXT records of a name; what it returns raises KeyLookupFailed where nobody answers in time."""

    def lookup(name: str) -> Sequence[bytes]:
        try:
            return resolver.lookup(name, "TXT", deadline).texts
        except DNSTemporaryError as error:
            raise KeyLookupFailed(for_log(str(error), 200)) from None

    return lookup
