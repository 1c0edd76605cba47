"""How far the folders of people's mailboxes were read."""

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects import mysql

revision = "0027"
down_revision = "0024"
branch_labels = None
depends_on = None


def _exact(length: int) -> sa.types.TypeEngine:
    exact = mysql.VARCHAR(length, charset="utf8mb4", collation="utf8mb4_bin")
    return sa.String(length).with_variant(exact, "mysql", "mariadb")


def upgrade() -> None:
    op.create_table(
        "folder_read",
        sa.Column("account", _exact(255), primary_key=True),
        sa.Column("folder", _exact(255), primary_key=True),
        sa.Column("validity", sa.BigInteger, nullable=False),
        sa.Column("uid", sa.BigInteger, nullable=False),
        sa.Column("read_at", sa.Double, nullable=False),
    )


def downgrade() -> None:
    op.drop_table("folder_read")
