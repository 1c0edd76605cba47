"""Building the Debian package in one fresh Debian, and living with it in another: what an administrator types, as blocks."""

from __future__ import annotations

import shutil
from pathlib import Path

from support.fresh_debian import Block, FreshDebian

_BUILD = """apt-get update -q
apt-get install -q -y --no-install-recommends build-essential debhelper libmilter-dev po-debconf python3-dev python3-venv
DEBFULLNAME=Packager DEBEMAIL=packager@mx.example.test SOURCE_DATE_EPOCH=1700000000 python3 -m release.debian
"""

LINT = Block(
    """apt-get install -q -y --no-install-recommends lintian man-db
lintian --fail-on error,warning --allow-root dist/*.deb
""",
    download=True,
)

INSTALL = Block(
    """apt-get update -q
apt-get install -q -y --no-install-recommends /srv/bms-antispam.deb sqlite3
""",
    download=True,
)

INSTALLED = Block(
    """bms --version
spfmilter --version
dkim-milter --version
test "$(stat -c '%U:%G %a' /etc/mail/milter.cfg)" = 'root:milter 640'
test "$(stat -c '%U:%G %a' /var/lib/milter /var/log/milter | sort -u)" = 'milter:milter 750'
test "$(getent passwd milter | cut -d: -f6,7)" = /var/lib/milter:/usr/sbin/nologin
test "$(readlink -f /etc/systemd/system/multi-user.target.wants/bms.service)" -ef "$(ls /lib/systemd/system/bms.service)"
for name in bms-srs bms-reputation spfmilter dkim-milter; do
    test -e /lib/systemd/system/$name.service
    test ! -e /etc/systemd/system/multi-user.target.wants/$name.service
done
test "$(zcat /usr/share/man/man8/bms-quarantine-release.8.gz /usr/share/man/man5/milter.cfg.5.gz | grep -c '^.TH')" = 2
test -s /usr/share/bash-completion/completions/bms
test -s /usr/share/zsh/vendor-completions/_bms
test -s /usr/share/fish/vendor_completions.d/bms.fish
/usr/lib/bms/bin/python -I -c 'import libarchive, psycopg, pymysql, ldap3, starlette'
test -z "$(find /usr/lib/bms -name '*.py' -path '*/antispam/*' -newer /usr/lib/bms/pyvenv.cfg)"
test -n "$(find /usr/lib/bms -name '*.pyc' -path '*/antispam/*')"
bms check-config --changed
""",
    download=False,
)

RUN = Block(
    """systemctl start bms
test -S /run/milter/bms.sock
test "$(ps -o user= -p "$(cat /run/units/bms.pid)")" = milter
printf 'From: bob@example.org\\nTo: ann@example.com\\nSubject: Hello\\n\\nHow are you?\\n' >/tmp/hello.eml
runuser -u milter -- bms scan /tmp/hello.eml --ip 192.0.2.1 --from bob@example.org --rcpt ann@example.com
systemctl reload bms
systemctl stop bms
test ! -e /run/milter/bms.sock
""",
    download=False,
)

# The database is that of an older version, and so is the package; a line of the configuration is the administrator's.
UPGRADE = Block(
    """rm -f /var/lib/milter/bms.sqlite*
older='from antispam.store.migrate import migrate; migrate("sqlite:////var/lib/milter/bms.sqlite", "0008")'
runuser -u milter -- /usr/lib/bms/bin/python -I -c "$older"
known="INSERT INTO greylist VALUES ('t', '192.0.2.1', 'a@example.org', 'b@example.com', 1, 2, NULL, 1)"
runuser -u milter -- sqlite3 /var/lib/milter/bms.sqlite "$known"
echo 'workers = 1' >>/etc/mail/milter.cfg
dpkg-deb -R /srv/bms-antispam.deb /srv/newer
sed -i 's/^Version: .*/&+1/' /srv/newer/DEBIAN/control
dpkg-deb -Znone -b /srv/newer /srv/newer.deb
dpkg -i /srv/newer.deb
test "$(runuser -u milter -- sqlite3 /var/lib/milter/bms.sqlite 'SELECT count(*) FROM greylist')" = 1
newest=$(ls /usr/lib/bms/lib/python3*/site-packages/antispam/shipped/sql/versions | grep -o '^[0-9]*' | sort | tail -n 1)
test "$(runuser -u milter -- sqlite3 /var/lib/milter/bms.sqlite 'SELECT version_num FROM alembic_version')" = "$newest"
test "$(tail -n 1 /etc/mail/milter.cfg)" = 'workers = 1'
test "$(stat -c '%U:%G %a' /etc/mail/milter.cfg)" = 'root:milter 640'
systemctl start bms
systemctl stop bms
""",
    download=False,
)

PURGE = Block(
    """apt-get remove -q -y bms-antispam
test ! -e /usr/lib/bms
test ! -e /usr/bin/bms
test -e /etc/mail/milter.cfg
test -e /var/lib/milter/bms.sqlite
apt-get purge -q -y bms-antispam 2>&1 | tee /tmp/said
grep -q '/var/lib/milter is kept' /tmp/said
test -e /var/lib/milter/bms.sqlite
test ! -e /etc/mail/milter.cfg
test ! -e /var/log/milter
test -z "$(find / -xdev -name '*bms*' -not -path '/usr/src/*' -not -path '/srv/*' -not -path '/var/*' -not -path '/proc/*')"
dpkg --unpack /srv/bms-antispam.deb
echo 'bms-antispam bms-antispam/remove-store boolean true' | debconf-set-selections
dpkg --purge bms-antispam
test ! -e /var/lib/milter
""",
    download=False,
)

LIFE = (INSTALL, INSTALLED, RUN, UPGRADE, PURGE)


def build(archive: Path, folder: Path, *, lint: bool = False) -> Path:
    """Build the package in a fresh Debian of that archive, with `lint` looked through by lintian; returns it as it lies in
    `folder`."""
    with FreshDebian(archive) as debian:
        # As it is released where lintian looks at it; otherwise not compressed, which saves half a minute.
        how = "" if lint else "export COMPRESSION=-Znone\n"
        print(debian.type(Block(how + _BUILD, download=True), seconds=1200))
        if lint:
            print(debian.type(LINT, seconds=1200))
        (built,) = (debian.root / "usr" / "src" / "bms" / "dist").glob("*.deb")
        return Path(shutil.copy(built, folder))


def live_with(archive: Path, package: Path) -> None:
    """Install it in another fresh Debian, run it, upgrade and purge it. AssertionError at the first command that fails."""
    with FreshDebian(archive) as debian:
        shutil.copy(package, debian.root / "srv" / "bms-antispam.deb")
        for block in LIFE:
            print(debian.type(block, seconds=1200))
