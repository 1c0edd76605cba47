"""The tables as the program sees them. Their history is under sql/; a test compares the two."""

from __future__ import annotations

import sqlalchemy as sa
from sqlalchemy.dialects import mysql

from dspam.schema import metadata as dspam_metadata

metadata = sa.MetaData()
for _table in dspam_metadata.sorted_tables:
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
    sa.Column("size", sa.BigInteger, nullable=False),
    sa.Column("action", sa.String(16), nullable=False),
    sa.Column("code", sa.Integer, nullable=False),
    sa.Column("reason", sa.Text, nullable=False),
    sa.Column("recipients", LongText, nullable=False),  # JSON: [{"address", "action", "reason"}]
    sa.Column("findings", LongText, nullable=False),  # JSON: {check: finding}
    sa.Column("decisions", LongText, nullable=False),  # JSON: [{"check", "action", ...}]
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
)

quarantine = sa.Table(
    "quarantine",
    metadata,
    sa.Column("ref", sa.String(16), primary_key=True),
    sa.Column("received_at", Seconds, nullable=False, index=True),
    sa.Column("mail_from", sa.String(320), nullable=False),
    sa.Column("recipients", LongText, nullable=False),  # JSON list of addresses
    sa.Column("reason", sa.Text, nullable=False),
)

raw_message = sa.Table(
    "raw_message",
    metadata,
    sa.Column("ref", sa.String(16), sa.ForeignKey("quarantine.ref", ondelete="CASCADE"), primary_key=True),
    sa.Column("content", LongBlob, nullable=False),
)
