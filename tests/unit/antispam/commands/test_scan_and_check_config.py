"""The command line: try a message, check a configuration. Running the filter is in tests/e2e/test_bms_run.py."""

from __future__ import annotations

import contextlib
import itertools
import json
import math
import re
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
import spfmilter
from bms import main
from click.testing import CliRunner, Result

from antispam.checks._shared.dkim_keys import files
from antispam.learning.teacher import Teacher
from antispam.store import Store, outbox
from antispam.store.outbox import Kind, QueuedMessage
from dspam.store import user_names
from support.dns import loopback_nameserver
from support.learning import SPAM, teach
from support.stores import make_store
from support.zone_server import ZoneResponder
from support.zones import Zone, complete

PARTNER, FORGER = "192.0.2.1", "203.0.113.66"
ZONES = [Zone("partner.example", '@ TXT "v=spf1 ip4:192.0.2.1 -all"')]
LETTER = b"From: ann@partner.example\nTo: bob@example.com\nSubject: Lunch\n\nShall we?\n"
PROGRAM = (
    b"From: ann@partner.example\nMIME-Version: 1.0\nContent-Type: application/octet-stream; name=game.exe\n"
    b"Content-Transfer-Encoding: base64\n\nTVqQAAMAAAAEAAAA\n"
)


@pytest.fixture(scope="module")
def nameserver() -> Iterator[int]:
    """The port of a name server with ZONES."""
    with loopback_nameserver(ZoneResponder(complete(ZONES, {PARTNER: "mail.partner.example"}))) as port:
        yield port


class Shell:
    """Runs bms.py's commands with a configuration in a folder of the test's."""

    def __init__(self, folder: Path, base: str) -> None:
        self.folder = folder
        self._base = base
        self.config = folder / "milter.cfg"
        self.configure("")

    def configure(self, text: str) -> None:
        self.config.write_text(self._base + text)

    def write(self, name: str, content: bytes) -> str:
        path = self.folder / name
        path.write_bytes(content)
        return str(path)

    def run(self, *words: str, given: bytes = b"") -> Result:
        return CliRunner().invoke(main, ["--config", str(self.config), *words], input=given)


@pytest.fixture
def shell(tmp_path: Path, nameserver: int) -> Shell:
    return Shell(
        tmp_path,
        f"[milter]\nsocket = local:{tmp_path}/sock\ndatadir = {tmp_path}/state\n"
        f"[dns]\nnameservers = 127.0.0.1@{nameserver}\n",
    )


AS_PARTNER = ("--ip", PARTNER, "--name", "mail.partner.example", "--helo", "mail.partner.example",
              "--from", "ann@partner.example", "--rcpt", "bob@example.com")  # fmt: skip
AS_STRANGER = ("--ip", FORGER, "--helo", "host66.evil.example", "--from", "x@evil.example")
AS_FORGER = ("--ip", FORGER, "--helo", "host66.evil.example", "--from", "ann@partner.example")


# scan


def test_an_accepted_message_is_explained_check_by_check(shell: Shell) -> None:
    done = shell.run("scan", shell.write("letter.eml", LETTER), *AS_PARTNER)
    assert done.exit_code == 0, done.output
    first, *rest = done.output.splitlines()
    assert first.endswith("letter.eml: delivered (decided at end of message)")
    for expected in (
        "  spf: may this client",
        'result="pass"',
        "  dkim: is the message signed",
        "Authentication-Results",
    ):
        assert any(expected in line for line in rest), expected


def test_a_refusal_shows_the_reply_and_fails(shell: Shell) -> None:
    done = shell.run("scan", shell.write("letter.eml", LETTER), *AS_FORGER)
    assert done.exit_code == 1
    assert "refused (decided at end of message)" in done.output
    assert "550 5.7.23 The SPF record of partner.example does not permit" in done.output


def test_what_would_be_changed_is_told(shell: Shell) -> None:
    done = shell.run("scan", shell.write("program.eml", PROGRAM), *AS_PARTNER)
    assert done.exit_code == 0
    assert "attachments: " in done.output
    assert "game.exe" in done.output
    assert "program.eml: delivered with one attachment replaced" in done.output
    assert "change: replace the body (by " in done.output


def test_what_was_found_is_told_without_python_s_own_words(shell: Shell) -> None:
    done = shell.run("scan", shell.write("program.eml", PROGRAM), *AS_PARTNER[:2], *AS_PARTNER[4:])
    assert 'found=[(name="game.exe"' in done.output
    assert "dynamic=yes" in done.output
    assert not re.search(r"\b(True|False|None)\b|\{'|\('", done.output)


