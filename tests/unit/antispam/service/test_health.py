"""bms health: each question alone, with clock, resolver and disk as arguments."""

from __future__ import annotations

import contextlib
import os
import socket
import threading
import types

import pytest
import sqlalchemy as sa

from antispam.checks._shared.dkim_keys.configured import Configured
from antispam.checks._shared.dkim_keys.files import Algorithm, make_private_key
from antispam.checks._shared.dkim_keys.rotation import Stage
from antispam.learning.settings import DspamSettings
from antispam.learning.teacher import Teacher
from antispam.net.dns_answers import Answer, DNSTemporaryError, Status
from antispam.net.sockets import SocketSpec
from antispam.protocols.dkim import Signer, parse_private_key
from antispam.service import health
from antispam.service.health import Result, State
from antispam.settings.health import HealthSettings
from antispam.store import Store
from antispam.store.migrate import newest
from antispam.store.outbox import Kind, QueuedMessage, post
from antispam.store.schema import history, outbox
from dspam.store import TokenStore
from support.outdated import _row
from support.patience import PATIENCE

NOW = 1_800_000_000.0
DAY = 86_400.0
LIMITS = HealthSettings()


@contextlib.contextmanager
def peer(path, answer):
    """A server on a Unix socket that gives this answer to whatever is said, and hangs up."""
    with socket.socket(socket.AF_UNIX) as listening:
        listening.bind(str(path))
        listening.listen()

        def serve():
            client, _ = listening.accept()
            with client:
                client.recv(100)
                client.sendall(answer)

        thread = threading.Thread(target=serve)
        thread.start()
        yield SocketSpec.parse(f"unix:{path}")
        thread.join()


@pytest.mark.parametrize(
    ("answer", "state", "text"),
    [
        (b"\0\0\0\x0dO" + bytes(12), State.OK, "answers"),
        (b"220 mx ESMTP\r\n", State.CRITICAL, "no milter"),
        (b"", State.CRITICAL, "no milter"),
    ],
)
def test_who_answers_at_the_socket_must_be_a_milter(tmp_path, answer, state, text):
    with peer(tmp_path / "socket", answer) as spec:
        found = health.filter_answers(spec, PATIENCE, "bms")
    assert found.state is state
    assert text in found.text


def test_a_filter_that_is_not_there_is_critical(tmp_path):
    found = health.filter_answers(SocketSpec.parse(f"unix:{tmp_path}/none"), 1.0, "bms")
    assert found.state is State.CRITICAL
    assert "systemctl start bms" in found.text


def test_a_filter_that_accepts_and_says_nothing_is_critical(tmp_path):
    with socket.socket(socket.AF_UNIX) as listening:
        listening.bind(str(tmp_path / "socket"))
        listening.listen()
        found = health.filter_answers(SocketSpec.parse(f"unix:{tmp_path}/socket"), 0.05, "bms")
    assert found.state is State.CRITICAL
    assert "timed out" in found.text


def test_a_database_that_answers_is_well(store):
    assert health.store_answers(store, PATIENCE, newest()).state is State.OK


def test_a_database_of_another_version_is_a_warning(store):
    found = health.store_answers(store, PATIENCE, "9999")
    assert found.state is State.WARNING
    assert "9999" in found.text


def test_a_database_that_is_gone_is_critical(tmp_path):
    found = health.store_answers(Store(f"sqlite:///{tmp_path}"), 5.0, newest())
    assert found.state is State.CRITICAL
    assert "[store] url" in found.text


@pytest.mark.parametrize(
    ("wanted", "ready", "rounds", "states"),
    [
        (4, 4, 60, [State.OK, State.OK]),
        (4, 3, 60, [State.WARNING, State.OK]),
        (4, 0, 60, [State.CRITICAL, State.OK]),
        (0, 0, 60, [State.CRITICAL, State.OK]),
        (4, 4, 7200, [State.OK, State.WARNING]),
    ],
)
def test_workers_that_are_missing_and_housekeeping_that_rests(wanted, ready, rounds, states):
    figures = {
        'bms_workers{state="wanted"}': wanted,
        'bms_workers{state="ready"}': ready,
        "bms_housekeeping_timestamp_seconds": NOW - rounds,
        "bms_start_time_seconds": NOW - DAY,
    }
    assert [found.state for found in health.workers(figures, NOW)] == states


