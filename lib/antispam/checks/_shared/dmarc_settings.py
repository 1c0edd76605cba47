"""[dmarc], declared by the DMARC check and read by checks that look up policies in advance."""

from __future__ import annotations

from antispam.mail.remedies import Remedy, remedy_option
from antispam.net.addresses import host_list
from antispam.settings import CheckSettings, OnError, option, section


@section("dmarc")
class DmarcSettings(CheckSettings):
    """[dmarc]: the policy of the author's domain, RFC 9989."""

    on_error: OnError = option(
        OnError.ACCEPT,
        "when the policy, or what could prove the message, cannot be looked up: accept (go on without it), tempfail "
        "or reject",
    )
    reject: Remedy = remedy_option(
        Remedy.REJECT, "what p=reject does to a message that fails: reject, tempfail, quarantine or ignore"
    )
    quarantine: Remedy = remedy_option(
        Remedy.QUARANTINE, "what p=quarantine does to a message that fails: quarantine, reject, tempfail or ignore"
    )
    always: tuple[str, ...] = option(
        (),
        "author domains whose mail must pass, whatever they publish; *.example.com covers all subdomains",
        check=host_list,
    )
    never: tuple[str, ...] = option(
        (), "author domains whose policy is not applied, because it harms their honest mail", check=host_list
    )
    mailing_lists: tuple[str, ...] = option(
        (),
        "domains of mailing lists that keep From and break signatures: mail that SPF or DKIM proves to come from them is "
        "not refused",
        check=host_list,
    )
