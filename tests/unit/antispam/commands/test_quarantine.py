"""`bms quarantine`, as people and scripts use it."""

from __future__ import annotations

import json
import re
import socket
import sqlite3
import time

import bms
import pytest
from click.testing import CliRunner

from antispam.commands.program import make_group
from antispam.commands.quarantine.commands import quarantine_commands
from antispam.commands.quarantine.importing import import_mailbox
from antispam.store import Store, StoreError, retention
from antispam.store.quarantine import of_ref
from antispam.store.retention import Limits
from support.places import REPOSITORY
from support.quarantined import DAY, contents, entries, keep, mark_failed, mark_sent, queued_messages
from support.stores import make_store

CRON = REPOSITORY / "cron" / "bms-quarantine"
MBOX = b"From dspam Thu Aug 22 12:36:23 2002\nSubject: WIN\nX-Dspam-Recipients: bob@example.com\n\nBuy!\n"


class Site:
    """A store in a folder, and the program with a configuration that points to it."""

    def __init__(self, folder, main=bms.main):
        self.folder, self.main = folder, main
        self.config = folder / "milter.cfg"
        self.config.write_text(f"[milter]\ndatadir = {folder}/state\n[store]\nbusy_timeout = 1s\n")
        url = f"sqlite:///{folder}/state/bms.sqlite"
        make_store(url)
        self.store = Store(url)

    def run(self, *words):
        given = ["-c", str(self.config), "quarantine", *map(str, words)]
        result = CliRunner().invoke(self.main, given, terminal_width=200)
        assert result.exception is None or isinstance(result.exception, SystemExit), result.exception
        return result

    def json(self, *words):
        return [json.loads(line) for line in self.run(*words, "--json").stdout.splitlines()]


@pytest.fixture
def site(tmp_path):
    made = Site(tmp_path)
    yield made
    made.store.close()


@pytest.fixture
def site_with(tmp_path):
    """A site whose commands have what others will give them."""
    made = []

    def make(**parts):
        main = make_group(bms.JOURNEY, "bms", "", commands=(quarantine_commands(**parts),))
        made.append(Site(tmp_path, main))
        return made[-1]

    yield make
    for site in made:
        site.store.close()


# list


def test_list_shows_reference_sender_subject_and_why(site):
    keep(site.store, "abcdefghijkl", "bob", at=time.time(), subject=b"Lunch [bold]today[/]")
    shown = site.run("list")
    assert shown.exit_code == 0
    head, line = shown.stdout.splitlines()
    assert head.split() == ["REFERENCE", "RECEIVED", "USER", "FROM", "SUBJECT", "CHECK", "SCORE", "SIZE", "STATE"]
    assert re.match(r"abcdefghijkl +\d{4}-\d\d-\d\d \d\d:\d\d +bob +ann@example.org +Lunch \[bold]today\[/]", line)
    assert line.split()[-4:] == ["dspam", "0.990", str(of_ref(site.store, "abcdefghijkl")[0].size), "kept"]


def test_list_as_json_has_one_object_a_line(site):
    keep(site.store, "a", "bob", at=100.0, subject=b"caf\xc3\xa9")
    keep(site.store, "b", "bob", at=200.0)
    found = site.json("list")
    assert [entry["ref"] for entry in found] == ["b", "a"]
    assert found[1] == {
        "ref": "a", "user": "bob", "received_at": "1970-01-01T00:01:40+00:00", "mail_from": "ann@example.org",
        "recipients": ["bob@example.com"], "subject": "caf\xe9", "size": found[1]["size"], "check": "dspam",
        "action": "quarantine", "reason": "probability 0.9900", "score": 0.99, "state": "kept", "released_at": None,
        "error": "",
    }  # fmt: skip


def test_list_chooses(site):
    keep(site.store, "old", "bob", at=time.time() - 8 * DAY)
    keep(site.store, "new", "bob", at=time.time() - 6 * DAY)
    keep(site.store, "ann", "ann", at=time.time(), subject=b"other", check="spf")

    def refs(*words):
        return [entry["ref"] for entry in site.json("list", *words)]

    assert refs("--since", "7d") == ["ann", "new"]
    assert refs("--user", "bob") == ["new", "old"]
    assert refs("--search", "LUNCH", "--limit", "1") == ["new"]
    assert refs("--check", "spf") == ["ann"]
    assert site.run("list", "--user", "eve").stdout == "No quarantined message matches.\n"


