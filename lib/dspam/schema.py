"""The filter's tables. Their history is under sql/, in one line with the application's own tables."""

from __future__ import annotations

import enum

import sqlalchemy as sa
from sqlalchemy.dialects import mysql

metadata = sa.MetaData()

Seconds = sa.Double  # since the epoch
LongBlob = sa.LargeBinary().with_variant(mysql.LONGBLOB(), "mysql", "mariadb")
Number = sa.BigInteger().with_variant(sa.Integer(), "sqlite")


def exact_text(length: int) -> sa.String:
    """Text that is compared octet by octet; MariaDB would take "Bob" for "bob"."""
    exact = mysql.VARCHAR(length, charset="utf8mb4", collation="utf8mb4_bin")
    return sa.String(length).with_variant(exact, "mysql", "mariadb")


class State(enum.IntEnum):
    """Where the deltas of a training are."""

    PENDING = 0  # in the log only
    FOLDED = 1  # in the pages, too
    SPENT = 2  # in the pages only: remembered, so that a replay teaches nothing, but no longer to be taken back
    FOLDING = 3  # in the log, and in the pages as far as dspam_fold says


dspam_user = sa.Table(
    "dspam_user",
    metadata,
    sa.Column("id", Number, primary_key=True, autoincrement=True),
    sa.Column("name", exact_text(255), nullable=False, unique=True),
    sa.Column("created_at", Seconds, nullable=False),
    # Each change of the user's pages counts `generation` up, each that forgets tokens `purges` as well.
    sa.Column("generation", sa.BigInteger, nullable=False),
    sa.Column("purges", sa.BigInteger, nullable=False),
    sa.Column("tokens", sa.BigInteger, nullable=False),  # in the pages
    # The messages counted, in DSPAM's terms, without what the pending rows of the log add.
    sa.Column("spam_learned", sa.BigInteger, nullable=False),
    sa.Column("ham_learned", sa.BigInteger, nullable=False),
    sa.Column("spam_misclassified", sa.BigInteger, nullable=False),
    sa.Column("ham_misclassified", sa.BigInteger, nullable=False),
    sa.Column("spam_corpusfed", sa.BigInteger, nullable=False),
    sa.Column("ham_corpusfed", sa.BigInteger, nullable=False),
    sa.Column("spam_classified", sa.BigInteger, nullable=False),
    sa.Column("ham_classified", sa.BigInteger, nullable=False),
    sqlite_autoincrement=True,  # nobody may inherit what a worker still remembers of a user that was deleted
)

dspam_training = sa.Table(
    "dspam_training",
    metadata,
    sa.Column("seq", Number, primary_key=True, autoincrement=True),
    sa.Column("user_id", Number, sa.ForeignKey("dspam_user.id", ondelete="CASCADE"), nullable=False),
    # Digest of what identifies the message; NULL once the training was taken back, and in the row that takes it back.
    sa.Column("message", sa.String(32), nullable=True),
    sa.Column("is_spam", sa.SmallInteger, nullable=False),
    sa.Column("sign", sa.SmallInteger, nullable=False),  # 1 adds the deltas, -1 takes them back
    sa.Column("state", sa.SmallInteger, nullable=False),
    sa.Column("trained_at", Seconds, nullable=False),
    sa.Column("content", LongBlob, nullable=True),  # dspam.store.records.Deltas; NULL where spent
    sa.UniqueConstraint("user_id", "message", name="dspam_training_once"),
    sa.Index("dspam_training_tail", "state", "user_id", "seq"),
    sa.Index("dspam_training_age", "state", "trained_at"),
    sa.Index("dspam_training_of", "user_id", "state", "trained_at"),
    sqlite_autoincrement=True,  # a number that was given once is never given again: who tails the log relies on it
)

# A fold of many pages that is under way: it takes several short transactions.
dspam_fold = sa.Table(
    "dspam_fold",
    metadata,
    sa.Column("user_id", Number, sa.ForeignKey("dspam_user.id", ondelete="CASCADE"), primary_key=True),
    # What trainings in state FOLDING say of keys below it is in the pages; their totals come last.
    sa.Column("border", sa.BigInteger, nullable=False),
)

dspam_page = sa.Table(
    "dspam_page",
    metadata,
    sa.Column("user_id", Number, sa.ForeignKey("dspam_user.id", ondelete="CASCADE"), primary_key=True),
    # The page's first key; its tokens run up to the next page's.
    sa.Column("start", sa.BigInteger, primary_key=True, autoincrement=False),
    sa.Column("content", LongBlob, nullable=False),  # an array of dspam.store.records.TOKEN, sorted by key
)

dspam_signature = sa.Table(
    "dspam_signature",
    metadata,
    sa.Column("signature", exact_text(64), primary_key=True),
    sa.Column("user_id", Number, sa.ForeignKey("dspam_user.id", ondelete="CASCADE"), primary_key=True),
    sa.Column("created_at", Seconds, nullable=False, index=True),
    sa.Column("content", LongBlob, nullable=False),
)