def test_what_is_told_has_no_pictures(shell: Shell) -> None:
    done = shell.run("scan", shell.write("letter.eml", LETTER), *AS_PARTNER, "--helo", "date:date:message-id")
    assert "date:date:message-id" in done.output


def test_json_is_one_object_a_message(shell: Shell) -> None:
    files = (shell.write("letter.eml", LETTER), shell.write("program.eml", PROGRAM))
    done = shell.run("scan", *files, *AS_PARTNER, "--json")
    letter, program = map(json.loads, done.stdout.splitlines())
    assert letter["file"].endswith("letter.eml")
    assert letter["verdict"]["action"] == "continue"
    assert letter["findings"]["spf"]["mailfrom"]["result"] == "pass"
    assert program["findings"]["attachments"]["found"][0]["name"] == "game.exe"


def test_json_of_a_refusal_has_the_reply(shell: Shell) -> None:
    done = shell.run("scan", shell.write("letter.eml", LETTER), *AS_FORGER, "--json")
    report = json.loads(done.stdout)
    assert (report["verdict"]["code"], report["verdict"]["enhanced"]) == (550, "5.7.23")
    assert "partner.example" in report["verdict"]["reply"][0]


@pytest.mark.parametrize("content", [b"", b"\n", b"no header field here", b"\xff\xfe: \x80\n\n\x00", b"From x\n\n" * 3])
def test_any_file_gives_valid_json(shell: Shell, content: bytes) -> None:
    done = shell.run("scan", shell.write("odd.eml", content), *AS_PARTNER, "--json")
    assert done.exit_code == 0, done.output
    json.loads(done.stdout)


def test_hostile_text_cannot_reach_the_terminal(shell: Shell) -> None:
    """Neither escape sequences nor rich's own markup."""
    sender = "[red]\x1b[2J\u2028@partner.example"
    done = shell.run(
        "scan", shell.write("letter.eml", LETTER), "--ip", FORGER, "--from", sender, "--helo", "[/]\x1b]0;x"
    )
    assert done.exit_code == 1
    assert "\x1b" not in done.output
    assert "\u2028" not in done.output
    assert "[red]" in done.output


def test_a_message_is_read_from_standard_input(shell: Shell) -> None:
    done = shell.run("scan", "-", *AS_PARTNER, given=LETTER)
    assert done.exit_code == 0
    assert ": delivered (decided at end of message)" in done.output


def _teach(shell: Shell) -> None:
    url = f"sqlite:///{shell.folder}/state/bms.sqlite"
    make_store(url)
    with contextlib.closing(Store(url)) as store:
        teach(store, "site", 30)


def test_a_score_is_explained_by_the_features_that_spoke_most(shell: Shell) -> None:
    _teach(shell)
    done = shell.run("scan", shell.write("spam.eml", SPAM.format(99).encode()), *AS_PARTNER)
    spam = next(line for line in done.output.splitlines() if line.startswith("  for spam, by the dictionary of site: "))
    ham = next(
        line for line in done.output.splitlines() if line.startswith("  for honest mail, by the dictionary of site")
    )
    assert "an address at spam.example in from" in spam
    assert "an address at spam.example in from" not in ham


def test_a_table_shows_every_test_its_points_and_its_evidence(shell: Shell) -> None:
    done = shell.run("scan", shell.write("hello.eml", b"From: x@evil.example\n\nhello\n"), *AS_STRANGER)
    lines = done.output.splitlines()
    start = next(
        at for at, line in enumerate(lines) if line.startswith("  score of the message for postmaster@localhost:")
    )
    table = list(itertools.takewhile(lambda line: line.startswith("    "), lines[start + 1 :]))
    assert any(
        re.fullmatch(r" +\+1\.20  RDNS_NONE +The address 203\.0\.113\.66 has no host name .*", line) for line in table
    )
    told = sum(float(line.split()[0]) for line in table)
    assert lines[start].endswith(f": {told:.1f}")


def test_programs_read_the_score_as_json(shell: Shell) -> None:
    done = shell.run("scan", shell.write("x.eml", b"From: x@evil.example\n\nhello\n"), *AS_STRANGER, "--json")
    (score,) = json.loads(done.stdout)["scores"].values()
    assert {"RDNS_NONE", "MISSING_DATE"} <= {one["test"] for one in score["tests"]}


def test_programs_read_the_features_as_json(shell: Shell) -> None:
    _teach(shell)
    done = shell.run("scan", shell.write("spam.eml", SPAM.format(99).encode()), *AS_PARTNER, "--json")
    features = json.loads(done.stdout)["features"]["site"]
    assert all(value > 0 for _, value in features["spam"])
    assert all(value < 0 for _, value in features["ham"])


