"""Pages that explain refusals: their texts, and the page that a reply links to."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping

from antispam.mail.decisions import Decision
from antispam.mail.verdicts import Action

MORE = "More about this: "


@dataclasses.dataclass(frozen=True, slots=True)
class Page:
    """One explanation: what happened, what the reader can do, and what their administrator can do."""

    title: str
    happened: str
    you: str
    administrator: str


def link(decision: Decision, errors_url: str) -> str:
    """The line of a refusal that links to its page; "" if there is no page."""
    verdict = decision.verdict
    if not errors_url or verdict.action is not Action.REJECT or MORE in verdict.text:
        return ""
    return f"{MORE}{errors_url.rstrip('/')}/{page_of(decision)}/"


def page_of(decision: Decision) -> str:
    """The name of the page that explains a refusal: upstream's name if it has one."""
    if decision.check in ("spf", "spf_fail"):
        return _SPF.get(decision.verdict.enhanced, "spf-policy")
    return _BY_CHECK.get(decision.check, "refused")


_SPF = {"5.7.23": "spf-fail", "5.7.24": "spf-error", "5.7.25": "anon"}
_BY_CHECK = {
    "connection": "helofail",
    "helo": "helofail",
    "greeting": "helofail",
    "banned": "banned",
    "sender_lists": "bandom",
    "blacklisted": "bandom",
    "reputation": "illrepute",
    "reputation_signed": "illrepute",
    "srs": "dsnrefused",
    "callback": "callback",
    "sender_domain": "sender",
    "login_domain": "sender",
    "internal_policy": "sender",
    "auth": "sender",
    "author_domain": "author",
    "impersonation": "author",
    "private_relay": "relay",
    "known_user": "unknown-user",
    "attachments": "attachment",
    "antivirus": "virus",
    "dkim": "dkim",
    "dmarc": "dmarc",
    "words": "content",
    "languages": "content",
    "block_forward": "content",
    "header_oddities": "content",
    "header_screen": "spam",
    "dspam": "spam",
    "spam_action": "spam",
}

LAST_RESORT = "If that does not help, please contact us in another way and quote the reference at the end of the reply."

