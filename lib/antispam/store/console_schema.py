"""The tables of the console: who may log in, what they did, and the links that digests send. schema.py has all tables."""

from __future__ import annotations

import sqlalchemy as sa

from dspam.schema import Number, Seconds, exact_text

metadata = sa.MetaData()

# Who may log in to the console.
web_account = sa.Table(
    "web_account",
    metadata,
    sa.Column("name", exact_text(255), primary_key=True),
    sa.Column("role", sa.String(16), nullable=False),
    sa.Column("password", sa.String(255), nullable=False),  # its hash
    sa.Column("mailboxes", sa.Text, nullable=False),  # JSON list of users of the filter
    sa.Column("created_at", Seconds, nullable=False),
    sa.Column("login", sa.String(16), nullable=False, server_default="own"),  # who knows the password
)

# Who is logged in.
web_session = sa.Table(
    "web_session",
    metadata,
    sa.Column("digest", sa.String(64), primary_key=True),  # SHA-256 of what the cookie holds
    sa.Column("account", exact_text(255), nullable=False, index=True),
    sa.Column("how", sa.String(16), nullable=False),  # by what they logged in
    sa.Column("begun_at", Seconds, nullable=False),
    sa.Column("seen_at", Seconds, nullable=False),  # to the minute
    sa.Column("expires_at", Seconds, nullable=False, index=True),
)

# Links that let somebody in once, without a password.
web_link = sa.Table(
    "web_link",
    metadata,
    sa.Column("digest", sa.String(64), primary_key=True),  # SHA-256 of what the link holds
    sa.Column("account", exact_text(255), nullable=False, index=True),
    sa.Column("expires_at", Seconds, nullable=False, index=True),
)

# Wrong passwords in a row, of names with and without an account.
web_failure = sa.Table(
    "web_failure",
    metadata,
    sa.Column("digest", sa.String(64), primary_key=True),  # SHA-256 of the name
    sa.Column("failures", sa.Integer, nullable=False),
    sa.Column("failed_at", Seconds, nullable=False, index=True),  # the last one
)

# What helpdesk and administrators did in the console.
console_action = sa.Table(
    "console_action",
    metadata,
    sa.Column("id", Number, primary_key=True, autoincrement=True),
    sa.Column("at", Seconds, nullable=False, index=True),
    sa.Column("account", exact_text(255), nullable=False),
    sa.Column("what", sa.Text, nullable=False),  # completes a sentence
)

# Until when a user was told what is kept from them.
digest = sa.Table(
    "digest",
    metadata,
    sa.Column("user_name", exact_text(320), primary_key=True),
    sa.Column("until", Seconds, nullable=False),  # what came before was told
    sa.Column("sent_at", Seconds, nullable=False),
)

# Signed links that were used, until they would have ended anyway.
used_link = sa.Table(
    "used_link",
    metadata,
    sa.Column("digest", sa.String(64), primary_key=True),  # SHA-256 of the link's token
    sa.Column("expires_at", Seconds, nullable=False, index=True),
)

# Who asks for a kept message that they may not deliver themselves, and what became of it.
release_request = sa.Table(
    "release_request",
    metadata,
    sa.Column("id", Number, primary_key=True, autoincrement=True),
    sa.Column("ref", sa.String(16), nullable=False),
    sa.Column("user_name", exact_text(320), nullable=False),
    sa.Column("asked_at", Seconds, nullable=False, index=True),
    sa.Column("decided_at", Seconds, nullable=True, index=True),  # NULL while it is open
    sa.Column("decided_by", exact_text(255), nullable=False),  # the name of an account
    sa.Column("granted", sa.Boolean, nullable=False),
    sa.Column("answer", sa.Text, nullable=False),  # a sentence for the user
    sa.UniqueConstraint("user_name", "ref", name="release_request_once"),
)
