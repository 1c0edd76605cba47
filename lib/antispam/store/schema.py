"""The tables as the program sees them. Their history is under sql/; a test compares the two."""

from __future__ import annotations

import sqlalchemy as sa
from sqlalchemy.dialects import mysql

from antispam.store.console_schema import metadata as console_metadata
from antispam.store.packed import PackedJson
from dspam.schema import exact_text
from dspam.schema import metadata as dspam_metadata
from gossip.schema import metadata as gossip_metadata

metadata = sa.MetaData()
for _table in (*dspam_metadata.sorted_tables, *gossip_metadata.sorted_tables, *console_metadata.sorted_tables):
    _table.to_metadata(metadata)

Seconds = sa.Double  # since the epoch
LongText = sa.Text().with_variant(mysql.LONGTEXT(), "mysql", "mariadb")
LongBlob = sa.LargeBinary().with_variant(mysql.LONGBLOB(), "mysql", "mariadb")
Number = sa.BigInteger().with_variant(sa.Integer(), "sqlite")

history = sa.Table(
    "history",
    metadata,
    sa.Column("id", Number, primary_key=True, autoincrement=True),
    sa.Column("ref", sa.String(16), nullable=False, unique=True),
    sa.Column("received_at", Seconds, nullable=False, index=True),
    sa.Column("node", sa.String(64), nullable=False),
    sa.Column("queue_id", sa.String(64), nullable=False),
    sa.Column("client_ip", sa.String(45), nullable=False),
    sa.Column("client_name", sa.String(255), nullable=False),
    sa.Column("helo", sa.String(255), nullable=False),
    sa.Column("mail_from", sa.String(320), nullable=False),
    sa.Column("message_id", sa.String(255), nullable=False, server_default=""),  # without angle brackets
    sa.Column("author", sa.String(320), nullable=False, server_default=""),  # the first address in From
    sa.Column("subject", sa.String(255), nullable=False, server_default=""),  # [store] history_subject
    sa.Column("size", sa.BigInteger, nullable=False),
    sa.Column("action", sa.String(16), nullable=False),
    sa.Column("code", sa.Integer, nullable=False),
    sa.Column("reason", sa.Text, nullable=False),
    sa.Column("recipients", PackedJson, nullable=False),  # [{"address", "refused", "findings", "decisions"}]
    sa.Column("findings", PackedJson, nullable=False),  # {check: finding}
    sa.Column("decisions", PackedJson, nullable=False),  # [{"check", "action", ...}]
    sa.Index("history_message_id", "message_id"),
    sa.Index("history_queue_id", "queue_id"),
)

# Who had to do with a message, so that it is found by a person.
history_address = sa.Table(
    "history_address",
    metadata,
    sa.Column("id", Number, primary_key=True, autoincrement=True),
    sa.Column("domain", sa.String(255), nullable=False),
    sa.Column("local", sa.String(255), nullable=False),  # in lower case
    sa.Column("received_at", Seconds, nullable=False, index=True),
    sa.Column("ref", sa.String(16), nullable=False),
    sa.Column("role", sa.String(16), nullable=False),
    sa.Column("became", sa.String(16), nullable=True),  # what became of it for this recipient; NULL for others
    sa.Index("history_address_who", "domain", "local", "received_at"),
    sa.Index("history_address_domain", "domain", "received_at"),
)

# What rows of the history add up to (store/history_sums.py), in pieces until they are folded.
history_sum = sa.Table(
    "history_sum",
    metadata,
    sa.Column("id", Number, primary_key=True, autoincrement=True),
    sa.Column("kind", sa.String(8), nullable=False),
    sa.Column("begins", Seconds, nullable=False),
    sa.Column("folded", sa.SmallInteger, nullable=False),
    sa.Column("content", LongText, nullable=False),  # JSON
    sa.Index("history_sum_time", "kind", "begins"),
    sa.Index("history_sum_pieces", "folded", "kind", "begins"),
    sqlite_autoincrement=True,  # a row that was replaced must never be taken for its successor
)

greylist = sa.Table(
    "greylist",
    metadata,
    # SHA-256 of the triplet, in hexadecimal: three addresses are longer than an index key may be.
    sa.Column("triplet", sa.String(64), primary_key=True),
    sa.Column("client", sa.String(255), nullable=False),
    sa.Column("mail_from", sa.String(320), nullable=False),
    sa.Column("recipient", sa.String(320), nullable=False),
    sa.Column("first_seen", Seconds, nullable=False),
    sa.Column("last_seen", Seconds, nullable=False, index=True),
    sa.Column("passed_at", Seconds, nullable=True),
    sa.Column("attempts", sa.BigInteger, nullable=False),
    sa.Index("greylist_waiting", "passed_at", "last_seen"),
)

