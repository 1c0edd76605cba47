"""The lines of the GOSSiP protocol as pygossip speaks it. Each ends in a newline; empty lines are ignored.

    Q:ID:QUALIFIER:TTL:UMIS     what is known about ID?   PREPEND X-GOSSiP: UMIS,REPUTATION,CONFIDENCE   (or REJECT for PREPEND)
    F:UMIS:1                    that message was spam  (0 or No: it was not; 1 or Yes: it was)
    R:ID:QUALIFIER              forget what you know about ID

A line may end in `:TIME:MAC`, which proves that the sender knows the key; pygossip ignores further fields. MAC is the first 32
hexadecimal digits of the HMAC-SHA256 of everything before it.
"""

from __future__ import annotations

import dataclasses
import hashlib
import hmac
import re

from gossip.observations import HAM, SPAM, Opinion

LONGEST = 512  # the longest line, in octets
VALID = 300.0  # seconds by which the time of a proof may differ in either direction: clocks differ
MAX_TTL = 3

_ID = r"[^\s:,\x00-\x20\x7f-\U0010ffff]{1,255}"
_QUALIFIER = r"[^\s:,\x00-\x20\x7f-\U0010ffff]{1,64}"
_UMIS = r"[0-9A-Za-z.$/+_-]{1,64}"
_QUERY = re.compile(rf"Q:(?P<id>{_ID}):(?P<qualifier>{_QUALIFIER}):(?P<ttl>\d{{1,3}}):(?P<umis>{_UMIS})", re.ASCII)
_FEEDBACK = re.compile(rf"F:(?P<umis>{_UMIS}):(?P<spam>[01]|[Yy]es|[Nn]o)", re.ASCII)
_RESET = re.compile(rf"R:(?P<id>{_ID}):(?P<qualifier>{_QUALIFIER})", re.ASCII)
_PROOF = re.compile(r"(?P<said>.*):(?P<time>\d{1,12}):(?P<mac>[0-9a-f]{32})", re.ASCII)
_ANSWER = re.compile(
    rf"(?:PREPEND|REJECT) X-GOSSiP: (?P<umis>{_UMIS}),(?P<reputation>-?\d{{1,3}}),(?P<confidence>-?\d{{1,3}})", re.ASCII
)


class BadLine(ValueError):
    """The line is not part of this protocol."""


@dataclasses.dataclass(frozen=True, slots=True)
class Query:
    id: str
    qualifier: str
    ttl: int
    umis: str


@dataclasses.dataclass(frozen=True, slots=True)
class Feedback:
    umis: str
    vote: int


@dataclasses.dataclass(frozen=True, slots=True)
class Reset:
    id: str
    qualifier: str


Request = Query | Feedback | Reset


def read_request(line: str, key: str = "", now: float = 0.0) -> tuple[Request, bool]:
    """The request, and whether the line proves that its sender knows the key. Raises BadLine."""
    proof = _PROOF.fullmatch(line)
    proved = False
    if proof is not None:
        proved = (
            bool(key)
            and abs(now - int(proof["time"])) <= VALID
            and hmac.compare_digest(_mac(key, f"{proof['said']}:{proof['time']}"), proof["mac"])
        )
        line = proof["said"]
    if match := _QUERY.fullmatch(line):
        return Query(match["id"], match["qualifier"], min(int(match["ttl"]), MAX_TTL), match["umis"]), proved
    if match := _FEEDBACK.fullmatch(line):
        return Feedback(match["umis"], SPAM if match["spam"].lower() in ("1", "yes") else HAM), proved
    if match := _RESET.fullmatch(line):
        return Reset(match["id"], match["qualifier"]), proved
    raise BadLine("neither a query, nor feedback, nor a reset")


def write_request(request: Request, key: str = "", now: float = 0.0) -> str:
    """The line of a request, signed if there is a key. Raises BadLine if it does not fit into one line."""
    match request:
        case Query(id, qualifier, ttl, umis):
            line = f"Q:{id}:{qualifier}:{ttl}:{umis}"
        case Feedback(umis, vote):
            line = f"F:{umis}:{1 if vote < 0 else 0}"
        case Reset(id, qualifier):
            line = f"R:{id}:{qualifier}"
    read_request(line)
    if not key:
        return line
    signed = f"{line}:{int(now)}"
    return f"{signed}:{_mac(key, signed)}"


def write_answer(umis: str, opinion: Opinion, *, reject: bool = False) -> str:
    """The line that answers a query."""
    value, confidence = opinion
    return f"{'REJECT' if reject else 'PREPEND'} X-GOSSiP: {umis},{int(value)},{int(confidence)}"


def read_answer(line: str, umis: str) -> Opinion:
    """The peer's answer about the message of this name. Raises BadLine, also for impossible numbers."""
    match = _ANSWER.fullmatch(line.strip())
    if match is None or match["umis"] != umis:
        raise BadLine("no answer to the question")
    value, confidence = int(match["reputation"]), int(match["confidence"])
    if not (-100 <= value <= 100 and 0 <= confidence <= 100):
        raise BadLine("no reputation has such numbers")
    return float(value), float(confidence)


def _mac(key: str, said: str) -> str:
    return hmac.new(key.encode(), said.encode(), hashlib.sha256).hexdigest()[:32]
