"""DKIM: sign what our own users send. The last row of the journey, because a signature covers what all others have edited."""

from __future__ import annotations

import dataclasses
import logging
from typing import ClassVar

from antispam import findings as base
from antispam.accessmap import AccessMap, AccessTable
from antispam.addresses import normalize_domain, parents
from antispam.authors import authors, of_our_users
from antispam.connection import Connection
from antispam.dkim_protocol import PrivateKey, Signer, SigningPolicy, load_private_key, sign
from antispam.draft import Draft
from antispam.findings import Findings
from antispam.message import Message, Recipient
from antispam.services import Services
from antispam.settings import CheckSettings, OnError, option, section
from antispam.settings.values import duration
from antispam.verdicts import Action, Verdict

NAME = "dkim_sign"

log = logging.getLogger(__name__)


@dataclasses.dataclass(frozen=True, kw_only=True)
class Finding(base.Finding):
    """Which of our keys fit the author.

    domains    domains that will sign, in the order of their signatures' keys; empty where we have no key for the author
    too_large  the message was not kept whole, so that it can't be signed
    """

    check: ClassVar[str] = NAME
    domains: tuple[str, ...] = ()
    too_large: bool = False


def _load(path: str) -> PrivateKey:
    key = load_private_key(path)
    if key.warning:
        log.warning("%s: %s", path, key.warning)
    return key


def _private_key(text: str) -> PrivateKey | None:
    return _load(text.strip()) if text.strip() else None


def _signers(text: str) -> tuple[Signer, ...]:
    """One line a key: domain, selector, file."""
    found = []
    for line in filter(None, map(str.strip, text.replace(",", "\n").splitlines())):
        words = line.split()
        if len(words) != 3:
            raise ValueError(f"{line!r}: expected domain, selector and key file on a line")
        found.append(Signer(normalize_domain(words[0]), words[1], _load(words[2])))
    return tuple(found)


@section("dkim_sign")
class Settings(CheckSettings):
    """[dkim_sign]: signing what internal and authenticated senders send. Upstream's names for a single key stand in [dkim]."""

    on_error: OnError = option(OnError.ACCEPT, "when a message can't be signed: accept sends it unsigned")
    keys: tuple[Signer, ...] = option(
        (),
        "one line a key: domain, selector, file. Several lines for a domain give several signatures: RSA and Ed25519, say",
        parse=_signers,
    )
    domain: str = option("", "the domain that [dkim] privkey signs for", parse=normalize_domain, section="dkim")
    selector: str = option("default", "the selector of [dkim] privkey", section="dkim")
    privkey: PrivateKey | None = option(None, "file of a private key", parse=_private_key, section="dkim")
    subdomains: bool = option(True, "sign for authors in subdomains too, where these have no key of their own")
    relaxed: bool = option(
        True, "yes survives refolded lines and changed blanks on the way; no is 'simple' for both parts"
    )
    expire: float = option(0.0, "how long a signature is valid; 0 for ever", parse=duration("d"))

    def __post_init__(self) -> None:
        if self.privkey is not None:
            if not self.domain:
                raise ValueError("[dkim] privkey needs [dkim] domain: whose signature shall it be?")
            Signer(self.domain, self.selector, self.privkey)

    @property
    def signers(self) -> tuple[Signer, ...]:
        own = (Signer(self.domain, self.selector, self.privkey),) if self.privkey is not None else ()
        return (*own, *self.keys)

    def signers_for(self, domain: str) -> tuple[Signer, ...]:
        """The keys of the author's domain, or of the nearest domain above it that has any."""
        signers = self.signers
        for parent in parents(domain) if self.subdomains else (domain,):
            found = tuple(signer for signer in signers if signer.domain == parent)
            if found:
                return found
        return ()

    @property
    def policy(self) -> SigningPolicy:
        return SigningPolicy(relaxed_header=self.relaxed, relaxed_body=self.relaxed, lifetime=int(self.expire))


def collect(
    connection: Connection, message: Message | None, recipient: Recipient | None, services: Services
) -> Finding | None:
    """Only what internal clients and authenticated senders send is ours to sign."""
    settings = services.settings[Settings]
    if message is None or not settings.signers or not of_our_users(message):
        return None
    domains = dict.fromkeys(
        signer.domain for author in authors(message) for signer in settings.signers_for(author.domain)
    )
    return Finding(domains=tuple(domains), too_large=not message.body.complete)


def decide(finding: Finding, findings: Findings, settings: Settings, policy: AccessMap | AccessTable) -> Verdict:
    """Signing refuses nothing."""
    if finding.too_large:
        return Verdict(Action.CONTINUE, reason="not signed: the message is larger than max_message")
    if not finding.domains:
        return Verdict(Action.CONTINUE, reason="not signed: no key for the author's domain")
    return Verdict(Action.CONTINUE, reason=f"signed by {', '.join(finding.domains)}")


def act(finding: Finding, verdict: Verdict, draft: Draft, services: Services) -> None:
    """Put the signatures on top of the message as it will leave."""
    if finding.too_large or not finding.domains:
        return
    settings = services.settings[Settings]
    signers = [signer for signer in settings.signers if signer.domain in finding.domains]
    values = sign(draft.headers, draft.body, signers, now=int(services.clock()), policy=settings.policy)
    for value in reversed(values):
        draft.insert_header("DKIM-Signature", value)
