"""The tables of the console: accounts, sessions, actions, and links sent in digests. schema.py has all tables."""

from __future__ import annotations

import sqlalchemy as sa

from dspam.schema import Number, Seconds, exact_text

metadata = sa.MetaData()

# Accounts that may log in to the console.
web_account = sa.Table(
    "web_account",
    metadata,
    sa.Column("name", exact_text(255), primary_key=True),
    sa.Column("role", sa.String(16), nullable=False),
    sa.Column("password", sa.String(255), nullable=False),  # its hash
    sa.Column("mailboxes", sa.Text, nullable=False),  # JSON list of users of the filter
    sa.Column("created_at", Seconds, nullable=False),
    sa.Column("login", sa.String(16), nullable=False, server_default="own"),  # where the password is checked
)

# Sessions of logged-in accounts.
web_session = sa.Table(
    "web_session",
    metadata,
    sa.Column("digest", sa.String(64), primary_key=True),  # SHA-256 of the secret in the cookie
    sa.Column("account", exact_text(255), nullable=False, index=True),
    sa.Column("how", sa.String(16), nullable=False),  # the method of login
    sa.Column("begun_at", Seconds, nullable=False),
    sa.Column("seen_at", Seconds, nullable=False),  # to the minute
    sa.Column("expires_at", Seconds, nullable=False, index=True),
)

# One-time login links, which need no password.
web_link = sa.Table(
    "web_link",
    metadata,
    sa.Column("digest", sa.String(64), primary_key=True),  # SHA-256 of the secret in the link
    sa.Column("account", exact_text(255), nullable=False, index=True),
    sa.Column("expires_at", Seconds, nullable=False, index=True),
)

# Consecutive wrong passwords, for names with and without an account.
web_failure = sa.Table(
    "web_failure",
    metadata,
    sa.Column("digest", sa.String(64), primary_key=True),  # SHA-256 of the name
    sa.Column("failures", sa.Integer, nullable=False),
    sa.Column("failed_at", Seconds, nullable=False, index=True),  # the last one
)

# Actions of helpdesk and administrators in the console.
console_action = sa.Table(
    "console_action",
    metadata,
    sa.Column("id", Number, primary_key=True, autoincrement=True),
    sa.Column("at", Seconds, nullable=False, index=True),
    sa.Column("account", exact_text(255), nullable=False),
    sa.Column("what", sa.Text, nullable=False),  # completes a sentence
)

# The time up to which each user was notified of their quarantined mail.
digest = sa.Table(
    "digest",
    metadata,
    sa.Column("user_name", exact_text(320), primary_key=True),
    sa.Column("until", Seconds, nullable=False),  # messages before this time were included in a digest
    sa.Column("sent_at", Seconds, nullable=False),
)

# Signed links that were used, kept until they would have expired.
used_link = sa.Table(
    "used_link",
    metadata,
    sa.Column("digest", sa.String(64), primary_key=True),  # SHA-256 of the link's token
    sa.Column("expires_at", Seconds, nullable=False, index=True),
)

# Requests of users for quarantined messages that they may not release themselves, and the decisions.
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
