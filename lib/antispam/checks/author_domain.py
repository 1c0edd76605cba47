"""The author in From: our users may use only their own addresses, and outsiders may not use ours.

Modelled on the Postfix milter "Verify Domain". A host for many virtual domains knows its domains from a list, the
access map, SQL or LDAP. If a web form or an infected computer writes another domain into From, the message is refused,
quarantined or fixed: From becomes the envelope sender, and the author moves to Reply-To.
"""

from __future__ import annotations

import dataclasses
import email.header
import functools
import re
from collections.abc import Iterator, Sequence
from pathlib import Path

from antispam.checks._shared.author_directories import DirectoryError, LdapPlace, Question, SqlPlace, directory
from antispam.checks._shared.author_list import Alignment, AuthorList, aligned, author_list
from antispam.journey.services import Services
from antispam.mail.access_map import AUTHOR, AccessMap, AccessTable, Policy, apply_entry
from antispam.mail.access_map import Action as Wanted
from antispam.mail.authors import authors, every_author, from_our_users, is_overlong, is_proved, proved_domains
from antispam.mail.connection import Connection
from antispam.mail.draft import Draft
from antispam.mail.evidence import AuthFinding, AuthorFinding, ClientClass, ConnectionFinding, SpfFinding
from antispam.mail.findings import Findings
from antispam.mail.message import Header, Message, Recipient
from antispam.mail.remedies import Remedy, remedy_option, verdict_for
from antispam.mail.score import Hit
from antispam.mail.verdicts import CONTINUE, Action, Verdict, reject
from antispam.net.addresses import Mailbox, client_list, host_list, is_hostname, parse_ip, parse_mailbox
from antispam.protocols.address_fields import has_address, mailboxes
from antispam.settings import CheckSettings, Mode, option, section
from antispam.settings.values import duration, listed
from antispam.text import from_wire

NAME = "author_domain"
OTHERWISE = (
    "An `Author:` entry of the access map allows an author; `[author_domain] mailing_lists` names lists that return your "
    "own users' mail."
)
Finding = AuthorFinding
LOOKS_UP = True

MAX_ASKED = 10  # authors of a message; each may need a directory query
_ATOM = re.compile(r"[A-Za-z0-9!#$%&'*+/=?^_`{|}~-]+(?:\.[A-Za-z0-9!#$%&'*+/=?^_`{|}~-]+)*")  # RFC 5322 section 3.2.3
_MAX_NAME = 200
_REMEDIES = (Remedy.REJECT, Remedy.QUARANTINE, Remedy.HOLD)


def _authors(items: tuple[str, ...]) -> None:
    AuthorList(items)


def _file(text: str) -> Path | None:
    return Path(text.strip()) if text.strip() else None