def test_the_weights_add_up_to_the_probability(shell: Shell) -> None:
    _teach(shell)
    done = json.loads(
        shell.run("scan", shell.write("spam.eml", SPAM.format(99).encode()), *AS_PARTNER, "--json").stdout
    )
    reasons, (opinion,) = done["features"]["site"], done["findings"]["dspam"]["opinions"]
    logit = (
        reasons["others"]
        + reasons["habit"]
        + reasons["excess"]
        + sum(value for _, value in (*reasons["spam"], *reasons["ham"]))
    )
    assert 1 / (1 + math.exp(-logit)) == pytest.approx(opinion["probability"], abs=1e-5)
    told = shell.run("scan", shell.write("spam.eml", SPAM.format(99).encode()), *AS_PARTNER).output
    assert f"is probability {opinion['probability']:.4f}" in told


def test_a_user_s_own_dictionary_and_the_lending_one_add_up_to_the_probability(shell: Shell) -> None:
    _teach(shell)
    shell.configure("[dspam]\ndspam_users = bob\nbob = bob@example.com\n")
    with contextlib.closing(Store(f"sqlite:///{shell.folder}/state/bms.sqlite")) as store:
        teach(store, "bob", 20)
    done = shell.run("scan", shell.write("x.eml", SPAM.format(99).encode()), *AS_PARTNER)
    (line,) = (line for line in done.output.splitlines() if line.startswith("  joined for bob: 0.33 of the dictionary"))
    *parts, logit = map(float, re.findall(r"[+-]\d+\.\d\d", line))
    assert sum(parts) == pytest.approx(logit, abs=0.02)
    assert float(line.rpartition(" ")[2]) == pytest.approx(1 / (1 + math.exp(-logit)), abs=0.001)


def test_a_trial_of_a_message_of_our_outbox_uses_up_no_pass(shell: Shell) -> None:
    """The message itself, on its way through the MTA meanwhile, would be judged as a stranger's."""
    _teach(shell)
    with contextlib.closing(Store(f"sqlite:///{shell.folder}/state/bms.sqlite")) as store:
        with store.write() as connection:
            posted = QueuedMessage(Kind.ANSWER, "abcdefghijkl", "", ("bob@example.com",), b"\r\n")
            outbox.post(store, connection, posted, time.time())
        claimed = outbox.claim(store, time.time(), 600.0)
        assert claimed is not None
        letter = shell.write("letter.eml", b"X-BMS-Pass: %s\n%s" % (claimed.pass_value.encode(), LETTER))
        for _ in range(2):
            done = shell.run("scan", letter, *AS_PARTNER, "--live", "--json")
            assert json.loads(done.stdout)["findings"]["own_mail"]["outbox_id"] == claimed.id
        assert outbox.use_pass(store, claimed.id, claimed.secret, time.time())


def test_what_is_tried_teaches_nothing(shell: Shell) -> None:
    _teach(shell)
    shell.configure(
        "[dspam]\ndspam_users = ann\nann = ann@partner.example\nspam = spam@example.com\ndspam_train = ann\n"
    )
    for words in ((), ("--live",)):
        for to in ("spam@example.com", "ann@partner.example"):
            forward = b"Subject: Fwd\n\n-------- Forwarded Message --------\nFrom: a@b.example\nSubject: x\n\ntext\n"
            sender = ("--ip", "127.0.0.1", "--from", "ann@partner.example", "--rcpt", to)
            assert shell.run("scan", shell.write("report.eml", forward), *sender, *words).exit_code in (0, 1)
    with contextlib.closing(Store(f"sqlite:///{shell.folder}/state/bms.sqlite")) as store:
        assert user_names(store) == ["site"]
        assert Teacher(store, "site").totals() == (30, 30)


def test_a_database_that_can_not_be_read_leaves_the_other_checks(shell: Shell) -> None:
    (shell.folder / "state").mkdir()
    (shell.folder / "state" / "bms.sqlite").write_bytes(b"no database" * 1000)
    done = shell.run("scan", shell.write("letter.eml", LETTER), *AS_PARTNER)
    assert done.exit_code == 0
    assert "the configured database cannot be read" in done.output


def test_scan_leaves_no_trace(shell: Shell) -> None:
    """No database, no kept originals: what is tried is not remembered."""
    shell.run("scan", shell.write("program.eml", PROGRAM), *AS_PARTNER)
    assert sorted(path.name for path in shell.folder.iterdir()) == ["milter.cfg", "program.eml"]


