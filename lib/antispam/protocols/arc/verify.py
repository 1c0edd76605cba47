"""Verifying a chain (RFC 8617 section 5.2). dkimpy's verifier is not used: it accepts any instance number, checks
unneeded signatures, and reads fields differently from the MTA (see antispam.protocols.dkim.canonical).
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Sequence

from antispam.protocols.arc.chain import (
    ArcResult,
    Broken,
    Chain,
    Hop,
    Link,
    MessageSignature,
    Signed,
    fields_of_chain,
    highest,
    links,
    read_message_signature,
    read_seal,
    results_of,
)
from antispam.protocols.dkim.canonical import Body, HeaderField, HeaderFields, Octets
from antispam.protocols.dkim.public_keys import PublicKey, UnusableKey, choose_key
from antispam.protocols.dkim.verify import DEFAULT_LIMITS, KeyLookup, KeyLookupFailed, Limits, RunLookups

AT_A_TIME = 10  # keys looked up at the same time


def verify_chain(
    headers: Sequence[HeaderField],
    body: Octets,
    lookup: KeyLookup,
    *,
    now: int,
    limits: Limits = DEFAULT_LIMITS,
    run_lookups: RunLookups = map,
) -> Chain:
    """The state of a message's chain. The arguments are those of antispam.protocols.dkim.verify(). Never raises for any
    content of mail or DNS. Looks up at most MAX_SETS + 1 keys, and none if the sets are not in order.
    """
    found = fields_of_chain(headers)
    if not found:
        return Chain(ArcResult.NONE)
    instances = 0
    try:
        ordered = links(found)
        instances = len(ordered)
        newest = ordered[-1]
        if newest.cv == b"fail":
            return Chain(ArcResult.FAIL, "an earlier server found it broken", instances=instances, ended=True)
        _demand_states(ordered)
        seals = [read_seal(link) for link in ordered]
        signature = read_message_signature(newest, now, limits.clock_skew)
        hops = tuple(Hop(seal.domain, results_of(link)) for link, seal in zip(ordered, seals, strict=True))
        fields = HeaderFields(headers)
        _verify_message(signature, fields, Body(body), _Keys(lookup, limits, run_lookups))
        _verify_seals(ordered, seals, _Keys(lookup, limits, run_lookups))
    except Broken as trouble:
        return Chain(ArcResult.FAIL, str(trouble), instances=instances or highest(found))
    except KeyLookupFailed as trouble:
        return Chain(ArcResult.TEMPERROR, f"key look-up failed: {trouble}", hops=hops, instances=instances)
    covers = 0 < fields.count(b"from") <= signature.signed_names.count(b"from")
    return Chain(ArcResult.PASS, hops=hops, instances=instances, covers_from=covers)


def _demand_states(ordered: Sequence[Link]) -> None:
    """Check section 5.2 step 3: the first seal must say none, all others pass."""
    for link in ordered:
        if link.cv != (b"none" if link.instance == 1 else b"pass"):
            raise Broken(f"the seal of set {link.instance} has a wrong cv=")


class _Keys:
    """Keys, looked up a few at a time."""

    def __init__(self, lookup: KeyLookup, limits: Limits, run_lookups: RunLookups) -> None:
        self._lookup = lookup
        self._limits = limits
        self._run = run_lookups

    def of(self, signers: Sequence[Signed]) -> Iterator[PublicKey]:
        """The key of each signer, in order. Raises Broken and KeyLookupFailed."""
        for start in range(0, len(signers), AT_A_TIME):
            some = signers[start : start + AT_A_TIME]
            names = list(dict.fromkeys(one.key_name for one in some))
            keys = dict(zip(names, self._run(self._fetch, names), strict=True))
            for one in some:
                yield self._usable(keys[one.key_name], one)

    def _fetch(self, name: str) -> PublicKey | UnusableKey | KeyLookupFailed:
        try:
            return choose_key(self._lookup(name))
        except (UnusableKey, KeyLookupFailed) as trouble:
            return trouble.with_traceback(None)

    def _usable(self, key: PublicKey | UnusableKey | KeyLookupFailed, signer: Signed) -> PublicKey:
        if isinstance(key, KeyLookupFailed):
            raise key
        if isinstance(key, UnusableKey):
            raise Broken(f"{signer.domain}: {key}")
        if key.key_type != signer.key_type:
            raise Broken(f"{signer.domain}: key is of another type than the signature")
        if key.key_type == "rsa" and not self._limits.min_rsa_bits <= key.bits <= self._limits.max_rsa_bits:
            raise Broken(f"{signer.domain}: unacceptable key of {key.bits} bits")
        return key


def _verify_message(signature: MessageSignature, fields: HeaderFields, body: Body, keys: _Keys) -> None:
    """Check section 5.2 step 4: we received what the newest server sent."""
    (key,) = keys.of([signature])
    limit = signature.body_limit
    if limit is not None and limit != body.length(signature.relaxed_body):
        raise Broken(f"the message signature of {signature.domain} does not cover the whole body")
    if body.sha256(signature.relaxed_body) != signature.body_hash:
        raise Broken(f"body altered after {signature.domain} sealed it")
    digest = hashlib.sha256(b"".join(fields.signed(signature.signed_names, signature.relaxed_header)))
    digest.update(signature.own_field)
    if not key.verifies(signature.signature, digest.digest()):
        raise Broken(f"header fields altered after {signature.domain} sealed it")


def _verify_seals(ordered: Sequence[Link], seals: Sequence[Signed], keys: _Keys) -> None:
    """Check section 5.2 step 6: a seal covers all earlier sets and its own. The hash of the earlier sets is reused, so
    the time is linear in the length of the chain.
    """
    covered = hashlib.sha256()
    for link, seal, key in zip(ordered, seals, keys.of(seals), strict=True):
        results, signature, whole = link.canonical()
        covered.update(results + signature)
        digest = covered.copy()
        digest.update(seal.own_field)
        if not key.verifies(seal.signature, digest.digest()):
            raise Broken(f"the seal of {seal.domain} (set {link.instance}) does not fit")
        covered.update(whole)
