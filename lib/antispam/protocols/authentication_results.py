"""Authentication-Results fields (RFC 8601): writing our own so that nothing in it can be forged, and detecting forged
ones.

The field is the contract with mail programs and with later filters: they trust everything under our authserv-id. So
fields from outside that use it are removed, and text from mail is quoted.
"""

from __future__ import annotations

import functools
import re
from collections.abc import Collection, Iterable, Sequence
from typing import Any, TypeAlias, TypeVar

from authres import core, dkim_b, dmarc  # type: ignore[import-untyped]

from antispam.net.addresses import ascii_address, ascii_domain
from antispam.protocols.dkim import SignatureResult

FIELD_NAME = "Authentication-Results"
_FIELD_KEY = b"authentication-results"
WIDTH = 78
BROKEN = "before this server changed the message"
MAX_VALUE = 320  # of a property; the longest address (RFC 3696)

Result: TypeAlias = Any  # an authres.core.AuthenticationResult: authres comes without type annotations
H = TypeVar("H", bound=tuple[bytes, bytes])

_TOKEN = re.compile(r"[A-Za-z0-9!#$%&'*+.^_`{|}~-]+")
_ADDRESS = re.compile(r"[A-Za-z0-9!#$%&'*+/=?^_`{|}~.-]*@[A-Za-z0-9._-]+")
_UNPRINTABLE = re.compile(r"[^\x20-\x7e]")
_WORD = re.compile(r'(?:"(?:[^"\\]|\\.)*"|[^\s"])+')
_RESULT = re.compile(r"[a-z]+")


def spf_result(result: str, *, mailfrom: str = "", helo: str = "", reason: str = "") -> Result:
    """The SPF result for MAIL FROM or HELO. Pass only the identity that was checked (RFC 8601 section 2.7.2): a reader
    must not mistake a HELO pass for a sender pass (CVE-2019-20790).
    """
    clause = core.SPFAuthenticationResult(result=_checked(result), reason=_value(reason) or None)
    if mailfrom:
        clause.smtp_mailfrom = _value(ascii_address(mailfrom))
    if helo:
        clause.smtp_helo = _value(ascii_address(helo))
    return clause


def dkim_result(signature: SignatureResult, comment: str = "") -> Result:
    """The result of verifying one signature (RFC 8601 section 2.7.1, header.b of RFC 6008)."""
    reason = _value(signature.reason) or None
    clause = dkim_b.DKIMAuthenticationResult(
        result=signature.result.value, result_comment=comment or None, reason=reason
    )
    if signature.domain:
        clause.header_d = _value(signature.domain)
    if signature.identity:
        clause.header_i = _value(signature.identity)
    if signature.selector:
        clause.header_s = _value(signature.selector)
    if signature.algorithm:
        clause.header_a = _value(signature.algorithm)
    if signature.prefix:
        clause.header_b = _value(signature.prefix)
    return clause


def dkim_results(signatures: Sequence[SignatureResult], broken: Collection[SignatureResult] = ()) -> list[Result]:
    """One clause per signature; `dkim=none` if there was none. Signatures are judged as received. A comment marks those
    that we have `broken` since, which explains why a later verifier finds them invalid.
    """
    return [dkim_result(one, BROKEN if one in broken else "") for one in signatures] or ["dkim=none"]


def arc_clause(result: str, *, reason: str = "") -> str:
    """The state of the ARC chain (RFC 8617 section 10.1, which defines none, pass and fail)."""
    clause = core.AuthenticationResult("arc", result=_checked(result), reason=_value(reason) or None)
    return str(clause)


def dmarc_result(result: str, *, author: str = "", policy: str = "", reason: str = "") -> Result:
    """The DMARC result for one author domain (RFC 9989): the domain in From, and the policy applied."""
    clause = dmarc.DMARCAuthenticationResult(result=_checked(result), reason=_value(reason) or None)
    if author:
        clause.header_from = _value(author)
    if policy:
        clause.policy = _value(policy)
    return clause


@functools.lru_cache(1024)
def spf_clause(result: str, *, mailfrom: str = "", helo: str = "") -> str:
    """The text of spf_result(), cached: clients return with the same sender."""
    return str(spf_result(result, mailfrom=mailfrom, helo=helo))


@functools.lru_cache(1024)
def iprev_clause(result: str, ip: str) -> str:
    """The text of iprev_result(), cached."""
    return str(iprev_result(result, ip))


def iprev_result(result: str, ip: str) -> Result:
    """The result for the reverse name of the client's address (RFC 8601 section 2.7.3)."""
    clause = core.IPRevAuthenticationResult(result=_checked(result))
    if ip:
        clause.policy_iprev = _value(ip)
    return clause


def auth_result(result: str, login: str) -> Result:
    """The result of SMTP AUTH (RFC 8601 section 2.7.4)."""
    clause = core.SMTPAUTHAuthenticationResult(result=_checked(result))
    if login.isascii() and login:  # an altered name would be false
        clause.smtp_auth = _value(login)
    return clause


def check_authserv_id(text: str) -> None:
    """Raises ValueError if `text` cannot be our authserv-id without quotes. It need not be a host name."""
    if not _TOKEN.fullmatch(text):
        raise ValueError("expected a name such as mx.example.com")


def field_value(authserv_id: str, results: Iterable[Result]) -> str:
    """The value of our field, `none` without results; one clause per line, folded by LF and TAB at 78 columns. Raises
    ValueError if the authserv-id is invalid.
    """
    return _folded(authserv_id, tuple(str(result) for result in results) or ("none",))


