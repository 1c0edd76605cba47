"""Does the message look like its recipients' spam or their ham?"""

from __future__ import annotations

import numpy as np

from antispam.checks._shared.lessons import author_of, learn, learn_some, may_teach, wants_ham
from antispam.checks._shared.starting import start
from antispam.journey.services import Services
from antispam.learning.asking import Asking
from antispam.learning.delivered import received
from antispam.learning.digest_settings import DigestSettings
from antispam.learning.language_settings import LanguageSettings
from antispam.learning.login_settings import LoginSettings
from antispam.learning.people import address_list, is_listed
from antispam.learning.settings import DspamSettings, TrainingMode
from antispam.learning.teacher import Teacher
from antispam.mail.access_map import AccessMap, AccessTable
from antispam.mail.authors import author_is_proved, from_our_users, is_whitelisted
from antispam.mail.connection import Connection
from antispam.mail.findings import Findings
from antispam.mail.learned_evidence import Opinion, OpinionFinding
from antispam.mail.message import Message, Recipient
from antispam.mail.shown import shown
from antispam.mail.verdicts import Action, Verdict
from antispam.settings.health import HealthSettings
from antispam.settings.imap import ImapSettings
from antispam.settings.learn import LearnSettings
from antispam.settings.metrics import MetricsSettings
from antispam.settings.web import WebSettings
from antispam.store import StoreError
from dspam.features import facts_of_tests, keys_of
from dspam.hashing import Keys, merged
from dspam.reading import under
from dspam.schema import dspam_signature
from dspam.store import pack_keys

NAME = "dspam"
OTHERWISE = "Train the filter: forward the message to the training address, or use `bms train`."
Finding = OpinionFinding
Settings = DspamSettings
ALSO_READS = (
    MetricsSettings,
    WebSettings,
    LanguageSettings,
    LearnSettings,
    DigestSettings,
    LoginSettings,
    HealthSettings,
    ImapSettings,
)
READS_HITS = True

MAX_USERS = 100  # users of one message with an opinion of their own; the others get the screener's


def collect(
    connection: Connection, message: Message | None, recipient: Recipient | None, services: Services
) -> OpinionFinding | None:
    """None for our own users' mail, or if no recipient needs a classification."""
    settings = services.settings[Settings]
    if message is None or services.dictionaries is None or services.people is None:
        return None
    if from_our_users(message) and not settings.dspam_internal:
        return None
    honeypots = address_list(settings.honeypot)
    honeypot = any(one.address in honeypots for one in message.accepted_recipients)
    try:
        known = any(map(services.dictionaries.get, settings.dspam_screener))
        if not settings.dspam_users.users and not settings.honeypot and not known:
            return None  # nothing is or can be learned
        users = _users(message, settings, services)
        if not users and not honeypot:
            return None
        if settings.dspam_sizelimit and message.body.size >= settings.dspam_sizelimit:
            return Finding(too_large=True, honeypot=honeypot)
        # Other checks use the same parsed message, with the original header.
        keys = keys_of(under(received(connection), shown(message).document))
        # The results of earlier rows are tokens like others: the dictionary learns their weight.
        tests = np.sort(np.array(list(facts_of_tests(hit.test for hit in message.findings.hits())), dtype=np.int64))
        message.memo[NAME] = merged(keys, tests), _reporters(users, settings)
        return Finding(
            opinions=_opinions(users, message, keys, tests, services),
            authenticated=author_is_proved(message),
            whitelisted=is_listed(message, address_list(settings.dspam_whitelist)) or is_whitelisted(message),
            honeypot=honeypot,
        )
    except StoreError as error:
        return Finding(error=f"dictionary: {error}")


def _users(message: Message, settings: DspamSettings, services: Services) -> list[str]:
    """The users for whom the message is classified; "" stands for everybody who is not a user of the filter."""
    assert services.people is not None
    exempt = address_list(settings.dspam_exempt)
    found: dict[str, None] = {}
    for one in message.accepted_recipients:
        if one.address in exempt:
            continue
        user = services.people.user_of(one.address)
        if user is not None and user not in found and len(found) >= MAX_USERS:
            user = None
        if user in found or services.people.settings_for(user, services.deadline).opt_out:
            continue
        found[user or ""] = None
    return list(found)


