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


# What the other units say works as well; pages of their own tell how to use them.
OTHER_UNITS = Block(
    """install -m 640 -g milter /dev/null /etc/mail/srs.secrets
head -c 24 /dev/urandom | base64 >/etc/mail/srs.secrets
cp -p /etc/mail/milter.cfg /etc/mail/milter.cfg.before
sed -i 's|^;secret_file =.*|secret_file = /etc/mail/srs.secrets|' /etc/mail/milter.cfg
install -m 644 systemd/bms-srs.service /etc/systemd/system/
systemctl enable --now bms-srs
timeout 20 sh -c 'until test -S /run/milter/srs.sock; do sleep 0.1; done'
test "$(ps -o user= -p "$(cat /run/units/bms-srs.pid)")" = milter
systemctl disable --now bms-srs
mv /etc/mail/milter.cfg.before /etc/mail/milter.cfg
install -m 644 systemd/bms-reputation.service /etc/systemd/system/
systemctl enable --now bms-reputation
timeout 20 bash -c 'until exec 3<>/dev/tcp/127.0.0.1/11900; do sleep 0.1; done' 2>/dev/null
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
                print(debian.type(OTHER_UNITS))
            print(debian.type(block))
        left = (
            debian.root / "opt" / "bms",
            debian.root / "var" / "lib" / "milter",
            debian.root / "etc" / "mail/milter.cfg",
        )
        assert [path for path in left if path.exists()] == []
