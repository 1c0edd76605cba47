"""An index by which housekeeping finds the letters that were given up."""

from alembic import op

revision = "0009"
down_revision = "0008"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.create_index("outbox_failed", "outbox", ["failed_at"])


def downgrade() -> None:
    op.drop_index("outbox_failed", "outbox")
