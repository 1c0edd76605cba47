"""The forms of texts, and the domains above a host: of these, facts are made."""

from __future__ import annotations

from functools import lru_cache

_SHAPE = bytes(
    65 if 65 <= c <= 90 else 97 if 97 <= c <= 122 else 57 if 48 <= c <= 57 else 56 if c >= 128 else c
    for c in range(256)
)
_RUNS = (b"aa", b"AA", b"99", b"88")


def shape(text: bytes) -> bytes:
    """The form of a text: "A" for capitals, "a" for small letters, "9" for digits; runs count once."""
    return _shape(text[:120])


@lru_cache(maxsize=8192)  # a mail system meets the same hosts and programs again and again
def _shape(text: bytes) -> bytes:
    text = text.translate(_SHAPE)
    for twice in _RUNS:
        while twice in text:  # each round halves the runs
            text = text.replace(twice, twice[:1])
    return text[:40]


@lru_cache(maxsize=8192)
def parents(host: bytes) -> tuple[bytes, ...]:
    """A host's name and the domains above it, without the top-level domain; at most four."""
    labels = host.lower().strip(b".").split(b".")[-5:]
    return tuple(b".".join(labels[at:]) for at in range(max(0, len(labels) - 4), len(labels) - 1))


@lru_cache(maxsize=8192)
def owner(host: bytes) -> bytes:
    """A guess at the organizational domain: two labels, three below such as co.uk."""
    labels = host.lower().strip(b".").split(b".")
    return b".".join(labels[-3 if len(labels) > 2 and len(labels[-2]) <= 3 and len(labels[-1]) == 2 else -2 :])
