"""[store] url as other programs write it, and what is said where it can't be used."""

from __future__ import annotations

import builtins

import pytest

from antispam.settings import load_text
from antispam.settings.program import PROGRAM_SETTINGS
from antispam.store.connecting import demand_driver, url_from


@pytest.mark.parametrize(
    ("written", "used"),
    [
        ("postgres://bms@db.example/mail", "postgresql+psycopg://bms@db.example/mail"),
        ("postgresql://bms:p%40ss@db.example/mail", "postgresql+psycopg://bms:p%40ss@db.example/mail"),
        ("mysql://bms@db.example/mail", "mysql+pymysql://bms@db.example/mail"),
        ("MariaDB://bms@db.example/mail", "mariadb+pymysql://bms@db.example/mail"),
        ("postgresql+psycopg2://bms@db.example/mail", "postgresql+psycopg2://bms@db.example/mail"),
        ("sqlite:////var/lib/milter/bms.sqlite", "sqlite:////var/lib/milter/bms.sqlite"),
    ],
)
def test_the_driver_of_our_extras_is_taken_where_none_is_named(written, used):
    assert url_from(load_text(f"[store]\nurl = {written}\n", PROGRAM_SETTINGS)) == used


@pytest.mark.parametrize("url", ["oracle9://db.example/x", "no url", "postgresql+nothing://db.example/x"])
def test_what_is_no_database_is_told_what_would_be(url):
    with pytest.raises(ValueError, match="expected sqlite:///FILE"):
        demand_driver(url)


@pytest.mark.parametrize(
    "url",
    [
        "postgresql://milter:s3:cret@db.example:s3cret/mail",
        "postgresql//milter:s3cret@db.example/mail",
        "mysql+s3cret://milter:s3cret@db.example/mail",
        "s3cret://db.example/mail",
    ],
)
def test_no_part_of_a_mistyped_address_is_repeated(url):
    """Its password may stand anywhere."""
    with pytest.raises(ValueError, match="expected sqlite:///FILE") as told:
        demand_driver(url)
    assert "s3cret" not in str(told.value)
    assert told.value.__cause__ is None


def test_the_driver_of_a_database_that_is_not_ours_has_no_extra():
    with pytest.raises(ValueError, match="driver is missing") as told:
        demand_driver("oracle://db.example/mail")
    assert "pip install" not in str(told.value)


def test_a_missing_driver_is_told_with_what_installs_it(monkeypatch):
    original = builtins.__import__

    def without(name, *arguments, **more):
        if name == "psycopg":
            raise ImportError("No module named 'psycopg'")
        return original(name, *arguments, **more)

    monkeypatch.setattr(builtins, "__import__", without)
    with pytest.raises(ValueError, match=r"pip install 'bms-antispam\[postgresql\]'"):
        demand_driver("postgresql+psycopg://bms@db.example/mail")
