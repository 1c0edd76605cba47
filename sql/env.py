"""Alembic's entry: runs the migrations on the connection that antispam.store.migrate hands over."""

from alembic import context

from antispam.store.schema import metadata

context.configure(connection=context.config.attributes["connection"], target_metadata=metadata, render_as_batch=True)
with context.begin_transaction():
    context.run_migrations()