PAGES: Mapping[str, Page] = {
    "anon": Page(
        "Your mail server could not be identified",
        "The server that delivered your message has no host name of its own in the DNS (a PTR record that resolves back "
        "to its address; names of dial-up pools do not count), sent no valid name at HELO, and your domain publishes no "
        "SPF record. Nearly all mail from such servers is spam sent by compromised computers.",
        "Use the mail server of your provider, and show this page to the administrator of the server that you used.",
        "Any one of the three is enough: a PTR record with a matching A or AAAA record, a HELO name that is the server's own, "
        "or an SPF record of the sender's domain that names the server.",
    ),
    "spf-fail": Page(
        "The sender's domain does not permit this mail server",
        "Every domain can publish a list of the servers that send its mail (SPF, RFC 7208). The domain of your sender "
        "address, or the name that the server sent at HELO, has such a list, and the server that delivered your message "
        "is not on it. This is how forged mail is recognised.",
        "Use the mail server of the provider of this address. If the message was forwarded automatically, for example "
        "from an old address, ask for forwarding that rewrites the sender (SRS).",
        "Add the server's address to the SPF record of the domain, or make forwarders rewrite the envelope sender.",
    ),
    "spf-policy": Page(
        "The sender's domain must be proved here",
        "The domain of your sender address is forged so often that mail from it is only accepted if its SPF record "
        "permits the server, or our administrator decided not to accept mail from it.",
        "Send through the mail server that your provider gave you for this address.",
        "Make sure that the SPF record of the domain names the servers that send its mail, and ends in -all.",
    ),
    "spf-error": Page(
        "The SPF record of the sender's domain has an error",
        "The list of servers that your domain publishes (SPF, RFC 7208) has an error, so your mail cannot be told from "
        "forgeries.",
        "Please show the refusal to the administrator of your domain: it names the error.",
        "Correct the record: there must be only one, its terms must be spelled correctly, and it may cost at most "
        "ten DNS look-ups.",
    ),
    "helofail": Page(
        "Your mail server does not identify itself",
        "A mail server introduces itself with its host name (HELO). The one that delivered your message sent none, or "
        "one that cannot be its own: for example our name, a bare IP address, or something that is not a host name.",
        "Please show the refusal to the administrator of the mail server that you use.",
        "Set the HELO name of the server (myhostname in Postfix, confDOMAIN_NAME in sendmail) to its own full host name, the "
        "one to which its PTR record points.",
    ),
    "banned": Page(
        "Connections from your mail server are temporarily blocked",
        "The server that delivered your message repeatedly did what no honest server does: for example, it tried "
        "addresses that do not exist, or pretended to be one of ours.",
        "The block ends by itself. If you share the server with others, ask your provider to look into it.",
        "Look for a compromised computer or account. To have the block lifted earlier, write to our postmaster from "
        "another server.",
    ),
    "bandom": Page(
        "Mail from this sender is not accepted",
        "The address or domain of the sender is on a list of senders of spam to our users.",
        "If others used your domain, please tell us in another way, and quote the reference at the end of the reply.",
        "Publish an SPF record and sign with DKIM, so that others cannot use the domain.",
    ),
    "illrepute": Page(
        "Nearly all recent mail from this domain was spam",
        "For each domain, and for each way of proving it, we count what our users report as spam. The reputation of your "
        "domain is far below zero.",
        "Ask your provider to stop the spam. The reputation recovers by itself once less spam comes from there.",
        "Publish an SPF record that passes: then only the domain's own mail counts, and forgeries do not.",
    ),
    "dsnrefused": Page(
        "This bounce is not about a message of ours",
        "Our mail carries a signature in its envelope sender, and genuine bounces return to that signature. The refused "
        "bounce has no signature, or a wrong one: somebody forged our address, and your server believed it.",
        "You do not need to do anything.",
        "Check SPF before accepting mail, and refuse undeliverable mail in the SMTP dialogue instead of bouncing it.",
    ),
    "callback": Page(
        "The sender's address does not accept mail",
        "We asked the mail server of the sender's domain whether the address exists, and it said no. Mail that cannot be "
        "answered is not accepted.",
        "Check the sender address in your mail program.",
        "The address must accept mail from the null sender (MAIL FROM:<>), as RFC 5321 requires.",
    ),
    "sender": Page(
        "You may not use this sender address here",
        "The envelope sender is one of our addresses, but the message came from outside without authentication; or it "
        "came from inside, and the address is not one of yours.",
        "Set your own address in your mail program, and send through our mail server with your user name and password.",
        "Configure web servers and devices to send from an address in a domain that may be used on this server.",
    ),
    "author": Page(
        "The author in From may not be used",
        "People see the author in From. Either that author is one of ours, and nothing (SPF, DKIM) proves that the "
        "message came from us; or it has the name of one of our users with a foreign address; or the message was sent "
        "through our server with an author who is not one of our users.",
        "Set your own address as the sender in your mail program.",
        "Web forms should put the visitor's address into Reply-To, and an address of their own domain into From.",
    ),
    "relay": Page(
        "Mail to that domain is not relayed",
        "Our server relays mail to the recipient's domain for our own users only.",
        "Send the message directly to the mail servers of the recipient's domain, as mail servers do by default.",
        "Send to the MX hosts of the recipient's domain.",
    ),
    "unknown-user": Page(
        "There is no such user",
        "The recipient's address does not exist here.",
        "Check the spelling, and ask the person for the address in another way.",
        "Remove the address from your mailing lists.",
    ),
    "attachment": Page(
        "The message has a dangerous attachment",
        "Programs, scripts, and files that may hide them are not accepted by mail, whoever sends them.",
        "Share the file in another way, for example as a download, or ask the recipient for one.",
        "If nobody sent such a file on purpose, look for a compromised computer.",
    ),
    "virus": Page(
        "The message contains a virus",
        "A virus scanner recognised a part of the message, or the message is too large to be scanned.",
        "Scan the computer that sent it. If it is a false alarm, share the file in another way, for example as a "
        "download, or ask the recipient for one.",
        "Scan the sender's computer; the refusal names what was recognised.",
    ),
    "dkim": Page(
        "The signature of the message is missing or invalid",
        "The author's domain signs its mail (DKIM, RFC 6376). This message is not signed, or it was changed afterwards.",
        "Send through the mail server that your provider gave you for this address.",
        "Sign all mail of the domain; mailing lists that change messages should put an address of their own into From.",
    ),
    "dmarc": Page(
        "The message does not prove that it comes from its author's domain",
        "The author's domain asks receivers to refuse mail that uses its name unless SPF or DKIM proves it (DMARC, RFC "
        "9989). This message came from a server that is not in the SPF record of that domain, and has no matching "
        "signature of the domain.",
        "Use the mail server of the provider of this address. If a mailing list or a forwarder delivered the message, "
        "write to the recipient directly.",
        "Sign all mail of the domain with DKIM, and name all its servers in SPF; mailing lists that change messages "
        "should put an address of their own into From.",
    ),
    "content": Page(
        "The message has a form that is not accepted here",
        "Our administrator does not accept messages with certain words in the subject, in certain languages or character "
        "sets, or with certain header faults. The reply says which applies.",
        "Correct what the reply names, and send the message again.",
        "Make sure that your programs write messages as RFC 5322 specifies.",
    ),
    "spam": Page(
        "The message looks like spam",
        "Our filter learns from the spam that our users report, and your message looks like it.",
        "Rephrase the message, with fewer links and pictures, or ask the recipient in another way to whitelist you.",
        "Publish an SPF record and sign with DKIM: proved senders are easier to recognise as honest.",
    ),
    "refused": Page(
        "The message was refused",
        "The reply that your mail server passed on to you gives the reason.",
        "Follow what the reply says.",
        "Follow what the reply says.",
    ),
}
"""The pages by name, as used in links."""
