"""The pages for administrators, typed command by command on a fresh Debian: what they say works, in their order.

The two pages take two minutes and a half. What apt and pip fetch is kept in .cache/debian. systemd is not there: a stand-in
(tests/support/systemctl) does by hand what a unit says, as the user that it names.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from support.fresh_debian import ON_DISK, Block, FreshDebian, archive, blocks_of, shared_by
from support.places import REPOSITORY
from support.processes import RunDirectory

pytestmark = pytest.mark.servers


# What the other units say works as well; pages of their own tell how to use them.
OTHER_UNITS = Block(
    """install -m 640 -g milter /dev/null /etc/mail/srs.secrets
head -c 24 /dev/urandom | base64 >/etc/mail/srs.secrets
cp -p /etc/mail/milter.cfg /etc/mail/milter.cfg.before
sed -i 's|^;secret_file =.*|secret_file = /etc/mail/srs.secrets|' /etc/mail/milter.cfg
install -m 644 systemd/bms-srs.service /etc/systemd/system/
systemctl enable --now bms-srs
timeout 120 sh -c 'until test -S /run/milter/srs.sock; do sleep 0.1; done'
test "$(ps -o user= -p "$(cat /run/units/bms-srs.pid)")" = milter
systemctl disable --now bms-srs
mv /etc/mail/milter.cfg.before /etc/mail/milter.cfg
install -m 644 systemd/bms-reputation.service /etc/systemd/system/
systemctl enable --now bms-reputation
timeout 120 bash -c 'until exec 3<>/dev/tcp/127.0.0.1/11900; do sleep 0.1; done' 2>/dev/null
test "$(ps -o user= -p "$(cat /run/units/bms-reputation.pid)")" = milter
systemctl disable --now bms-reputation
for name in spfmilter dkim-milter; do
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


PAGES = {name: blocks_of(REPOSITORY / "docs" / name) for name in ("debian-postfix.md", "debian-sendmail.md")}
SHARED = shared_by(list(PAGES.values()))


@pytest.fixture(scope="module")
def begun(servers: None) -> Iterator[Path]:
    """The folder of a Debian in which was typed what both pages begin with."""
    with RunDirectory("begun", ON_DISK) as run:
        with FreshDebian(archive()) as debian:
            for block in SHARED:
                print(debian.type(block))
            debian.move_to(run.path / "root")
        yield run.path / "root"


def test_the_pages_begin_alike() -> None:
    """Packages, environment, user and files; the rest is typed for each."""
    assert len(SHARED) == 3
    assert all("apt-get update" in blocks[0].commands for blocks in PAGES.values())


@pytest.mark.parametrize("page", PAGES)
def test_every_command_of_the_page_works(page: str, begun: Path) -> None:
    """The first block is typed again, as the page has it: it installs the mail server. The others of `SHARED` would fail."""
    blocks = PAGES[page]
    assert len(blocks) > 10
    with FreshDebian(begun) as debian:
        for block in blocks[:1] + blocks[len(SHARED) :]:
            if "--upgrade" in block.commands:
                print(debian.type(OTHER_UNITS))
            print(debian.type(block))
        left = (
            debian.root / "opt" / "bms",
            debian.root / "var" / "lib" / "milter",
            debian.root / "etc" / "mail/milter.cfg",
        )
        assert [path for path in left if path.exists()] == []
