"""How far a fold of trainings is, which takes several short transactions."""

import sqlalchemy as sa
from alembic import op

revision = "0020"
down_revision = "0018"
branch_labels = None
depends_on = None


def upgrade() -> None:
    number = sa.BigInteger().with_variant(sa.Integer(), "sqlite")
    op.create_table(
        "dspam_fold",
        sa.Column("user_id", number, sa.ForeignKey("dspam_user.id", ondelete="CASCADE"), primary_key=True),
        sa.Column("border", sa.BigInteger, nullable=False),
    )


def downgrade() -> None:
    op.drop_table("dspam_fold")