@section("author_domain")
class Settings(CheckSettings):
    """[author_domain]: the authors allowed in From."""

    domains: tuple[str, ...] = option(
        (),
        "what internal and authenticated senders may use in From: domains, *.example.com, full addresses, or file:PATH. "
        "Empty, with no directory below: anything",
        parse=listed,
        check=_authors,
    )
    sql_url: str = option("", "SQLAlchemy URL of a database that is asked about authors that are not in the list")
    sql_query: str = option(
        "SELECT 1 FROM domains WHERE name = :domain",
        "the query; a row means yes. :address, :local and :domain are the author's, :sender and :login are those of "
        "the sender",
    )
    ldap_url: str = option("", "the same for an LDAP directory: ldap://host or ldaps://host; needs bms-antispam[ldap]")
    ldap_base: str = option("", "base DN of the search")
    ldap_filter: str = option(
        "(associatedDomain=%d)", "search filter; an entry means yes. %s is the address, %u and %d are its two parts"
    )
    ldap_bind_dn: str = option("", "DN to bind as; empty binds anonymously")
    ldap_password_file: Path | None = option(None, "file whose first line is the password", parse=_file)
    ldap_starttls: bool = option(False, "encrypt ldap:// with StartTLS; certificates are always verified")
    ldap_ca_file: Path | None = option(None, "CA certificates, if the system does not have them", parse=_file)
    lookup_timeout: float = option(5.0, "how long a directory may take to answer", parse=duration("s"))
    align: Alignment = option(
        Alignment.OFF,
        "how From must match MAIL FROM: off, relaxed (one domain equals or is below the other), strict (the same domain) "
        "or address (the same address)",
    )
    honour_sender: bool = option(False, "accept an author that is not ours if the Sender field names one of ours")
    remedy: Remedy = remedy_option(
        Remedy.REJECT,
        "reject, quarantine, hold, or fix: From becomes MAIL FROM, and the author moves to Reply-To",
        allowed=(*_REMEDIES, Remedy.FIX),
    )
    exempt_clients: tuple[str, ...] = option(
        (), "internal clients that pass on other people's mail: mail servers, list servers", check=client_list
    )
    protected: tuple[str, ...] = option(
        (),
        "for mail from outside: authors that it may not use unless SPF or DKIM prove their domain. Same form as domains",
        parse=listed,
        check=_authors,
    )
    mailing_lists: tuple[str, ...] = option(
        (), "domains of mailing lists, proved by SPF or DKIM, that return our users' own mail", check=host_list
    )
    # Not FIX: a stranger's envelope sender is no better author.
    forged: Remedy = remedy_option(
        Remedy.REJECT, "what to do with such mail: reject, quarantine or hold", allowed=_REMEDIES
    )

    def __post_init__(self) -> None:
        for place in self.places:
            place.check()

    @functools.cached_property
    def places(self) -> tuple[SqlPlace | LdapPlace, ...]:
        found: list[SqlPlace | LdapPlace] = []
        if self.sql_url:
            found.append(SqlPlace(self.sql_url, self.sql_query, self.lookup_timeout))
        if self.ldap_url:
            found.append(
                LdapPlace(
                    self.ldap_url,
                    self.ldap_base,
                    self.ldap_filter,
                    self.ldap_bind_dn,
                    self.ldap_password_file,
                    self.ldap_starttls,
                    self.ldap_ca_file,
                    self.lookup_timeout,
                )
            )
        return tuple(found)


def ready(connection: Connection, message: Message, services: Services) -> bool:
    """Whether no directory must be queried: only those take time, and only for our own users."""
    return not services.settings[Settings].places or not from_our_users(message)


def applies(settings: Settings) -> bool:
    listed = settings.domains or settings.places or settings.protected
    return bool(listed) or settings.align is not Alignment.OFF


def collect(
    connection: Connection, message: Message | None, recipient: Recipient | None, services: Services
) -> AuthorFinding | None:
    """None if no setting concerns the message's authors."""
    assert message is not None
    settings = services.settings[Settings]
    if from_our_users(message):
        return _of_ours(connection, message, settings, services)
    return _from_outside(connection, message, settings)


def _of_ours(connection: Connection, message: Message, settings: Settings, services: Services) -> AuthorFinding | None:
    if client_list(settings.exempt_clients).match(parse_ip(connection.ip), connection.name):
        return None
    found, unreadable = _authors_of(message)
    lists = bool(settings.domains or settings.places)
    named = any(services.access.policy(AUTHOR, author) for author in found)
    if not (lists or named or settings.align is not Alignment.OFF):
        return None
    sender = parse_mailbox(message.mail_from)
    try:
        foreign = _foreign(message, found, settings, services) if lists else ()
        vouched = _vouched(message, settings, services) if foreign and settings.honour_sender else ""
    except DirectoryError as error:
        return AuthorFinding(error=from_wire(str(error)))
    unaligned = tuple(author for author in found if not aligned(author, sender, settings.align))
    wrong = [one for one in (*(() if vouched else foreign), *unaligned) if not services.access.policy(AUTHOR, one)]
    becomes = ""
    if settings.remedy is Remedy.FIX and settings.mode is Mode.ENFORCE and (wrong or unreadable):
        becomes = _becomes(message, sender, settings, services)
    return AuthorFinding(
        ours=True,
        authors=_shown(found),
        foreign=_shown(foreign),
        unaligned=_shown(unaligned),
        unreadable=unreadable,
        vouched=vouched,
        sender=from_wire(message.mail_from, 320),
        ip=from_wire(connection.ip, 100),
        becomes=becomes,
    )


def _shown(found: Sequence[Mailbox]) -> tuple[str, ...]:
    return tuple(from_wire(str(author), 320) for author in found)


