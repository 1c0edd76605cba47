"""The personal data in the store: what every column of every table holds, how long a row stays, and why it exists.

docs/privacy.md has the same as a table. `bms export` and `bms forget` use it to find a person's data. Tests compare all
three with the schema.
"""

from __future__ import annotations

import dataclasses
import enum


class Holds(enum.StrEnum):
    """What a column can contain about a person."""

    TEXT = "text"  # text that may contain their address, also inside JSON
    NAME = "name"  # the name of a user of the filter, a login or an account
    BY = "by"  # the name of the person who acted on another's data: it is replaced, and the row stays
    MAIL = "mail"  # a message
    HASH = "hash"  # a hash of an address or a name: for a known address it can be matched
    WITH = "with"  # part of a row that is found by another column or table, and is deleted with it
    NOTHING = "nothing"


PERSONAL = frozenset(Holds) - {Holds.NOTHING}


@dataclasses.dataclass(frozen=True, slots=True)
class About:
    """A table.

    whose    the person whom its rows are about
    why      the purpose of the rows
    keeps    how long a row stays, with options as `[section] option`
    columns  what each column holds
    """

    whose: str
    why: str
    keeps: str
    columns: dict[str, Holds]


def _holds(**named: str) -> dict[str, Holds]:
    """The columns and what they hold; those of `nothing` last."""
    return {column: Holds(kind.rstrip("_")) for kind, columns in named.items() for column in columns.split()}


