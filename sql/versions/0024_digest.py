"""Until when each user was told what is kept from them, and signed links that were used."""

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects import mysql

revision = "0024"
down_revision = "0026"
branch_labels = None
depends_on = None


def _exact_text(length: int) -> sa.String:
    exact = mysql.VARCHAR(length, charset="utf8mb4", collation="utf8mb4_bin")
    return sa.String(length).with_variant(exact, "mysql", "mariadb")


def upgrade() -> None:
    op.create_table(
        "digest",
        sa.Column("user_name", _exact_text(320), primary_key=True),
        sa.Column("until", sa.Double, nullable=False),
        sa.Column("sent_at", sa.Double, nullable=False),
    )
    op.create_table(
        "used_link",
        sa.Column("digest", sa.String(64), primary_key=True),
        sa.Column("expires_at", sa.Double, nullable=False, index=True),
    )


def downgrade() -> None:
    op.drop_table("used_link")
    op.drop_table("digest")
