"""Keys are stored. When they change, dictionaries that were learned before are set aside, with words."""

from __future__ import annotations

import contextlib
import logging

import alembic.script
import pytest
import sqlalchemy as sa

from antispam import resources
from antispam.learning.teacher import Teacher
from antispam.store import Store, migrate
from dspam.schema import dspam_signature, dspam_user
from dspam.store import put_signature, user_id


@pytest.fixture
def url(tmp_path):
    url = f"sqlite:///{tmp_path / 'db'}"
    migrate(url, "0009")
    with contextlib.closing(Store(url)) as store:
        for name in ("bob", "libdspam:bob"):
            put_signature(store, user_id(store, name), "sig", b"keys")
    return url


def names(store):
    with store.read() as connection:
        return sorted(connection.execute(sa.select(dspam_user.c.name)).scalars())


def test_a_dictionary_of_older_keys_is_set_aside_with_a_warning(url, caplog):
    with caplog.at_level(logging.WARNING):
        migrate(url)
    with contextlib.closing(Store(url)) as store:
        assert names(store) == ["features-1:bob", "libdspam:bob"]
        with pytest.raises(LookupError):
            Teacher(store, "bob", make=False)
        with store.read() as connection:
            owners = connection.execute(sa.select(dspam_signature.c.user_id)).scalars().all()
        assert owners == [user_id(store, "libdspam:bob")]
    assert "1 dictionaries of the spam filter were learned by an older version" in caplog.text


def test_an_empty_database_says_nothing(tmp_path, caplog):
    with caplog.at_level(logging.WARNING):
        migrate(f"sqlite:///{tmp_path / 'db'}")
    assert not caplog.text


def test_the_migrations_have_one_end():
    """Two engineers who add one on the same day otherwise leave a database that can't be opened."""
    scripts = alembic.script.ScriptDirectory(str(resources.folder("sql")))
    assert len(scripts.get_heads()) == 1
