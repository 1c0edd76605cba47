"""The filter: its users, the log of trainings, the pages of tokens, the signatures."""

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects import mysql

revision = "0002"
down_revision = "0001"
branch_labels = None
depends_on = None

LONG_BLOB = sa.LargeBinary().with_variant(mysql.LONGBLOB(), "mysql", "mariadb")
NUMBER = sa.BigInteger().with_variant(sa.Integer(), "sqlite")
TOTALS = (
    "spam_learned",
    "ham_learned",
    "spam_misclassified",
    "ham_misclassified",
    "spam_corpusfed",
    "ham_corpusfed",
    "spam_classified",
    "ham_classified",
)


def name(length):
    exact = mysql.VARCHAR(length, charset="utf8mb4", collation="utf8mb4_bin")
    return sa.String(length).with_variant(exact, "mysql", "mariadb")


def user(**options):
    reference = sa.ForeignKey("dspam_user.id", ondelete="CASCADE")
    return sa.Column("user_id", NUMBER, reference, nullable=False, **options)


def upgrade() -> None:
    op.create_table(
        "dspam_user",
        sa.Column("id", NUMBER, primary_key=True, autoincrement=True),
        sa.Column("name", name(255), nullable=False, unique=True),
        sa.Column("created_at", sa.Double, nullable=False),
        sa.Column("generation", sa.BigInteger, nullable=False),
        sa.Column("purges", sa.BigInteger, nullable=False),
        sa.Column("tokens", sa.BigInteger, nullable=False),
        *(sa.Column(total, sa.BigInteger, nullable=False) for total in TOTALS),
        sqlite_autoincrement=True,
    )
    op.create_table(
        "dspam_training",
        sa.Column("seq", NUMBER, primary_key=True, autoincrement=True),
        user(),
        sa.Column("message", sa.String(32), nullable=True),
        sa.Column("is_spam", sa.SmallInteger, nullable=False),
        sa.Column("sign", sa.SmallInteger, nullable=False),
        sa.Column("state", sa.SmallInteger, nullable=False),
        sa.Column("trained_at", sa.Double, nullable=False),
        sa.Column("content", LONG_BLOB, nullable=True),
        sa.UniqueConstraint("user_id", "message", name="dspam_training_once"),
        sqlite_autoincrement=True,
    )
    op.create_index("dspam_training_tail", "dspam_training", ["state", "user_id", "seq"])
    op.create_table(
        "dspam_page",
        user(primary_key=True),
        sa.Column("start", sa.BigInteger, primary_key=True, autoincrement=False),
        sa.Column("content", LONG_BLOB, nullable=False),
    )
    op.create_table(
        "dspam_signature",
        sa.Column("signature", name(64), primary_key=True),
        user(primary_key=True),
        sa.Column("created_at", sa.Double, nullable=False, index=True),
        sa.Column("content", LONG_BLOB, nullable=False),
    )


def downgrade() -> None:
    for table in ("dspam_signature", "dspam_page", "dspam_training", "dspam_user"):
        op.drop_table(table)
