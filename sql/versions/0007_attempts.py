"""What was done for messages whose client may bring them again, and what the sender of a letter wants to hear of it."""

import sqlalchemy as sa
from alembic import op

revision = "0007"
down_revision = "0006"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.create_table(
        "attempt",
        sa.Column("name", sa.String(64), primary_key=True),
        sa.Column("ref", sa.String(16), nullable=False),
        sa.Column("noted_at", sa.Double, nullable=False, index=True),
    )
    op.add_column("outbox", sa.Column("notify", sa.Text, nullable=True))


def downgrade() -> None:
    op.drop_column("outbox", "notify")
    op.drop_table("attempt")
