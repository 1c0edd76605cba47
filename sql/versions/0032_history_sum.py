"""Sums of the history, for reports; what is in the history already is counted by housekeeping."""

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects import mysql

revision = "0032"
down_revision = "0031"
branch_labels = None
depends_on = None

_NUMBER = sa.BigInteger().with_variant(sa.Integer(), "sqlite")
_LONG_TEXT = sa.Text().with_variant(mysql.LONGTEXT(), "mysql", "mariadb")


def upgrade() -> None:
    made = op.create_table(
        "history_sum",
        sa.Column("id", _NUMBER, primary_key=True, autoincrement=True),
        sa.Column("kind", sa.String(8), nullable=False),
        sa.Column("begins", sa.Double, nullable=False),
        sa.Column("folded", sa.SmallInteger, nullable=False),
        sa.Column("content", _LONG_TEXT, nullable=False),
        sqlite_autoincrement=True,
    )
    op.create_index("history_sum_time", "history_sum", ["kind", "begins"])
    op.create_index("history_sum_pieces", "history_sum", ["folded", "kind", "begins"])
    newest = op.get_bind().scalar(sa.text("SELECT max(id) FROM history"))
    if newest is not None:
        op.bulk_insert(made, [{"kind": "older", "begins": 0.0, "folded": 1, "content": f"[0,{newest}]"}])


def downgrade() -> None:
    op.drop_table("history_sum")
