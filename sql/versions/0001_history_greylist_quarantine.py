"""The first tables: the history of messages, the greylist, the quarantine."""

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects import mysql

revision = "0001"
down_revision = None
branch_labels = None
depends_on = None

LONG_TEXT = sa.Text().with_variant(mysql.LONGTEXT(), "mysql", "mariadb")
LONG_BLOB = sa.LargeBinary().with_variant(mysql.LONGBLOB(), "mysql", "mariadb")
NUMBER = sa.BigInteger().with_variant(sa.Integer(), "sqlite")


def upgrade() -> None:
    op.create_table(
        "history",
        sa.Column("id", NUMBER, primary_key=True, autoincrement=True),
        sa.Column("ref", sa.String(16), nullable=False, unique=True),
        sa.Column("received_at", sa.Double, nullable=False, index=True),
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
        sa.Column("recipients", LONG_TEXT, nullable=False),
        sa.Column("findings", LONG_TEXT, nullable=False),
        sa.Column("decisions", LONG_TEXT, nullable=False),
    )
    op.create_table(
        "greylist",
        sa.Column("triplet", sa.String(64), primary_key=True),
        sa.Column("client", sa.String(255), nullable=False),
        sa.Column("mail_from", sa.String(320), nullable=False),
        sa.Column("recipient", sa.String(320), nullable=False),
        sa.Column("first_seen", sa.Double, nullable=False),
        sa.Column("last_seen", sa.Double, nullable=False, index=True),
        sa.Column("passed_at", sa.Double, nullable=True),
        sa.Column("attempts", sa.BigInteger, nullable=False),
    )
    op.create_table(
        "quarantine",
        sa.Column("ref", sa.String(16), primary_key=True),
        sa.Column("received_at", sa.Double, nullable=False, index=True),
        sa.Column("mail_from", sa.String(320), nullable=False),
        sa.Column("recipients", LONG_TEXT, nullable=False),
        sa.Column("reason", sa.Text, nullable=False),
    )
    op.create_table(
        "raw_message",
        sa.Column("ref", sa.String(16), sa.ForeignKey("quarantine.ref", ondelete="CASCADE"), primary_key=True),
        sa.Column("content", LONG_BLOB, nullable=False),
    )


def downgrade() -> None:
    for table in ("raw_message", "quarantine", "greylist", "history"):
        op.drop_table(table)
