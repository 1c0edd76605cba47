"""Verifying DKIM signatures (RFC 6376 section 6.1, RFC 8301, RFC 8463)."""

from __future__ import annotations

import dataclasses
import hashlib
from collections.abc import Callable, Iterable, Sequence
from typing import Protocol, TypeAlias, TypeVar

from antispam.protocols.dkim.canonical import Body, HeaderField, HeaderFields, Octets
from antispam.protocols.dkim.public_keys import PublicKey, UnusableKey, choose_key
from antispam.protocols.dkim.records import DkimResult, SignatureResult
from antispam.protocols.dkim.signature import (
    Labels,
    Signature,
    UnusableSignature,
    labels,
    parse_signature,
    read_tags,
)

KeyLookup: TypeAlias = Callable[[str], Sequence[bytes]]
T = TypeVar("T")


class RunLookups(Protocol):
    """Calls a function for each name and returns the results in the same order: `map`, or a parallel version."""

    def __call__(self, fetch: Callable[[str], T], names: Sequence[str], /) -> Iterable[T]: ...


class KeyLookupFailed(Exception):
    """A temporary failure of a KeyLookup: time-out, SERVFAIL, no time left. The text is safe to print."""


@dataclasses.dataclass(frozen=True, slots=True)
class Limits:
    """The limits of a verifier.

    max_signatures  further ones are counted and ignored; each may cost a look-up on a slow server
    min_rsa_bits    RFC 8301 forbids less than 1024
    max_rsa_bits    a larger key only takes time
    clock_skew      seconds by which t= and x= may be wrong
    """

    max_signatures: int = 10
    min_rsa_bits: int = 1024
    max_rsa_bits: int = 8192
    clock_skew: int = 3600


@dataclasses.dataclass(frozen=True, slots=True)
class Verification:
    """The results of all signatures of a message, topmost first, and the number of ignored ones."""

    signatures: tuple[SignatureResult, ...] = ()
    ignored: int = 0


DEFAULT_LIMITS = Limits()


def verify(
    headers: Sequence[HeaderField],
    body: Octets,
    lookup: KeyLookup,
    *,
    now: int,
    limits: Limits = DEFAULT_LIMITS,
    run_lookups: RunLookups = map,
) -> Verification:
    """Verify the signatures of a message.

    headers      (name, value) as passed by the MTA, in the form described in HeaderFields
    body         as passed by the MTA; a bare LF counts as a line end, as it will when the message is sent on
    lookup       returns the TXT records of a name, each with its strings joined; empty if there are none. It raises
                 KeyLookupFailed for a temporary failure, keeps the deadline, and raises at once after it.
    now          seconds since the epoch
    run_lookups  looks up several keys; called once, with distinct names

    Never raises for any content of mail or DNS.
    """
    # Most names are shorter than this one, so the length check skips them quickly.
    found = [field for field in headers if len(field[0]) >= 14 and field[0].strip().lower() == b"dkim-signature"]
    if not found:
        return Verification()
    fields = HeaderFields(headers)
    read = [_read(name, value, now, limits) for name, value in found[: limits.max_signatures]]
    keys = _fetch_keys([one for _, one in read if isinstance(one, Signature)], lookup, run_lookups)
    text = Body(body)
    results = tuple(
        _judge(known, one, keys[one.key_name], fields, text, limits)
        if isinstance(one, Signature)
        else _refused(known, one)
        for known, one in read
    )
    return Verification(results, max(0, len(found) - limits.max_signatures))


def _read(name: bytes, value: bytes, now: int, limits: Limits) -> tuple[Labels, Signature | UnusableSignature]:
    known = Labels()
    try:
        tags = read_tags(value)
        known = labels(tags)
        return known, parse_signature(name, value, tags, now, limits.clock_skew)
    except UnusableSignature as trouble:
        return known, trouble.with_traceback(None)


