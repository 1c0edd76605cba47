"""Pages that explain refusals to people who got one: which there are, what they say, and which one a reply points to."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping

from antispam.mail.decisions import Decision
from antispam.mail.verdicts import Action

MORE = "More about this: "


@dataclasses.dataclass(frozen=True, slots=True)
class Page:
    """One explanation: what happened, what its reader can do, and what his administrator can do."""

    title: str
    happened: str
    you: str
    administrator: str


def link(decision: Decision, errors_url: str) -> str:
    """The line of a refusal that points to its page; "" where there is nothing to point to."""
    verdict = decision.verdict
    if not errors_url or verdict.action is not Action.REJECT or MORE in verdict.text:
        return ""
    return f"{MORE}{errors_url.rstrip('/')}/{page_of(decision)}/"


def page_of(decision: Decision) -> str:
    """The name of the page that explains a refusal. Upstream's names where it has one."""
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

LAST_RESORT = (
    "If that does not help, call or write to us in another way and quote the reference at the end of the reply."
)

PAGES: Mapping[str, Page] = {
    "anon": Page(
        "Your mail server could not be identified",
        "The server that brought your message has no host name of its own in the DNS (a PTR record that resolves back to its "
        "address; names of dial-up pools don't count), it said no valid name at HELO, and your domain publishes no SPF record. "
        "Nearly all mail from such servers is spam that was sent by computers somebody broke into.",
        "Send through the mail server that your provider gave you, and show this page to whoever runs the server you used.",
        "Any one of the three is enough: a PTR record with a matching A or AAAA record, a HELO name that is the server's own, "
        "or an SPF record of the sender's domain that names the server.",
    ),
    "spf-fail": Page(
        "The sender's domain does not permit this mail server",
        "Every domain can publish a list of the servers that send its mail (SPF, RFC 7208). The domain of your sender address, "
        "or the name that the server gave at HELO, has such a list, and the server that brought your message is not on it. "
        "That is how forged mail is recognised.",
        "Send through the mail server that your provider gave you for this address. If the message was forwarded "
        "automatically, from an old address say, ask for forwarding that rewrites the sender (SRS).",
        "Add the server's address to the SPF record of the domain, or let forwarders rewrite the envelope sender.",
    ),
    "spf-policy": Page(
        "The sender's domain must be proved here",
        "The domain of your sender address is forged so often that only mail which its SPF record plainly permits is "
        "accepted, or our administrator decided not to take mail from it.",
        "Send through the mail server that your provider gave you for this address.",
        "Let the SPF record of the domain name the servers that send its mail, and end in -all.",
    ),
    "spf-error": Page(
        "The SPF record of the sender's domain has an error",
        "The list of servers that your domain publishes (SPF, RFC 7208) can't be understood, so that your mail can't be told "
        "from forgeries.",
        "Please show the refusal to the administrator of your domain: it names the error.",
        "Correct the record: there must be one only, with its terms spelled right, and it may cost ten DNS look-ups at most.",
    ),
    "helofail": Page(
        "Your mail server does not say who it is",
        "A mail server introduces itself with its host name (HELO). The one that brought your message gave none, or one that "
        "can't be its own: our name, for example, a bare address, or what is no host name at all.",
        "Please show the refusal to whoever runs the mail server that you use.",
        "Set the HELO name of the server (myhostname in Postfix, confDOMAIN_NAME in sendmail) to its own full host name, the "
        "one to which its PTR record points.",
    ),
    "banned": Page(
        "Your mail server is shut out for a while",
        "The server that brought your message did, several times, what no honest server does: it tried addresses that don't "
        "exist, say, or pretended to be one of ours.",
        "The ban ends by itself. If you share the server with others, ask your provider to look into it.",
        "Look for a computer or an account that somebody broke into. Write to our postmaster from another server if the ban "
        "should end earlier.",
    ),
    "bandom": Page(
        "We don't take mail from this sender",
        "The address or the domain of the sender is on a list of those from whom our users got spam.",
        "If your domain was used by others, tell us in another way, and quote the reference at the end of the reply.",
        "Publish an SPF record and sign with DKIM, so that others can't use the domain.",
    ),
    "illrepute": Page(
        "Nearly all mail of this domain was spam lately",
        "We keep count of what our users call spam, for each domain and for how it was proved to be the sender. The count of "
        "your domain is far below zero.",
        "Ask your provider to stop the spam. The reputation mends by itself once less of it comes.",
        "Publish an SPF record that passes: then the domain is judged by its own mail and not by forgeries.",
    ),
    "dsnrefused": Page(
        "This bounce answers nothing that we sent",
        "Mail that we send carries a signature in its envelope sender, and a bounce goes back to that signature. The one that "
        "was refused has none, or a wrong one: somebody forged our address, and your server believed it.",
        "You need not do anything.",
        "Check SPF before accepting mail, and refuse what can't be delivered in the SMTP dialogue instead of bouncing it.",
    ),
    "callback": Page(
        "The sender's address does not take mail",
        "We asked the mail server of the sender's domain whether the address exists, and it said no. Mail that can't be "
        "answered is not accepted.",
        "Check the sender address in your mail program.",
        "The address must accept mail from the null sender (MAIL FROM:<>), as RFC 5321 demands.",
    ),
    "sender": Page(
        "You may not use this sender address here",
        "The sender address of the envelope is one of ours and the message came from outside without a password, or it came "
        "from inside and the address is none of yours.",
        "Choose your own address in your mail program, and send through our mail server with your name and password.",
        "Let web servers and machines send with an address of a domain that may be used on this server.",
    ),
    "author": Page(
        "The author in From may not be used",
        "People read the author in From. Either it is one of ours, and nothing (SPF, DKIM) proves that the message came "
        "from us; or it bears the name of one of ours with a foreign address; or it was sent through our server with an "
        "author who is none of our users.",
        "Choose your own address as sender in your mail program.",
        "Let web forms put the visitor's address into Reply-To, and an address of their own domain into From.",
    ),
    "relay": Page(
        "We don't pass mail on to that domain",
        "Mail to the recipient's domain goes through our server for our own users only.",
        "Send the message to the mail servers of the recipient's domain directly, as your mail server does by default.",
        "Send to the MX hosts of the recipient's domain.",
    ),
    "unknown-user": Page(
        "There is no such user",
        "The recipient's address does not exist here.",
        "Look for a spelling mistake, and ask the person for the address in another way.",
        "Remove the address from lists that you keep.",
    ),
    "attachment": Page(
        "The message has a dangerous attachment",
        "Programs, scripts and what may hide them are not accepted by mail, whoever sends them.",
        "Offer the file in another way (a download, say), or ask the recipient how.",
        "If nobody sent such a file on purpose, look for a computer that somebody broke into.",
    ),
    "virus": Page(
        "The message contains a virus",
        "A virus scanner recognised a part of the message, or the message is too large for it to look into.",
        "Look for a virus on the computer that sent it. If it is a false alarm, offer the file in another way (a download, for "
        "example), or ask the recipient how.",
        "Scan the computer of the sender; the refusal names what was recognised.",
    ),
    "dkim": Page(
        "The signature of the message is missing or does not fit",
        "The author's domain signs its mail (DKIM, RFC 6376). This message is not signed, or it was altered afterwards.",
        "Send through the mail server that your provider gave you for this address.",
        "Sign all mail of the domain; mailing lists that alter messages should put an address of their own into From.",
    ),
    "dmarc": Page(
        "The message does not prove that it comes from its author's domain",
        "The author's domain asks receivers to refuse mail in its name that neither SPF nor DKIM prove to be its own (DMARC, "
        "RFC 9989). This message came from a server that SPF of that domain does not name, and has no signature of the domain "
        "that fits.",
        "Send through the mail server that your provider gave you for this address. If a mailing list or a forwarder brought "
        "the message, write to the recipient directly.",
        "Sign all mail of the domain with DKIM, and name all its servers in SPF; mailing lists that alter messages should put "
        "an address of their own into From.",
    ),
    "content": Page(
        "The message has a form that is not accepted here",
        "Words in its subject, its language or character set, or faults of its header are such that our administrator does not "
        "accept it. The reply says which.",
        "Change what the reply names, and send the message again.",
        "Make sure that your programs write messages as RFC 5322 describes them.",
    ),
    "spam": Page(
        "The message looks like spam",
        "Our filter learns from what our users call spam, and your message looks like that.",
        "Write in other words, with fewer links and pictures, or ask the recipient in another way to put you on his list.",
        "Publish an SPF record and sign with DKIM: senders who are proved can be told from others.",
    ),
    "refused": Page(
        "The message was refused",
        "The reply that your mail server passed on to you says why.",
        "Follow what the reply says.",
        "Follow what the reply says.",
    ),
}
"""By name, as it stands in the link."""
