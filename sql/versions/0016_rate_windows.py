"""How much mail somebody sent lately, in windows that slide; and the logins that were stopped."""

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects import mysql

revision = "0016"
down_revision = "0015"
branch_labels = None
depends_on = None


def exact(length):
    binary = mysql.VARCHAR(length, charset="utf8mb4", collation="utf8mb4_bin")
    return sa.String(length).with_variant(binary, "mysql", "mariadb")


def upgrade() -> None:
    op.create_table(
        "rate_window",
        sa.Column("name", exact(255), primary_key=True),
        sa.Column("slot", sa.BigInteger, nullable=False),
        sa.Column("used", sa.BigInteger, nullable=False),
        sa.Column("earlier", sa.BigInteger, nullable=False),
        sa.Column("used_at", sa.Double, nullable=False, index=True),
    )
    op.create_table(
        "stopped_login",
        sa.Column("login", exact(255), primary_key=True),
        sa.Column("stopped_at", sa.Double, nullable=False),
        sa.Column("reason", sa.String(255), nullable=False),
    )


def downgrade() -> None:
    op.drop_table("stopped_login")
    op.drop_table("rate_window")
