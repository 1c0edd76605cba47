"""Signing outgoing mail (RFC 6376 section 5, RFC 8463 for ed25519)."""

from __future__ import annotations

import base64
import dataclasses
import hashlib
import re
from collections.abc import Iterable, Sequence

from antispam.protocols.dkim.canonical import Body, HeaderField, HeaderFields, Octets, relaxed_field, simple_field
from antispam.protocols.dkim.private_keys import PrivateKey

FIELD_NAME = b"DKIM-Signature"
WIDTH = 76
_LABELS = re.compile(r"(?!-)[a-z0-9_-]{1,63}(?<!-)(?:\.(?!-)[a-z0-9_-]{1,63}(?<!-))*")

# Fields that readers see or act on and that no MTA adds or rewrites. Signed once more than present, even if absent, so
# that nobody can add one.
SEALED = (b"from", b"reply-to", b"to", b"cc", b"subject")

# Signed once more than present, if present at all. If they are absent, an honest hop may add them: sendmail and Postfix
# add Date and Message-ID at delivery, a mailing list its List fields.
SIGNED_IF_PRESENT = (
    b"date",
    b"message-id",
    b"sender",
    b"in-reply-to",
    b"references",
    b"mime-version",
    b"content-type",
    b"content-transfer-encoding",
    b"content-disposition",
    b"list-id",
    b"list-help",
    b"list-owner",
    b"list-unsubscribe",
    b"list-unsubscribe-post",
    b"list-subscribe",
    b"list-post",
    b"list-archive",
    b"autocrypt",
)

# RFC 6376 section 5.4.1: these change in transit or do not concern the author.
NEVER_SIGNED = (b"return-path", b"received", b"comments", b"keywords", b"bcc", b"resent-bcc", b"dkim-signature")


@dataclasses.dataclass(frozen=True, slots=True)
class Signer:
    """The parameters of a signature: its domain, selector and key.

    domain    d=, in A-labels
    selector  s=
    identity  i=; "" for none. Must be in `domain` or below.

    Raises ValueError for an invalid name, so that a setting cannot inject other tags.
    """

    domain: str
    selector: str
    key: PrivateKey
    identity: str = ""

    def __post_init__(self) -> None:
        for what, name in (("domain", self.domain), ("selector", self.selector)):
            if len(name) > 253 or not _LABELS.fullmatch(name.lower()):
                raise ValueError(
                    f"{name!r} is not a {what} that DKIM can name; an international one is written as xn--"
                )
        identity_domain = self.identity.rpartition("@")[2].lower()
        if self.identity and not ("." + identity_domain).endswith("." + self.domain.lower()):
            raise ValueError(f"the identity {self.identity!r} is outside of {self.domain}")
        if not re.fullmatch(r"[!-:<-~]*", self.identity):
            raise ValueError(f"the identity {self.identity!r} has characters that DKIM must quote")


@dataclasses.dataclass(frozen=True, slots=True)
class SigningPolicy:
    """The policy for signing. There is no setting for l=: it lets anybody append text (RFC 6376 section 8.2).

    sealed             lower-case names signed once more than present, always
    signed_if_present  the same if at least one is present
    lifetime           seconds until x=; 0 for none
    """

    relaxed_header: bool = True
    relaxed_body: bool = True
    sealed: tuple[bytes, ...] = SEALED
    signed_if_present: tuple[bytes, ...] = SIGNED_IF_PRESENT
    lifetime: int = 0

    def __post_init__(self) -> None:
        if b"from" not in self.sealed:
            raise ValueError("From must be signed (RFC 6376 section 5.4)")
        refused = set(NEVER_SIGNED) & {*self.sealed, *self.signed_if_present}
        if refused:
            raise ValueError(f"must not be signed: {b', '.join(sorted(refused)).decode()}")


DEFAULT_POLICY = SigningPolicy()


def sign(
    headers: Sequence[HeaderField],
    body: Octets,
    signers: Iterable[Signer],
    *,
    now: int,
    policy: SigningPolicy = DEFAULT_POLICY,
) -> tuple[str, ...]:
    """The values of DKIM-Signature fields, one per signer, in order; none if the message has no From field.

    headers  (name, value) of the outgoing message, including our own edits, in the form described in HeaderFields
    body     of the outgoing message. A bare LF is signed as CRLF, because sendmail and Postfix send it so; a bare CR is
             signed unchanged. The MTA may break lines longer than 990 octets, and then no signature survives.
    now      t=, seconds since the epoch

    A value is folded by LF and TAB, as libmilter expects, and must be sent with one blank after the colon.
    """
    fields = HeaderFields(headers)
    if not fields.count(b"from"):
        return ()
    names = _names_to_sign(fields, policy)
    covered = b"".join(fields.signed(names, policy.relaxed_header))
    body_hash = base64.b64encode(Body(body).sha256(policy.relaxed_body))
    return tuple(_sign_once(signer, names, covered, body_hash, now, policy) for signer in signers)


def _names_to_sign(fields: HeaderFields, policy: SigningPolicy) -> tuple[bytes, ...]:
    names: list[bytes] = []
    for name in policy.sealed:
        names += [name] * (fields.count(name) + 1)
    for name in policy.signed_if_present:
        present = fields.count(name)
        if present:
            names += [name] * (present + 1)
    return tuple(names)


def _sign_once(
    signer: Signer, names: Sequence[bytes], covered: bytes, body_hash: bytes, now: int, policy: SigningPolicy
) -> str:
    form = {True: b"relaxed", False: b"simple"}
    tags = [
        b"v=1;",
        b"a=%s;" % signer.key.algorithm.encode("ascii"),
        b"c=%s/%s;" % (form[policy.relaxed_header], form[policy.relaxed_body]),
        b"d=%s;" % signer.domain.lower().encode("ascii"),
        b"s=%s;" % signer.selector.encode("ascii"),
        b"t=%d;" % now,
    ]
    if policy.lifetime:
        tags.append(b"x=%d;" % (now + policy.lifetime))
    if signer.identity:
        tags.append(b"i=%s;" % signer.identity.encode("ascii"))
    value = folded([*tags, *names_tag(names), b"bh=%s;" % body_hash]) + b"\n\tb="
    canonical = relaxed_field if policy.relaxed_header else simple_field
    digest = hashlib.sha256(covered + canonical(FIELD_NAME, b" " + value)[:-2]).digest()
    signature = base64.b64encode(signer.key.sign(digest))
    lines = [signature[start : start + WIDTH - 4] for start in range(0, len(signature), WIDTH - 4)]
    return (value + b"\n\t ".join(lines)).decode("ascii")


def names_tag(names: Sequence[bytes]) -> list[bytes]:
    """The h= tag in pieces between which a line may be folded."""
    pieces = [name + b":" for name in names]
    return [b"h=" + pieces[0], *pieces[1:-1], pieces[-1][:-1] + b";"]


def folded(pieces: Iterable[bytes]) -> bytes:
    """Pieces in lines of at most WIDTH columns where possible; within h= they are joined without a blank."""
    lines = [b""]
    column = len(FIELD_NAME) + 1
    for piece in pieces:
        blank = b"" if not lines[-1] or lines[-1].endswith(b":") else b" "
        if lines[-1] and column + len(blank) + len(piece) > WIDTH:
            lines.append(piece)
            column = 8 + len(piece)
        else:
            lines[-1] += blank + piece
            column += len(blank) + len(piece)
    return b"\n\t".join(lines)
