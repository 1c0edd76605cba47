"""DMARC reports of others about our domains."""

import sqlalchemy as sa
from alembic import op

revision = "0033"
down_revision = "0032"
branch_labels = None
depends_on = None

_NUMBER = sa.BigInteger().with_variant(sa.Integer(), "sqlite")


def upgrade() -> None:
    op.create_table(
        "dmarc_received",
        sa.Column("id", _NUMBER, primary_key=True, autoincrement=True),
        sa.Column("report", sa.String(64), nullable=False),
        sa.Column("number", sa.Integer, nullable=False),
        sa.Column("stored_at", sa.Double, nullable=False),
        sa.Column("day", sa.Integer, nullable=False),
        sa.Column("reporter", sa.String(255), nullable=False),
        sa.Column("domain", sa.String(255), nullable=False),
        sa.Column("source", sa.String(64), nullable=False),
        sa.Column("header_from", sa.String(255), nullable=False),
        sa.Column("disposition", sa.String(16), nullable=False),
        sa.Column("dkim", sa.SmallInteger, nullable=False),
        sa.Column("spf", sa.SmallInteger, nullable=False),
        sa.Column("messages", sa.BigInteger, nullable=False),
    )
    op.create_index("dmarc_received_row", "dmarc_received", ["report", "number"], unique=True)
    op.create_index("dmarc_received_day", "dmarc_received", ["day", "domain"])
    op.create_index("dmarc_received_stored", "dmarc_received", ["stored_at"])


def downgrade() -> None:
    op.drop_table("dmarc_received")