def test_list_says_that_there_is_more(site):
    for number in range(4):
        keep(site.store, f"ref{number}", at=float(number))
    assert "--limit 0 lists all" in site.run("list", "--limit", 3).stderr
    for limit in (0, 4):
        everything = site.run("list", "--limit", limit)
        assert (everything.stdout.count("ref"), everything.stderr) == (4, "")


@pytest.fixture
def four(site, monkeypatch):
    """More messages than are searched, of which the first two are Ann's."""
    monkeypatch.setattr("antispam.commands.quarantine.commands.LOOKED_AT", 2)
    for number, user in enumerate(("ann", "ann", "bob", "bob")):
        keep(site.store, f"ref{number}", user, at=float(number))
    return site


@pytest.mark.parametrize("words", [("--search", "lunch"), ("--check", "dspam"), ("--search", "lunch", "--json")])
def test_of_all_users_the_newest_are_searched_and_list_says_so(four, words):
    found = four.run("list", *words)
    assert (re.findall(r"ref\d", found.stdout), found.stderr) == (
        ["ref3", "ref2"],
        "Only the newest 2 messages of all users were searched; --limit 0 or --user searches all.\n",
    )


@pytest.mark.parametrize(("words", "listed"), [(("--limit", 0), 4), (("--user", "ann"), 2)])
def test_all_are_searched_on_request_and_of_one_user(four, words, listed):
    found = four.run("list", "--search", "lunch", *words)
    assert (found.stdout.count("ref"), found.stderr) == (listed, "")


def test_a_search_that_found_nothing_says_where_it_looked(four):
    found = four.run("list", "--search", "dinner")
    assert found.stdout == "No quarantined message matches.\n"
    assert "Only the newest 2" in found.stderr


def test_a_long_list_has_one_head(site, monkeypatch):
    monkeypatch.setattr("antispam.commands.quarantine.commands.SCREEN", 2)
    for number in range(5):
        keep(site.store, f"ref{number}", at=float(number))
    listed = site.run("list").stdout
    assert (listed.count("REFERENCE"), listed.count("ref")) == (1, 5)


def test_an_empty_quarantine_is_said(site):
    assert site.run("list").stdout == "The quarantine is empty.\n"


def test_nothing_that_mail_wrote_reaches_the_terminal_as_it_is(site):
    evil = b"\x1b[2Jx\xe2\x80\xae\xc2\x9b31m"
    keep(
        site.store, "abc", "eve\x07", at=1.0, subject=evil, mail_from="a\u2028b\x1b@x", body=evil + b"\r\n\x00\x9b\r\n",
        headers=((b"From", b" =?utf-8?b?G1sySg==?= <a@x>"),),
    )  # fmt: skip
    for words in (["list"], ["show", "abc"], ["release", "abc", "--to", "b@x"], ["release", "abc"], ["delete", "abc"]):
        shown = site.run(*words)
        assert shown.output.replace("\n", "").isprintable(), words
        assert "\u202e" not in shown.output


# show


def test_show_explains_and_shows_the_text(site):
    keep(
        site.store, "abc", "bob", at=time.time(), subject=b"=?utf-8?q?caf=C3=A9?=",
        headers=((b"From", b" Ann <ann@example.org>"), (b"Content-Type", b" text/html; charset=utf-8"), (b"X-Odd", b" 1")),
        body=b"<style>p{}</style><p>Shall we &amp; how?</p>\r\n",
    )  # fmt: skip
    shown = site.run("show", "ABC").stdout
    for expected in (
        "abc, kept from bob since ",
        "why         [dspam] wanted to keep it: probability 0.9900",
        "score       0.9900",
        "from        <ann@example.org>",
        "recipients  bob@example.com",
        "state       quarantined; `bms quarantine release abc` sends it",
        "  Subject: caf\xe9",
        "  From: Ann <ann@example.org>",
        "| Shall we & how?",
    ):
        assert expected in shown
    assert "X-Odd" not in shown
    assert "style" not in shown