def test_housekeeping_of_a_program_that_just_started_is_well():
    figures = {'bms_workers{state="wanted"}': 1.0, 'bms_workers{state="ready"}': 1.0, "bms_start_time_seconds": NOW - 5}
    assert [found.state for found in health.workers(figures, NOW)] == [State.OK, State.OK]


@pytest.mark.parametrize(("days", "state"), [(1, State.OK), (13, State.OK), (15, State.WARNING)])
def test_a_filter_that_nobody_teaches_any_more_is_a_warning(store, days, state):
    Teacher(store, "ann", tokens=TokenStore(store, now=lambda: NOW - days * DAY)).teach(b"Subject: x\n\nhello\n", True)
    found = health.training(store, DspamSettings(), NOW)
    assert found.state is state
    assert f"{days} day" in found.text


def test_a_filter_that_was_never_taught_is_well(store):
    assert health.training(store, DspamSettings(), NOW).state is State.OK


def test_silent_training_is_well_where_no_alarm_is_wanted(store):
    Teacher(store, "ann", tokens=TokenStore(store, now=lambda: NOW - 99 * DAY)).teach(b"Subject: x\n\nhello\n", True)
    assert health.training(store, DspamSettings(alarm=0.0), NOW).state is State.OK


@pytest.mark.parametrize(
    ("ages", "state"),
    [((), State.CRITICAL), ((1.0,), State.OK), ((9.0, 1.0), State.OK), ((3.0,), State.WARNING)],
)
def test_the_newest_backup_must_be_young(tmp_path, ages, state):
    for age in ages:
        file = tmp_path / f"bms-{age}.sqlite"
        file.touch()
        os.utime(file, (NOW - age * DAY, NOW - age * DAY))
    found = health.backup(HealthSettings(backup=f"{tmp_path}/bms-*.sqlite"), NOW)
    assert found.state is state


def test_backups_that_nobody_named_are_not_looked_at():
    assert health.backup(LIMITS, NOW).state is State.OK


class Zone:
    """A resolver that knows some records; None is a name server that is silent."""

    def __init__(self, records):
        self.records = records

    def lookup(self, name, rdtype, deadline):
        record = self.records.get(name, b"")
        if record is None:
            raise DNSTemporaryError("time-out")
        status = Status.FOUND if record else Status.NXDOMAIN
        return Answer(name, rdtype, status, texts=(record,) if record else (), expires=NOW)


@pytest.fixture(scope="module")
def signer():
    key = parse_private_key(make_private_key(Algorithm.ED25519))
    return Signer("example.com", "s1", key)


@pytest.mark.parametrize(
    ("record", "state", "text"),
    [
        ("own", State.OK, "is published"),
        (b"", State.CRITICAL, "no TXT record"),
        (b"v=DKIM1; p=", State.CRITICAL, "s1._domainkey.example.com"),
        (b"v=DKIM1; k=ed25519; p=11qYAYKxCrfVS/7TyWQHOg7hcvPapiMlrwIaaPcHURo=", State.CRITICAL, "another key"),
        (None, State.UNKNOWN, "name servers"),
    ],
)
def test_a_key_must_be_published_and_its_own(signer, record, state, text):
    published = signer.key.dns_record.encode() if record == "own" else record
    (found,) = health.keys([Configured(signer)], Zone({"s1._domainkey.example.com": published}), 1.0, NOW)
    assert found.state is state
    assert text in found.text


