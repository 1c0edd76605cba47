"""`bms train` and `bms evaluate`, as people and scripts use them."""

from __future__ import annotations

import contextlib
import json
import mailbox
import re
import signal
import sqlite3
import subprocess
import sys

import pytest
import sqlalchemy as sa
from bms import main
from click.testing import CliRunner

from antispam.learning import training
from antispam.learning.teacher import Teacher
from antispam.protocols.mailboxes import message
from antispam.store import Store, beginning
from dspam.features import extract
from dspam.store import pack_keys, put_signature
from support.stores import make_store

HAM = [f"From: ann{n}@friends.example\nSubject: lunch {n}\n\nShall we meet for lunch on day {n}?\n" for n in range(12)]
SPAM = [
    f"From: x{n}@offers.example\nSubject: WIN {n}\n\nBuy cheap pills now, offer {n}, click here!\n" for n in range(12)
]


@pytest.fixture
def site(tmp_path):
    (tmp_path / "milter.cfg").write_text(f"[milter]\ndatadir = {tmp_path}/state\n")
    for name, texts in (("ham", HAM), ("spam", SPAM)):
        (tmp_path / name).mkdir()
        for number, text in enumerate(texts):
            (tmp_path / name / f"{number:02}").write_text(text)
    return tmp_path


def bms(site, *arguments, **more):
    result = CliRunner().invoke(main, ["-c", str(site / "milter.cfg"), *map(str, arguments)], **more)
    assert result.exception is None or isinstance(result.exception, SystemExit), result.exception
    return result


def score(site, text):
    with contextlib.closing(Store(f"sqlite:///{site}/state/bms.sqlite")) as store:
        return Teacher(store).classify(text.encode()).probability


def test_teaching_tells_spam_from_ham(site):
    assert bms(site, "train", "ham", site / "ham").exit_code == 0
    assert "12 learned" in bms(site, "train", "spam", site / "spam").output
    assert score(site, SPAM[0].replace("offer 0", "offer 99")) > 0.5 > score(site, HAM[0].replace("day 0", "day 99"))


@contextlib.contextmanager
def connections():
    """Counts the connections to databases that are opened, and those that are closed."""
    counts = {"connect": 0, "close": 0}

    def count(what):
        def counting(*_):
            counts[what] += 1

        return counting

    listeners = [(sa.pool.Pool, what, count(what)) for what in counts]
    for listener in listeners:
        sa.event.listen(*listener)
    try:
        yield counts
    finally:
        for listener in listeners:
            sa.event.remove(*listener)


def test_no_connection_to_the_database_stays_open(site):
    (site / "index").write_text("spam spam/00\nham ham/00\n")
    with connections() as counts:
        bms(site, "train", "spam", site / "spam")
        bms(site, "evaluate", site / "index")
    assert counts["connect"] == counts["close"] > 2


def test_the_same_command_again_teaches_nothing_new(site):
    bms(site, "train", "spam", site / "spam")
    result = bms(site, "train", "spam", site / "spam")
    assert "12 unchanged; site has learned 12 spam and 0 ham" in result.output


def test_the_opposite_verdict_corrects(site):
    bms(site, "train", "ham", site / "spam")
    assert "12 corrected; site has learned 12 spam and 0 ham" in bms(site, "train", "spam", site / "spam").output


def test_undo_restores_the_scores_exactly(site):
    for verdict in ("ham", "spam"):
        bms(site, "train", verdict, site / verdict / "00")
    before = [score(site, text) for text in HAM + SPAM]
    bms(site, "train", "spam", site / "spam")
    assert [score(site, text) for text in HAM + SPAM] != before
    (site / "spam" / "00").unlink()  # taught before, so it stays
    assert "11 taken back" in bms(site, "train", "spam", "--undo", site / "spam").output
    assert [score(site, text) for text in HAM + SPAM] == before


def test_an_mbox_teaches_each_of_its_messages(site):
    box = mailbox.mbox(site / "box")
    for text in SPAM:
        box.add(text)
    box.close()
    assert "12 learned" in bms(site, "train", "spam", site / "box").output
    assert "12 unchanged" in bms(site, "train", "spam", site / "spam").output


def interrupt_after(monkeypatch, owner, name, number):
    """Ctrl-C is typed when this is called for the time after `number`; returns the arguments of the calls before."""
    real, calls = getattr(owner, name), []

    def interrupted(*given):
        if len(calls) == number:
            monkeypatch.setattr(owner, name, real)
            raise KeyboardInterrupt
        calls.append(given)
        return real(*given)

    monkeypatch.setattr(owner, name, interrupted)
    return calls


