"""The pages for administrators, typed command by command on a fresh Debian: what they say works, in their order.

The two pages take two minutes and a half. What apt and pip fetch is kept in .cache/debian. systemd is not there: a stand-in
(tests/support/systemctl) does by hand what a unit says, as the user that it names.
"""

from __future__ import annotations

from pathlib import Path

import pytest

from support.fresh_debian import Block, FreshDebian, blocks_of, make_archive
from support.places import REPOSITORY

pytestmark = pytest.mark.servers


# What the units of the small milters say works as well; their own page tells how to use them.
SMALL_MILTERS = Block(
    """for name in spfmilter dkim-milter; do
    install -m 644 systemd/$name.service /etc/systemd/system/
    printf '[milter]\\nsocket = local:/run/milter/%s.sock\\n' $name >/etc/mail/$name.cfg
    systemctl enable --now $name
    test -S /run/milter/$name.sock
    test "$(ps -o user= -p "$(cat /run/units/$name.pid)")" = milter
    systemctl reload $name
    systemctl disable --now $name
    test ! -e /run/milter/$name.sock
done""",
    download=False,
)


@pytest.fixture(scope="module")
def archive(servers: None, tmp_path_factory: pytest.TempPathFactory) -> Path:
    archive = tmp_path_factory.mktemp("debian") / "bookworm.tar"
    make_archive(archive)
    return archive


@pytest.mark.parametrize("page", ["debian-postfix.md", "debian-sendmail.md"])
def test_every_command_of_the_page_works(page: str, archive: Path) -> None:
    blocks = blocks_of(REPOSITORY / "docs" / page)
    assert len(blocks) > 10
    with FreshDebian(archive) as debian:
        for block in blocks:
            if "--upgrade" in block.commands:
                print(debian.type(SMALL_MILTERS))
            print(debian.type(block))
        left = (
            debian.root / "opt" / "bms",
            debian.root / "var" / "lib" / "milter",
            debian.root / "etc" / "mail/milter.cfg",
        )
        assert [path for path in left if path.exists()] == []
