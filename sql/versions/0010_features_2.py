"""Set aside what was learned with the features of version 1: keys of version 2 mean nothing in such a dictionary.

A dictionary that stays would be worse than none: it counts thousands of messages and knows no word of a new one. It keeps its
content under another name, and its owner begins anew. What messages consisted of goes, because reports would teach it.
"""

import logging

import sqlalchemy as sa
from alembic import op

revision = "0010"
down_revision = "0009"
branch_labels = None
depends_on = None

OLD = "features-1:"
LIBDSPAM = "libdspam:%"  # these have words of their own


def upgrade() -> None:
    user = sa.table("dspam_user", sa.column("id"), sa.column("name", sa.String))
    signature = sa.table("dspam_signature", sa.column("user_id"))
    connection = op.get_bind()
    mine = user.c.name.not_like(LIBDSPAM)
    connection.execute(sa.delete(signature).where(signature.c.user_id.in_(sa.select(user.c.id).where(mine))))
    names = connection.execute(sa.select(user.c.id, user.c.name).where(mine).order_by(user.c.id)).all()
    for number, name in names:
        new = f"{OLD}{name}"[:255]
        connection.execute(sa.update(user).where(user.c.id == number).values(name=new))
    if names:
        logging.getLogger("alembic.features").warning(
            "%d dictionaries of the spam filter were learned by an older version, which read mail differently. They are "
            "set aside under names that begin with %s, and learning begins anew. Teach what you have kept: "
            "bms train spam|ham MAILBOX",
            len(names),
            OLD,
        )


def downgrade() -> None:
    user = sa.table("dspam_user", sa.column("id"), sa.column("name", sa.String))
    connection = op.get_bind()
    for number, name in connection.execute(sa.select(user.c.id, user.c.name)).all():
        if name.startswith(OLD):
            connection.execute(sa.delete(user).where(user.c.name == name.removeprefix(OLD)))
            connection.execute(sa.update(user).where(user.c.id == number).values(name=name.removeprefix(OLD)))
