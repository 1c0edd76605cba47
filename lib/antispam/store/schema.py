"""The tables of the store. Their migrations are in sql/; a test compares the two."""

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

# The people involved in a message, so that it can be found by person.
history_address = sa.Table(
    "history_address",
    metadata,
    sa.Column("id", Number, primary_key=True, autoincrement=True),
    sa.Column("domain", sa.String(255), nullable=False),
    sa.Column("local", sa.String(255), nullable=False),  # in lower case
    sa.Column("received_at", Seconds, nullable=False, index=True),
    sa.Column("ref", sa.String(16), nullable=False),
    sa.Column("role", sa.String(16), nullable=False),
    sa.Column("became", sa.String(16), nullable=True),  # its fate for this recipient; NULL for other roles
    sa.Index("history_address_who", "domain", "local", "received_at"),
    sa.Index("history_address_domain", "domain", "received_at"),
)

# Sums of history rows (store/history_sums.py), in pieces until they are folded.
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
    sqlite_autoincrement=True,  # a replaced row must never be mistaken for its successor
)

greylist = sa.Table(
    "greylist",
    metadata,
    # SHA-256 of the triplet, in hexadecimal: three addresses would exceed the length of an index key.
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

# A message as received, for those who may still get it. It is deleted with the last entry that refers to it.
stored_message = sa.Table(
    "stored_message",
    metadata,
    sa.Column("ref", sa.String(16), primary_key=True),
    sa.Column("stored_at", Seconds, nullable=False, index=True),
    sa.Column("content", LongBlob, nullable=False),
)

# Further pieces of a large message, whose first piece is in stored_message. Without that row they are orphans.
stored_piece = sa.Table(
    "stored_piece",
    metadata,
    sa.Column("ref", sa.String(16), primary_key=True),
    sa.Column("number", sa.Integer, primary_key=True, autoincrement=False),  # starts at 1
    sa.Column("content", LongBlob, nullable=False),
)

# Quarantined mail, one row per user: the recipients of a message may be several users, and each decides separately.
quarantine_entry = sa.Table(
    "quarantine_entry",
    metadata,
    sa.Column("id", Number, primary_key=True, autoincrement=True),
    sa.Column("ref", sa.String(16), sa.ForeignKey("stored_message.ref"), nullable=False),
    # A user of the filter, or the recipient's address if they are not one.
    sa.Column("user_name", exact_text(320), nullable=False),
    sa.Column("received_at", Seconds, nullable=False, index=True),
    sa.Column("mail_from", sa.String(320), nullable=False),
    sa.Column("author", sa.String(320), nullable=False, server_default=""),  # the first address in From
    sa.Column("recipients", LongText, nullable=False),  # JSON list of addresses
    sa.Column("subject", sa.Text, nullable=False),
    sa.Column("size", sa.BigInteger, nullable=False),  # octets of the whole message
    sa.Column("check_name", sa.String(32), nullable=False),  # the check that decided
    sa.Column("action", sa.String(16), nullable=False),  # the action of that check: quarantine or reject
    sa.Column("reason", sa.Text, nullable=False),
    sa.Column("score", sa.Double, nullable=True),  # probability of spam; NULL if it was not classified
    sa.Column("outbox_id", Number, nullable=True),  # the queued message that releases it
    sa.Column("released_at", Seconds, nullable=True),  # when the MTA accepted that message
    sa.UniqueConstraint("ref", "user_name", name="quarantine_entry_once"),
    sa.Index("quarantine_entry_of", "user_name", "received_at"),
    sa.Index("quarantine_entry_outbox", "outbox_id"),
    sa.Index("quarantine_entry_released", "released_at", "size"),
)

# Our own outgoing mail. A message stays until the MTA has accepted it.
outbox = sa.Table(
    "outbox",
    metadata,
    sa.Column("id", Number, primary_key=True, autoincrement=True),
    sa.Column("kind", sa.String(16), nullable=False),
    sa.Column("ref", sa.String(16), nullable=False),  # reference of the message that it is about
    sa.Column("created_at", Seconds, nullable=False),
    sa.Column("mail_from", sa.String(320), nullable=False),
    sa.Column("recipients", LongText, nullable=False),  # JSON list of the addresses that have not got it yet
    sa.Column("content", LongBlob, nullable=False),
    sa.Column("once", sa.String(64), nullable=True, unique=True),  # unique name of the message
    sa.Column("next_at", Seconds, nullable=True, index=True),  # time of the next try; NULL once it is sent or given up
    sa.Column("tries", sa.Integer, nullable=False),
    sa.Column("last_error", sa.Text, nullable=False),
    # SHA-256 of the pass by which the filter recognises this message when the MTA passes it in; NULL after use.
    sa.Column("pass_digest", sa.String(64), nullable=True),
    sa.Column("sent_at", Seconds, nullable=True),
    sa.Column("failed_at", Seconds, nullable=True),
    sa.Column("notify", sa.Text, nullable=True),  # JSON: the client's NOTIFY, ORCPT, RET, ENVID (RFC 3461)
    sa.Index("outbox_sent", "sent_at"),
    sa.Index("outbox_failed", "failed_at"),
    sqlite_autoincrement=True,  # the number is in passes already sent
)

# Actions done for a message that its client may send again.
attempt = sa.Table(
    "attempt",
    metadata,
    # SHA-256 of the action and the message's identity, in hexadecimal.
    sa.Column("name", sa.String(64), primary_key=True),
    sa.Column("ref", sa.String(16), nullable=False),  # reference of the attempt at which it was done
    sa.Column("noted_at", Seconds, nullable=False, index=True),
)

# The position up to which each mailbox folder was read ([imap]).
folder_read = sa.Table(
    "folder_read",
    metadata,
    sa.Column("account", exact_text(255), primary_key=True),
    sa.Column("folder", exact_text(255), primary_key=True),
    sa.Column("validity", sa.BigInteger, nullable=False),
    sa.Column("uid", sa.BigInteger, nullable=False),  # the last message read
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

# A counter since `began_at`; the next period restarts it.
rate = sa.Table(
    "rate",
    metadata,
    sa.Column("name", exact_text(255), primary_key=True),
    sa.Column("began_at", Seconds, nullable=False, index=True),
    sa.Column("used", sa.BigInteger, nullable=False),
)

# The amounts in the period `slot` (number of periods since the epoch) and in the previous one.
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

# Results of callbacks (whether a sender's mail server accepts bounces), and the last notice to each sender.
callback = sa.Table(
    "callback",
    metadata,
    # SHA-256 of the address, in hexadecimal: the domain in lower case, the local part as it is.
    sa.Column("digest", sa.String(64), primary_key=True),
    sa.Column("address", sa.String(320), nullable=False),
    sa.Column("outcome", sa.String(16), nullable=False),  # "" if no server was asked
    sa.Column("told", sa.Text, nullable=False),
    sa.Column("host", sa.String(255), nullable=False),
    sa.Column("null_mx", sa.Boolean, nullable=False),
    sa.Column("asked_at", Seconds, nullable=False),
    sa.Column("expires_at", Seconds, nullable=False),
    sa.Column("noticed_at", Seconds, nullable=True),
    sa.Column("notice_ref", sa.String(16), nullable=True),  # of the message that the notice was about
    sa.Index("callback_end", "noticed_at", "expires_at"),
)

# Secrets that all nodes share.
shared_secret = sa.Table(
    "shared_secret",
    metadata,
    sa.Column("name", sa.String(32), primary_key=True),
    sa.Column("value", sa.String(64), nullable=False),
    sa.Column("created_at", Seconds, nullable=False),
)

# Spam reports: reporter and message, both as keyed hashes. texts is -1 until the marks are written.
fingerprint_report = sa.Table(
    "fingerprint_report",
    metadata,
    sa.Column("id", Number, primary_key=True, autoincrement=True),
    sa.Column("message", sa.BigInteger, nullable=False),
    sa.Column("reporter", sa.BigInteger, nullable=False),
    sa.Column("trusted", sa.Boolean, nullable=False),
    sa.Column("texts", sa.Integer, nullable=False),  # number of stored marks of the text
    sa.Column("ceiling", sa.BigInteger, nullable=False),  # no hash of the text above this value was stored
    sa.Column("expires_at", Seconds, nullable=False, index=True),
    sa.UniqueConstraint("message", "reporter", name="fingerprint_report_once"),
    sqlite_autoincrement=True,  # marks of a deleted report must never become those of another
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

# Marks that also occur in honest mail, each with a witness.
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

# Full names of our users, learned from their outgoing mail.
own_name = sa.Table(
    "own_name",
    metadata,
    # SHA-256 of the name, in hexadecimal.
    sa.Column("digest", sa.String(64), primary_key=True),
    sa.Column("name", sa.String(200), nullable=False),
    sa.Column("address", sa.String(320), nullable=False),
    sa.Column("seen_at", Seconds, nullable=False, index=True),
)

# The DMARC result of one message, for the day's aggregate report to the domain that published the policy.
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
    sa.Column("report", sa.String(64), nullable=False),  # a digest of the report's identity
    sa.Column("number", sa.Integer, nullable=False),  # number of the row in its report
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
