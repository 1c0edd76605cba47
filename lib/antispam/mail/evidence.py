"""The findings that other checks read. Checks never import one another: they meet here.

A finding that only its own check reads is declared in that check's module.
"""

from __future__ import annotations

import dataclasses
import enum
from typing import ClassVar

from antispam.mail.findings import Finding
from antispam.mail.score import Counted
from antispam.protocols.arc import ArcResult
from antispam.protocols.callback_dialogue import Outcome
from antispam.protocols.dkim import SignatureResult
from antispam.protocols.dmarc import Disposition, DmarcResult, Evaluation
from antispam.protocols.spf import Result, SpfResult


class ClientClass(enum.StrEnum):
    """The class of the client."""

    INTERNAL = "internal"  # internal_connect
    TRUSTED_RELAY = "trusted_relay"  # receives mail for us, so its address says nothing about the sender
    EXTERNAL = "external"


@dataclasses.dataclass(frozen=True, kw_only=True)
class ConnectionFinding(Finding):
    """The facts about a client, found at connect.

    client   the class of the client
    iprev    RFC 8601 section 2.7.3: "pass" where reverse and forward look-up agree, "fail", "temperror" or "permerror"
    dynamic  its PTR record is missing or looks like one of a dial-up pool
    ip       its address, "" if the MTA knows none
    false_localhost  its PTR record claims to be localhost, which it is not
    """

    check: ClassVar[str] = "connection"
    client: ClientClass = ClientClass.EXTERNAL
    iprev: str = "permerror"
    dynamic: bool = False
    ip: str = ""
    false_localhost: bool = False


@dataclasses.dataclass(frozen=True, kw_only=True)
class SpfFinding(Finding):
    """SPF of both identities, found at MAIL.

    mailfrom        of the envelope sender; None if a trusted forwarder answers for it
    helo            of the HELO name; None if MAIL FROM passed, or is the null path, for which mailfrom checks the HELO
                    name
    named           the client has a verified host name that is not one of a pool
    helo_confirmed  and the HELO name is the same
    forwarder       the trusted forwarder that the client belongs to, "" for none
    receiver        our MTA's name, for the header field that reports this
    """

    check: ClassVar[str] = "spf"
    mailfrom: SpfResult | None = None
    helo: SpfResult | None = None
    helo_confirmed: bool = False
    named: bool = False
    forwarder: str = ""
    receiver: str = "unknown"

    @property
    def helo_valid(self) -> bool:
        """Whether the HELO name is known to be the client's own, by SPF or by DNS."""
        return self.helo_confirmed or (self.helo is not None and self.helo.effective is Result.PASS)


@dataclasses.dataclass(frozen=True, kw_only=True)
class SpfFailFinding(Finding):
    """An SPF fail at the end of the message.

    vouched  evidence in favour of the message in spite of that, "" for none
    """

    check: ClassVar[str] = "spf_fail"
    vouched: str = ""


class SenderFault(enum.StrEnum):
    """A fault of the envelope sender."""

    FORGED = "forged"  # ours, used by a stranger
    FOREIGN = "foreign"  # not ours, used by a machine of ours
    BOUNCE = "bounce"  # null, used by a machine of ours that is not a mail server
    LOGIN = "login"  # not ours, used by an authenticated client without an entry in the access map


@dataclasses.dataclass(frozen=True, kw_only=True)
class SenderDomainFinding(Finding):
    """Whether the client may use the envelope sender, found at MAIL.

    sender   the envelope sender
    ip       the client's address
    login    that of SMTP AUTH, "" without
    """

    check: ClassVar[str] = "sender_domain"
    fault: SenderFault | None = None
    sender: str = ""
    ip: str = ""
    login: str = ""


@dataclasses.dataclass(frozen=True, kw_only=True)
class SenderListFinding(Finding):
    """The entries for the envelope sender in our lists, found at MAIL: the reason of each entry, "" for none.

    whitelisted  counts only for a sender proved by SPF or DKIM
    banned       for its domain
    """

    check: ClassVar[str] = "sender_lists"
    sender: str = ""
    whitelisted: str = ""
    blacklisted: str = ""
    banned: str = ""


