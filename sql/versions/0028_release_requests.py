"""Users who may not deliver a kept message themselves ask for it."""

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects import mysql

revision = "0028"
down_revision = "0027"
branch_labels = None
depends_on = None

_NUMBER = sa.BigInteger().with_variant(sa.Integer(), "sqlite")


def _exact_text(length: int) -> sa.String:
    exact = mysql.VARCHAR(length, charset="utf8mb4", collation="utf8mb4_bin")
    return sa.String(length).with_variant(exact, "mysql", "mariadb")


def upgrade() -> None:
    op.create_table(
        "release_request",
        sa.Column("id", _NUMBER, primary_key=True, autoincrement=True),
        sa.Column("ref", sa.String(16), nullable=False),
        sa.Column("user_name", _exact_text(320), nullable=False),
        sa.Column("asked_at", sa.Double, nullable=False, index=True),
        sa.Column("decided_at", sa.Double, nullable=True, index=True),
        sa.Column("decided_by", _exact_text(255), nullable=False),
        sa.Column("granted", sa.Boolean, nullable=False),
        sa.Column("answer", sa.Text, nullable=False),
        sa.UniqueConstraint("user_name", "ref", name="release_request_once"),
    )


def downgrade() -> None:
    op.drop_table("release_request")