def test_ctrl_c_loses_nothing_and_the_same_command_goes_on(site, monkeypatch):
    interrupt_after(monkeypatch, training, "by_octets", 5)
    result = bms(site, "train", "spam", site / "spam")
    assert result.exit_code == 130
    assert f"stopped after {site / 'spam' / '04'}; 5 learned" in result.output
    assert "7 learned, 5 unchanged" in bms(site, "train", "spam", site / "spam").output


@pytest.mark.parametrize(("owner", "name"), [(Teacher, "learn_together"), (Store, "write"), (training.Result, "count")])
def test_ctrl_c_while_a_batch_is_taught_still_teaches_it(site, monkeypatch, owner, name):
    bms(site, "train", "spam", site / "spam" / "00")
    monkeypatch.setattr(training, "BATCH", 4)
    interrupt_after(monkeypatch, owner, name, 0)
    result = bms(site, "train", "spam", site / "spam")
    assert result.exit_code == 130
    assert "stopped after" in result.output
    assert "site has learned 12 spam" in bms(site, "train", "spam", site / "spam").output


def test_what_one_batch_holds_in_memory_is_bounded(site, monkeypatch):
    monkeypatch.setattr(training, "_MAX_OCTETS", 10_000)
    for number in range(12):
        (site / "spam" / f"{number:02}").write_text(SPAM[number] + 6_000 * "x")
    calls = interrupt_after(monkeypatch, Teacher, "learn_together", -1)
    bms(site, "train", "spam", site / "spam")
    assert [len(lessons) for _, lessons, _ in calls] == [2] * 6


def test_a_file_that_can_not_be_read_is_told_and_the_others_are_taught(site, monkeypatch):
    real = training.messages

    def messages(file):
        if file.name == "03":
            raise training.MailboxError(f"{file}: cannot be read: Input/output error")
        return real(file)

    monkeypatch.setattr(training, "messages", messages)
    result = bms(site, "train", "spam", site / "spam")
    assert result.exit_code == 1
    assert "03: cannot be read" in result.output
    assert "11 learned, 1 files not readable" in result.output


def test_a_run_that_is_killed_goes_on_where_it_stopped(site):
    """Nothing that was taught is lost, nothing is taught twice, and nothing is left locked."""
    killed = f"""
import os, signal
from antispam.learning import training
from antispam.learning.teacher import Teacher
from bms import main
real, taught = Teacher.learn_together, []
def learn(self, lessons, is_spam):
    if taught:
        os.kill(os.getpid(), signal.SIGKILL)
    taught.append(real(self, lessons, is_spam))
    return taught[-1]
Teacher.learn_together = learn
training.BATCH = 5
main(["-c", {str(site / "milter.cfg")!r}, "train", "spam", {str(site / "spam")!r}])
"""
    assert (
        subprocess.run([sys.executable, "-c", killed], capture_output=True, check=False).returncode == -signal.SIGKILL
    )
    assert "7 learned, 5 unchanged; site has learned 12 spam" in bms(site, "train", "spam", site / "spam").output


def test_a_full_database_is_an_error_that_says_so_and_the_same_command_goes_on_later(site, monkeypatch):
    for number, text in enumerate(SPAM):
        (site / "spam" / f"{number:02}").write_text(text + " ".join(f"word{number}{word:x}y" for word in range(600)))
    bms(site, "train", "spam", site / "spam" / "00")
    monkeypatch.setattr(training, "BATCH", 1)
    real = beginning._sqlite_connect

    def connect(connection, record):
        real(connection, record)
        (pages,) = connection.execute("PRAGMA page_count").fetchone()
        connection.execute(f"PRAGMA max_page_count = {pages + 8}")

    monkeypatch.setattr(beginning, "_sqlite_connect", connect)
    result = bms(site, "train", "spam", site / "spam")
    assert result.exit_code == 1
    assert re.search(r"the database: .*full; [1-9]\d* learned", result.output)
    monkeypatch.undo()
    assert "site has learned 12 spam" in bms(site, "train", "spam", site / "spam").output