@pytest.mark.parametrize(
    ("stage", "days", "state"),
    [
        (Stage.NEW, 1, State.OK),
        (Stage.PUBLISHED, 1, State.OK),
        (Stage.SIGNING, 1, State.CRITICAL),
        (Stage.RETIRED, 1, State.CRITICAL),
    ],
)
def test_only_a_key_that_signs_or_signed_must_be_published(signer, stage, days, state):
    (found,) = health.keys([Configured(signer, stage, NOW - days * DAY)], Zone({}), 1.0, NOW)
    assert found.state is state


@pytest.mark.parametrize(("days", "state"), [(100, State.OK), (200, State.WARNING)])
def test_a_key_that_signs_for_half_a_year_should_be_replaced(signer, days, state):
    zone = Zone({"s1._domainkey.example.com": signer.key.dns_record.encode()})
    (found,) = health.keys([Configured(signer, Stage.SIGNING, NOW - days * DAY)], zone, 1.0, NOW)
    assert found.state is state


def test_where_nothing_is_signed_no_key_is_missing():
    assert [found.state for found in health.keys([], Zone({}), 1.0, NOW)] == [State.OK]


@pytest.mark.parametrize(
    ("space", "files", "state"),
    [
        (50, 50, State.OK),
        (9, 50, State.WARNING),
        (50, 9, State.WARNING),
        (1, 50, State.CRITICAL),
        (50, 1, State.CRITICAL),
    ],
)
def test_space_and_files_must_be_free(tmp_path, space, files, state):
    found = health.disk(
        tmp_path,
        LIMITS,
        lambda path: types.SimpleNamespace(f_bavail=space, f_blocks=100, f_favail=files, f_files=100),
    )
    assert found.state is state


def test_a_file_system_without_a_number_of_files_has_enough(tmp_path):
    told = types.SimpleNamespace(f_bavail=50, f_blocks=100, f_favail=0, f_files=0)
    assert health.disk(tmp_path, LIMITS, lambda path: told).state is State.OK


def test_a_folder_that_is_gone_is_critical(tmp_path):
    assert health.disk(tmp_path / "none", LIMITS).state is State.CRITICAL


@pytest.mark.parametrize(
    ("received", "now", "state"),
    [
        (None, NOW, State.OK),
        (NOW - 5, NOW, State.OK),
        (NOW + 60, NOW, State.OK),
        (NOW + DAY, NOW, State.CRITICAL),
        (None, 86_400.0, State.CRITICAL),
    ],
)
def test_mail_from_the_future_says_that_the_clock_jumped(store, received, now, state):
    if received is not None:
        with store.write() as connection:
            connection.execute(sa.insert(history).values(_row(history, 1) | {"received_at": received}))
    assert health.clock(store, now).state is state


@pytest.mark.parametrize(
    ("age", "state"), [(None, State.OK), (60.0, State.OK), (7200.0, State.WARNING), (2 * DAY, State.CRITICAL)]
)
def test_mail_that_does_not_get_away_is_a_warning(store, age, state):
    if age is not None:
        with store.write() as connection:
            post(store, connection, QueuedMessage(Kind.ANSWER, "one", "", ("bob@example.com",), b"x"), NOW - age)
    assert health.queue(store, LIMITS, NOW).state is state


def test_what_was_given_up_waits_no_longer(store):
    with store.write() as connection:
        post(store, connection, QueuedMessage(Kind.ANSWER, "one", "", ("bob@example.com",), b"x"), NOW - 9 * DAY)
        connection.execute(sa.update(outbox).values(next_at=None, failed_at=NOW))
    assert health.queue(store, LIMITS, NOW).state is State.OK


@pytest.mark.parametrize(
    ("states", "together"),
    [
        ((State.OK, State.OK), State.OK),
        ((State.OK, State.UNKNOWN), State.UNKNOWN),
        ((State.UNKNOWN, State.WARNING), State.WARNING),
        ((State.WARNING, State.CRITICAL, State.UNKNOWN), State.CRITICAL),
        ((), State.UNKNOWN),
    ],
)
def test_what_is_bad_counts_more_than_what_is_not_known(states, together):
    assert health.worst(Result("x", state, "") for state in states) is together
