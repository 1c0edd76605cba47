"""The newest mail of a domain is found without reading all of its mail."""

from alembic import op

revision = "0034"
down_revision = "0033"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.create_index("history_address_domain", "history_address", ["domain", "received_at"])


def downgrade() -> None:
    op.drop_index("history_address_domain", "history_address")