def test_a_broken_mbox_teaches_what_can_be_told_apart(site):
    garbage = bytes(range(256)) * 3
    pieces = [SPAM[0].encode(), garbage, SPAM[1].encode().replace(b"\n", b"\r\n"), b"", SPAM[2].encode()[:-20]]
    (site / "box").write_bytes(b"".join(b"From x\n" + piece + b"\n\n" for piece in pieces))
    result = bms(site, "train", "spam", site / "box")
    assert result.exit_code == 0
    assert "4 learned, 1 unchanged" in result.output
    assert score(site, SPAM[0]) > 0.9


def test_a_correction_taken_back_restores_the_scores_of_before_the_mistake(site):
    for verdict in ("ham", "spam"):
        bms(site, "train", verdict, site / verdict)
    wrong = site / "wrong"
    wrong.write_text("From: y@offers.example\nSubject: WIN 99\n\nBuy cheap pills now, offer 99!\n")
    before = [score(site, text) for text in HAM + SPAM]
    bms(site, "train", "ham", wrong)
    assert "1 corrected" in bms(site, "train", "spam", wrong).output
    with contextlib.closing(Store(f"sqlite:///{site}/state/bms.sqlite")) as store:
        Teacher(store).fold()
    assert "1 taken back" in bms(site, "train", "spam", "--undo", wrong).output
    assert [score(site, text) for text in HAM + SPAM] == before


def test_a_locked_database_is_an_error_that_says_so(site):
    bms(site, "train", "spam", site / "spam" / "00")
    (site / "milter.cfg").write_text(f"[milter]\ndatadir = {site}/state\n[store]\nbusy_timeout = 1s\n")
    other = sqlite3.connect(site / "state" / "bms.sqlite", isolation_level=None)
    other.execute("BEGIN IMMEDIATE")
    result = bms(site, "train", "spam", site / "spam")
    other.close()
    assert result.exit_code == 1
    assert "locked" in result.output


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["train", "spam", "nowhere"], "no such file or folder"),
        (["train", "spam", "--undo", "--user", "nobody", "."], "there is no user nobody"),
        (["train", "spam", "--user", "", "."], "name"),
        (["train", "eggs", "."], "'eggs' is not one of"),
        (["evaluate", "nowhere"], "cannot be read"),
    ],
)
def test_a_mistake_is_an_error_that_says_what_is_wrong(site, monkeypatch, arguments, said):
    monkeypatch.chdir(site)
    result = bms(site, *arguments)
    assert result.exit_code
    assert said in result.output


@pytest.fixture
def index(site):
    lines = [f"{name} {name}/{number:02}" for number in range(12) for name in ("ham", "spam")]
    (site / "index").write_text("# first\n" + "\n".join(lines) + "\n\n")
    return site / "index"


def test_evaluate_prints_one_json_object_with_the_figures(site, index):
    result = CliRunner().invoke(main, ["evaluate", str(index), "--json", "--scores", str(site / "scores")])
    values = json.loads(result.stdout)
    assert (values["n"], values["ham"], values["spam"]) == (24, 12, 12)
    assert set(values) == {
        "n", "ham", "spam", "ham_misclassified_pct", "spam_misclassified_pct", "lam_pct", "one_minus_roca_pct",
        "spam_missed_at_0_1_pct_fp", "classify_per_s", "train_per_s", "settings",
    }  # fmt: skip
    lines = (site / "scores").read_text().splitlines()
    assert lines[0].split("\t") == ["ham/00", "ham", "0.500000", "ham"]


def test_a_line_of_an_index_is_one_message_whatever_its_text_looks_like(site, index):
    long = "From a@b Mon\n" + SPAM[0] + "\nFrom here on\n\nFrom there\n\nmore\n"
    (site / "spam" / "00").write_text(long)
    assert message(site / "spam" / "00") == long.partition("\n")[2].encode()
    assert json.loads(bms(site, "evaluate", index, "--json").stdout)["n"] == 24


def test_evaluate_draws_a_picture(site, index):
    CliRunner().invoke(main, ["evaluate", str(index), "--plot", str(site / "plot.png")])
    assert (site / "plot.png").read_bytes().startswith(b"\x89PNG")


def test_evaluate_tells_what_less_kind_conditions_cost(site, index):
    asked = ("--noise", "5", "--delay", "--drift", "--errors")
    values = json.loads(CliRunner().invoke(main, ["evaluate", str(index), "--json", *asked]).stdout)
    assert list(values["conditions"]) == [
        "5 % wrong labels",
        "taught 100 messages late",
        "by date",
        "only errors reported",
    ]
    assert {one["n"] for one in values["conditions"].values()} == {24}
    assert values["conditions"]["taught 100 messages late"]["spam_misclassified_pct"] == 100
    table = bms(site, "evaluate", index, *asked).output
    assert all(name in table for name in values["conditions"])