def _reporters(users: list[str], settings: DspamSettings) -> tuple[str, ...]:
    """The users whose reports may train with this message: the recipients and, if it is a user, the screener."""
    owners = (user or next(iter(settings.dspam_screener), "") for user in users)
    return tuple(dict.fromkeys(owner for owner in owners if owner in settings.users))


def _opinions(users: list[str], message: Message, keys: Keys, tests: Keys, services: Services) -> tuple[Opinion, ...]:
    assert services.dictionaries is not None
    settings = services.settings[Settings]
    asking = Asking(services.dictionaries, keys, author_of(message), services.deadline, tests)
    return asking.opinions(users, settings.dspam_screener, settings.least)


def decide(
    finding: OpinionFinding, findings: Findings, settings: DspamSettings, policy: AccessMap | AccessTable
) -> Verdict:
    """The opinion alone decides nothing: spam_action decides for each recipient."""
    if finding.too_large:
        return Verdict(Action.CONTINUE, reason="not classified: it is larger than dspam_sizelimit")
    reasons = (
        f"{'spam' if one.is_spam else 'not spam'}, probability {one.probability:.4f} ({_whose(one)})"
        for one in finding.opinions
    )
    return Verdict(Action.CONTINUE, reason="; ".join(reasons))


def _whose(opinion: Opinion) -> str:
    return (
        f"{opinion.dictionary}, part {opinion.own_part:.2f}, and {opinion.lent}" if opinion.lent else opinion.dictionary
    )


def afterwards(finding: OpinionFinding, message: Message, services: Services) -> None:
    """After the message was accepted: store its tokens for those who may report it, so that a report trains with
    exactly these. Learn it for users who want all their mail learned; as ham if a proved whitelisted sender was
    misjudged or ham is lacking; and as spam if a honeypot got it. Raises StoreError.
    """
    if NAME not in message.memo or services.dictionaries is None or services.people is None:
        return
    keys, reporters = message.memo[NAME]
    dictionaries, deadline, settings = services.dictionaries, services.deadline, services.settings[Settings]
    for owner in reporters:
        services.write_later(dspam_signature, _signature(dictionaries.make(owner), message, keys, services.clock()))
    for opinion in finding.opinions:
        for user in filter(None, opinion.users):
            if services.people.settings_for(user, deadline).training_mode is TrainingMode.TEFT:
                learn(user, opinion.is_spam, message, keys, services)
    for name in settings.dspam_screener[:1]:
        if finding.honeypot:
            learn_some(f"honeypot {name}", name, True, message, keys, services)
        elif is_whitelisted(message) and _wanting(finding, name, services) and may_teach(message, services):
            learn_some(f"whitelisted {name}", name, False, message, keys, services)


def concluded(
    finding: OpinionFinding, connection: Connection, message: Message | None, verdict: Verdict, services: Services
) -> None:
    """Start an empty dictionary. That is done here because clear spam is refused and never reaches afterwards(). Raises
    StoreError.
    """
    if message is None or NAME not in message.memo or services.dictionaries is None or services.store is None:
        return
    if not finding.honeypot and not is_whitelisted(message):  # those are learned by afterwards()
        start(message, message.memo[NAME][0], finding.authenticated, verdict, services)


def _wanting(finding: OpinionFinding, name: str, services: Services) -> bool:
    """Whether this dictionary misjudged the message, or has too little ham."""
    misjudged = any(one.is_spam and name in (one.dictionary, one.lent) for one in finding.opinions)
    return misjudged or wants_ham(name, services)


def _signature(teacher: Teacher, message: Message, keys: Keys, now: float) -> dict[str, object]:
    """The signature's row, made at the end of the message: since MAIL, the client could have seen newer signatures."""
    return {
        "signature": message.ref,
        "user_id": teacher.number,
        "created_at": now,
        "content": pack_keys(keys),
    }
