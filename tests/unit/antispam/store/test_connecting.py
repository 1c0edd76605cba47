"""Passwords of databases, which stand in files, and TLS."""

from __future__ import annotations

import contextlib

import pytest
import sqlalchemy as sa

from antispam.service.effective import shown
from antispam.settings import load_text
from antispam.settings.program import PROGRAM_SETTINGS
from antispam.store import Store, StoreError, migrate
from antispam.store.connecting import NoPasswordError, demand_one_password, url_from
from antispam.store.move import move
from support.certificates import make_certificate
from support.databases import CERTIFIED, PASSWORD
from support.stores import make_store


@pytest.fixture
def file(tmp_path):
    file = tmp_path / "password file"
    file.write_text(f"{PASSWORD}\n")
    file.chmod(0o600)
    return file


def _settings(lines):
    return load_text(f"[store]\n{lines}\n", PROGRAM_SETTINGS)


def _with_file(url, file):
    lines = f"url = {url.render_as_string(hide_password=False)}\npassword_file = {file}"
    return url_from(_settings(lines))


@pytest.fixture(params=["postgresql", "mariadb"])
def server(request):
    return request.getfixturevalue(request.param)


@pytest.fixture
def guarded(server):
    with server.guarded(server.new_database()) as found:
        yield found


@pytest.mark.servers
def test_a_password_is_read_from_its_file_and_tls_verified(guarded, file):
    url = _with_file(guarded.url, file)
    migrate(url)
    with contextlib.closing(Store(url)) as store, store.read() as connection:
        tls = {
            "postgresql": "SELECT version FROM pg_stat_ssl WHERE pid = pg_backend_pid()",
            "mysql": "SELECT variable_value FROM information_schema.session_status WHERE variable_name = 'ssl_version'",
        }[store.dialect]
        assert str(connection.exec_driver_sql(tls).scalar()).startswith("TLSv1.")


@pytest.mark.servers
def test_a_changed_password_is_read_without_a_restart(guarded, file):
    url = _with_file(guarded.url, file)
    right = file.read_text()
    with contextlib.closing(Store(url)) as store:
        file.write_text("outdated\n")
        with pytest.raises(StoreError) as refused, store.read():
            pass
        assert "outdated" not in str(refused.value)
        file.write_text(right)
        with store.read() as connection:
            assert connection.scalar(sa.text("SELECT 1")) == 1


@pytest.mark.servers
def test_a_server_that_another_authority_vouches_for_is_not_talked_to(guarded, file, tmp_path):
    make_certificate(tmp_path / "other.pem", tmp_path / "other.key")
    url = guarded.url.update_query_dict({guarded.authority: str(tmp_path / "other.pem")})
    with (
        contextlib.closing(Store(_with_file(url, file))) as store,
        pytest.raises(StoreError, match=r"(?i)certificate"),
        store.read(),
    ):
        pass


def _showing(url, certificate, key):
    names = ("sslcert", "sslkey") if url.get_backend_name() == "postgresql" else ("ssl_cert", "ssl_key")
    shown_to_it = zip(names, (str(certificate), str(key)), strict=True)
    return url.update_query_dict(dict(shown_to_it)).render_as_string(hide_password=False)


@pytest.mark.servers
def test_a_certificate_lets_the_filter_in_and_nobody_without_it(server, tmp_path):
    make_certificate(tmp_path / "own.pem", tmp_path / "own.key", CERTIFIED)
    (tmp_path / "own.key").chmod(0o600)
    with server.certified(server.new_store()) as url:
        with contextlib.closing(Store(_showing(url, server.certificate, server.key))) as store, store.read() as known:
            assert known.scalar(sa.text("SELECT 1")) == 1
        without = url.render_as_string(hide_password=False)
        for other in (without, _showing(url, tmp_path / "own.pem", tmp_path / "own.key")):
            with contextlib.closing(Store(other)) as store, pytest.raises(StoreError), store.read():
                pass


@pytest.mark.servers
def test_a_move_takes_the_file_in_the_address(guarded, file, tmp_path):
    counted = move(make_store(tmp_path / "from.sqlite"), _with_file(guarded.url, file))
    assert all(one.source == one.target for one in counted)


def test_a_file_that_others_can_read_is_an_error_of_the_store(file):
    file.chmod(0o644)
    url = _with_file(sa.engine.make_url("postgresql://bms@127.0.0.1:1/mail"), file)
    with (
        contextlib.closing(Store(url)) as store,
        pytest.raises(StoreError, match=r"others can read or change it .*; give it mode 0600"),
        store.read(),
    ):
        pass
    with pytest.raises(NoPasswordError, match="others can read or change it"):
        migrate(url)


def test_an_address_names_the_file_and_a_dump_as_well(file):
    settings = _settings(f"url = postgresql://bms@db.example/mail\npassword_file = {file}")
    assert sa.engine.make_url(url_from(settings)).query == {"password_file": str(file)}
    assert {origin.option: shown(origin) for origin in settings.origins}["password_file"] == str(file)


@pytest.mark.parametrize(
    ("url", "said"), [("", "SQLite has no password"), ("postgresql://bms:x@db.example/mail", "url has a password, too")]
)
def test_a_file_that_would_not_be_used_is_an_error(url, said, file):
    with pytest.raises(ValueError, match=said):
        demand_one_password(_settings(f"url = {url}\npassword_file = {file}"))
