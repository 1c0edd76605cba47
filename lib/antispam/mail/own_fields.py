"""The header fields that only this filter may write. Mail programs, sieve scripts and other filters believe them, so those that
come from outside are forged, whatever they say.

Authentication-Results is none of them: anybody may write it under their own name (antispam.protocols.authentication_results).
"""

from __future__ import annotations

import functools
from collections.abc import Callable

_LONGEST = 80  # octets of a name that may be remembered
FIELDS = ("Received-SPF", "X-BMS-*", "X-DSPAM-*", "X-GOSSiP", "X-Spam", "X-Spam-*")


def is_ours(name: bytes) -> bool:
    """Whether a field of that name is one of ours, whatever its case and the blanks around it."""
    return matcher(FIELDS)(name)


@functools.lru_cache(maxsize=16)
def matcher(patterns: tuple[str, ...]) -> Callable[[bytes], bool]:
    """Whether a field's name is one of the patterns: names, or beginnings of names with a `*` after them."""
    wanted = [pattern.strip().lower().encode("ascii", "replace") for pattern in patterns]
    names = frozenset(wanted)
    beginnings = tuple(pattern.removesuffix(b"*") for pattern in wanted if pattern.endswith(b"*"))

    def matches(name: bytes) -> bool:
        key = name.strip().lower()
        return key in names or key.startswith(beginnings)

    remembered = functools.lru_cache(maxsize=1024)(matches)  # the same names come again and again
    return lambda name: remembered(name) if len(name) <= _LONGEST else matches(name)
