"""Does the message look like the spam that its recipients were taught, or like their honest mail?"""

from __future__ import annotations

from antispam.journey.services import Services
from antispam.learning.delivered import as_delivered
from antispam.learning.feedback import PERIOD
from antispam.learning.people import address_list, is_listed
from antispam.learning.settings import DspamSettings, TrainingMode
from antispam.learning.teacher import Teacher
from antispam.mail.access_map import AccessMap, AccessTable
from antispam.mail.authors import author_is_proved, authors, is_whitelisted, of_our_users
from antispam.mail.connection import Connection
from antispam.mail.evidence import Opinion, OpinionFinding
from antispam.mail.findings import Findings
from antispam.mail.message import Message, Recipient
from antispam.mail.verdicts import Action, Verdict
from antispam.net.addresses import parse_mailbox
from antispam.settings.metrics import MetricsSettings
from antispam.store import StoreError, attempts, rates
from dspam.features import author_key, extract
from dspam.hashing import Keys
from dspam.schema import dspam_signature
from dspam.store import pack_keys

SENDERS_SHARE = 10  # messages an hour that the domain of one whitelisted sender teaches everybody's dictionary
NAME = "dspam"
_ATTEMPT = "dspam attempt"
Finding = OpinionFinding
Settings = DspamSettings
ALSO_READS = (MetricsSettings,)

MAX_USERS = 100  # of one message, who are asked by name; the others get the screener's opinion


def collect(
    connection: Connection, message: Message | None, recipient: Recipient | None, services: Services
) -> OpinionFinding | None:
    """None for our own users' mail, and where no recipient wants to know."""
    settings = services.settings[Settings]
    if message is None or services.dictionaries is None or services.people is None:
        return None
    if of_our_users(message) and not settings.dspam_internal:
        return None
    honeypots = address_list(settings.honeypot)
    honeypot = any(one.address in honeypots for one in message.accepted_recipients)
    try:
        if not settings.dspam_users.users and not any(map(services.dictionaries.get, settings.dspam_screener)):
            return None  # nobody can teach, and nobody has
        users = _users(message, settings, services)
        if not users and not honeypot:
            return None
        if settings.dspam_sizelimit and message.body.size >= settings.dspam_sizelimit:
            return Finding(too_large=True, honeypot=honeypot)
        keys = extract(as_delivered(connection, message))
        message.memo[NAME] = keys, _reporters(users, settings)
        return Finding(
            opinions=_opinions(users, message, keys, services),
            authenticated=author_is_proved(message),
            whitelisted=is_listed(message, address_list(settings.dspam_whitelist)) or is_whitelisted(message),
            honeypot=honeypot,
        )
    except StoreError as error:
        return Finding(error=f"dictionary: {error}")


def _users(message: Message, settings: DspamSettings, services: Services) -> list[str]:
    """For whom the filter shall have an opinion; "" is everybody who is no user of it."""
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
    """Whose dictionaries may learn this message from a report: the users', and the screener's if that is a user, too."""
    owners = (user or next(iter(settings.dspam_screener), "") for user in users)
    return tuple(dict.fromkeys(owner for owner in owners if owner in settings.users))


def _opinions(users: list[str], message: Message, keys: Keys, services: Services) -> tuple[Opinion, ...]:
    """One for each dictionary that answers for somebody. A user's own answers once it has learned enough, then those of
    the screeners; while none has, the one that has learned most."""
    assert services.dictionaries is not None
    settings, deadline = services.settings[Settings], services.deadline
    asked: dict[str, tuple[Teacher, list[str]]] = {}
    for user in users:
        names = ([user] if user else []) + [name for name in settings.dspam_screener if name != user]
        chosen = _most_learned(names, settings.least, services)
        if chosen is not None:
            name, teacher = chosen
            asked.setdefault(name, (teacher, []))[1].append(user)
    author = next(iter(authors(message)), None)
    author_fact = author_key(str(author)) if author is not None else None
    found = []
    for name, (teacher, for_whom) in asked.items():
        score = teacher.judge(keys, deadline)
        spam, ham = teacher.hits(author_fact, deadline) if author_fact is not None else (0, 0)
        found.append(
            Opinion(
                dictionary=name,
                users=tuple(for_whom),
                probability=round(score.probability, 6),
                is_spam=score.is_spam,
                spam=score.spam,
                ham=score.ham,
                author_spam=spam,
                author_ham=ham,
            )
        )
    return tuple(found)


