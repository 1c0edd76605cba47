"""Sessions of the console end when nobody uses them; links for a first login; wrong passwords of names that have no account."""

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects import mysql

revision = "0022"
down_revision = "0021"
branch_labels = None
depends_on = None


def _exact_text(length: int) -> sa.String:
    exact = mysql.VARCHAR(length, charset="utf8mb4", collation="utf8mb4_bin")
    return sa.String(length).with_variant(exact, "mysql", "mariadb")


def upgrade() -> None:
    op.drop_table("web_session")  # everybody logs in once more
    op.create_table(
        "web_session",
        sa.Column("digest", sa.String(64), primary_key=True),
        sa.Column("account", _exact_text(255), nullable=False, index=True),
        sa.Column("how", sa.String(16), nullable=False),
        sa.Column("begun_at", sa.Double, nullable=False),
        sa.Column("seen_at", sa.Double, nullable=False),
        sa.Column("expires_at", sa.Double, nullable=False, index=True),
    )
    op.create_table(
        "web_link",
        sa.Column("digest", sa.String(64), primary_key=True),
        sa.Column("account", _exact_text(255), nullable=False, index=True),
        sa.Column("expires_at", sa.Double, nullable=False, index=True),
    )
    op.create_table(
        "web_failure",
        sa.Column("digest", sa.String(64), primary_key=True),
        sa.Column("failures", sa.Integer, nullable=False),
        sa.Column("failed_at", sa.Double, nullable=False, index=True),
    )
    op.drop_column("web_account", "failures")
    op.drop_column("web_account", "failed_at")


def downgrade() -> None:
    op.add_column("web_account", sa.Column("failures", sa.Integer, nullable=False, server_default="0"))
    op.add_column("web_account", sa.Column("failed_at", sa.Double, nullable=False, server_default="0"))
    op.drop_table("web_failure")
    op.drop_table("web_link")
    op.drop_table("web_session")
    op.create_table(
        "web_session",
        sa.Column("digest", sa.String(64), primary_key=True),
        sa.Column("account", _exact_text(255), nullable=False, index=True),
        sa.Column("expires_at", sa.Double, nullable=False, index=True),
    )