def test_show_tells_what_became_of_a_release(site):
    keep(site.store, "abc")
    site.run("release", "abc")
    assert "state       being released" in site.run("show", "abc").stdout
    mark_failed(site.store, queued_messages(site.store)[0].id, 1.0, "550 no")
    assert "its release failed: 550 no; it may be released again" in site.run("show", "abc").stdout
    site.run("release", "abc")
    assert "state       being released; not taken yet: 550 no" in site.run("show", "abc").stdout
    mark_sent(site.store, queued_messages(site.store)[0].id, 1.0)
    assert "released; the mail server took it 1970-01-01" in site.run("show", "abc").stdout


def test_show_raw_is_the_message_octet_by_octet(site):
    keep(site.store, "abc", body=b"\x00\xff\n.\r\n")
    assert site.run("show", "abc", "--raw").stdout_bytes == b"Subject: lunch\r\n\r\n\x00\xff\n.\r\n"


def test_show_raw_is_not_for_a_terminal(site, monkeypatch):
    keep(site.store, "abc")
    monkeypatch.setattr("antispam.commands.quarantine.commands._is_terminal", lambda: True)
    shown = site.run("show", "abc", "--raw")
    assert (shown.exit_code, "to a file or a pipe" in shown.output) == (2, True)


def test_show_tells_each_user_s_entry(site):
    keep(site.store, "abc", "bob", "ann")
    assert site.run("show", "abc").stdout.count("kept from") == 2
    assert site.run("show", "abc", "--user", "ann").stdout.count("kept from") == 1
    assert [entry["user"] for entry in site.json("show", "abc")] == ["bob", "ann"]


# release


def test_release_posts_the_message(site):
    keep(site.store, "abc")
    done = site.run("release", "abc")
    assert (done.exit_code, done.stdout) == (0, "abc for bob: will be sent to bob@example.com\n")
    assert len(queued_messages(site.store)) == 1
    assert site.run("release", "abc").stdout == "abc for bob: is already being released\n"
    mark_sent(site.store, queued_messages(site.store)[0].id, time.time())
    assert "--force sends it again" in site.run("release", "abc").stdout
    assert queued_messages(site.store) == []
    site.run("release", "abc", "--force", "--to", "carl@example.net")
    assert queued_messages(site.store)[0].recipients == '["carl@example.net"]'


HARMFUL = (
    (b"Authentication-Results", b" mx.example.com; dkim=pass header.d=bank.example"),
    (b"Authentication-Results", b" other.example; dkim=none"),
    (b"X-Spam-Flag", b" NO"),
    (b"Content-Type", b" application/octet-stream; name=x.exe"),
)


def test_what_is_released_has_lost_what_would_harm_its_readers(site):
    """Even where the mail server does not show it to the filter again."""
    with site.config.open("a") as file:
        file.write("[authentication_results]\nauthserv_id = mx.example.com\n[defang]\nremedy = quarantine\n")
    keep(site.store, "abc", headers=HARMFUL, body=b"MZ this would run\r\n")
    assert site.run("release", "abc").exit_code == 0
    (queued,) = queued_messages(site.store)
    assert queued.kind == "release"
    for gone in (b"MZ this would run", b"bank.example", b"X-Spam-Flag"):
        assert gone not in queued.content
    for kept in (b"Subject: lunch\r\n", b"Authentication-Results: other.example;", b"x.exe"):
        assert kept in queued.content
    assert b"MZ this would run" in site.run("show", "abc", "--raw").stdout_bytes


def test_an_administrator_who_says_so_gets_the_original_out(site):
    keep(site.store, "abc", headers=HARMFUL, body=b"MZ this would run\r\n")
    site.run("release", "abc")
    assert site.run("release", "abc", "--original", "--to", "admin@example.com", "--force").exit_code == 0
    queued = queued_messages(site.store)[-1]
    assert queued.kind == "original"
    for kept in (b"MZ this would run", b"bank.example", b"X-Spam-Flag: NO\r\n"):
        assert kept in queued.content


