"""Why a message was quarantined, in a sentence for its recipients. The reason in the log is for administrators.

The texts are messages of the catalogue.
"""

from __future__ import annotations


def marked(text: str) -> str:
    """Marks a text of the catalogue that is translated where it is shown."""
    return text


_UNKNOWN = marked("The mail filter wants a person to look at it.")
_WHY = {
    "spam_action": marked("The mail filter takes it for spam."),
    "dspam": marked("The mail filter takes it for spam."),
    "header_screen": marked("The mail filter takes it for spam."),
    "fingerprints": marked("It is nearly the same as mail that other people reported as spam."),
    "antivirus": marked("The virus scanner found something dangerous in it."),
    "attachments": marked("It has an attachment that can be dangerous to open."),
    "own_lists": marked("You have blocked its sender."),
    "sender_lists": marked("Its sender is on the list of blocked senders here."),
    "blacklisted": marked("Its sender is on the list of blocked senders here."),
    "banned": marked("It came from a mail server that is blocked here."),
    "dnsbl": marked("It came from a mail server with a bad name."),
    "dnsbl_client": marked("It came from a mail server with a bad name."),
    "reputation": marked("Its sender has sent much spam so far."),
    "reputation_signed": marked("Its sender has sent much spam so far."),
    "spf": marked("It came from a mail server that its sender does not use. The sender may be forged."),
    "spf_fail": marked("It came from a mail server that its sender does not use. The sender may be forged."),
    "dmarc": marked("Nothing proves that it is from whom it seems to be. The sender may be forged."),
    "dkim": marked("Its signature is not valid. It may have been changed on its way."),
    "author_domain": marked("Nothing proves that it is from whom it seems to be. The sender may be forged."),
    "impersonation": marked("It pretends to be from somebody here."),
    "sender_domain": marked("It pretends to be from somebody here."),
    "words": marked("It has words in its subject or in the sender's name that are not wanted here."),
    "languages": marked("It is written in letters that are not wanted here."),
    "header_oddities": marked("It was not written by a usual mail program."),
    "block_forward": marked("It is forwarded mail, which you do not want."),
    "rules": marked("A rule of your administrator applies to it."),
    "helo": marked("It came from a mail server that gave a wrong name."),
    "callback": marked("Its sender's address does not exist."),
}


def why(check: str) -> str:
    """Why the check of this name quarantined a message: a sentence, as a message of the catalogue."""
    return _WHY.get(check, _UNKNOWN)
