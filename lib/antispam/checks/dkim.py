"""DKIM: which domains signed the message, and was it changed afterwards?

The access map judges the result (`dkim-<result>:`); without an entry, [dkim] does. By default nothing is refused: a
broken signature alone is no reason (RFC 6376 section 6.3), because mailing lists break signatures every day.
"""

from __future__ import annotations

import enum
import re

from antispam.checks._shared.dkim_keys.lookup import BesideOneAnother, is_known, key_lookup
from antispam.journey.services import Services
from antispam.mail.access_map import AccessMap, AccessTable, Policy, apply_entry, parse_policy
from antispam.mail.authors import authors, from_our_users
from antispam.mail.connection import Connection
from antispam.mail.evidence import DkimFinding
from antispam.mail.findings import Findings
from antispam.mail.message import Message, Recipient
from antispam.mail.score import Hit
from antispam.mail.verdicts import Action, Verdict, reject, tempfail
from antispam.net.addresses import Mailbox, parse_mailbox
from antispam.net.resolver import DNSTemporaryError
from antispam.protocols.dkim import DkimResult, Limits, SignatureResult, Verification, foremost, verify
from antispam.settings import CheckSettings, option, section

NAME = "dkim"
OTHERWISE = (
    "A `DKIM-Fail:example.org OK` entry of the access map decides for one domain; the options of `[dkim]` (`fail`, "
    "`none` and so on) decide for all."
)
Finding = DkimFinding
LOOKS_UP = True

# A rough parser for the tags, good enough to know whether the key was looked up before.
_DOMAIN = re.compile(rb"(?:^|;)\s*d\s*=\s*([^;\s]+)")
_PRACTICE = re.compile(rb"\s*dkim\s*=\s*(all|discardable|unknown)\s*(?:;|$)")
_SELECTOR = re.compile(rb"(?:^|;)\s*s\s*=\s*([^;\s]+)")


class Practice(enum.StrEnum):
    """The signing practice that a domain may publish (ADSP); rare since DMARC."""

    ALL = "all"
    DISCARDABLE = "discardable"


def _policy(text: str) -> Policy | None:
    return parse_policy(text) if text.strip() else None


def _on(result: str) -> Policy | None:
    return option(  # type: ignore[no-any-return]
        None, f"what to do about {result}, in the words of the access map; empty goes on", parse=_policy
    )


def _at_least_one(number: int) -> None:
    if number < 1:
        raise ValueError("must be 1 or more")


def _enough_bits(number: int) -> None:
    if number < 1024:
        raise ValueError("RFC 8301 forbids less than 1024")


@section("dkim")
class Settings(CheckSettings):
    """[dkim]: verifying DKIM signatures, RFC 6376."""

    fail: Policy | None = _on("a message that was changed after it was signed")
    none: Policy | None = _on("a message that is not signed")
    policy: Policy | None = _on("signatures with a key that is too short, or that leave part of the body unsigned (l=)")
    neutral: Policy | None = _on("signatures that cannot be parsed")
    permerror: Policy | None = _on("expired signatures, and those without a usable key")
    temperror: Policy | None = _on("keys that cannot be looked up at the moment (TEMPFAIL lets the sender try again)")
    reject: Practice | None = option(
        None,
        "refuse mail without a passing signature if the author's domain says (ADSP, RFC 5617) that it signs all its "
        "mail: all, or only if it says that such mail may be discarded: discardable; empty asks nobody",
    )
    max_signatures: int = option(10, "how many signatures of a message are verified", check=_at_least_one)
    min_key: int = option(1024, "RSA keys with fewer bits do not pass", check=_enough_bits)


def ready(connection: Connection, message: Message, services: Services) -> bool:
    """Whether every key that will be needed is in the resolver's cache."""
    if services.settings[Settings].reject is not None:
        return False
    for header in message.fields(b"dkim-signature"):
        domain, selector = _DOMAIN.search(header.value), _SELECTOR.search(header.value)
        if domain is None or selector is None:
            return False
        name = f"{selector[1].decode('ascii', 'replace')}._domainkey.{domain[1].decode('ascii', 'replace')}"
        if not is_known(services.resolver, name.lower()):
            return False
    return True


def collect(
    connection: Connection, message: Message | None, recipient: Recipient | None, services: Services
) -> DkimFinding | None:
    """None for internal clients and authenticated senders: their mail is signed, not verified."""
    if message is None or from_our_users(message):
        return None
    author = authors(message)
    who = str(author[0]) if len(author) == 1 else ""
    signed = bool(message.fields(b"dkim-signature"))
    if signed and not message.body.complete:
        unread = SignatureResult(result=DkimResult.NEUTRAL, reason="message too large to be verified")
        return DkimFinding(signatures=(unread,), author=who)
    found = _verified(message, services) if signed else Verification()
    passed = any(one.result is DkimResult.PASS for one in found.signatures)
    asked = services.settings[Settings].reject is not None and not passed
    practice = _practice(parse_mailbox(who).domain, services) if asked else ""
    return DkimFinding(signatures=found.signatures, skipped=found.ignored, author=who, practice=practice)


def _verified(message: Message, services: Services) -> Verification:
    settings = services.settings[Settings]
    return verify(
        message.headers,
        message.body.content(),
        key_lookup(services.resolver, services.deadline),
        now=int(services.clock()),
        limits=Limits(max_signatures=settings.max_signatures, min_rsa_bits=settings.min_key),
        run_lookups=BesideOneAnother(services.resolver),
    )


