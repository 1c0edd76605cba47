"""Fingerprints of reported spam, and the marks that honest mail has as well."""

import sqlalchemy as sa
from alembic import op

revision = "0013"
down_revision = "0011"
branch_labels = None
depends_on = None

Number = sa.BigInteger().with_variant(sa.Integer(), "sqlite")


def upgrade() -> None:
    op.create_table(
        "fingerprint_report",
        sa.Column("id", Number, primary_key=True, autoincrement=True),
        sa.Column("message", sa.BigInteger, nullable=False),
        sa.Column("reporter", sa.BigInteger, nullable=False),
        sa.Column("trusted", sa.Boolean, nullable=False),
        sa.Column("texts", sa.Integer, nullable=False),
        sa.Column("ceiling", sa.BigInteger, nullable=False),
        sa.Column("expires_at", sa.Double, nullable=False, index=True),
        sa.UniqueConstraint("message", "reporter", name="fingerprint_report_once"),
        sqlite_autoincrement=True,
    )
    op.create_table(
        "fingerprint",
        sa.Column("id", Number, primary_key=True, autoincrement=True),
        sa.Column("mark", sa.BigInteger, nullable=False, index=True),
        sa.Column("kind", sa.SmallInteger, nullable=False),
        sa.Column("report_id", Number, nullable=False, index=True),
        sa.Column("expires_at", sa.Double, nullable=False, index=True),
    )
    op.create_table(
        "fingerprint_common",
        sa.Column("id", Number, primary_key=True, autoincrement=True),
        sa.Column("mark", sa.BigInteger, nullable=False),
        sa.Column("witness", sa.BigInteger, nullable=False, index=True),
        sa.Column("weight", sa.Integer, nullable=False),
        sa.Column("seen_at", sa.Double, nullable=False, index=True),
        sa.UniqueConstraint("mark", "witness", name="fingerprint_common_once"),
    )


def downgrade() -> None:
    op.drop_table("fingerprint_common")
    op.drop_table("fingerprint")
    op.drop_table("fingerprint_report")