def test_nothing_is_released_while_what_protects_can_not_work(site, monkeypatch):
    keep(site.store, "abc", headers=HARMFUL)
    monkeypatch.setattr("antispam.checks.attachments.engine.inspect", lambda *_: 1 / 0)
    done = site.run("release", "abc")
    assert (done.exit_code, queued_messages(site.store)) == (1, [])
    assert "abc cannot be released now: attachments: internal error" in done.stderr


def test_release_of_what_several_users_have_asks_for_whom(site):
    keep(site.store, "abc", "bob", "ann")
    keep(site.store, "abd", "bob")
    asked = site.run("release", "abd", "abc")
    assert (asked.exit_code, "in the quarantine of several users (bob, ann)" in asked.output) == (2, True)
    assert queued_messages(site.store) == [], "before anything is done"
    site.run("release", "abc", "--user", "ann")
    site.run("release", "abc", "--all-users")
    assert [queued.recipients for queued in queued_messages(site.store)] == [
        '["ann@example.com"]',
        '["bob@example.com"]',
    ]


def test_release_teaches_what_was_released(site_with):
    taught = []
    site = site_with(teaching=lambda settings, store: lambda user, ref: taught.append((user, ref)))
    keep(site.store, "abc")
    keep(site.store, "abd")
    site.run("release", "abc")
    site.run("release", "abc")
    site.run("release", "abd", "--no-teach")
    assert taught == [("bob", "abc")]


def test_a_teacher_that_fails_costs_the_release_nothing(site_with):
    def fail(user, ref):
        raise StoreError("locked")

    site = site_with(teaching=lambda settings, store: fail)
    keep(site.store, "abc")
    done = site.run("release", "abc")
    assert (done.exit_code, len(queued_messages(site.store))) == (1, 1)
    assert "released, but nothing was learned from it: locked" in done.stderr


def test_release_wait_says_whether_the_mail_server_took_it(site_with):
    def send_now(store, settings, queued):
        outcomes.pop(0)(store, queued)

    outcomes = [
        lambda store, queued: mark_sent(store, queued, time.time()),
        lambda store, queued: None,
        lambda store, queued: mark_failed(store, queued, time.time(), "550 no\x1b"),
    ]
    site = site_with(send_now=send_now)
    for ref in ("a", "b", "c"):
        keep(site.store, ref)
    done = [site.run("release", "--wait", ref) for ref in ("a", "b", "c")]
    assert [one.exit_code for one in done] == [0, 1, 1]
    assert "a for bob: the mail server took it" in done[0].stdout
    assert "did not take it (no answer yet); the filter goes on trying" in done[1].stderr
    assert "did not take it (550 no\\x1b); it was given up, and is still in the quarantine" in done[2].stderr


def test_release_wait_waits_for_the_filter_where_that_is_sending_it(site_with, monkeypatch):
    def send_now(store, settings, queued):
        raise LookupError

    site = site_with(send_now=send_now)
    keep(site.store, "abc")

    def sleep(seconds):
        mark_sent(site.store, queued_messages(site.store)[0].id, time.time())

    monkeypatch.setattr("antispam.commands.quarantine.commands.time.sleep", sleep)
    done = site.run("release", "--wait", "abc")
    assert (done.exit_code, "the mail server took it" in done.stdout) == (0, True)


def test_release_wait_tells_that_no_mail_server_answers(site):
    with socket.socket() as unused:
        unused.bind(("127.0.0.1", 0))
        port = unused.getsockname()[1]
        site.config.write_text(site.config.read_text() + f"[outbox]\nhost = 127.0.0.1:{port}\n")
        keep(site.store, "abc")
        done = site.run("release", "--wait", "abc")
    assert (done.exit_code, len(queued_messages(site.store))) == (1, 1)
    assert re.search(r"did not take it \(.*refused.*\); the filter goes on trying", done.stderr)


