"""Each version's data outlives the upgrade to this one, and what a running program of the version before uses stays."""

from __future__ import annotations

import functools
import itertools
import shutil
import tempfile
from pathlib import Path

import alembic.script
import pytest
import sqlalchemy as sa

from antispam import resources
from antispam.store import migrate
from support.any_rows import KINDS, fill, rows_of, tables_of
from support.places import REPOSITORY
from support.side_by_side import broken

_SCRIPTS = alembic.script.ScriptDirectory(str(resources.folder("sql")))
VERSIONS = [script.revision for script in reversed(list(_SCRIPTS.walk_revisions()))]
# From here on, a program of one version runs beside one of the next (docs/upgrading.md).
ADDITIVE = VERSIONS[VERSIONS.index("0022") :]

# What a migration changed on purpose: the first version that does not have it as it was.
CHANGED = {
    "raw_message": "0003",  # stored_message
    "quarantine": "0003",  # quarantine_entry
    "dspam_user.name": "0010",  # dictionaries of older keys are set aside under other names
    "dspam_signature": "0010",
    "web_session": "0022",  # everybody logs in once more
    "web_account.failures": "0022",
    "web_account.failed_at": "0022",
}


@functools.cache
def _folder() -> tempfile.TemporaryDirectory[str]:
    """An empty database of each version, made by one upgrade that stops at each: NAME.sqlite."""
    folder = tempfile.TemporaryDirectory(prefix="bms-versions-")
    growing = Path(folder.name, "growing.sqlite")
    for version in VERSIONS:
        migrate(f"sqlite:///{growing}", version)
        shutil.copy(growing, Path(folder.name, f"{version}.sqlite"))
    return folder


def _engine(path: Path) -> sa.Engine:
    return sa.create_engine(f"sqlite:///{path}", poolclass=sa.pool.NullPool)


def _demand_what_was_there(url, version):
    engine = sa.create_engine(url, poolclass=sa.pool.NullPool)
    with engine.begin() as connection:
        before = tables_of(connection)
        fill(connection, before)
        old = {table.name: rows_of(connection, table, [column.name for column in table.c]) for table in before}
    migrate(url)
    with engine.connect() as connection:
        after = {table.name: table for table in tables_of(connection)}
        for table in before:
            if version < CHANGED.get(table.name, ""):
                continue
            names = [column.name for column in table.c]
            kept = [name for name in names if not version < CHANGED.get(f"{table.name}.{name}", "")]
            places = [names.index(name) for name in kept]
            expected = sorted((tuple(row[place] for place in places) for row in old[table.name]), key=repr)
            assert rows_of(connection, after[table.name], kept) == expected, table.name
    engine.dispose()


@pytest.mark.parametrize("version", VERSIONS[:-1])
def test_the_data_of_each_version_is_there_after_the_upgrade(version, tmp_path):
    shutil.copy(Path(_folder().name, f"{version}.sqlite"), tmp_path / "bms.sqlite")
    _demand_what_was_there(f"sqlite:///{tmp_path / 'bms.sqlite'}", version)


@pytest.mark.servers
@pytest.mark.parametrize("server", ["postgresql", "mariadb"])
def test_the_data_of_the_first_version_is_there_in_servers_as_well(request, server):
    url = request.getfixturevalue(server).new_database()
    migrate(url, VERSIONS[0])
    _demand_what_was_there(url, VERSIONS[0])


def test_the_oldest_quarantine_has_moved(tmp_path):
    shutil.copy(Path(_folder().name, "0001.sqlite"), tmp_path / "bms.sqlite")
    engine = _engine(tmp_path / "bms.sqlite")
    with engine.begin() as connection:
        fill(connection, tables_of(connection))
    migrate(f"sqlite:///{tmp_path / 'bms.sqlite'}")
    with engine.connect() as connection:
        for table in ("stored_message", "quarantine_entry"):
            assert connection.exec_driver_sql(f"SELECT count(*) FROM {table}").scalar() == len(KINDS)


def test_no_migration_takes_away_what_the_version_before_uses():
    for one, following in itertools.pairwise(ADDITIVE):
        with _engine(Path(_folder().name, f"{one}.sqlite")).connect() as before:
            old = tables_of(before)
        with _engine(Path(_folder().name, f"{following}.sqlite")).connect() as after:
            assert broken(old, tables_of(after)) == [], f"{following} breaks a program of {one} that is running"


def test_the_last_migration_that_did_is_found():
    with (
        _engine(Path(_folder().name, "0021.sqlite")).connect() as before,
        _engine(Path(_folder().name, "0022.sqlite")).connect() as after,
    ):
        found = broken(tables_of(before), tables_of(after))
    assert "web_account.failures is gone" in found
    assert "web_session.how is new and must be given" in found


@pytest.mark.parametrize("version", ADDITIVE[:-1])
def test_a_program_of_an_older_version_goes_on_writing_and_reading(version, tmp_path):
    shutil.copy(Path(_folder().name, f"{version}.sqlite"), tmp_path / "bms.sqlite")
    engine = _engine(tmp_path / "bms.sqlite")
    with engine.connect() as connection:
        theirs = tables_of(connection)
    migrate(f"sqlite:///{tmp_path / 'bms.sqlite'}")
    with engine.begin() as connection:
        fill(connection, theirs, mark=1)
        for table in theirs:
            assert len(rows_of(connection, table, [column.name for column in table.c])) >= len(KINDS)


def test_the_documentation_says_from_where_on():
    assert f"schema {ADDITIVE[0]}" in (REPOSITORY / "docs" / "upgrading.md").read_text()


def _tables(*made):
    metadata = sa.MetaData()
    return [sa.Table("t", metadata, *made)]


_ID = functools.partial(sa.Column, "id", sa.Integer, primary_key=True)


@pytest.mark.parametrize(
    ("before", "after", "said"),
    [
        ([sa.Column("a", sa.Text)], [], ["t.a is gone"]),
        ([sa.Column("a", sa.String(20))], [sa.Column("a", sa.String(10))], ["t.a is shorter"]),
        ([sa.Column("a", sa.String(20))], [sa.Column("a", sa.Integer)], ["t.a has another type"]),
        ([sa.Column("a", sa.Text)], [sa.Column("a", sa.Text, nullable=False)], ["t.a must be given"]),
        ([], [sa.Column("a", sa.Text, nullable=False)], ["t.a is new and must be given"]),
        ([sa.Column("a", sa.Text)], [sa.Column("a", sa.Text), sa.UniqueConstraint("a")], ["t: a must be unique"]),
        (
            [sa.Column("a", sa.Text)],
            [sa.Column("a", sa.Text), sa.Index("i", "a", unique=True)],
            ["t: a must be unique"],
        ),
        ([], [sa.Column("a", sa.Text, nullable=False, server_default="")], []),
        ([], [sa.Column("a", sa.Text)], []),
        ([sa.Column("a", sa.String(10))], [sa.Column("a", sa.String(20)), sa.Index("i", "a")], []),
    ],
)
def test_what_breaks_a_running_program(before, after, said):
    assert broken(_tables(_ID(), *before), _tables(_ID(), *after)) == said


def test_a_table_that_is_gone_breaks_it_and_a_new_one_does_not():
    assert broken(_tables(_ID()), []) == ["t is gone"]
    assert broken([], _tables(_ID())) == []
