"""Other people's DKIM signatures that our changes break."""

from __future__ import annotations

import re

from antispam.checks._shared.dkim_keys.lookup import key_lookup
from antispam.journey.services import Services
from antispam.mail.draft import Draft
from antispam.mail.evidence import DkimFinding
from antispam.protocols.dkim import DkimResult, Limits, SignatureResult, verify

_SIGNED = re.compile(rb"(?:^|;)\s*h\s*=([^;]*)")


def broken_by(draft: Draft, services: Services) -> tuple[SignatureResult, ...]:
    """The signatures that passed on arrival and fail as the message leaves. They are verified again only if the body
    changed, or a field that one of them covers was changed or added.
    """
    found = draft.message.findings.get(DkimFinding)
    passed = [one for one in found.signatures if one.result is DkimResult.PASS] if found is not None else []
    if not passed or not (draft.body_changed or draft.touched & _signed(draft)):
        return ()
    after = verify(
        draft.headers,
        draft.body,
        key_lookup(services.resolver, services.deadline),
        now=int(services.clock()),
        limits=Limits(max_signatures=max(len(passed), Limits().max_signatures)),
    )
    failed = {_which(one) for one in after.signatures if one.result is DkimResult.FAIL}
    return tuple(one for one in passed if _which(one) in failed)


def _which(one: SignatureResult) -> tuple[str, str, str]:
    return one.domain, one.selector, one.prefix


def _signed(draft: Draft) -> set[bytes]:
    """The names of all fields that a signature may cover."""
    lists = [_SIGNED.search(header.value) for header in draft.message.fields(b"dkim-signature")]
    return {name.strip().lower() for found in lists if found is not None for name in found[1].split(b":")}