@functools.lru_cache(1024)
def _folded(authserv_id: str, clauses: tuple[str, ...]) -> str:
    check_authserv_id(authserv_id)
    # The first line holds only our name, so readers that do not unfold at least see whose results these are.
    lines = [f"{authserv_id};"]
    for number, clause in enumerate(clauses, 1):
        lines += _wrap(clause if number == len(clauses) else f"{clause};")
    return "\n\t".join(lines)


def forged(headers: Sequence[H], authserv_ids: Collection[str]) -> list[H]:
    """The `headers` (name, value) that claim to be ours, last first. They must be removed in this order: an MTA that
    counts only the remaining fields would otherwise delete their neighbours (CVE-2022-48521).
    """
    # Few fields have a name this long, so the first condition usually suffices.
    found = [header for header in headers if len(header[0]) >= 22 and header[0].strip().lower() == _FIELD_KEY]
    if not found:
        return found
    ours = frozenset(_normal(name) for name in authserv_ids if name)
    return [header for header in reversed(found) if _claims(header[1], ours)]


def claims(value: bytes, authserv_ids: Collection[str]) -> bool:
    """Whether a reader could mistake the field's `value` for one of ours. Accepts any octets and never raises.

    A well-formed field belongs to its authserv-id, whatever else it mentions. A field without a recognisable
    authserv-id counts as ours if our name occurs anywhere in it: readers differ in what they tolerate.
    """
    return _claims(value, frozenset(_normal(name) for name in authserv_ids if name))


def _claims(value: bytes, ours: frozenset[str]) -> bool:
    text = _visible(value)
    found = _authserv_id(text)
    if found is not None:
        return _normal(found) in ours
    if "=?" in text.partition(";")[0]:
        return True  # an encoded word; honest servers do not write one here, but some readers decode it
    lowered = text.lower()
    return any(_mentions(lowered, name) or _mentions("".join(lowered.split()), name) for name in ours)


_CONTROLS = re.compile(r"[\x00-\x08\x0a-\x1f\x7f]")
_BLANKS = re.compile(r"[ \t]*")
_NAME = re.compile(r"[^\x00-\x20()<>@,;:\\\"/\[\]?=]+")
_QUOTED = re.compile(r'"((?:[^"\\]|\\.)*)"')
_VERSION = re.compile(r"[0-9]*")
_ESCAPE = re.compile(r"\\(.)")


def _visible(value: bytes) -> str:
    """The text as a person sees it, without undecodable octets, control and zero-width characters."""
    text = _CONTROLS.sub("", value.decode("utf-8", "ignore"))
    return text if text.isascii() else "".join(char for char in text if char.isprintable() or char == "\t")


def _authserv_id(text: str) -> str | None:
    """The authserv-id of the results: `[CFWS] authserv-id [CFWS version] [CFWS] (";" / end)`; None if the text does not
    have that form.
    """
    start = _skip(text, 0)
    quoted = _QUOTED.match(text, start)
    match = quoted or _NAME.match(text, start)
    if match is None:
        return None
    after = _skip(text, match.end())
    version = _VERSION.match(text, after)
    after = _skip(text, version.end() if version else after)
    if after < len(text) and text[after] != ";":
        return None
    return _ESCAPE.sub(r"\1", quoted[1]).strip() if quoted else match[0]


def _skip(text: str, position: int) -> int:
    """The end of the blanks and nested comments that start at `position`. An unclosed comment is not skipped."""
    while True:
        match = _BLANKS.match(text, position)
        position = match.end() if match else position
        end = _comment_end(text, position)
        if end == position:
            return position
        position = end


def _comment_end(text: str, start: int) -> int:
    if text[start : start + 1] != "(":
        return start
    depth = 0
    position = start
    while position < len(text):
        char = text[position]
        if char == "\\":
            position += 1
        elif char == "(":
            depth += 1
        elif char == ")":
            depth -= 1
            if depth == 0:
                return position + 1
        position += 1
    return start


def _mentions(text: str, name: str) -> bool:
    return re.search(rf"(?<![a-z0-9.-]){re.escape(name)}(?![a-z0-9-])", text) is not None


def _normal(name: str) -> str:
    return ascii_domain(name) or name.lower()


def _checked(result: str) -> str:
    if not _RESULT.fullmatch(result):
        raise ValueError(f"{result!r} is not a result")
    return result


def _value(text: str) -> str:
    """`text` in a form that authres writes as a single value.

    authres quotes anything but a token, except text with an @: `x; dkim=pass@y` would become a separate result (as in
    CVE-2020-12272). Such text is quoted here; authres leaves the quoted form unchanged, because it has an @.
    """
    text = _UNPRINTABLE.sub("?", text[:MAX_VALUE])
    if "@" not in text or _ADDRESS.fullmatch(text):
        return text
    return '"' + text.replace("\\", "\\\\").replace('"', '\\"') + '"'


def _wrap(clause: str) -> list[str]:
    """`clause` in lines of at most WIDTH columns after a tab, broken between words but never inside a quoted string."""
    lines = [""]
    for word in _WORD.findall(clause):
        if lines[-1] and 8 + len(lines[-1]) + 1 + len(word) > WIDTH:
            lines.append(word)
        else:
            lines[-1] += f" {word}" if lines[-1] else word
    return lines
