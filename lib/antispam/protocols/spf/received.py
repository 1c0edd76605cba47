"""The Received-SPF header field."""

from __future__ import annotations

import functools
import re

from antispam.net.addresses import ascii_address
from antispam.protocols.spf.result import Result, SpfResult, plain

_DOT_ATOM = re.compile(r"[A-Za-z0-9!#$%&'*+/=?^_`{|}~-]+(?:\.[A-Za-z0-9!#$%&'*+/=?^_`{|}~-]+)*")


@functools.lru_cache(1024)
def received_spf(outcome: SpfResult, receiver: str, **more: str) -> str:
    """The value of a Received-SPF header field (RFC 7208 section 9.1) on one line of less than 998 octets. `more` adds
    pairs named x-NAME. No text from a client or DNS can end a pair, a comment or the line.
    """
    comment = _COMMENTS[outcome.result].format(domain=outcome.domain[:100] or "the sender", ip=outcome.ip)
    pairs = {
        "client-ip": outcome.ip,
        "envelope-from": ascii_address(outcome.mailfrom)[:200] or "<>",
        "helo": outcome.helo[:128],
        "receiver": receiver[:128],
        "identity": outcome.identity,
    }
    pairs |= {"mechanism": outcome.mechanism} if outcome.mechanism else {}
    pairs |= {"problem": outcome.problem[:120]} if outcome.problem else {}
    pairs |= {f"x-{name.replace('_', '-')}": value[:64] for name, value in more.items()}
    listed = "; ".join(f"{name}={_quoted(value)}" for name, value in pairs.items())
    return f"{outcome.result} ({_escaped(f'{receiver[:128]}: {comment}', '()')}) {listed}"


_COMMENTS = {
    Result.PASS: "{ip} is permitted by {domain}",
    Result.FAIL: "{ip} is not permitted by {domain}",
    Result.SOFTFAIL: "{ip} is probably not permitted by {domain}",
    Result.NEUTRAL: "{domain} says nothing about {ip}",
    Result.NONE: "{domain} publishes no SPF record",
    Result.TEMPERROR: "the DNS of {domain} did not answer",
    Result.PERMERROR: "the SPF record of {domain} has an error",
}


def _quoted(value: str) -> str:
    """A dot-atom unchanged, anything else as a quoted-string (RFC 5322 section 3.2)."""
    return value if _DOT_ATOM.fullmatch(value) else '"' + _escaped(value, '"') + '"'


def _escaped(value: str, special: str) -> str:
    return re.sub(f"[{re.escape(special)}\\\\]", r"\\\g<0>", plain(value, 400))
