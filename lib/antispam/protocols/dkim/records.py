"""The result of verifying a signature, in a form for storage, printing and decisions."""

from __future__ import annotations

import dataclasses
import enum


class DkimResult(enum.StrEnum):
    """Results of RFC 8601 section 2.7.1."""

    NONE = "none"
    PASS = "pass"
    FAIL = "fail"
    POLICY = "policy"
    NEUTRAL = "neutral"
    TEMPERROR = "temperror"
    PERMERROR = "permerror"


# The order of results for a message with several signatures. One pass is enough (RFC 6376 section 6.1); a signature
# that may still verify precedes one that never will; "altered" precedes "malformed".
PRECEDENCE = (
    DkimResult.PASS,
    DkimResult.TEMPERROR,
    DkimResult.FAIL,
    DkimResult.POLICY,
    DkimResult.PERMERROR,
    DkimResult.NEUTRAL,
    DkimResult.NONE,
)


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class SignatureResult:
    """One DKIM-Signature field, judged by the RFCs alone. All strings are printable US-ASCII, "" if they could not
    be read.

    result               PASS only if the signature verifies with an acceptable algorithm and key and covers the whole
                         body
    reason               in words, for a log or a header; "" for a plain pass
    domain               d=, lower case, A-labels
    selector             s=
    algorithm            a=
    identity             i= as written by the signer; "" if absent or not plain ASCII
    prefix               the first 8 characters of b=, which identify the signature (RFC 6008)
    key_bits             size of the public key; 0 if there was none
    verified             the signature is cryptographically valid, whatever `result` says: an l= that leaves part of the
                         body unsigned gives result POLICY with verified true
    unsigned_octets      octets of the canonical body not covered by l=
    testing              the key says t=y: the domain requests that a failure be treated as no signature
    expired              x= has passed
    """

    result: DkimResult
    reason: str = ""
    domain: str = ""
    selector: str = ""
    algorithm: str = ""
    identity: str = ""
    prefix: str = ""
    key_bits: int = 0
    verified: bool = False
    unsigned_octets: int = 0
    testing: bool = False
    expired: bool = False


def foremost(results: tuple[SignatureResult, ...]) -> SignatureResult | None:
    """The result that counts for the message (see PRECEDENCE), the topmost among equals; None without signatures."""
    return min(results, key=lambda one: PRECEDENCE.index(one.result), default=None)
