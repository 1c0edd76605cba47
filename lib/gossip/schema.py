"""The tables of reputation. Their history is under sql/, in one line with the application's own."""

from __future__ import annotations

import sqlalchemy as sa

from dspam.schema import exact_text

metadata = sa.MetaData()

Seconds = sa.Double  # since the epoch

reputation = sa.Table(
    "reputation",
    metadata,
    sa.Column("identity", exact_text(320), primary_key=True),  # domain:how it was authenticated
    sa.Column("size", sa.Integer, nullable=False),
    sa.Column("total", sa.BigInteger, nullable=False),
    sa.Column("ham", sa.LargeBinary, nullable=False),  # bits, the first in the lowest bit of the first octet
    sa.Column("unsure", sa.LargeBinary, nullable=False),
    sa.Column("first_seen", Seconds, nullable=False),
    sa.Column("last_seen", Seconds, nullable=False, index=True),
    sa.Index("reputation_rare", "total", "last_seen"),
)

# What became of single messages. It is a log, too: what has no number yet is not in the ring.
reputation_vote = sa.Table(
    "reputation_vote",
    metadata,
    sa.Column("umis", exact_text(64), primary_key=True),
    sa.Column("identity", exact_text(320), nullable=False),
    sa.Column("ref", sa.String(16), nullable=False, index=True),  # of our message, "" for another program's
    sa.Column("asked_at", Seconds, nullable=False, index=True),
    sa.Column("voted_at", Seconds, nullable=True),
    sa.Column("vote", sa.SmallInteger, nullable=True),  # NULL until somebody says what became of it
    sa.Column("number", sa.BigInteger, nullable=True),  # of the observation; NULL while it is not in the ring
    sa.Column(
        "told", sa.SmallInteger, nullable=True
    ),  # the vote that another node was told; NULL again where it changed
    sa.Index("reputation_vote_oldest", "number", "voted_at"),
    sa.Index("reputation_vote_log", "number", "identity", "voted_at"),
    sa.Index("reputation_vote_untold", "told", "asked_at"),
)