def test_ctrl_c_leaves_released_what_was_released(site_with):
    taught = []

    def teach(user, ref):
        taught.append(ref)
        if len(taught) == 2:
            raise KeyboardInterrupt

    site = site_with(teaching=lambda settings, store: teach)
    for ref in ("a", "b", "c"):
        keep(site.store, ref)
    done = site.run("release", "a", "b", "c")
    assert done.exit_code == 130
    assert "stopped" in done.stderr
    assert [queued.ref for queued in queued_messages(site.store)] == ["a", "b"]


# delete


def test_delete_deletes_one_user_s_entry(site):
    keep(site.store, "abc", "bob", "ann")
    assert site.run("delete", "abc").exit_code == 2
    assert site.run("delete", "abc", "--user", "bob").stdout == "abc of bob: deleted\n"
    assert (entries(site.store), contents(site.store)) == ([("abc", "ann")], ["abc"])
    assert site.run("delete", "abc", "abc").exit_code == 0
    assert contents(site.store) == []


def test_delete_leaves_what_is_being_released(site):
    keep(site.store, "abc")
    site.run("release", "abc")
    done = site.run("delete", "abc")
    assert (done.exit_code, len(entries(site.store))) == (1, 1)
    assert "is being released, and stays" in done.stderr


# clean


def test_clean_follows_the_configuration(site):
    now = time.time()
    for number in range(4):
        keep(site.store, f"ref{number}", at=now - 10 * DAY * number)
    site.config.write_text(site.config.read_text() + "[quarantine]\nkeep = 25d\nuser_messages = 2\n")
    planned = site.run("clean", "--dry-run").stdout
    assert re.match(r"would delete 1 too old \(\d+\), 1 too many \(\d+\)\n", planned)
    assert len(entries(site.store)) == 4
    assert site.run("clean").stdout == planned.replace("would delete", "deleted")
    assert entries(site.store) == [("ref0", "bob"), ("ref1", "bob")]
    assert site.run("clean").stdout == "nothing to delete\n"


def test_clean_by_default_keeps_a_month(site):
    now = time.time()
    keep(site.store, "old", at=now - 31 * DAY)
    keep(site.store, "young", at=now - 29 * DAY)
    site.run("clean")
    assert entries(site.store) == [("young", "bob")]


def test_clean_quiet_says_nothing(site):
    keep(site.store, "old", at=0.0)
    assert (site.run("clean", "--quiet").output, entries(site.store)) == ("", [])


def test_clean_as_json_is_one_object(site):
    keep(site.store, "old", at=0.0)
    size = of_ref(site.store, "old")[0].size
    assert site.json("clean") == [
        {
            "dry_run": False,
            "entries": 1,
            "messages": 1,
            "orphans": 0,
            "by_reason": {"too old": {"entries": 1, "octets": size}},
        }
    ]


def test_clean_goes_by_each_user_s_limits_where_they_are_given(site_with):
    def limits(settings, store):
        return lambda user: Limits(keep=DAY if user == "bob" else 0, size=0, messages=0, released=0)

    site = site_with(limits=limits)
    keep(site.store, "abc", "bob", "ann", at=0.0)
    site.run("clean")
    assert entries(site.store) == [("abc", "ann")]


def test_clean_stopped_by_ctrl_c_tells_and_goes_on_the_next_time(site, monkeypatch):
    monkeypatch.setattr(retention, "SLICE", 1)
    for number in range(3):
        keep(site.store, f"ref{number}", at=0.0)

    def interrupt(seconds):
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr("antispam.commands.quarantine.commands.time.sleep", interrupt)
        done = site.run("clean")
    assert (done.exit_code, len(entries(site.store))) == (130, 2)
    assert "stopped; deleted 1 too old" in done.stderr
    site.run("clean")
    assert entries(site.store) == []


# import


def test_import_takes_a_mailbox_over_once(site):
    box = site.folder / "bob.mbox"
    box.write_bytes(MBOX)
    done = site.run("import", "--user", "bob", box)
    assert (done.exit_code, done.stdout) == (0, "1 imported\n")
    assert "older than [quarantine] keep" in done.stderr
    assert site.run("import", "--user", "bob", box).stdout == "1 there already\n"
    assert entries(site.store)[0][1] == "bob"
    assert box.read_bytes() == MBOX