def _fetch_keys(
    signatures: Sequence[Signature], lookup: KeyLookup, run_lookups: RunLookups
) -> dict[str, PublicKey | UnusableKey | KeyLookupFailed]:
    """The key of each distinct name, or the problem with it."""

    def fetch(name: str) -> PublicKey | UnusableKey | KeyLookupFailed:
        try:
            return choose_key(lookup(name))
        except (UnusableKey, KeyLookupFailed) as trouble:
            return trouble.with_traceback(None)

    names = list(dict.fromkeys(one.key_name for one in signatures))
    return dict(zip(names, run_lookups(fetch, names), strict=True))


def _judge(
    known: Labels,
    signature: Signature,
    key: PublicKey | UnusableKey | KeyLookupFailed,
    fields: HeaderFields,
    body: Body,
    limits: Limits,
) -> SignatureResult:
    if isinstance(key, KeyLookupFailed):
        return _result(known, DkimResult.TEMPERROR, f"key look-up failed: {key}")
    if isinstance(key, UnusableKey):
        return _result(known, DkimResult.PERMERROR, str(key))
    if key.key_type == "rsa" and key.bits > limits.max_rsa_bits:
        return _result(known, DkimResult.POLICY, f"key too long: {key.bits} bits", key=key)
    result = _result(known, *_compare(signature, key, fields, body), key=key)
    if result.result is not DkimResult.PASS:
        return result
    return _acceptable(dataclasses.replace(result, verified=True), signature, key, body, limits)


def _compare(signature: Signature, key: PublicKey, fields: HeaderFields, body: Body) -> tuple[DkimResult, str]:
    if key.key_type != signature.key_type:
        return DkimResult.PERMERROR, "key is of another type than the signature"
    if key.strict and signature.identity_domain != signature.domain:
        return DkimResult.PERMERROR, "key forbids i= in a subdomain"
    limit = signature.body_limit
    if limit is not None and limit > body.length(signature.relaxed_body):
        return DkimResult.FAIL, "body shorter than its signed length"
    if body.sha256(signature.relaxed_body, limit) != signature.body_hash:
        return DkimResult.FAIL, "body altered after signing"
    # Most readers would show a From field above the signed one (RFC 6376 section 8.15).
    if fields.count(b"from") > signature.signed_names.count(b"from"):
        return DkimResult.FAIL, "From field added after signing"
    digest = hashlib.sha256(b"".join(fields.signed(signature.signed_names, signature.relaxed_header)))
    digest.update(signature.own_field)
    if not key.verifies(signature.signature, digest.digest()):
        return DkimResult.FAIL, "signed header fields altered, or signed with another key"
    return DkimResult.PASS, ""


def _acceptable(
    result: SignatureResult, signature: Signature, key: PublicKey, body: Body, limits: Limits
) -> SignatureResult:
    """The final result of a signature that verifies. It does not pass if the key is too weak, or if anybody could have
    added text.
    """
    if key.key_type == "rsa" and key.bits < limits.min_rsa_bits:
        return dataclasses.replace(result, result=DkimResult.POLICY, reason=f"key too short: {key.bits} bits")
    if signature.body_limit is None:
        return result
    unsigned = body.length(signature.relaxed_body) - signature.body_limit
    if unsigned:
        return dataclasses.replace(
            result,
            result=DkimResult.POLICY,
            reason=f"l= leaves {unsigned} octets of the body unsigned",
            unsigned_octets=unsigned,
        )
    return result


def _refused(known: Labels, trouble: UnusableSignature) -> SignatureResult:
    return dataclasses.replace(_result(known, trouble.result, trouble.reason), expired=trouble.expired)


def _result(known: Labels, result: DkimResult, reason: str, *, key: PublicKey | None = None) -> SignatureResult:
    return SignatureResult(
        result=result,
        reason=reason,
        domain=known.domain,
        selector=known.selector,
        algorithm=known.algorithm,
        identity=known.identity,
        prefix=known.prefix,
        key_bits=key.bits if key else 0,
        testing=key is not None and key.testing,
    )
