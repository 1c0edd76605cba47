"""Reputation: what the mail of a domain was like lately."""

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects import mysql

revision = "0006"
down_revision = "0005"
branch_labels = None
depends_on = None


def exact(length):
    binary = mysql.VARCHAR(length, charset="utf8mb4", collation="utf8mb4_bin")
    return sa.String(length).with_variant(binary, "mysql", "mariadb")


def upgrade() -> None:
    op.create_table(
        "reputation",
        sa.Column("identity", exact(320), primary_key=True),
        sa.Column("size", sa.Integer, nullable=False),
        sa.Column("total", sa.BigInteger, nullable=False),
        sa.Column("ham", sa.LargeBinary, nullable=False),
        sa.Column("unsure", sa.LargeBinary, nullable=False),
        sa.Column("first_seen", sa.Double, nullable=False),
        sa.Column("last_seen", sa.Double, nullable=False, index=True),
    )
    op.create_table(
        "reputation_vote",
        sa.Column("umis", exact(64), primary_key=True),
        sa.Column("identity", exact(320), nullable=False),
        sa.Column("ref", sa.String(16), nullable=False, index=True),
        sa.Column("asked_at", sa.Double, nullable=False, index=True),
        sa.Column("voted_at", sa.Double, nullable=True),
        sa.Column("vote", sa.SmallInteger, nullable=True),
        sa.Column("number", sa.BigInteger, nullable=True),
        sa.Column("told", sa.SmallInteger, nullable=True),
    )
    op.create_index("reputation_vote_pending", "reputation_vote", ["number", "identity"])


def downgrade() -> None:
    op.drop_table("reputation_vote")
    op.drop_table("reputation")