TABLES: dict[str, About] = {
    "history": About(
        "senders and recipients of each message",
        "answers what became of a message, and why",
        "`[store] history_retain`",
        _holds(
            text="mail_from message_id author subject reason recipients findings decisions helo client_name",
            with_="client_ip ref",
            nothing="id received_at node queue_id size action code",
        ),
    ),
    "history_address": About(
        "senders and recipients of each message",
        "finds a message of the history by a person",
        "`[store] history_retain`",
        _holds(text="local", with_="domain ref role became", nothing="id received_at"),
    ),
    "history_sum": About(
        "clients, domains and host names whose mail was stopped; otherwise only numbers",
        "reports",
        "numbers `[store] report_retain`, names `[store] history_retain`",
        _holds(with_="content", nothing="id kind begins folded"),
    ),
    "greylist": About(
        "senders and recipients of mail from new clients",
        "recognises a client that comes back",
        "`[greylist] expire`, once it came back `[greylist] retain`",
        _holds(
            text="mail_from recipient",
            with_="triplet client",
            nothing="first_seen last_seen passed_at attempts",
        ),
    ),
    "stored_message": About(
        "whoever has a message in the quarantine, its sender, and whom it names",
        "the message itself, for the user to read and release",
        "as long as an entry of `quarantine_entry`",
        _holds(mail="content", with_="ref", nothing="stored_at"),
    ),
    "stored_piece": About(
        "as `stored_message`",
        "the rest of a large message",
        "as `stored_message`",
        _holds(with_="ref content", nothing="number"),
    ),
    "quarantine_entry": About(
        "whose mail it is, and its sender",
        "the quarantine of a user",
        "`[quarantine] keep`, once released `[quarantine] keep_released`; users may shorten it",
        _holds(
            name="user_name",
            text="mail_from author recipients subject reason",
            with_="ref score check_name action",
            nothing="id received_at size outbox_id released_at",
        ),
    ),
    "outbox": About(
        "recipients of the filter's own messages, and the senders of copies",
        "mail that the filter sends itself: copies, releases, answers, notices, reports",
        "the message until it is sent; who got it 7 days more; given up `[outbox] keep_failed`",
        _holds(
            text="mail_from recipients last_error notify",
            mail="content",
            with_="ref once pass_digest kind",
            nothing="id created_at next_at tries sent_at failed_at",
        ),
    ),
    "attempt": About(
        "nobody who does not know the message: a hash of its identity",
        "does nothing twice when a client brings a message again",
        "10 days",
        _holds(with_="name ref", nothing="noted_at"),
    ),
    "folder_read": About(
        "users whose Junk folders the filter reads ([imap])",
        "learns each of their messages once",
        "90 days after the folder was last looked at",
        _holds(name="account", with_="folder", nothing="validity uid read_at"),
    ),
    "preference": About(
        "users of the filter",
        "what a user wants otherwise than the site",
        "until it is removed",
        _holds(name="owner", with_="value name", nothing="scope"),
    ),
    "preference_group": About(
        "users of the filter",
        "in which group a user is",
        "until it is removed",
        _holds(name="user_name", with_="group_name"),
    ),
    "rate": About(
        "users who report spam, senders and recipients of counted mail",
        "limits of reports and callbacks per hour",
        "an hour",
        _holds(name="name", nothing="began_at used"),
    ),
    "rate_window": About(
        "logins, and senders and recipients if `[rates]` counts them",
        "limits of mail per login, network, sender, recipient",
        "twice `[rates] period`",
        _holds(name="name", nothing="slot used earlier used_at"),
    ),
    "stopped_login": About(
        "logins that sent too much",
        "stops them until the administrator releases them",
        "until `bms rates release`",
        _holds(name="login", text="reason", nothing="stopped_at"),
    ),
    "sender_list": About(
        "correspondents of our users, refused senders, banned clients",
        "whitelist, blacklist and bans",
        "`[auto_whitelist] keep` after the last message; bans as `[bans]` says; what the administrator added until removed",
        _holds(
            text="name reason",
            by="added_by",
            with_="entry offences",
            nothing="kind added_at seen_at expires_at",
        ),
    ),
    "own_list": About(
        "users of the filter, and senders whom one of them allows or blocks",
        "lets each user decide about a sender",
        "until the user removes it",
        _holds(name="user_name", text="name", with_="kind", nothing="added_at"),
    ),
    "callback": About(
        "senders whose server was asked about them, or who were written to",
        "asks a server and writes to a sender seldom",
        "`[callback] keep_ok`, `[callback] keep_failed`; 30 days after a notice",
        _holds(
            text="address told",
            hash="digest",
            with_="outcome host null_mx notice_ref",
            nothing="asked_at expires_at noticed_at",
        ),
    ),
    "shared_secret": About(
        "nobody", "secrets that all nodes share", "for ever", _holds(nothing="name value created_at")
    ),
    "fingerprint_report": About(
        "users who reported spam, as a keyed hash",
        "counts different reporters of a message",
        "`[fingerprints] keep`",
        _holds(hash="reporter", with_="message trusted texts ceiling", nothing="id expires_at"),
    ),
    "fingerprint": About(
        "as `fingerprint_report`",
        "recognises copies of reported spam by keyed hashes of its words, links and files",
        "`[fingerprints] keep`",
        _holds(with_="mark report_id", nothing="id kind expires_at"),
    ),
    "fingerprint_common": About(
        "nobody: keyed hashes of pieces of text, and of domains and messages that have them",
        "what honest mail has, too, is no mark of spam",
        "180 days after it was seen last",
        _holds(nothing="id mark witness weight seen_at"),
    ),
    "own_name": About(
        "our users who write mail",
        "warns of outsiders who take their names",
        "`[impersonation] keep` after they last wrote",
        _holds(text="address", with_="digest name", nothing="seen_at"),
    ),
    "web_account": About(
        "people who may log in to the console",
        "accounts",
        "until `bms web account remove`",
        _holds(name="name", text="mailboxes", with_="password role", nothing="created_at login"),
    ),
    "web_session": About(
        "people who are logged in",
        "sessions of the console",
        "`[web] session`",
        _holds(name="account", with_="digest how", nothing="begun_at seen_at expires_at"),
    ),
    "web_link": About(
        "people who were given a link that lets them in",
        "lets somebody in once, without a password",
        "until it is used, or expires",
        _holds(name="account", with_="digest", nothing="expires_at"),
    ),
    "web_failure": About(
        "people who gave a wrong password, as a hash of the name",
        "makes guessing slow",
        "a day",
        _holds(hash="digest", nothing="failures failed_at"),
    ),
    "digest": About(
        "users from whom mail is kept",
        "tells them of it by mail, once",
        "until `bms forget`",
        _holds(name="user_name", nothing="until sent_at"),
    ),
    "used_link": About(
        "nobody: a hash of a link of a digest",
        "lets a link work once",
        "until the link would have ended, `[digest] links`",
        _holds(nothing="digest expires_at"),
    ),
    "release_request": About(
        "users who asked for a message that they may not deliver themselves, and who decided",
        "lets somebody of the helpdesk decide, and tells the user the answer",
        "90 days",
        _holds(name="user_name", by="decided_by", with_="ref answer", nothing="id asked_at decided_at granted"),
    ),
    "console_action": About(
        "helpdesk and administrators, and those with whose mail or entries they did something",
        "says who did what in the console",
        "a year",
        _holds(by="account", text="what", nothing="id at"),
    ),
    "dmarc_result": About(
        "domains, not people: no address is in it",
        "aggregate reports (RFC 9990)",
        "until reported, 7 days at most",
        _holds(text="record", with_="domain published", nothing="id day"),
    ),
    "dmarc_received": About(
        "mail servers that sent in the name of your domains, as others reported it",
        "shows who sends in your name, and whether it passes DMARC",
        "a year",
        _holds(
            text="reporter header_from",
            with_="source domain",
            nothing="id report number stored_at day disposition dkim spf messages",
        ),
    ),
    "dspam_user": About(
        "users of the filter",
        "one dictionary each, and how many messages it has learned",
        "until `bms forget`; it is made when somebody teaches it",
        _holds(
            name="name",
            with_="id",
            nothing="created_at generation purges tokens spam_learned ham_learned spam_misclassified ham_misclassified "
            "spam_corpusfed ham_corpusfed spam_classified ham_classified",
        ),
    ),
    "dspam_training": About(
        "the user of the dictionary; hashes of words, which say little about other people",
        "takes a training back, and learns no message twice",
        "its words `[dspam] retain_undo`",
        _holds(with_="user_id message content is_spam", nothing="seq sign state trained_at"),
    ),
    "dspam_page": About(
        "the user of the dictionary; hashes of words with counts",
        "the dictionary",
        "a word `[dspam] retain_tokens` after it was last taught, a rare one `[dspam] retain_rare`",
        _holds(with_="user_id content", nothing="start"),
    ),
    "dspam_fold": About(
        "the user of the dictionary",
        "how far a large training has been added",
        "seconds",
        _holds(with_="user_id", nothing="border"),
    ),
    "dspam_signature": About(
        "the user whose mail it was; hashes of its words",
        "lets a user report a message by its signature",
        "`[dspam] retain_signatures`",
        _holds(with_="signature user_id content", nothing="created_at"),
    ),
    "reputation": About(
        "domains, not people; of somebody who has a domain alone it is theirs",
        "how much spam a domain sent",
        "`[gossip] retain`, with few messages `[gossip] retain_rare`",
        _holds(nothing="identity size total ham unsure first_seen last_seen"),
    ),
    "reputation_vote": About(
        "domains; a vote belongs to a message of the history",
        "what became of each message, and what users said of it",
        "`[gossip] retain_messages`",
        _holds(with_="umis identity ref", nothing="asked_at voted_at vote number told"),
    ),
}


def as_markdown() -> str:
    """The table of docs/privacy.md."""
    lines = [
        "| table | about whom | what for | how long | columns about people | other columns |",
        "|---|---|---|---|---|---|",
    ]
    for name, about in sorted(TABLES.items()):
        personal = [column for column, holds in about.columns.items() if holds is not Holds.NOTHING]
        others = [column for column, holds in about.columns.items() if holds is Holds.NOTHING]
        cells = (f"`{name}`", about.whose, about.why, about.keeps, _named(personal), _named(others))
        lines.append(f"| {' | '.join(cells)} |")
    return "\n".join(lines) + "\n"


def _named(columns: list[str]) -> str:
    return ", ".join(f"`{column}`" for column in columns)
