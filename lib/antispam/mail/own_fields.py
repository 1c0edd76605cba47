"""The header fields that only this filter may write.

Mail programs, sieve scripts and other filters trust them, so those that come from outside count as forged, whatever
they say. Authentication-Results is not among them: anybody may write it under their own name
(antispam.protocols.authentication_results).
"""

from __future__ import annotations

import functools
from collections.abc import Callable

_LONGEST = 80  # octets of the longest name that is cached
FIELDS = ("Received-SPF", "X-BMS-*", "X-DSPAM-*", "X-GOSSiP", "X-Spam", "X-Spam-*")


def is_ours(name: bytes) -> bool:
    """Whether a field of that name is one of ours, whatever its case and the blanks around it."""
    return matcher(FIELDS)(name)


@functools.lru_cache(maxsize=16)
def matcher(patterns: tuple[str, ...]) -> Callable[[bytes], bool]:
    """A function that tells whether a field name matches one of the patterns: names, or prefixes followed by `*`."""
    wanted = [pattern.strip().lower().encode("ascii", "replace") for pattern in patterns]
    names = frozenset(wanted)
    beginnings = tuple(pattern.removesuffix(b"*") for pattern in wanted if pattern.endswith(b"*"))

    def matches(name: bytes) -> bool:
        key = name.strip().lower()
        return key in names or key.startswith(beginnings)

    remembered = functools.lru_cache(maxsize=1024)(matches)  # the same names recur
    return lambda name: remembered(name) if len(name) <= _LONGEST else matches(name)
