"""Folders that nobody looks into any more are found by their time."""

from alembic import op

revision = "0031"
down_revision = "0030"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.create_index("ix_folder_read_read_at", "folder_read", ["read_at"])


def downgrade() -> None:
    op.drop_index("ix_folder_read_read_at", "folder_read")
