"""Files with secrets: whichever option names one, others may neither read nor change it."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path

import pytest

from antispam.checks._shared.author_directories import LdapPlace
from antispam.checks._shared.dkim_keys.files import Algorithm, load_private_key, make_private_key
from antispam.checks._shared.srs import SrsSettings
from antispam.checks.dkim_sign import Settings as SigningSettings
from antispam.learning.login_settings import LoginSettings
from antispam.service.imap_server import connect
from antispam.settings import load_text
from antispam.settings.imap import Mailbox, Tls
from antispam.settings.secret_files import password_in, secret_in
from antispam.store.engine import Store, StoreError

LDAP = LdapPlace("ldap://127.0.0.1:1", "dc=example", "(mail=%s)", bind_dn="cn=reader")


def _ldap(file: Path) -> None:
    LdapPlace(LDAP.url, LDAP.base, LDAP.filter, LDAP.bind_dn, password_file=file).check()


def _imap(file: Path) -> None:
    connect(Mailbox("ann", "ann", file, "ann", "127.0.0.1", 1, Tls.OFF, None, {}))


def _store(file: Path) -> None:
    with Store(f"postgresql+psycopg://bms@127.0.0.1:1/mail?password_file={file}").read():
        pass


def _key_for_the_store(file: Path) -> None:
    with Store(f"mysql+pymysql://bms@127.0.0.1:1/mail?ssl_key={file}").read():
        pass


def _srs(file: Path) -> None:
    load_text(f"[srs]\nsecret_file = {file}\n", [SrsSettings])


def _keys(file: Path) -> None:
    load_text(f"[dkim_sign]\nkeys = example.com s {file}\n", [SigningSettings])


def _console(file: Path) -> None:
    for warning in load_text(f"[web]\nldap_password_file = {file}\n", [LoginSettings]).warnings:
        raise OSError(warning)


USERS: dict[str, Callable[[Path], object]] = {
    "[author_domain] ldap_password_file": _ldap,
    "[dkim_sign] keys": _keys,
    "[imap] password_file": _imap,
    "[srs] secret_file": _srs,
    "[store] password_file": _store,
    "[store] url, ssl_key of MariaDB": _key_for_the_store,
    "[web] ldap_password_file": _console,
    "bms dkim": load_private_key,
}
REFUSED = "others can read or change it"


@pytest.fixture
def file(tmp_path: Path) -> Path:
    """What is a key and, by its first line, a password."""
    path = tmp_path / "secret"
    path.write_bytes(make_private_key(Algorithm.ED25519))
    return path


@pytest.mark.parametrize("mode", [0o644, 0o604, 0o602, 0o601, 0o660])
@pytest.mark.parametrize("user", USERS)
def test_a_file_that_others_can_read_or_change_is_refused(user: str, mode: int, file: Path) -> None:
    file.chmod(mode)
    with pytest.raises((ValueError, OSError, StoreError), match=rf"{REFUSED} \(mode {mode:04o}\); give it mode 0600"):
        USERS[user](file)


@pytest.mark.parametrize("user", USERS)
def test_one_that_the_group_may_read_is_used(user: str, file: Path) -> None:
    file.chmod(0o640)
    if user.startswith(("[imap]", "[store]")):
        with pytest.raises((OSError, StoreError), match=r"[Cc]onnection refused"):  # no server listens there
            USERS[user](file)
    else:
        USERS[user](file)


@pytest.mark.parametrize("mode", [0o600, 0o640, 0o400])
def test_the_password_is_the_first_line_of_its_file(tmp_path: Path, mode: int) -> None:
    file = tmp_path / "ann"
    file.write_text("se cret \r\nmore\n")
    file.chmod(mode)
    assert password_in(file) == "se cret "


@pytest.mark.parametrize(
    ("line", "why"), [(b"\nsecret\n", "must be the password, and is empty"), (b"\xff\n", "not in UTF-8")]
)
def test_no_password_is_not_taken_for_an_empty_one(tmp_path: Path, line: bytes, why: str) -> None:
    file = tmp_path / "ann"
    file.write_bytes(line)
    file.chmod(0o600)
    with pytest.raises(OSError, match=why):
        password_in(file)


def test_what_is_no_file_is_refused_at_once(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "fifo", 0o600)
    for path in ("/dev/null", tmp_path, tmp_path / "fifo"):
        with pytest.raises(OSError, match="not a regular file"):
            secret_in(path, 10)