def _practice(domain: str, services: Services) -> str:
    """The signing practice that a domain publishes (RFC 5617 section 4.2)."""
    if not domain:
        return "unknown"
    try:
        texts = services.resolver.lookup(f"_adsp._domainkey.{domain}", "TXT", services.deadline).texts
    except DNSTemporaryError:
        return "temperror"
    match = _PRACTICE.match(texts[0]) if len(texts) == 1 else None
    return match[1].decode("ascii") if match else "unknown"


def decide(finding: DkimFinding, findings: Findings, settings: Settings, policy: AccessMap | AccessTable) -> Verdict:
    """The signature most in favour of the message counts. One from a domain that is testing DKIM (t=y) counts only if
    it passes (RFC 6376 section 3.6.1).
    """
    serious = tuple(one for one in finding.signatures if one.result is DkimResult.PASS or not one.testing)
    best = foremost(serious) or SignatureResult(result=DkimResult.NONE)
    reason = _found(best, finding)
    for one in (one for one in (*serious, best) if one.result is best.result):
        entry = policy.policy(f"dkim-{one.result}", _sender(one, finding))
        if entry is not None:
            return _apply_entry(entry, one, finding, f"{_found(one, finding)}, access map {entry.key} {entry.action}")
    refusal = _by_practice(finding, settings, reason)
    default: Policy | None = None if best.result is DkimResult.PASS else getattr(settings, best.result.value)
    if default is None:
        return refusal or Verdict(Action.CONTINUE, reason=reason)
    return _apply_entry(default, best, finding, reason)


def _by_practice(finding: DkimFinding, settings: Settings, reason: str) -> Verdict | None:
    """Upstream's [dkim] reject: the verdict that follows from the author domain's signing practice."""
    domain = parse_mailbox(finding.author).domain
    if settings.reject is None or not finding.practice:
        return None
    reason = f"{reason}; ADSP of {domain}: {finding.practice}"
    if finding.practice == "temperror":
        return tempfail(f"The signing practice of {domain} could not be looked up; please try again later.", reason)
    if finding.practice != Practice.DISCARDABLE and finding.practice != settings.reject:
        return None
    text = (
        f"{domain} says that it signs all its mail, and this message has no valid DKIM signature.\n"
        "If you sent it, use the mail server of the provider of that address, not a mailing list or a forwarder."
    )
    return reject(text, reason, enhanced="5.7.20")


def _sender(one: SignatureResult, finding: DkimFinding) -> Mailbox:
    """The name for the access map look-up of a signature: the author if the signing domain matches, otherwise that
    domain with the local part of i=. Without a signature it is the author.
    """
    author = parse_mailbox(finding.author)
    if not one.domain or author.domain == one.domain or author.domain.endswith("." + one.domain):
        return author
    return Mailbox(one.identity.rpartition("@")[0], one.domain)


def _found(one: SignatureResult, finding: DkimFinding) -> str:
    """The result in words for the log."""
    notes = [one.reason] if one.reason else []
    notes += [f"{finding.skipped} more signatures ignored"] if finding.skipped else []
    of = f" of {one.domain}" if one.domain else ""
    return f"DKIM {one.result}{of}" + (f" ({', '.join(notes)})" if notes else "")


def _apply_entry(entry: Policy, one: SignatureResult, finding: DkimFinding, reason: str) -> Verdict:
    return apply_entry(entry, reject(_reply_text(one), reason, enhanced=_enhanced(one, finding)))


def _enhanced(one: SignatureResult, finding: DkimFinding) -> str:
    """RFC 7372 section 3.1: no passing, no acceptable, or no author-matched signature."""
    if one.result is DkimResult.POLICY:
        return "5.7.21"
    if one.result is not DkimResult.PASS:
        return "5.7.20"
    matched = _sender(one, finding) == parse_mailbox(finding.author)
    return "5.7.21" if matched else "5.7.22"


def _reply_text(one: SignatureResult) -> str:
    """What was found and what the sender can do, for the person who reads the bounce."""
    domain = one.domain or "the sender"
    match one.result:
        case DkimResult.FAIL:
            return (
                f"The message does not match the DKIM signature of {domain}: {one.reason}.\n"
                "It was changed on the way. If you sent it, send it again directly, not through a mailing list or a "
                "forwarder."
            )
        case DkimResult.NONE:
            return (
                "Mail from this sender must carry a DKIM signature, and the message has none.\n"
                "If you sent it, use the mail server of the provider of that address."
            )
        case DkimResult.TEMPERROR:
            return (
                f"The DKIM key of {domain} could not be looked up.\n"
                f"The message can be accepted once the name servers of {domain} answer; your server will try again by itself."
            )
        case DkimResult.PASS:
            return f"Mail signed by {domain} is not accepted here."
        case _:
            return (
                f"The DKIM signature of {domain} is not acceptable: {one.reason}.\n"
                f"Please tell the administrator of {domain}."
            )


_BROKEN = (DkimResult.FAIL, DkimResult.POLICY, DkimResult.PERMERROR, DkimResult.NEUTRAL)


def points(finding: DkimFinding, findings: Findings, settings: Settings) -> tuple[Hit, ...]:
    """One signature that passes, or may still pass, is enough (RFC 6376 section 6.1)."""
    best = foremost(finding.signatures)
    if best is None:
        return (Hit("DKIM_NONE", "The message is not signed."),)
    if best.result in _BROKEN:
        return (Hit("DKIM_INVALID", f"{_found(best, finding)}."),)
    return ()
