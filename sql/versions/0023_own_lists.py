"""Users' own lists of senders, and what became of a message for each of its recipients."""

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects import mysql

revision = "0023"
down_revision = "0022"
branch_labels = None
depends_on = None


def _exact(length: int) -> sa.types.TypeEngine:
    exact = mysql.VARCHAR(length, charset="utf8mb4", collation="utf8mb4_bin")
    return sa.String(length).with_variant(exact, "mysql", "mariadb")


def upgrade() -> None:
    op.create_table(
        "own_list",
        sa.Column("user_name", _exact(320), primary_key=True),
        sa.Column("name", _exact(320), primary_key=True),
        sa.Column("kind", sa.String(8), nullable=False),
        sa.Column("added_at", sa.Double, nullable=False),
    )
    op.add_column("history_address", sa.Column("became", sa.String(16), nullable=True))


def downgrade() -> None:
    op.drop_column("history_address", "became")
    op.drop_table("own_list")
