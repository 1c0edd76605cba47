"""Find a message in the history by its Message-ID, its queue ID, and the people who had to do with it."""

import sqlalchemy as sa
from alembic import op

revision = "0011"
down_revision = "0010"
branch_labels = None
depends_on = None

_NUMBER = sa.BigInteger().with_variant(sa.Integer(), "sqlite")


def upgrade() -> None:
    for name, length in (("message_id", 255), ("author", 320), ("subject", 255)):
        op.add_column("history", sa.Column(name, sa.String(length), nullable=False, server_default=""))
    op.create_index("history_message_id", "history", ["message_id"])
    op.create_index("history_queue_id", "history", ["queue_id"])
    op.create_table(
        "history_address",
        sa.Column("id", _NUMBER, primary_key=True, autoincrement=True),
        sa.Column("domain", sa.String(255), nullable=False),
        sa.Column("local", sa.String(255), nullable=False),
        sa.Column("received_at", sa.Double, nullable=False),
        sa.Column("ref", sa.String(16), nullable=False),
        sa.Column("role", sa.String(16), nullable=False),
    )
    op.create_index("ix_history_address_received_at", "history_address", ["received_at"])
    op.create_index("history_address_who", "history_address", ["domain", "local", "received_at"])


def downgrade() -> None:
    op.drop_table("history_address")
    op.drop_index("history_queue_id", "history")
    op.drop_index("history_message_id", "history")
    with op.batch_alter_table("history") as history:
        for name in ("subject", "author", "message_id"):
            history.drop_column(name)