@pytest.mark.parametrize("words", [(), ("--live",)])
def test_scan_keeps_no_original_in_a_folder_for_them(shell: Shell, words: tuple[str, ...]) -> None:
    originals = shell.folder / "originals"
    shell.configure(f"[greylist]\nmode = off\n[defang]\nremedy = replace\n[milter]\ntempdir = {originals}\n")
    done = shell.run("scan", shell.write("program.eml", PROGRAM), *AS_PARTNER, *words)
    assert done.exit_code == 0, done.output
    assert not originals.exists()


def test_an_address_that_is_none_is_told(shell: Shell) -> None:
    done = shell.run("scan", shell.write("letter.eml", LETTER), "--ip", "192.0.2.256")
    assert done.exit_code == 2
    assert "'192.0.2.256' is not an IP address" in done.output


# check-config


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("[dkim]\ndomain = example.com\nselector = r2026\n", "[dkim] domain is set, but privkey is not"),
        ("[dspam]\ndspam_users = ann, bob\nann = ann@example.com\n", "bob is in dspam_users, but no address is"),
        ("[dspam]\nspam = spam@example.com\n", "no dspam_users who may do so"),
        ("[score]\nrefuse = 5\n", "[score] refuse = 5 is below mark = 6"),
    ],
)
def test_what_is_hardly_meant_is_asked_about_and_no_mistake(shell: Shell, text: str, told: str) -> None:
    shell.configure(text)
    done = shell.run("check-config")
    assert done.exit_code == 0
    assert told in done.stderr


def test_an_option_that_two_checks_share_is_shown_once(shell: Shell) -> None:
    helo = shell.run("check-config").output.partition("[helo]")[2].partition("\n[")[0]
    assert helo.count("\nmode ") == 1


def test_a_correct_configuration_is_shown_with_its_origins(shell: Shell) -> None:
    shell.configure("[greylist]\ntime = 10m\n")
    done = shell.run("check-config")
    assert done.exit_code == 0, done.output
    lines = [" ".join(line.split()) for line in done.output.splitlines()]
    assert f"time = 10m # {shell.config}:7" in lines
    assert any(line.startswith("expire = ") and line.endswith("# default") for line in lines)
    assert lines[-1] == "The configuration is correct."


def test_keys_and_policies_are_shown_as_they_are_written(shell: Shell) -> None:
    key = shell.write("k.private", files.make_private_key(files.Algorithm.ED25519))
    Path(key).chmod(0o600)
    shell.configure(
        f"[dkim]\nfail = 550 5.7.20 No\ndomain = example.com\nprivkey = {key}\n"
        f"[dkim_sign]\nkeys =\n  example.com a {key}\n  example.com b {key}\n"
    )
    lines = [
        line.partition("  #")[0].split(" = ") for line in shell.run("check-config", "--changed").output.splitlines()
    ]
    shown = {name.strip(): value for name, value in (line for line in lines if len(line) == 2)}
    assert shown["privkey"] == key
    assert shown["fail"] == "550 5.7.20 No"
    assert shown["keys"] == f"example.com a {key}, example.com b {key}"


def test_only_what_was_changed(shell: Shell) -> None:
    shell.configure("[greylist]\ntime = 10m\n")
    done = shell.run("check-config", "--changed")
    assert "time" in done.output
    assert "expire" not in done.output
    assert "# default" not in done.output


@pytest.mark.parametrize(
    ("text", "told"),
    [
        (
            "[dkim]\ndomain = a.example, b.example\n",
            "milter.cfg:7: [dkim] domain = a.example, b.example: expected one domain",
        ),
        (
            "[dkim]\nselector =\n",
            "milter.cfg:7: [dkim] selector = : expected the name under which the key is published",
        ),
        ("[greylist]\nexpier = 5h\n", "milter.cfg:7: [greylist] has no option expier; did you mean expire?"),
        ("[greylst]\ntime = 5m\n", "milter.cfg:7: there is no section [greylst]; did you mean [greylist]?"),
        ("[greylist]\nbest_guess = yes\n", "[greylist] has no option best_guess; it belongs into [spf]"),
        ("[greylist]\ntime = soon\n", "milter.cfg:7: [greylist] time = soon: "),
        ("[spf]\nmode = enforced\n", "milter.cfg:7: [spf] mode = enforced: "),
        ("[spf\n", "milter.cfg:6: neither a [section] nor an option"),
        ("[spf]\nmode = log\nmode = off\n", "milter.cfg:8: [spf] mode is already given on line 7"),
    ],
)
def test_the_first_mistake_ends_with_78_and_says_what_to_do(shell: Shell, text: str, told: str) -> None:
    shell.configure(text)
    done = shell.run("check-config")
    assert done.exit_code == 78
    assert told in " ".join(done.output.split())