# A message as it came, for those who may still get it: it goes with the last entry that points to it.
stored_message = sa.Table(
    "stored_message",
    metadata,
    sa.Column("ref", sa.String(16), primary_key=True),
    sa.Column("stored_at", Seconds, nullable=False, index=True),
    sa.Column("content", LongBlob, nullable=False),
)

# What does not fit into the first piece of a large message, which is in stored_message; without that it is nobody's.
stored_piece = sa.Table(
    "stored_piece",
    metadata,
    sa.Column("ref", sa.String(16), primary_key=True),
    sa.Column("number", sa.Integer, primary_key=True, autoincrement=False),  # from 1
    sa.Column("content", LongBlob, nullable=False),
)

# What is kept from one user: several recipients of a message may be several users, and each decides for themselves.
quarantine_entry = sa.Table(
    "quarantine_entry",
    metadata,
    sa.Column("id", Number, primary_key=True, autoincrement=True),
    sa.Column("ref", sa.String(16), sa.ForeignKey("stored_message.ref"), nullable=False),
    # Of the filter, or the recipient's address if they are none of its users.
    sa.Column("user_name", exact_text(320), nullable=False),
    sa.Column("received_at", Seconds, nullable=False, index=True),
    sa.Column("mail_from", sa.String(320), nullable=False),
    sa.Column("author", sa.String(320), nullable=False, server_default=""),  # the first address in From
    sa.Column("recipients", LongText, nullable=False),  # JSON list of addresses
    sa.Column("subject", sa.Text, nullable=False),
    sa.Column("size", sa.BigInteger, nullable=False),  # octets of the whole message
    sa.Column("check_name", sa.String(32), nullable=False),  # whose verdict it was
    sa.Column("action", sa.String(16), nullable=False),  # what that check wanted: to quarantine, or to refuse
    sa.Column("reason", sa.Text, nullable=False),
    sa.Column("score", sa.Double, nullable=True),  # probability of spam; NULL where nobody classified it
    sa.Column("outbox_id", Number, nullable=True),  # of the message that releases it
    sa.Column("released_at", Seconds, nullable=True),  # when the MTA had taken that message
    sa.UniqueConstraint("ref", "user_name", name="quarantine_entry_once"),
    sa.Index("quarantine_entry_of", "user_name", "received_at"),
    sa.Index("quarantine_entry_outbox", "outbox_id"),
    sa.Index("quarantine_entry_released", "released_at", "size"),
)

# What we send ourselves. A message stays until the MTA has taken it.
outbox = sa.Table(
    "outbox",
    metadata,
    sa.Column("id", Number, primary_key=True, autoincrement=True),
    sa.Column("kind", sa.String(16), nullable=False),
    sa.Column("ref", sa.String(16), nullable=False),  # of the message that it is about
    sa.Column("created_at", Seconds, nullable=False),
    sa.Column("mail_from", sa.String(320), nullable=False),
    sa.Column("recipients", LongText, nullable=False),  # JSON list of addresses: those who have not got it yet
    sa.Column("content", LongBlob, nullable=False),
    sa.Column("once", sa.String(64), nullable=True, unique=True),  # no second message of this name
    sa.Column("next_at", Seconds, nullable=True, index=True),  # of the next try; NULL once it is sent or given up
    sa.Column("tries", sa.Integer, nullable=False),
    sa.Column("last_error", sa.Text, nullable=False),
    # SHA-256 of the pass by which the filter knows this message when the MTA shows it; NULL when it was used.
    sa.Column("pass_digest", sa.String(64), nullable=True),
    sa.Column("sent_at", Seconds, nullable=True),
    sa.Column("failed_at", Seconds, nullable=True),
    sa.Column(
        "notify", sa.Text, nullable=True
    ),  # JSON: what the client asked for with NOTIFY, ORCPT, RET, ENVID (RFC 3461)
    sa.Index("outbox_sent", "sent_at"),
    sa.Index("outbox_failed", "failed_at"),
    sqlite_autoincrement=True,  # the number is in passes that are out in the world
)

