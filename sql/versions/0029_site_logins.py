"""Accounts of people whose password the site knows."""

import sqlalchemy as sa
from alembic import op

revision = "0029"
down_revision = "0028"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.add_column("web_account", sa.Column("login", sa.String(16), nullable=False, server_default="own"))


def downgrade() -> None:
    op.drop_column("web_account", "login")
