"""Senders that were called back, and the secret by which our notices to them are known."""

import sqlalchemy as sa
from alembic import op

revision = "0005"
down_revision = "0004"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.create_table(
        "callback",
        sa.Column("digest", sa.String(64), primary_key=True),
        sa.Column("address", sa.String(320), nullable=False),
        sa.Column("outcome", sa.String(16), nullable=False),
        sa.Column("told", sa.Text, nullable=False),
        sa.Column("host", sa.String(255), nullable=False),
        sa.Column("null_mx", sa.Boolean, nullable=False),
        sa.Column("asked_at", sa.Double, nullable=False),
        sa.Column("expires_at", sa.Double, nullable=False, index=True),
        sa.Column("noticed_at", sa.Double, nullable=True),
        sa.Column("notice_ref", sa.String(16), nullable=True),
    )
    op.create_table(
        "shared_secret",
        sa.Column("name", sa.String(32), primary_key=True),
        sa.Column("value", sa.String(64), nullable=False),
        sa.Column("created_at", sa.Double, nullable=False),
    )


def downgrade() -> None:
    op.drop_table("shared_secret")
    op.drop_table("callback")