# What was done for a message that its client may bring again.
attempt = sa.Table(
    "attempt",
    metadata,
    # SHA-256 of what was done and of the message's identity, in hexadecimal.
    sa.Column("name", sa.String(64), primary_key=True),
    sa.Column("ref", sa.String(16), nullable=False),  # of the attempt at which it was done
    sa.Column("noted_at", Seconds, nullable=False, index=True),
)

# How far the folders of people's mailboxes were read ([imap]).
folder_read = sa.Table(
    "folder_read",
    metadata,
    sa.Column("account", exact_text(255), primary_key=True),
    sa.Column("folder", exact_text(255), primary_key=True),
    sa.Column("validity", sa.BigInteger, nullable=False),
    sa.Column("uid", sa.BigInteger, nullable=False),  # the last that was read
    sa.Column("read_at", Seconds, nullable=False, index=True),
)

preference = sa.Table(
    "preference",
    metadata,
    sa.Column("scope", sa.String(8), primary_key=True),  # "site", "group" or "user"
    sa.Column("owner", exact_text(255), primary_key=True),  # "" for the site
    sa.Column("name", sa.String(64), primary_key=True),
    sa.Column("value", sa.Text, nullable=False),
)

preference_group = sa.Table(
    "preference_group",
    metadata,
    sa.Column("user_name", exact_text(255), primary_key=True),
    sa.Column("group_name", exact_text(255), nullable=False, index=True),
)

# How often something was done since `began_at`; the next period starts it anew.
rate = sa.Table(
    "rate",
    metadata,
    sa.Column("name", exact_text(255), primary_key=True),
    sa.Column("began_at", Seconds, nullable=False, index=True),
    sa.Column("used", sa.BigInteger, nullable=False),
)

# How much was done in the period `slot` (since the epoch, in periods), and in the one before it.
rate_window = sa.Table(
    "rate_window",
    metadata,
    sa.Column("name", exact_text(255), primary_key=True),
    sa.Column("slot", sa.BigInteger, nullable=False),
    sa.Column("used", sa.BigInteger, nullable=False),
    sa.Column("earlier", sa.BigInteger, nullable=False),
    sa.Column("used_at", Seconds, nullable=False, index=True),
)

stopped_login = sa.Table(
    "stopped_login",
    metadata,
    sa.Column("login", exact_text(255), primary_key=True),
    sa.Column("stopped_at", Seconds, nullable=False),
    sa.Column("reason", sa.String(255), nullable=False),
)

sender_list = sa.Table(
    "sender_list",
    metadata,
    sa.Column("entry", exact_text(400), primary_key=True),  # kind:name
    sa.Column("kind", sa.String(16), nullable=False),
    sa.Column("name", exact_text(320), nullable=False),
    sa.Column("reason", sa.Text, nullable=False),
    sa.Column("added_by", sa.String(100), nullable=False),
    sa.Column("added_at", Seconds, nullable=False),
    sa.Column("seen_at", Seconds, nullable=False),
    sa.Column("expires_at", Seconds, nullable=True),
    sa.Column("offences", sa.Integer, nullable=False),
    sa.Index("sender_list_end", "kind", "expires_at"),
)

# Senders whom one user allows or blocks.
own_list = sa.Table(
    "own_list",
    metadata,
    sa.Column("user_name", exact_text(320), primary_key=True),  # as in quarantine_entry
    sa.Column("name", exact_text(320), primary_key=True),  # an address or a domain
    sa.Column("kind", sa.String(8), nullable=False),  # "allow" or "block"
    sa.Column("added_at", Seconds, nullable=False),
)

# What was found when a sender's mail server was asked whether it accepts bounces, and when the sender was last written to.
callback = sa.Table(
    "callback",
    metadata,
    # SHA-256 of the address, in hexadecimal: the domain in lower case, the local part as it is.
    sa.Column("digest", sa.String(64), primary_key=True),
    sa.Column("address", sa.String(320), nullable=False),
    sa.Column("outcome", sa.String(16), nullable=False),  # "" if nobody was asked
    sa.Column("told", sa.Text, nullable=False),
    sa.Column("host", sa.String(255), nullable=False),
    sa.Column("null_mx", sa.Boolean, nullable=False),
    sa.Column("asked_at", Seconds, nullable=False),
    sa.Column("expires_at", Seconds, nullable=False),
    sa.Column("noticed_at", Seconds, nullable=True),
    sa.Column("notice_ref", sa.String(16), nullable=True),  # of the message that the notice was about
    sa.Index("callback_end", "noticed_at", "expires_at"),
)