@pytest.mark.parametrize("command", [(), ("run",), ("scan", "-", "--ip", PARTNER)])
def test_every_command_refuses_a_mistaken_configuration(shell: Shell, command: tuple[str, ...]) -> None:
    shell.configure("[greylist]\nexpier = 5h\n")
    done = shell.run(*command)
    assert done.exit_code == 78
    assert "did you mean expire?" in done.output


def test_a_socket_that_is_none_is_told(shell: Shell) -> None:
    shell.config.write_text("[milter]\nsocket = inet:127.0.0.1:8891\n")
    done = shell.run("check-config")
    assert done.exit_code == 78
    assert "here it is inet:8891@127.0.0.1" in done.output


def test_a_missing_file_is_told(shell: Shell) -> None:
    shell.config.unlink()
    done = shell.run("check-config")
    assert done.exit_code == 78
    assert "milter.cfg: cannot be read: No such file or directory" in " ".join(done.output.split())


def test_the_password_of_the_database_is_not_shown(shell: Shell) -> None:
    shell.configure("[store]\nurl = postgresql+psycopg://bms:very-secret@db.example.com/bms\n")
    done = shell.run("check-config")
    assert done.exit_code == 0
    assert "db.example.com" in done.output
    assert "very-secret" not in done.output


def test_the_secrets_of_signed_senders_and_of_other_nodes_are_not_shown(shell: Shell) -> None:
    shell.configure("[srs]\nsecret = very-secret, older-secret\n[gossip]\nkey = secret-of-the-nodes\n")
    done = shell.run("check-config")
    assert done.exit_code == 0
    assert done.output.count("= ***") == 2
    assert not any(one in done.output for one in ("very-secret", "older-secret", "secret-of-the-nodes"))


def test_the_password_of_the_database_of_authors_is_not_shown(shell: Shell) -> None:
    shell.configure("[author_domain]\nsql_url = postgresql+psycopg://bms:very-secret@db.example.com/mail\n")
    done = shell.run("check-config")
    assert done.exit_code == 0
    assert "db.example.com" in done.output
    assert "very-secret" not in done.output


def test_mistakes_in_the_access_map_are_told(shell: Shell) -> None:
    access = shell.write("access", b"spf-fail:example.org REJEKT\nspf-fial:example.org REJECT\n")
    shell.configure(f"[spf]\naccess_file = {access}\n")
    done = shell.run("check-config")
    assert done.exit_code == 78
    assert "access:1: unknown action 'REJEKT'; did you mean REJECT?" in done.output
    assert "access:2: unknown tag 'spf-fial'; did you mean spf-fail:?" in done.output


def test_help_names_the_commands() -> None:
    done = CliRunner().invoke(main, ["-h"])
    assert done.exit_code == 0
    assert all(command in done.output for command in ("run", "check-config", "scan"))


@pytest.mark.parametrize(
    ("option", "complaint"),
    [
        ("user = nosuchuser", "there is no user 'nosuchuser' to run as"),
        ("socket_group = nosuchgroup", "there is no group 'nosuchgroup' to own the socket"),
        ("[learn]\nteachers = 8, nosuchuser\n[milter]", "[learn] teachers: there is no system user 'nosuchuser'"),
        ("[learn]\nsocket_group = nosuchgroup\n[milter]", "[learn]: there is no group 'nosuchgroup'"),
    ],
)
def test_accounts_that_this_machine_does_not_have_are_told(shell: Shell, option: str, complaint: str) -> None:
    shell.config.write_text(shell.config.read_text().replace("[milter]\n", f"[milter]\n{option}\n"))
    done = shell.run("check-config")
    assert done.exit_code == 78
    assert complaint in " ".join(done.output.split())


def test_a_program_that_calls_nobody_back_says_so_where_the_access_map_wants_it(tmp_path: Path) -> None:
    (tmp_path / "access").write_text("spf-none:\tCBV\nspf-neutral:example.org DSN\nspf-fail:\tREJECT\n")
    (tmp_path / "spfmilter.cfg").write_text(
        f"[milter]\nsocket = local:{tmp_path}/sock\ndatadir = {tmp_path}/state\n[spf]\naccess_file = {tmp_path}/access\n"
    )
    done = CliRunner().invoke(spfmilter.main, ["--config", str(tmp_path / "spfmilter.cfg"), "check-config"])
    assert done.exit_code == 0
    said = " ".join(done.output.split())
    assert "makes no callbacks, and accepts mail where the access map asks for one: spf-none: CBV, spf-neutral:" in said
    assert "spf-fail" not in said
