"""What the Debian package is called, and that it is made of the project's own files."""

from __future__ import annotations

import re
import subprocess

import pytest
from release import debian

from support.places import REPOSITORY

DEBIAN = REPOSITORY / "debian"


@pytest.mark.parametrize(
    ("earlier", "later"),
    [
        (("0.2.0", "12"), ("1.0.0", "12")),
        (("1.0.0", "12"), ("1.0.0", "13")),
        (("1.0.0", "12"), ("1.0.0", "12", "abc", 1_700_000_000)),
        (("1.0.0", "12", "fff", 1_700_000_000), ("1.0.0", "12", "000", 1_700_000_001)),
        (("1.0.0", "13", "abc", 1_700_000_000), ("1.0.1", "12")),
    ],
)
def test_the_later_of_two_packages_is_the_upgrade(earlier, later):
    """Compared by dpkg."""
    versions = [debian.package_version(*each) for each in (earlier, later)]
    assert subprocess.run(["dpkg", "--compare-versions", versions[0], "lt", versions[1]], check=False).returncode == 0


def test_the_changelog_is_one_that_debian_reads():
    text = debian.changelog("1.0.0-1~deb12", "Ann <ann@example.org>", 1_700_000_000)
    assert text.splitlines()[0] == "bms-antispam (1.0.0-1~deb12) unstable; urgency=medium"
    assert text.splitlines()[-1] == " -- Ann <ann@example.org>  Tue, 14 Nov 2023 22:13:20 +0000"


def test_every_unit_is_in_the_package():
    named = re.search(r"^UNITS = (.*)$", (DEBIAN / "rules").read_text(), re.MULTILINE)[1].split()
    assert sorted(named) == sorted(path.stem for path in (REPOSITORY / "systemd").glob("*.service"))


def test_the_folders_are_those_of_the_units_and_of_their_user():
    unit = (REPOSITORY / "systemd" / "bms.service").read_text()
    folders = dict(
        re.findall(r"^d (\S+) (\d+) milter milter$", (DEBIAN / "tmpfiles.d/bms-antispam.conf").read_text(), re.M)
    )
    for kind, parent in (("Runtime", "/run"), ("State", "/var/lib"), ("Logs", "/var/log")):
        (name,) = re.findall(rf"^{kind}Directory=(\S+)$", unit, re.MULTILINE)
        (mode,) = re.findall(rf"^{kind}DirectoryMode=(\S+)$", unit, re.MULTILINE)
        assert folders[f"{parent}/{name}"] == mode
    assert (DEBIAN / "sysusers.d/bms-antispam.conf").read_text().startswith("u milter ")


def test_the_shipped_configuration_says_nothing_yet():
    """dpkg asks at an upgrade only where the package's own file has changed: it leaves the options to the manual page."""
    lines = (DEBIAN / "milter.cfg").read_text().splitlines()
    assert [line for line in lines if not line.startswith("#")] == ["[milter]"]


def test_each_override_of_lintian_has_its_reason():
    lines = (DEBIAN / "bms-antispam.lintian-overrides").read_text().splitlines()
    assert lines[0].startswith("# ")
    assert all(line.startswith(("# ", "bms-antispam: ")) for line in lines)
