"""Look-ups of the public keys of signatures and seals."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import TypeVar

from antispam.deadline import Deadline
from antispam.net.resolver import DNSTemporaryError, Lookup
from antispam.protocols.dkim import KeyLookupFailed
from antispam.text import for_log

T = TypeVar("T")


def key_lookup(resolver: Lookup, deadline: Deadline) -> Callable[[str], Sequence[bytes]]:
    """A function that looks up the TXT records of a name. It raises KeyLookupFailed if no answer comes in time."""

    def lookup(name: str) -> Sequence[bytes]:
        try:
            return resolver.lookup(name, "TXT", deadline).texts
        except DNSTemporaryError as error:
            raise KeyLookupFailed(for_log(str(error), 200)) from None

    return lookup


class BesideOneAnother:
    """Concurrent look-ups, in threads for this message only: a sender with ten slow name servers must not delay other
    messages through a shared pool. Answers in the resolver's cache need no thread.
    """

    def __init__(self, resolver: Lookup) -> None:
        self._resolver = resolver

    def __call__(self, fetch: Callable[[str], T], names: Sequence[str]) -> Iterable[T]:
        waiting = [name for name in names if not is_known(self._resolver, name)] if len(names) > 1 else []
        if len(waiting) < 2:
            return map(fetch, names)
        with ThreadPoolExecutor(len(waiting), thread_name_prefix="dkim-key") as pool:
            pending = {name: pool.submit(fetch, name) for name in waiting}
            return [pending[name].result() if name in pending else fetch(name) for name in names]


def is_known(resolver: Lookup, name: str) -> bool:
    """Whether the answer is in the resolver's cache: with no time left, the resolver answers from the cache only."""
    try:
        resolver.lookup(name, "TXT", Deadline.after(0))
    except DNSTemporaryError:
        return False
    return True