@dataclasses.dataclass(frozen=True, kw_only=True)
class DkimFinding(Finding):
    """The result of each DKIM signature, found at the end of the message; empty if it is not signed.

    skipped  number of further signatures that were not verified because of the limit
    author   the address in From, "" if there is not exactly one
    practice the signing practice that the author's domain publishes (RFC 5617), looked up if no signature passed and a
    setting asks for it: "all", "discardable", "unknown", or "temperror"; "" if it was not asked
    """

    check: ClassVar[str] = "dkim"
    signatures: tuple[SignatureResult, ...] = ()
    skipped: int = 0
    author: str = ""
    practice: str = ""


@dataclasses.dataclass(frozen=True, kw_only=True)
class ArcFinding(Finding):
    """The chain of seals added by servers on the way (RFC 8617), found at the end of the message.

    result    the state of the chain
    reason    in words, "" with a pass
    sealers   the domains that sealed, the newest first
    trusted   the sealer whose statements count here: the first of the trusted ones at the end of the path; "" for none
    authors   author domains that this sealer reported as proved
    sender    the domain of MAIL FROM whose SPF pass it reported, if it is this message's; "" for none
    instances how many sets there are, 0 if they can't be counted
    ended     an earlier server found the chain broken
    """

    check: ClassVar[str] = "arc"
    result: ArcResult = ArcResult.NONE
    reason: str = ""
    sealers: tuple[str, ...] = ()
    trusted: str = ""
    authors: tuple[str, ...] = ()
    sender: str = ""
    instances: int = 0
    ended: bool = False


class Override(enum.StrEnum):
    """Why this site does not follow the policy of an author domain. The values appear in the results."""

    ALWAYS = "must pass here"
    NEVER = "exempt here"
    FORWARDER = "trusted forwarder"
    MAILING_LIST = "mailing list"
    ARC = "arc"


@dataclasses.dataclass(frozen=True, kw_only=True)
class AuthorPolicy:
    """One author domain under DMARC.

    found     the result of the standard
    override  the rule of this site that takes precedence, None for none
    because   the forwarder, list or sealer, "" if the rule names the author domain
    """

    found: Evaluation
    override: Override | None = None
    because: str = ""

    @property
    def applied(self) -> Disposition:
        """The disposition, with this site's rules taken into account."""
        if self.found.result is not DmarcResult.FAIL:
            return Disposition.NONE
        if self.override is None:
            return self.found.asked
        return Disposition.REJECT if self.override is Override.ALWAYS else Disposition.NONE

    @property
    def overridden(self) -> str:
        """The rule that changed the disposition, in words; "" if none did."""
        if self.override is None or self.applied is self.found.asked:
            return ""
        return f"{self.override} {self.because}".rstrip()


@dataclasses.dataclass(frozen=True, kw_only=True)
class DmarcFinding(Finding):
    """The DMARC result of every author domain, found at the end of the message; empty if From has none.

    authors     one for each author domain, in the order of the field
    ambiguous   there are several From fields: a pass proves nothing then
    unreadable  From is longer than people write, or has more domains than are checked
    """

    check: ClassVar[str] = "dmarc"
    authors: tuple[AuthorPolicy, ...] = ()
    ambiguous: bool = False
    unreadable: bool = False

    @property
    def worst(self) -> AuthorPolicy | None:
        """The author domain that decides: the one with the severest disposition, then the one furthest from a pass."""
        if len(self.authors) == 1:
            return self.authors[0]
        order = (DmarcResult.FAIL, DmarcResult.TEMPERROR, DmarcResult.PERMERROR, DmarcResult.NONE, DmarcResult.PASS)
        return min(self.authors, key=lambda one: (-one.applied.severity, order.index(one.found.result)), default=None)

    @property
    def result(self) -> DmarcResult:
        """The result for the message as a whole: a pass needs all author domains and a single From field."""
        worst = self.worst
        result = worst.found.result if worst is not None else DmarcResult.PERMERROR
        unclear = self.ambiguous or self.unreadable
        return DmarcResult.PERMERROR if unclear and result in (DmarcResult.PASS, DmarcResult.NONE) else result


@dataclasses.dataclass(frozen=True, kw_only=True)
class AuthFinding(Finding):
    """The SMTP AUTH login for a message, found at MAIL; "" for a client that did not authenticate.

    sender  the envelope sender used
    """

    check: ClassVar[str] = "auth"
    login: str = ""
    mechanism: str = ""
    sender: str = ""


@dataclasses.dataclass(frozen=True, kw_only=True)
class OwnEnvelopeFinding(Finding):
    """Whether the pass in the envelope is valid: the message's number, 0 if it is not ours; its kind and reference."""

    check: ClassVar[str] = "own_envelope"
    outbox_id: int = 0
    kind: str = ""
    ref: str = ""


