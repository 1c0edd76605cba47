"""Processes that read mail ahead: what comes out is what one would have read, in its order, whatever happens to them."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest
import sqlalchemy as sa
from bms import main
from click.testing import CliRunner

from antispam.learning import readers, training
from antispam.learning.readers import Readers, readers_for
from antispam.learning.teacher import Teacher
from antispam.protocols.mailboxes import Stored
from antispam.store import Store
from dspam.schema import dspam_training
from support.patience import PATIENCE
from support.stores import make_store

# From Python 3.12 on fork() warns where other threads run, as those of the tests do; these processes take no locks of theirs.
pytestmark = pytest.mark.filterwarnings("ignore:.*multi-threaded.*fork:DeprecationWarning")

MAIL = [
    Stored(Path("mail"), number, f"From: a{number}@example.org\nSubject: {number}\n\nwords {number} of it\n".encode())
    for number in range(1, 171)
]
EMPTY, LONG = Stored(Path("empty"), 0, b""), Stored(Path("long"), 0, b"Subject: x\n\n" + b"word " * 300_000)


def same(found, wanted):
    return (found.name, found.keys.tolist()) == (wanted.name, wanted.keys.tolist())


@pytest.mark.parametrize("number", [1, 3])
def test_what_processes_read_is_what_one_would_read_in_its_order(number):
    given = [*MAIL[:60], LONG, EMPTY, *MAIL[60:]]
    with Readers(number) as these:
        out = list(these.ahead(given))
    assert [stored for stored, _ in out] == given
    assert [stored.path.name for stored, read in out if read is None] == ["long"]
    assert all(same(read, training.by_octets(stored.raw)) for stored, read in out if read)


def test_of_a_process_that_is_killed_nothing_is_lost():
    with Readers(2) as these:
        out = these.ahead(MAIL)
        found = [next(out)]
        os.kill(these._started[1][0], signal.SIGKILL)
        found += out
    assert [stored for stored, _ in found] == MAIL
    assert all(read is None or same(read, training.by_octets(stored.raw)) for stored, read in found)


def test_all_is_left_to_the_caller_once_no_process_is_left():
    with Readers(2) as these:
        for pid, _ in these._started:
            os.kill(pid, signal.SIGKILL)
            os.waitid(os.P_PID, pid, os.WEXITED | os.WNOWAIT)
        assert list(these.ahead(MAIL)) == [(stored, None) for stored in MAIL]


def test_what_is_read_ahead_is_bounded():
    taken = []
    with Readers(2) as these:
        next(these.ahead(taken.append(one) or one for one in MAIL))
    assert len(taken) <= 3 * readers._TOGETHER + 1


def test_processes_end_with_the_context():
    with Readers(2) as these:
        pids = [pid for pid, _ in these._started]
        next(these.ahead(MAIL))
    for pid in pids:
        with pytest.raises(ProcessLookupError):
            os.kill(pid, 0)


def test_processes_end_with_the_one_that_started_them():
    program = "import os; from antispam.learning.readers import Readers; kept = Readers(2); os.kill(os.getpid(), 9)"
    # They have its standard output, too, which ends with the last of them.
    killed = subprocess.run([sys.executable, "-c", program], stdout=subprocess.PIPE, check=False, timeout=PATIENCE)
    assert killed.returncode == -signal.SIGKILL


@pytest.mark.parametrize(
    ("octets", "processors", "number"),
    [(2 << 20, {0, 1, 2}, 3), (2 << 20, {0}, 0), (1000, {0, 1}, 0), (2 << 20, set(range(64)), 4)],
)
def test_processes_are_started_where_they_help(tmp_path, monkeypatch, octets, processors, number):
    (tmp_path / "mail").write_bytes(bytes(octets))
    monkeypatch.setattr(os, "sched_getaffinity", lambda pid: processors)
    with readers_for([tmp_path / "missing", tmp_path / "mail"]) as these:
        assert len(these._started) == number


def lessons(tmp_path, number):
    (tmp_path / "box").write_bytes(b"".join(b"From a@b Sat Nov 28 09:00:00 2026\n" + one.raw + b"\n" for one in MAIL))
    store = Store(make_store(tmp_path / "bms.sqlite"))
    try:
        with Readers(number) as these:
            result = training.train(Teacher(store), [tmp_path / "box"], True, readers=these)
        assert result.learned == len(MAIL)
        columns = dspam_training.c
        with store.read() as connection:
            return connection.execute(sa.select(columns.message, columns.content).order_by(columns.seq)).all()
    finally:
        store.close()


def test_a_dictionary_is_the_same_whoever_read(tmp_path):
    for folder in ("one", "many"):
        (tmp_path / folder).mkdir()
    assert lessons(tmp_path / "one", 0) == lessons(tmp_path / "many", 2)


def test_ctrl_c_of_a_terminal_loses_nothing(tmp_path):
    """It reaches all processes of the group."""
    (tmp_path / "milter.cfg").write_text(f"[milter]\ndatadir = {tmp_path}/state\n")
    (tmp_path / "box").write_bytes(b"".join(b"From a@b Sat Nov 28 09:00:00 2026\n" + one.raw + b"\n" for one in MAIL))
    program = f"""
import os, signal
from antispam.learning import readers
from antispam.learning.teacher import Teacher
from bms import main
real = Teacher.learn_together
def learn(self, lessons, is_spam):
    Teacher.learn_together = real
    os.killpg(0, signal.SIGINT)
    return real(self, lessons, is_spam)
readers._WORTH_IT = 1
os.sched_getaffinity = lambda pid: {{0, 1}}
Teacher.learn_together = learn
main(["-c", {str(tmp_path / "milter.cfg")!r}, "train", "spam", {str(tmp_path / "box")!r}])
"""
    command = [sys.executable, "-c", program]
    stopped = subprocess.run(command, capture_output=True, text=True, check=False, start_new_session=True)
    assert stopped.returncode == 130, stopped.stderr
    assert "stopped after" in stopped.stderr
    assert "Traceback" not in stopped.stderr
    rest = CliRunner().invoke(main, ["-c", str(tmp_path / "milter.cfg"), "train", "spam", str(tmp_path / "box")])
    assert f"has learned {len(MAIL)} spam" in rest.output
