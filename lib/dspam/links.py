"""Where links lead, and what they are made of. _reading.c does the same; this is the reference."""

from __future__ import annotations

_MAX_TARGET, _MAX_SEEN_TARGET = 400, 1000  # octets
_MAX_READ = 200
_MAX_SCHEME, _MAX_PATH = 10, 60


def take_links(
    links: list[tuple[bytes, bytes]], most: int, targets: list[bytes], seen: list[tuple[bytes, bytes]]
) -> None:
    """Append where the first links lead, as far as both lists have room."""
    stripped = [(place, target.strip()) for place, target in links[:most]]
    targets += [target[:_MAX_TARGET] for _, target in stripped[: max(0, most - len(targets))]]
    seen += [(place, target[:_MAX_SEEN_TARGET]) for place, target in stripped[: max(0, most - len(seen))]]


def link_parts(target: bytes) -> tuple[bytes, bytes, bytes]:
    """The scheme of a link, what stands where the host does, and the path."""
    target = target[:_MAX_READ].strip()
    scheme, colon, rest = target.partition(b":")
    if not colon or len(scheme) > _MAX_SCHEME:
        scheme, rest = b"", target
    scheme = scheme.lower()
    if scheme == b"mailto":
        return scheme, rest, b""
    host, _, path = rest.lstrip(b"/").partition(b"/")
    return scheme, host, path[:_MAX_PATH]