def _authors_of(message: Message) -> tuple[tuple[Mailbox, ...], bool]:
    """The authors, at most MAX_ASKED, and whether From is unreadable: no address, or far too many. Without From, MTAs
    add the envelope sender as author.
    """
    fields = message.fields(b"from")
    if not fields:
        sender = parse_mailbox(message.mail_from)
        return ((sender,) if sender.domain else ()), False
    found = authors(message)
    empty = not all(has_address(field.value) for field in fields)
    endless = len(found) > MAX_ASKED or is_overlong(message)
    return found[:MAX_ASKED], empty or endless


def _foreign(message: Message, found: Sequence[Mailbox], settings: Settings, services: Services) -> tuple[Mailbox, ...]:
    """The authors that neither the list nor a directory knows. Raises DirectoryError."""
    unknown = [author for author in found if author not in author_list(settings.domains)]
    auth = message.findings.get(AuthFinding)
    login = auth.login if auth is not None else message.auth.login
    for place in settings.places:
        if unknown:
            known = directory(place).known(
                [Question(author, message.mail_from, from_wire(login, 500)) for author in unknown], services.deadline
            )
            unknown = [author for author, is_known in zip(unknown, known, strict=True) if not is_known]
    return tuple(unknown)


def _vouched(message: Message, settings: Settings, services: Services) -> str:
    """The one address of the one Sender field, if it is ours. Raises DirectoryError."""
    fields = message.fields(b"sender")
    senders = list(mailboxes(fields[0].value)) if len(fields) == 1 else []
    if len(senders) != 1 or _foreign(message, senders, settings, services):
        return ""
    return from_wire(str(senders[0]), 320)


def _becomes(message: Message, sender: Mailbox, settings: Settings, services: Services) -> str:
    """The envelope sender, if it can be written into From and is a better author than the present ones."""
    plain = _ATOM.fullmatch(sender.local) and is_hostname(sender.domain)
    several = len(message.fields(b"from")) > 1 or len(authors(message)) > 1
    if not plain or several:
        return ""
    try:
        lists = bool(settings.domains or settings.places)
        return "" if lists and _foreign(message, [sender], settings, services) else str(sender)
    except DirectoryError:
        return ""


def _from_outside(connection: Connection, message: Message, settings: Settings) -> AuthorFinding | None:
    client = message.findings.get(ConnectionFinding)
    if not settings.protected or (client is not None and client.client is not ClientClass.EXTERNAL):
        return None
    ours = [author for author in every_author(message) if author in author_list(settings.protected)]
    endless = is_overlong(message)
    spf = message.findings.get(SpfFinding)
    lists = host_list(settings.mailing_lists)
    if (spf is not None and spf.forwarder) or any(domain in lists for domain in proved_domains(message)):
        return None
    if not ours and not endless:
        return None
    return AuthorFinding(
        authors=_shown(authors(message)[:MAX_ASKED]),
        foreign=_shown([author for author in ours if not is_proved(message, author.domain)][:MAX_ASKED]),
        unreadable=endless,
        sender=from_wire(message.mail_from, 320),
        ip=from_wire(connection.ip, 100),
    )


def decide(finding: AuthorFinding, findings: Findings, settings: Settings, policy: AccessMap | AccessTable) -> Verdict:
    """The access map decides first, for each author; the settings decide the rest."""
    if not finding.ours:
        return _decide_outside(finding, settings, policy)
    entries = {author: policy.policy(AUTHOR, parse_mailbox(author)) for author in finding.authors}
    for author, entry in entries.items():
        if entry is not None and not _permits(entry):
            reason = f"From {author}: access map {entry.key} {entry.action}"
            return apply_entry(_without_callback(entry), reject(_not_yours(author, finding), reason))
    problem = next(_problems(finding, entries), None)
    if problem is None:
        return CONTINUE
    reason, text = problem
    if settings.remedy is Remedy.FIX and finding.becomes:
        return Verdict(Action.CONTINUE, reason=f"{reason}: From becomes {finding.becomes}")
    remedy = Remedy.REJECT if settings.remedy is Remedy.FIX else settings.remedy  # refused if it cannot be fixed
    return verdict_for(remedy, text, reason)


