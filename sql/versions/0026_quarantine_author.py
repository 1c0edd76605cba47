"""Whom a message in the quarantine names as its author: people look for that, and not for the envelope."""

import sqlalchemy as sa
from alembic import op

revision = "0026"
down_revision = "0023"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.add_column("quarantine_entry", sa.Column("author", sa.String(320), nullable=False, server_default=""))


def downgrade() -> None:
    op.drop_column("quarantine_entry", "author")
