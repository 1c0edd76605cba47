"""The tables of reputation. Their migrations are in sql/, in one sequence with those of the application."""

from __future__ import annotations

import sqlalchemy as sa

from dspam.schema import exact_text

metadata = sa.MetaData()

Seconds = sa.Double  # since the epoch

reputation = sa.Table(
    "reputation",
    metadata,
    sa.Column("identity", exact_text(320), primary_key=True),  # domain:method of authentication
    sa.Column("size", sa.Integer, nullable=False),
    sa.Column("total", sa.BigInteger, nullable=False),
    sa.Column("ham", sa.LargeBinary, nullable=False),  # bits; the first is the lowest bit of the first octet
    sa.Column("unsure", sa.LargeBinary, nullable=False),
    sa.Column("first_seen", Seconds, nullable=False),
    sa.Column("last_seen", Seconds, nullable=False, index=True),
    sa.Index("reputation_rare", "total", "last_seen"),
)

# The verdicts on single messages. This is also a log: a row without a number is not in the ring yet.
reputation_vote = sa.Table(
    "reputation_vote",
    metadata,
    sa.Column("umis", exact_text(64), primary_key=True),
    sa.Column("identity", exact_text(320), nullable=False),
    sa.Column("ref", sa.String(16), nullable=False, index=True),  # of our message; "" for those of other programs
    sa.Column("asked_at", Seconds, nullable=False, index=True),
    sa.Column("voted_at", Seconds, nullable=True),
    sa.Column("vote", sa.SmallInteger, nullable=True),  # NULL until the message has a verdict
    sa.Column("number", sa.BigInteger, nullable=True),  # number of the observation; NULL while it is not in the ring
    sa.Column(
        "told", sa.SmallInteger, nullable=True
    ),  # the vote that was sent to other nodes; NULL again after it changed
    sa.Index("reputation_vote_oldest", "number", "voted_at"),
    sa.Index("reputation_vote_log", "number", "identity", "voted_at"),
    sa.Index("reputation_vote_untold", "told", "asked_at"),
)