def _permits(entry: Policy) -> bool:
    return entry.action in (Wanted.OK, Wanted.WHITELIST)


def _without_callback(entry: Policy) -> Policy:
    """The entry, with REJECT in place of CBV and DSN: calling our own user back would prove nothing."""
    return dataclasses.replace(entry, action=Wanted.REJECT) if entry.action in (Wanted.CBV, Wanted.DSN) else entry


def _problems(finding: AuthorFinding, entries: dict[str, Policy | None]) -> Iterator[tuple[str, str]]:
    """The problems, as texts for the log and for the sender."""
    if finding.unreadable:
        text = (
            "The author (From) of the message cannot be read: it has no address, or far too many.\n"
            "Please set your own address as the sender in your mail program."
        )
        yield "From cannot be read", text
    for author in () if finding.vouched else finding.foreign:
        if entries.get(author) is None:
            yield f"From {author} is not ours", _not_yours(author, finding)
    for author in finding.unaligned:
        if entries.get(author) is None:
            text = (
                f"The author (From) {author} does not match the envelope sender {finding.sender}.\n"
                "Please use the same address for both in your mail program."
            )
            yield f"From {author} is not aligned with MAIL FROM <{finding.sender}>", text


def _not_yours(author: str, finding: AuthorFinding) -> str:
    return (
        f"The author (From) {author} may not be used through this server ({finding.ip}, {finding.sender}).\n"
        "Please use one of your own addresses as the sender, or ask your mail administrator to allow this one. A web "
        "form should put the visitor's address into Reply-To."
    )


def _decide_outside(finding: AuthorFinding, settings: Settings, policy: AccessMap | AccessTable) -> Verdict:
    if finding.foreign:
        author = finding.foreign[0]
        text = (
            f"The author (From) {author} is one of ours, but neither SPF nor DKIM proves that the message came from us.\n"
            "If this is your address, send through our own mail server, with your user name and password (SMTP AUTH)."
        )
        reason = f"From {author} from outside, not proved"
    elif finding.unreadable:
        text = "The From field of the message is too long to be checked.\nPlease send the message with a single author."
        reason = "From is too long to be checked"
    else:
        return CONTINUE
    return verdict_for(settings.forged, text, reason)  # no demerit: mailing lists send our users' mail back to us


def points(finding: AuthorFinding, findings: Findings, settings: Settings) -> tuple[Hit, ...]:
    if finding.ours or not finding.foreign:
        return ()
    return (Hit("FROM_OURS", f"From {finding.foreign[0]} came from outside, from {finding.ip}, without proof."),)


def act(finding: AuthorFinding, verdict: Verdict, draft: Draft, services: Services) -> None:
    """Correct From. The author moves to Reply-To, unless there is one, so that replies reach them."""
    if not finding.becomes or verdict.action is not Action.CONTINUE:
        return
    fields = draft.message.fields(b"from")
    if not fields:
        draft.append_header("From", finding.becomes)
        return
    name = display_name(fields[0])
    draft.change_header(fields[0], f"{name} <{finding.becomes}>" if name else finding.becomes)
    replies = draft.message.fields(b"reply-to")
    answered = [author for author in finding.authors if _writable(parse_mailbox(author))]
    if answered and not replies:
        draft.append_header("Reply-To", f"{name} <{answered[0]}>" if name else answered[0])


def _writable(author: Mailbox) -> bool:
    return bool(_ATOM.fullmatch(author.local)) and is_hostname(author.domain)


def display_name(field: Header) -> str:
    """The display name of a From field's only address, ready for a header: a quoted string, or encoded words (RFC 2047)
    if it is not ASCII. "" if there is none. Never raises.
    """
    text = field.decoded
    before, bracket, _ = text.rpartition("<")
    name = before if bracket else text.partition("(")[2].rpartition(")")[0]
    name = "".join(char for char in name.strip().strip('"') if char.isprintable())[:_MAX_NAME]
    name = " ".join(re.sub(r"\\(.)", r"\1", name).split()).replace("\\", "")
    if not name:
        return ""
    if name.isascii():
        return '"' + name.replace('"', r"\"") + '"'
    return email.header.Header(name, "utf-8", maxlinelen=200).encode(linesep="\n")