# What all nodes must know and nobody else.
shared_secret = sa.Table(
    "shared_secret",
    metadata,
    sa.Column("name", sa.String(32), primary_key=True),
    sa.Column("value", sa.String(64), nullable=False),
    sa.Column("created_at", Seconds, nullable=False),
)

# Who called which message spam; both are keyed hashes. texts is -1 until the marks are written.
fingerprint_report = sa.Table(
    "fingerprint_report",
    metadata,
    sa.Column("id", Number, primary_key=True, autoincrement=True),
    sa.Column("message", sa.BigInteger, nullable=False),
    sa.Column("reporter", sa.BigInteger, nullable=False),
    sa.Column("trusted", sa.Boolean, nullable=False),
    sa.Column("texts", sa.Integer, nullable=False),  # how many marks of the text are kept
    sa.Column("ceiling", sa.BigInteger, nullable=False),  # no hash of the text above it was kept
    sa.Column("expires_at", Seconds, nullable=False, index=True),
    sa.UniqueConstraint("message", "reporter", name="fingerprint_report_once"),
    sqlite_autoincrement=True,  # marks of a report that has gone must never be another one's
)

# The marks of reported messages: keyed hashes of shingles, links and attachments.
fingerprint = sa.Table(
    "fingerprint",
    metadata,
    sa.Column("id", Number, primary_key=True, autoincrement=True),
    sa.Column("mark", sa.BigInteger, nullable=False, index=True),
    sa.Column("kind", sa.SmallInteger, nullable=False),
    sa.Column("report_id", Number, nullable=False, index=True),
    sa.Column("expires_at", Seconds, nullable=False, index=True),
)

# Marks that honest mail has, too, each with who was seen with it.
fingerprint_common = sa.Table(
    "fingerprint_common",
    metadata,
    sa.Column("id", Number, primary_key=True, autoincrement=True),
    sa.Column("mark", sa.BigInteger, nullable=False),
    sa.Column("witness", sa.BigInteger, nullable=False, index=True),
    sa.Column("weight", sa.Integer, nullable=False),
    sa.Column("seen_at", Seconds, nullable=False, index=True),
    sa.UniqueConstraint("mark", "witness", name="fingerprint_common_once"),
)

# Full names of our users, learned from what they send.
own_name = sa.Table(
    "own_name",
    metadata,
    # SHA-256 of the name, in hexadecimal.
    sa.Column("digest", sa.String(64), primary_key=True),
    sa.Column("name", sa.String(200), nullable=False),
    sa.Column("address", sa.String(320), nullable=False),
    sa.Column("seen_at", Seconds, nullable=False, index=True),
)

# One message under DMARC, for the aggregate report of the day to the domain that published the policy.
dmarc_result = sa.Table(
    "dmarc_result",
    metadata,
    sa.Column("id", Number, primary_key=True, autoincrement=True),
    sa.Column("day", sa.Integer, nullable=False),  # since the epoch, in UTC
    sa.Column("domain", sa.String(255), nullable=False),
    sa.Column("published", sa.Text, nullable=False),  # JSON
    sa.Column("record", sa.Text, nullable=False),  # JSON
    sa.Index("dmarc_result_report", "day", "domain"),
)
dmarc_received = sa.Table(
    "dmarc_received",
    metadata,
    sa.Column("id", Number, primary_key=True, autoincrement=True),
    sa.Column("report", sa.String(64), nullable=False),  # a digest of what names it
    sa.Column("number", sa.Integer, nullable=False),  # of the row in its report
    sa.Column("stored_at", Seconds, nullable=False),
    sa.Column("day", sa.Integer, nullable=False),  # since the epoch, in UTC
    sa.Column("reporter", sa.String(255), nullable=False),
    sa.Column("domain", sa.String(255), nullable=False),
    sa.Column("source", sa.String(64), nullable=False),  # the address; "" for the rest
    sa.Column("header_from", sa.String(255), nullable=False),
    sa.Column("disposition", sa.String(16), nullable=False),
    sa.Column("dkim", sa.SmallInteger, nullable=False),  # 1 where it passed, with alignment
    sa.Column("spf", sa.SmallInteger, nullable=False),
    sa.Column("messages", sa.BigInteger, nullable=False),
    sa.Index("dmarc_received_row", "report", "number", unique=True),
    sa.Index("dmarc_received_day", "day", "domain"),
    sa.Index("dmarc_received_stored", "stored_at"),
)