@dataclasses.dataclass(frozen=True, kw_only=True)
class OwnMailFinding(Finding):
    """Whether the pass in the message is valid.

    outbox_id   the number of the message in the outbox; 0 if the pass is not ours, or was used before
    kind        what the message is: "copy", "release", "original", "answer" or "dsn"
    ref         the reference of the message that it is about
    unmodified  it must not be changed: it left with our own marks and without dangerous parts, or an administrator
                asked for that
    """

    check: ClassVar[str] = "own_mail"
    outbox_id: int = 0
    kind: str = ""
    ref: str = ""
    unmodified: bool = False


@dataclasses.dataclass(frozen=True, kw_only=True)
class AuthorFinding(Finding):
    """Whether the sender may use the authors in From, found at the end of the message.

    ours        an internal client or an authenticated sender sent it
    authors     those in From; for our mail without From the envelope sender, which MTAs put there
    foreign     the authors that are not ours (if ours is true), or are ours but not proved (if ours is false)
    unaligned   the authors that do not match the envelope sender as required
    unreadable  a From has no address, or more than anybody needs
    vouched     the address in Sender that is one of ours and permits foreign authors
    sender      the envelope sender
    ip          the client's address
    becomes     the address that a fix puts into From; "" if it cannot be fixed
    """

    check: ClassVar[str] = "author_domain"
    ours: bool = False
    authors: tuple[str, ...] = ()
    foreign: tuple[str, ...] = ()
    unaligned: tuple[str, ...] = ()
    unreadable: bool = False
    vouched: str = ""
    sender: str = ""
    ip: str = ""
    becomes: str = ""


@dataclasses.dataclass(frozen=True, kw_only=True)
class WiretapFinding(Finding):
    """A sender whose mail is copied or dropped, found at the end of the message.

    copies   the addresses that get a copy
    discard  nobody else gets the message
    """

    check: ClassVar[str] = "wiretap"
    copies: tuple[str, ...] = ()
    discard: bool = False
    blind: bool = True


@dataclasses.dataclass(frozen=True, kw_only=True)
class WordsFinding(Finding):
    """A word of the administrator's lists, found at the end of the message.

    where  "subject" or "author" (the name beside the address)
    word   as it is listed
    text   the text that it was found in, as displayed
    """

    check: ClassVar[str] = "words"
    where: str = "subject"
    word: str = ""
    text: str = ""


@dataclasses.dataclass(frozen=True, kw_only=True)
class ReputationFinding(Finding):
    """The reputation of the sender's domain, found at MAIL.

    domain      the domain
    how         how it was authenticated: "SPF", "GUESS", "HELO" or "DKIM"; otherwise the SPF result
    umis        the message's identifier among nodes, with which its vote is sent; "" if no node was asked
    reputation  -100 to 100
    confidence  0 to 100
    spam, ham   numbers of spam and ham among the messages on record
    peers       number of other nodes that contributed
    trusted     good enough not to be greylisted
    """

    check: ClassVar[str] = "reputation"
    domain: str = ""
    how: str = ""
    umis: str = ""
    reputation: float = 0.0
    confidence: float = 0.0
    spam: int = 0
    ham: int = 0
    peers: int = 0
    trusted: bool = False


@dataclasses.dataclass(frozen=True, kw_only=True)
class SignedReputationFinding(ReputationFinding):
    """The same for the domain that signed the message, found at its end."""

    check: ClassVar[str] = "reputation_signed"


@dataclasses.dataclass(frozen=True, kw_only=True)
class CallbackFinding(Finding):
    """The result of a callback to the sender, and its cause; found at the end of the message.

    word     the access map's action, "CBV" or "DSN"
    tag      the tag of the entry: "spf-neutral"
    skipped  why no call was made, "" if one was, now or recently
    detail   the server's reply, or why there is none
    """

    check: ClassVar[str] = "callback"
    word: str = ""
    tag: str = ""
    sender: str = ""
    skipped: str = ""
    outcome: Outcome = Outcome.UNKNOWN
    detail: str = ""
    host: str = ""
    null_mx: bool = False


@dataclasses.dataclass(frozen=True, kw_only=True)
class ScoreFinding(Finding):
    """The score of a message for one recipient, found at its end.

    total  the sum of their points, with one decimal place
    tests  the tests that it meets, highest points first
    """

    check: ClassVar[str] = "score"
    total: float = 0.0
    tests: tuple[Counted, ...] = ()
