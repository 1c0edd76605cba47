"""Quarantine by user, an outbox, preferences; what was in the quarantine moves along."""

import json

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects import mysql

revision = "0003"
down_revision = "0002"
branch_labels = None
depends_on = None

LONG_TEXT = sa.Text().with_variant(mysql.LONGTEXT(), "mysql", "mariadb")
LONG_BLOB = sa.LargeBinary().with_variant(mysql.LONGBLOB(), "mysql", "mariadb")
NUMBER = sa.BigInteger().with_variant(sa.Integer(), "sqlite")


def exact(length):
    binary = mysql.VARCHAR(length, charset="utf8mb4", collation="utf8mb4_bin")
    return sa.String(length).with_variant(binary, "mysql", "mariadb")


def upgrade() -> None:
    op.create_table(
        "stored_message",
        sa.Column("ref", sa.String(16), primary_key=True),
        sa.Column("stored_at", sa.Double, nullable=False, index=True),
        sa.Column("content", LONG_BLOB, nullable=False),
    )
    op.create_table(
        "quarantine_entry",
        sa.Column("id", NUMBER, primary_key=True, autoincrement=True),
        sa.Column("ref", sa.String(16), sa.ForeignKey("stored_message.ref"), nullable=False),
        sa.Column("user_name", exact(320), nullable=False),
        sa.Column("received_at", sa.Double, nullable=False, index=True),
        sa.Column("mail_from", sa.String(320), nullable=False),
        sa.Column("recipients", LONG_TEXT, nullable=False),
        sa.Column("subject", sa.Text, nullable=False),
        sa.Column("size", sa.BigInteger, nullable=False),
        sa.Column("check_name", sa.String(32), nullable=False),
        sa.Column("action", sa.String(16), nullable=False),
        sa.Column("reason", sa.Text, nullable=False),
        sa.Column("score", sa.Double, nullable=True),
        sa.Column("outbox_id", NUMBER, nullable=True),
        sa.Column("released_at", sa.Double, nullable=True),
        sa.UniqueConstraint("ref", "user_name", name="quarantine_entry_once"),
    )
    op.create_index("quarantine_entry_of", "quarantine_entry", ["user_name", "received_at"])
    op.create_index("quarantine_entry_outbox", "quarantine_entry", ["outbox_id"])
    op.create_table(
        "outbox",
        sa.Column("id", NUMBER, primary_key=True, autoincrement=True),
        sa.Column("kind", sa.String(16), nullable=False),
        sa.Column("ref", sa.String(16), nullable=False),
        sa.Column("created_at", sa.Double, nullable=False),
        sa.Column("mail_from", sa.String(320), nullable=False),
        sa.Column("recipients", LONG_TEXT, nullable=False),
        sa.Column("content", LONG_BLOB, nullable=False),
        sa.Column("once", sa.String(64), nullable=True, unique=True),
        sa.Column("next_at", sa.Double, nullable=True, index=True),
        sa.Column("tries", sa.Integer, nullable=False),
        sa.Column("last_error", sa.Text, nullable=False),
        sa.Column("pass_digest", sa.String(64), nullable=True),
        sa.Column("sent_at", sa.Double, nullable=True),
        sa.Column("failed_at", sa.Double, nullable=True),
        sqlite_autoincrement=True,
    )
    op.create_table(
        "preference",
        sa.Column("scope", sa.String(8), primary_key=True),
        sa.Column("owner", exact(255), primary_key=True),
        sa.Column("name", sa.String(64), primary_key=True),
        sa.Column("value", sa.Text, nullable=False),
    )
    op.create_table(
        "preference_group",
        sa.Column("user_name", exact(255), primary_key=True),
        sa.Column("group_name", exact(255), nullable=False, index=True),
    )
    op.create_table(
        "rate",
        sa.Column("name", exact(255), primary_key=True),
        sa.Column("began_at", sa.Double, nullable=False, index=True),
        sa.Column("used", sa.BigInteger, nullable=False),
    )
    _move_quarantine()
    op.drop_table("raw_message")
    op.drop_table("quarantine")


def _move_quarantine() -> None:
    """One entry for each recipient. Contents are copied within the database, however large they are."""
    connection = op.get_bind()
    old = sa.table("quarantine", *map(sa.column, ("ref", "received_at", "mail_from", "recipients", "reason")))
    raw = sa.table("raw_message", sa.column("ref"), sa.column("content"))
    stored = sa.table("stored_message", sa.column("ref"), sa.column("stored_at"), sa.column("content"))
    columns = (
        "ref", "user_name", "received_at", "mail_from", "recipients", "subject", "size", "check_name", "action", "reason",
    )  # fmt: skip
    entry = sa.table("quarantine_entry", *map(sa.column, columns))
    both = sa.select(old.c.ref, old.c.received_at, raw.c.content).where(old.c.ref == raw.c.ref)
    connection.execute(sa.insert(stored).from_select(["ref", "stored_at", "content"], both))
    size = sa.func.octet_length(stored.c.content)
    if connection.dialect.name == "sqlite":
        size = sa.func.length(stored.c.content)
    rows = connection.execute(sa.select(old, size).where(old.c.ref == stored.c.ref)).all()
    for ref, received_at, mail_from, recipients, reason, octets in rows:
        check, _, why = reason.partition(": ")
        by_user: dict[str, list[str]] = {}
        for address in json.loads(recipients) or [""]:
            by_user.setdefault(address.lower(), []).append(address)
        for user, addresses in by_user.items():
            values = {
                "ref": ref,
                "user_name": user,
                "received_at": received_at,
                "mail_from": mail_from,
                "recipients": json.dumps(addresses),
                "subject": "",
                "size": octets,
                "check_name": check[:32],
                "action": "quarantine",
                "reason": why,
            }
            connection.execute(sa.insert(entry), values)


def downgrade() -> None:
    raise NotImplementedError("what users decided about their mail has no place in the older tables")
