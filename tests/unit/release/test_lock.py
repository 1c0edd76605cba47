"""release/requirements.txt has what pyproject.toml asks for; `make lock` writes it anew."""

from __future__ import annotations

import tomllib

import pytest
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name
from release.sbom import read_lock

from support.places import REPOSITORY

PROJECT = tomllib.loads((REPOSITORY / "pyproject.toml").read_text())
SHIPPED = ("postgresql", "mariadb", "ldap", "web", "imap")
WANTED = [
    *PROJECT["project"]["dependencies"],
    *(line for extra in SHIPPED for line in PROJECT["project"]["optional-dependencies"][extra]),
]
LOCKED = read_lock((REPOSITORY / "release" / "requirements.txt").read_text())
BUILDING = read_lock((REPOSITORY / "release" / "build.txt").read_text())


@pytest.mark.parametrize("wanted", WANTED)
def test_each_package_that_we_ask_for_is_locked_in_a_version_that_will_do(wanted):
    requirement = Requirement(wanted)
    versions = [locked.version for locked in LOCKED if locked.name == canonicalize_name(requirement.name)]
    assert versions
    assert all(requirement.specifier.contains(version) for version in versions)


@pytest.mark.parametrize("wanted", PROJECT["build-system"]["requires"])
def test_what_the_build_asks_for_is_locked(wanted):
    requirement = Requirement(wanted)
    (version,) = (locked.version for locked in BUILDING if locked.name == requirement.name)
    assert requirement.specifier.contains(version)


@pytest.mark.parametrize("locked", [*LOCKED, *BUILDING], ids=lambda locked: f"{locked.name}-{locked.version}")
def test_each_locked_package_has_the_digests_of_its_files(locked):
    assert locked.hashes
    assert all(len(digest) == 64 for digest in locked.hashes)


def test_nothing_is_locked_that_nobody_asks_for():
    names = {locked.name for locked in LOCKED}
    assert all(set(locked.via) <= names | {"bms-antispam"} and locked.via for locked in LOCKED)
