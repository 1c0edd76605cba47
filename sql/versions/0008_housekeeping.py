"""Indexes by which housekeeping finds what is outdated without reading what is not."""

from alembic import op

revision = "0008"
down_revision = "0007"
branch_labels = None
depends_on = None

# name, table, columns
NEW = (
    ("greylist_waiting", "greylist", ("passed_at", "last_seen")),
    ("sender_list_end", "sender_list", ("kind", "expires_at")),
    ("callback_end", "callback", ("noticed_at", "expires_at")),
    ("outbox_sent", "outbox", ("sent_at",)),
    ("quarantine_entry_released", "quarantine_entry", ("released_at", "size")),
    ("dspam_training_age", "dspam_training", ("state", "trained_at")),
    ("dspam_training_of", "dspam_training", ("user_id", "state", "trained_at")),
    ("reputation_rare", "reputation", ("total", "last_seen")),
    ("reputation_vote_oldest", "reputation_vote", ("number", "voted_at")),
    ("reputation_vote_log", "reputation_vote", ("number", "identity", "voted_at")),
    ("reputation_vote_untold", "reputation_vote", ("told", "asked_at")),
)
# What the new ones serve, too.
OLD = (
    ("ix_sender_list_kind", "sender_list", ("kind",)),
    ("ix_sender_list_expires_at", "sender_list", ("expires_at",)),
    ("ix_callback_expires_at", "callback", ("expires_at",)),
    ("reputation_vote_pending", "reputation_vote", ("number", "identity")),
)


def upgrade() -> None:
    for name, table, columns in NEW:
        op.create_index(name, table, list(columns))
    for name, table, _ in OLD:
        op.drop_index(name, table)


def downgrade() -> None:
    for name, table, columns in OLD:
        op.create_index(name, table, list(columns))
    for name, table, _ in NEW:
        op.drop_index(name, table)
