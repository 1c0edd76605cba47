"""[spf]: how SPF is checked, and the effects of its results."""

from __future__ import annotations

import enum

from antispam.net.addresses import host_list, is_hostname, normalize_domain
from antispam.settings import CheckSettings, option, section
from antispam.settings.values import boolean, check_url, not_negative

MAX_FORWARDERS = 20  # each costs an SPF check of its own


def _guess(text: str) -> bool | str:
    """Yes, no, or the record to assume."""
    return " ".join(text.split()) if text.strip().lower().startswith("v=spf1") else boolean(text)


def _forwarders(names: tuple[str, ...]) -> None:
    if len(names) > MAX_FORWARDERS:
        raise ValueError(f"at most {MAX_FORWARDERS}: each is checked for every message")
    for name in names:
        if not is_hostname(normalize_domain(name)):
            raise ValueError(f"{name!r} is not a domain; its SPF record says which servers it has")


class DoubtfulAction(enum.StrEnum):
    """The action on results that are neither good nor refused."""

    NOTHING = "nothing"
    CBV = "cbv"
    DSN = "dsn"


class Refuse(enum.StrEnum):
    """The time when a fail is refused."""

    END = "end"
    AT_ONCE = "at_once"


@section("spf")
class SpfSettings(CheckSettings):
    """[spf]: Sender Policy Framework, RFC 7208."""

    refuse: Refuse = option(
        Refuse.END,
        "end or at_once. end refuses a fail at the end of the message, unless a DKIM signature that matches From or MAIL "
        "FROM vouches for it (forwarders); at_once refuses it at RCPT. Domains that send no mail (v=spf1 -all) are "
        "refused at once either way",
    )
    errors_url: str = option(
        "",
        "pages that explain refusals by SPF, if they are not those of [milter] errors_url",
        check=check_url,
    )
    best_guess: bool | str = option(
        False,
        "assume 'v=spf1 a/24 mx/24 ptr', or the record given here, for domains without a record; it only counts in favour",
        parse=_guess,
    )
    lax_permerror: bool = option(True, "evaluate as much as possible of a record with an error")
    reject_permerror: bool = option(
        False, "refuse mail of domains whose record has an error and cannot be evaluated at all"
    )
    void_lookups: int = option(
        2,
        "how many terms of a record may lead to nothing before that counts as an error; applies where lax_permerror does not",
        check=not_negative,
    )
    delegate: str = option("", "our domain that publishes records for domains without one, at THEIRS._spf.OURS")
    reject_neutral: tuple[str, ...] = option(
        (), "domains whose mail must pass: refuse neutral and softfail", check=host_list
    )
    accept_softfail: tuple[str, ...] = option((), "domains whose softfail is accepted as good", check=host_list)
    accept_fail: tuple[str, ...] = option(
        (),
        "domains with a wrong record: their fail counts as softfail if the client's HELO name is confirmed",
        check=host_list,
    )
    reject_noptr: bool = option(
        False, "refuse clients that have neither a PTR record, nor a valid HELO name, nor an SPF record"
    )
    doubtful: DoubtfulAction = option(
        DoubtfulAction.NOTHING,
        "cbv or dsn, as in the access map, for results that the options above do not refuse: softfail that is not "
        "accepted as good, fail that counts as softfail, and clients that reject_noptr would refuse; nothing goes on",
    )
    trusted_forwarder: tuple[str, ...] = option(
        (),
        "domains that forward mail without SRS: the servers in their SPF records may use any MAIL FROM",
        check=_forwarders,
    )
    explain: bool = option(True, "include the domain owner's explanation (exp=) in the refusal")
    supply_sender: bool = option(False, "add MAIL FROM as Sender if there is none and From has another domain")
