"""Parser of other servers' Authentication-Results values (RFC 8601 section 2.2). Linear in their length; never raises."""

from __future__ import annotations

import dataclasses
import re
from collections.abc import Iterator, Mapping

from antispam.net.addresses import ascii_domain

MAX_CLAUSES = 50
_LONGEST = 16384
_METHOD = re.compile(r"\s*([A-Za-z0-9-]+)\s*(?:/\s*[0-9]+\s*)?=\s*([A-Za-z]+)")
_PROPERTY = re.compile(r'([A-Za-z]+)\s*\.\s*([A-Za-z0-9_-]+)\s*=\s*(?:"((?:[^"\\]|\\.)*)"|([^\s;"]+))')
_PART = re.compile(r'"(?:[^"\\]|\\.)*"|[();]|\\.|[^"();\\]+|.', re.DOTALL)


@dataclasses.dataclass(frozen=True, slots=True)
class Reported:
    """One clause: `dkim=pass header.d=example.org`.

    properties  by "ptype.property" in lower case
    """

    method: str
    result: str
    properties: Mapping[str, str]

    def domain(self, *names: str) -> str:
        """The domain in the first of these properties that is present, in A-labels; "" for none."""
        value = next((self.properties[name] for name in names if name in self.properties), "")
        return ascii_domain(value.rpartition("@")[2].strip("<> ").lower()) or ""


def reported(value: bytes) -> tuple[Reported, ...]:
    """The clauses after the authserv-id, without unreadable ones."""
    text = value[:_LONGEST].decode("utf-8", "replace")
    clauses = list(_clauses(text))[1 : MAX_CLAUSES + 1]
    return tuple(one for one in map(_read, clauses) if one is not None)


def _clauses(text: str) -> Iterator[str]:
    """The parts between semicolons, without comments, which may be nested."""
    depth = 0
    parts: list[str] = []
    for match in _PART.finditer(text):
        part = match[0]
        if part == "(":
            depth += 1
        elif part == ")":
            depth = max(0, depth - 1)
        elif depth:
            continue
        elif part == ";":
            yield "".join(parts)
            parts = []
        else:
            parts.append(part)
    yield "".join(parts)


def _read(clause: str) -> Reported | None:
    match = _METHOD.match(clause)
    if match is None:
        return None
    found: dict[str, str] = {}
    for name in _PROPERTY.finditer(clause, match.end()):
        value = re.sub(r"\\(.)", r"\1", name[3]) if name[3] is not None else name[4]
        found.setdefault(f"{name[1]}.{name[2]}".lower(), value)
    return Reported(match[1].lower(), match[2].lower(), found)
