"""ARC (RFC 8617): seal forwarded mail, so that later servers know the results from before we changed it.

The set goes on top of all other fields. It reports our own Authentication-Results: the field for this message or, if a
list server of ours sends it on, the one that we wrote when it came in.
"""

from __future__ import annotations

import dataclasses
import re
from typing import ClassVar

from antispam.checks._shared.arc import ArcSettings, Seal
from antispam.checks._shared.dkim_keys.signing import SigningSettings
from antispam.journey.services import Services
from antispam.mail import findings as base
from antispam.mail.access_map import AccessMap, AccessTable
from antispam.mail.authors import from_our_users
from antispam.mail.connection import Connection
from antispam.mail.draft import AddRecipient, Draft
from antispam.mail.evidence import ArcFinding, OwnMailFinding
from antispam.mail.findings import Findings
from antispam.mail.message import Message, Recipient
from antispam.mail.verdicts import CONTINUE, Action, Verdict
from antispam.protocols.arc import ArcResult, Chain, SealingPolicy, reported, seal
from antispam.protocols.authentication_results import claims
from antispam.protocols.dkim import Signer
from antispam.text import from_wire

NAME = "arc_seal"
Settings = ArcSettings
ALSO_READS = (SigningSettings,)

_FIELD = b"authentication-results"
_NAME = re.compile(rb"\s*([^\s;]+)\s*;")


@dataclasses.dataclass(frozen=True, kw_only=True)
class Finding(base.Finding):
    """The facts for our seal.

    domain   the domain whose key seals; "" if there is none
    onward   one of our own machines sends it on
    too_large  the message was not kept whole
    """

    check: ClassVar[str] = NAME
    domain: str = ""
    onward: bool = False
    too_large: bool = False


def applies(settings: ArcSettings) -> bool:
    return settings.seal is not Seal.NO


def collect(
    connection: Connection, message: Message | None, recipient: Recipient | None, services: Services
) -> Finding | None:
    """None for messages of our own outbox."""
    if message is None or not applies(services.settings[Settings]):
        return None
    own = message.findings.get(OwnMailFinding)
    if own is not None and own.outbox_id:
        return None
    signer = _signer(services)
    domain = from_wire(signer.domain) if signer is not None else ""
    return Finding(domain=domain, onward=from_our_users(message), too_large=not message.body.complete)


def _signer(services: Services) -> Signer | None:
    """The signer that seals. RSA is preferred: hardly any ARC verifier supports Ed25519."""
    wanted = services.settings[Settings].domain
    signers = [one for one in services.settings[SigningSettings].signers if not wanted or one.domain == wanted]
    return next((one for one in signers if one.key.algorithm.startswith("rsa")), next(iter(signers), None))


def decide(finding: Finding, findings: Findings, settings: ArcSettings, policy: AccessMap | AccessTable) -> Verdict:
    """Sealing never causes a refusal."""
    if not finding.domain:
        return Verdict(Action.CONTINUE, reason="not sealed: [dkim_sign] has no key for that")
    if finding.too_large:
        return Verdict(Action.CONTINUE, reason="not sealed: the message is larger than max_message")
    return CONTINUE


def act(finding: Finding, verdict: Verdict, draft: Draft, services: Services) -> None:
    signer = _signer(services)
    if signer is None or finding.too_large:
        return
    results = _ours(draft, finding.onward)
    if results is None or not (finding.onward or _goes_on(draft, services.settings[Settings])):
        return
    draft.fold_long_lines()
    chain = _chain(draft.message, results if finding.onward else b"")
    text = results.strip().decode("utf-8", "replace")
    for name, value in seal(draft.headers, draft.body, signer, text, chain, now=int(services.clock())):
        draft.insert_header(name, value)


def _ours(draft: Draft, onward: bool) -> bytes | None:
    """The value of our own Authentication-Results, None if there is none. For forwarded mail it is the field that the
    message came with: fields under our name from outside are removed (checks/authentication_results.py).
    """
    here = {id(header) for header in draft.message.headers}
    written = [header.value for header in draft.headers if header.key == _FIELD and id(header) not in here]
    if not written:
        return None
    if not onward:
        return written[0]
    name = _NAME.match(written[0])
    if name is None:
        return None
    authserv_id = name[1].decode("ascii", "replace")
    return next((one.value for one in draft.message.fields(_FIELD) if claims(one.value, (authserv_id,))), None)


def _goes_on(draft: Draft, settings: ArcSettings) -> bool:
    """Whether the message was changed, or goes to a recipient that the client did not name."""
    if settings.seal is Seal.ALL or draft.body_changed:
        return True
    covered = draft.touched & set(SealingPolicy().covered)
    return bool(covered) or any(isinstance(edit, AddRecipient) for edit in draft.edits())


def _chain(message: Message, results: bytes) -> Chain:
    """The state of the chain as the message came to us. A list server breaks the chain when it sends a message on, so
    the recorded state from when it came in counts (RFC 8617 section 5.1).
    """
    found = message.findings.get(ArcFinding)
    if found is None:
        return Chain(ArcResult.NONE)
    result = found.result
    if results:
        said = next((one.result for one in reported(results) if one.method == "arc"), "")
        result = ArcResult.PASS if said == "pass" else ArcResult.FAIL
    return Chain(result, instances=found.instances, ended=found.ended)