def test_evaluate_leaves_the_site_s_own_dictionary_alone(site, index):
    bms(site, "evaluate", index)
    assert not (site / "state").exists()


@pytest.mark.parametrize(
    ("line", "said"), [("eggs ham/00", "index:1: expected 'spam path'"), ("ham nothing", "index:1: there is no file")]
)
def test_a_mistake_in_an_index_names_its_line(site, line, said):
    (site / "index").write_text(line + "\n")
    result = bms(site, "evaluate", site / "index")
    assert result.exit_code == 1
    assert said in result.output


@pytest.mark.parametrize(("user", "warned"), [("anm", True), ("Ann", False), ("site", False)])
def test_a_dictionary_that_nothing_asks_is_named(site, user, warned):
    with (site / "milter.cfg").open("a") as file:
        file.write("[dspam]\ndspam_users = ann\nann = ann@example.com\n")
    result = bms(site, "train", "ham", "--user", user, site / "ham" / "00")
    assert result.exit_code == 0
    assert ("If the name is a typo" in result.output) is warned


def test_a_plot_that_can_t_be_drawn_is_refused_before_the_work(site, monkeypatch):
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    (site / "index").write_text("ham ham/00\n")
    result = bms(site, "evaluate", site / "index", "--plot", site / "plot.png")
    assert result.exit_code == 1
    assert "matplotlib" in result.output
    assert "messages" not in result.output


def test_what_is_no_mail_is_refused(site):
    (site / "passwd").write_text("root:x:0:0:root:/root:/bin/bash\n")
    (site / "mail").write_text(SPAM[0])
    result = bms(site, "train", "spam", site / "passwd", site / "mail")
    assert result.exit_code == 1
    assert "passwd: not a mail message" in result.output
    assert "1 learned" in result.output


def test_standard_input_is_taught_too(site):
    assert "1 learned" in bms(site, "train", "spam", "-", input=SPAM[1].encode()).output
    assert "1 unchanged" in bms(site, "train", "spam", site / "spam" / "01").output


def test_a_mailbox_that_can_not_be_looked_into_is_named_and_not_the_database(site, monkeypatch):
    def closed(path):
        raise PermissionError(13, "Permission denied", str(site / "spam"))

    monkeypatch.setattr("antispam.protocols.mailboxes.is_maildir", closed)
    said = bms(site, "train", "spam", site / "spam").output
    assert f"{site / 'spam'}: cannot be read: Permission denied" in said
    assert "database" not in said


SEEN = b"Subject: as the filter saw it\r\n\r\nx\r\n"
SIGNED = b"X-DSPAM-Signature: abcdefghijkl\r\nFrom: a@example.org\r\nSubject: pills\r\n\r\nBuy!\r\n"


@pytest.fixture
def signed(site):
    """Ann's dictionary, to which the filter showed a message that lies in her folder now."""
    (site / "signed.eml").write_bytes(SIGNED)
    (site / "state").mkdir()
    with contextlib.closing(Store(make_store(site / "state" / "bms.sqlite"))) as store:
        teacher = Teacher(store, "ann")
        put_signature(store, teacher.number, "abcdefghijkl", pack_keys(extract(SEEN)))
        yield teacher


def test_a_message_that_was_reported_in_another_way_counts_once(site, signed):
    """Forwarding and Junk folders know it by its signature, and so does this."""
    signed.learn("abcdefghijkl", extract(SEEN), True)
    for verdict, more, said in [
        ("spam", [], "1 unchanged"),
        ("ham", [], "1 corrected"),
        ("ham", ["--undo"], "1 taken back"),
    ]:
        assert said in bms(site, "train", verdict, *more, "--user", "ann", site / "signed.eml").output
    assert signed.said("abcdefghijkl") is None


def test_a_message_that_was_taught_by_its_octets_stays_that(site, signed):
    """So the command of last month, given again, teaches nothing twice."""
    signed.teach(SIGNED, True)
    assert "1 unchanged" in bms(site, "train", "spam", "--user", "ann", site / "signed.eml").output
    assert signed.said("abcdefghijkl") is None
