"""The result of verifying a signature, in a form that can be stored, printed and decided on."""

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


# Which result speaks for a message with several signatures: one that passes is enough (RFC 6376 section 6.1); a
# signature that may yet verify says more than one that never will; "altered" says more than "malformed".
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

    result               PASS only where the signature verifies with an acceptable algorithm and key and covers the
                         whole body
    reason               in words, for a log or a header; "" for a plain pass
    domain               d=, lower case, A-labels
    selector             s=
    algorithm            a=
    identity             i= as the signer wrote it, "" if absent or not plain ASCII
    prefix               the first 8 characters of b=, by which a reader finds the signature (RFC 6008)
    key_bits             size of the public key, 0 if none was had
    verified             the cryptography was right, whatever `result` says: an l= that leaves part of the body open
                         gives result POLICY with verified true
    unsigned_octets      octets of the canonical body that l= leaves uncovered
    testing              the key says t=y: the domain asks that a failure be treated as no signature
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
    """The result that speaks for the message (see PRECEDENCE), the topmost of equals; None without signatures."""
    return min(results, key=lambda one: PRECEDENCE.index(one.result), default=None)