def _most_learned(names: list[str], least: int, services: Services) -> tuple[str, Teacher] | None:
    """The first dictionary that has learned enough, or else the one that has learned most; None where none has anything."""
    assert services.dictionaries is not None
    best: tuple[int, str, Teacher] | None = None
    for name in names:
        teacher = services.dictionaries.get(name)
        if teacher is None:
            continue
        spam, ham = teacher.totals(services.deadline)
        if min(spam, ham) >= least:
            return name, teacher
        if spam + ham > (best[0] if best is not None else 0):
            best = spam + ham, name, teacher
    return None if best is None else best[1:]


def decide(
    finding: OpinionFinding, findings: Findings, settings: DspamSettings, policy: AccessMap | AccessTable
) -> Verdict:
    """What is done about it is each recipient's own question, below."""
    if finding.too_large:
        return Verdict(Action.CONTINUE, reason="not classified: it is larger than dspam_sizelimit")
    told = (
        f"{'spam' if one.is_spam else 'not spam'}, probability {one.probability:.4f} ({one.dictionary})"
        for one in finding.opinions
    )
    return Verdict(Action.CONTINUE, reason="; ".join(told))


def afterwards(finding: OpinionFinding, message: Message, services: Services) -> None:
    """The message is taken: remember what it consists of for those who may report it, so that a report teaches just that;
    learn it where a user wants all his mail learned, as honest where a proved sender of the whitelist was misjudged, and as
    spam where a honeypot got it. Raises StoreError."""
    if NAME not in message.memo or services.dictionaries is None or services.people is None:
        return
    keys, reporters = message.memo[NAME]
    dictionaries, deadline, settings = services.dictionaries, services.deadline, services.settings[Settings]
    for owner in reporters:
        services.write_later(dspam_signature, _signature(dictionaries.make(owner), message, keys, services.clock()))
    for opinion in finding.opinions:
        for user in filter(None, opinion.users):
            if services.people.settings_for(user, deadline).training_mode is TrainingMode.TEFT:
                _learn(user, opinion.is_spam, message, keys, services)
    if is_whitelisted(message):
        for opinion in finding.opinions:
            wanting = opinion.is_spam or opinion.ham < settings.least
            if opinion.dictionary in settings.dspam_screener and wanting and _may_teach(message, services):
                _learn_some(f"whitelisted {opinion.dictionary}", opinion.dictionary, False, message, keys, services)
    if finding.honeypot:
        for name in settings.dspam_screener[:1]:
            _learn_some(f"honeypot {name}", name, True, message, keys, services)


def _may_teach(message: Message, services: Services) -> bool:
    """Whether one sender has not had his share yet: to be written to once is cheap, and he may have all names of his domain."""
    assert services.store is not None
    name = f"whitelisted sender {parse_mailbox(message.mail_from).domain}"[:255]
    return rates.use(services.store, name, 1, services.clock(), PERIOD, services.deadline) <= SENDERS_SHARE


def _learn_some(source: str, name: str, is_spam: bool, message: Message, keys: Keys, services: Services) -> None:
    """Strangers write to a honeypot, and to users who have written to them, and could so teach everybody's dictionary what
    they like: not more of it is learned than of one user's reports."""
    assert services.store is not None
    assert services.dictionaries is not None
    used = rates.use(services.store, source[:255], 1, services.clock(), PERIOD, services.deadline)
    if used <= services.settings[Settings].report_rate:
        _learn(name, is_spam, message, keys, services)


def _learn(name: str, is_spam: bool, message: Message, keys: Keys, services: Services) -> None:
    """Teach a dictionary once, however often the client brings the message: what an earlier attempt taught is taken back, so
    that a report corrects what is in force."""
    assert services.dictionaries is not None
    teacher = services.dictionaries.make(name)
    earlier = _earlier_attempt(message, services)
    if earlier and earlier != message.ref:
        teacher.forget(earlier, services.deadline)
    teacher.learn(message.ref, keys, is_spam, services.deadline)


def _earlier_attempt(message: Message, services: Services) -> str:
    """The reference under which the message was last learned; "" where it was not."""
    assert services.store is not None
    if _ATTEMPT not in message.memo:
        identity = message.identity()
        message.memo[_ATTEMPT] = identity and attempts.note(
            services.store, "lessons", identity, message.ref, services.clock(), services.deadline
        )
    earlier: str = message.memo[_ATTEMPT]
    return earlier


def _signature(teacher: Teacher, message: Message, keys: Keys, now: float) -> dict[str, object]:
    """Made when the message is here: a client that said MAIL long ago could have read newer signatures since."""
    return {
        "signature": message.ref,
        "user_id": teacher.number,
        "created_at": now,
        "content": pack_keys(keys),
    }