def test_import_tells_what_is_broken_and_takes_the_rest(site):
    (site.folder / "good").write_bytes(MBOX)
    (site.folder / "bad").write_bytes(b"\x00\x01")
    done = site.run("import", "--user", "bob", site.folder / "none", site.folder / "bad", site.folder / "good")
    assert done.exit_code == 1
    assert "none: cannot be read: No such file" in done.stderr
    assert "bad: not a message" in done.stderr
    assert "1 imported, 1 not imported" in done.stdout


def test_import_stopped_by_ctrl_c_goes_on_where_it_was(site, monkeypatch):
    (site.folder / "box").write_bytes(MBOX + MBOX.replace(b"WIN", b"LOSE"))
    real = import_mailbox

    def interrupted(*args, done, **named):
        def stop(stored):
            raise KeyboardInterrupt

        return real(*args, done=stop, **named)

    with monkeypatch.context() as patch:
        patch.setattr("antispam.commands.quarantine.importing.import_mailbox", interrupted)
        done = site.run("import", "--user", "bob", site.folder / "box")
    assert (done.exit_code, "stopped; 1 imported" in done.stderr) == (130, True)
    assert site.run("import", "--user", "bob", site.folder / "box").stdout == "1 imported, 1 there already\n"


# mistakes


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["show", "../../etc/passwd"], "'../../etc/passwd' is not a valid reference"),
        (["show", "xyz"], "nothing is kept under xyz"),
        (["show", "abc", "--user", "eve"], "nothing is kept under abc from eve"),
        (["release", "*"], "'*' is not a valid reference"),
        (["release", "abc", "xyz"], "nothing is kept under xyz"),
        (["release", "abc", "--user", "b%"], "'b%' is no user"),
        (["release", "abc", "--to", "a b"], "'a b' is no address"),
        (["release", "abc", "--user", "bob", "--all-users"], "Give either --user or --all-users"),
        (["delete", "ab\x1bc"], "'ab\\x1bc' is not a valid reference"),
        (["list", "--user", "../../x"], "is no user"),
        (["list", "--since", "soon"], "expected a duration"),
        (["list", "--search", "\x1b"], "can't be searched for"),
        (["import", "--user", "*", "box"], "'*' is no user"),
    ],
)
def test_a_mistake_is_an_error_that_says_what_is_wrong(site, words, said):
    keep(site.store, "abc")
    done = site.run(*words)
    assert done.exit_code in (1, 2)
    assert said in done.output
    assert (queued_messages(site.store), entries(site.store)) == ([], [("abc", "bob")])


@pytest.mark.parametrize("words", [["clean"], ["release", "abc"], ["delete", "abc"]])
def test_a_locked_database_is_an_error_that_says_so(site, words):
    keep(site.store, "abc", at=0.0)
    other = sqlite3.connect(site.folder / "state" / "bms.sqlite", isolation_level=None)
    other.execute("BEGIN IMMEDIATE")
    done = site.run(*words)
    other.close()
    assert (done.exit_code, "locked" in done.output) == (1, True)
    assert entries(site.store) == [("abc", "bob")]


@pytest.mark.parametrize("command", ["list", "show", "release", "delete", "clean", "import"])
def test_help_tells_what_each_command_does(site, command):
    shown = site.run(command, "--help")
    assert shown.exit_code == 0
    assert len(shown.stdout.splitlines()) > 8


# cron


def test_what_cron_runs_is_a_command_that_says_nothing(site):
    (job,) = [line for line in CRON.read_text().splitlines() if re.match(r"[\d*]", line)]
    *when, user, flock, once, lock, program = job.split()[:10]
    assert (len(when), user, flock, once, lock) == (5, "milter", "flock", "-n", "/var/lib/milter/quarantine.lock")
    keep(site.store, "old", at=0.0)
    assert (program, *job.split()[10:11]) == ("bms", "quarantine")
    assert (site.run(*job.split()[11:]).output, entries(site.store)) == ("", [])
