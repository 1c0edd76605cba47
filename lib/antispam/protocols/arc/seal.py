"""Sealing: adding a set to the chain of a message that is passed on (RFC 8617 section 5.1)."""

from __future__ import annotations

import base64
import dataclasses
import hashlib
from collections.abc import Sequence

from antispam.protocols.arc.chain import MAX_SETS, ArcResult, Broken, Chain, fields_of_chain, links
from antispam.protocols.dkim.canonical import Body, HeaderField, HeaderFields, Octets, relaxed_field
from antispam.protocols.dkim.sign import SEALED, SIGNED_IF_PRESENT, Signer, folded, names_tag

RESULTS_NAME, SIGNATURE_NAME, SEAL_NAME = "ARC-Authentication-Results", "ARC-Message-Signature", "ARC-Seal"
_ALSO = (b"dkim-signature", b"arc-authentication-results")  # RFC 8617 section 4.1.2 recommends the first


@dataclasses.dataclass(frozen=True, slots=True)
class SealingPolicy:
    """The fields that the message signature covers if present. From is covered once more than it occurs."""

    covered: tuple[bytes, ...] = (*SEALED, *SIGNED_IF_PRESENT, *_ALSO)


DEFAULT_POLICY = SealingPolicy()


def seal(
    headers: Sequence[HeaderField],
    body: Octets,
    signer: Signer,
    results: str,
    chain: Chain,
    *,
    now: int,
    policy: SealingPolicy = DEFAULT_POLICY,
) -> tuple[tuple[str, str], ...]:
    """The fields of a new set, name and value, in the order in which they are added at the top. None if the chain
    cannot be continued: it has ended, is full, its state is unknown, or its sets cannot be counted.

    headers  (name, value) of the outgoing message, with all other edits
    results  the value of our Authentication-Results for the message as received, authserv-id first
    chain    the state of the chain as received
    now      t=, seconds since the epoch

    Values are folded by LF and TAB, as libmilter expects.
    """
    if chain.ended or chain.result is ArcResult.TEMPERROR or chain.instances >= MAX_SETS:
        return ()
    if not any(name.strip().lower() == b"from" for name, _ in headers):
        return ()
    sets = fields_of_chain(headers)
    if sets and not chain.instances:
        return ()
    instance = chain.instances + 1
    failed = bool(sets) and chain.result is not ArcResult.PASS
    state = "none" if instance == 1 else "fail" if failed else "pass"
    reported = (RESULTS_NAME, f"i={instance}; {results}")
    signature = (SIGNATURE_NAME, _message_signature(_with(headers, reported), body, signer, instance, now, policy))
    sealed = (SEAL_NAME, _seal((reported, signature), () if failed else sets, signer, instance, state, now))
    return reported, signature, sealed


def _with(headers: Sequence[HeaderField], *added: tuple[str, str]) -> list[HeaderField]:
    return [*(_field(name, value) for name, value in reversed(added)), *headers]


def _field(name: str, value: str) -> HeaderField:
    return name.encode("ascii"), b" " + value.encode("utf-8", "surrogateescape")


def _message_signature(
    headers: Sequence[HeaderField], body: Octets, signer: Signer, instance: int, now: int, policy: SealingPolicy
) -> str:
    fields = HeaderFields(headers)
    names = [b"from", *(name for name in policy.covered for _ in range(fields.count(name)))]
    body_hash = base64.b64encode(Body(body).sha256(True))
    tags = [
        b"i=%d;" % instance,
        b"a=%s;" % signer.key.algorithm.encode("ascii"),
        b"c=relaxed/relaxed;",
        *_who(signer),
        b"t=%d;" % now,
        *names_tag(names),
        b"bh=%s;" % body_hash,
    ]
    return _signed(SIGNATURE_NAME, tags, b"".join(fields.signed(names, True)), signer)


def _seal(
    own: Sequence[tuple[str, str]], earlier: Sequence[HeaderField], signer: Signer, instance: int, state: str, now: int
) -> str:
    """The seal. For a failed chain it covers only the newest set (section 5.1.2)."""
    try:
        covered = [field for link in links(earlier) for field in link.canonical()] if earlier else []
    except Broken:  # impossible for a chain that passed
        covered = []
    covered += [relaxed_field(*_field(name, value)) for name, value in own]
    algorithm = signer.key.algorithm.encode("ascii")
    tags = [b"i=%d;" % instance, b"a=%s;" % algorithm, b"t=%d;" % now, b"cv=%s;" % state.encode("ascii"), *_who(signer)]
    return _signed(SEAL_NAME, tags, b"".join(covered), signer)


def _who(signer: Signer) -> list[bytes]:
    return [b"d=%s;" % signer.domain.lower().encode("ascii"), b"s=%s;" % signer.selector.encode("ascii")]


def _signed(name: str, tags: Sequence[bytes], covered: bytes, signer: Signer) -> str:
    """The value, with its signature over `covered` and itself."""
    value = folded(tags) + b"\n\tb="
    digest = hashlib.sha256(covered + relaxed_field(name.encode("ascii"), b" " + value)[:-2]).digest()
    signature = base64.b64encode(signer.key.sign(digest))
    lines = [signature[start : start + 72] for start in range(0, len(signature), 72)]
    return (value + b"\n\t ".join(lines)).decode("ascii")
