"""Is this a training address, and may this sender use it?

The reporter's dictionary learns: the login of SMTP AUTH decides, or the envelope sender of an internal client. The From
field proves nothing: anybody can write any address there.
"""

from __future__ import annotations

from antispam.journey.services import Services
from antispam.learning.feedback import PERIOD, rate_name, too_many
from antispam.learning.people import address_list
from antispam.learning.settings import DspamSettings
from antispam.mail.access_map import AccessMap, AccessTable
from antispam.mail.connection import Connection
from antispam.mail.evidence import AuthFinding, ClientClass, ConnectionFinding
from antispam.mail.findings import Findings
from antispam.mail.learned_evidence import TrainingFinding, Verb
from antispam.mail.message import Message, Recipient
from antispam.mail.verdicts import Action, Verdict, reject, tempfail
from antispam.store import StoreError, rates
from antispam.text import from_wire

NAME = "training_address"
OTHERWISE = "`[dspam] dspam_users` says who may train the filter by mail."
Finding = TrainingFinding
Settings = DspamSettings

_STRANGER = (
    "Mail to this address trains our spam filter, so only our own users may send to it.\n"
    "If you are one of them, set up your mail program to authenticate (SMTP AUTH), as for all your mail."
)
_UNKNOWN = (
    "This address is for reporting spam; the filter has no profile for {who} yet.\n"
    "Please ask your mail administrator to add one in [dspam] dspam_users."
)


def verbs(address: str, settings: DspamSettings) -> Verb | None:
    """The kind of report that mail to this address makes; None for any other address."""
    lists = {
        Verb.SPAM: settings.spam,
        Verb.BAN: settings.bandom,
        Verb.HAM: (*settings.ham, *settings.falsepositive),
    }
    return next((verb for verb, listed in lists.items() if listed and address in address_list(listed)), None)


def applies(settings: Settings) -> bool:
    return settings.taught_by_mail


def collect(
    connection: Connection, message: Message | None, recipient: Recipient | None, services: Services
) -> TrainingFinding | None:
    """None for any other recipient."""
    settings = services.settings[Settings]
    assert message is not None
    assert recipient is not None
    verb = verbs(recipient.address, settings)
    if verb is None or services.people is None:
        return None
    auth, client = message.findings.get(AuthFinding), message.findings.get(ConnectionFinding)
    login = auth.login if auth is not None else ""
    internal = client is not None and client.client is ClientClass.INTERNAL
    if not login and not internal:
        return Finding(verb=verb)
    claimed = login or message.mail_from
    addresses = services.people.addresses
    user = (addresses.user_of_login(login) if login else addresses.user_of(message.mail_from)) or ""
    found = Finding(verb=verb, claimed=from_wire(claimed, 320), user=user, allowed=settings.report_rate)
    if not user or services.store is None:
        return found
    try:
        used = rates.used(services.store, rate_name(user), services.clock(), PERIOD, services.deadline)
    except StoreError as error:
        # Not `error`: whatever on_error says about spam, a report that cannot be learned must be retried.
        return Finding(verb=verb, claimed=found.claimed, user=user, store_error=str(error))
    return Finding(verb=verb, claimed=found.claimed, user=user, used=used, allowed=settings.report_rate)


def decide(
    finding: TrainingFinding, findings: Findings, settings: DspamSettings, policy: AccessMap | AccessTable
) -> Verdict:
    if not finding.claimed and not finding.user:
        return reject(_STRANGER, "an outsider tried to train the filter")
    if not finding.user:
        return reject(
            _UNKNOWN.format(who=finding.claimed), f"{finding.claimed} is not in dspam_users", enhanced="5.7.1"
        )
    if finding.store_error:
        return tempfail(
            "Reports cannot be accepted at the moment; please try again later.", finding.store_error, enhanced="4.3.0"
        )
    if finding.used >= finding.allowed:
        return too_many(finding.user, finding.used)
    return Verdict(Action.CONTINUE, reason=f"{finding.verb} report of {finding.user}")


def tidy(services: Services) -> bool:
    """Delete a slice of the counts of past hours. True if more may be left."""
    return services.store is not None and rates.purge(services.store, services.clock() - PERIOD) > 0
