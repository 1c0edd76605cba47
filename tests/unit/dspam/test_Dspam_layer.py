"""The layer above the engine: receiving, quarantine, feedback, groups and inoculation; pydspam's own tests among them."""

from __future__ import annotations

import base64
import contextlib
import mailbox
import os
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

import Dspam
import dspam
import mime
from antispam.store import Store
from dspam.algorithms import Hits, Totals
from dspam.groups import GroupError
from dspam.memory import MemoryStore
from dspam.sqlstorage import SqlStorage
from dspam.tokenizers import token_key
from support.patience import PATIENCE
from support.stores import make_store

HAM = b"From: Mary <mary@example.org>\nSubject: lunch\n\nshall we have lunch at noon\n"
SPAM = b"From: Shop <shop@example.com>\nSubject: pills\n\nbuy cheap pills online now\n"


@pytest.fixture(params=["memory", "sqlite"])
def storage(request, tmp_path: Path) -> Iterator[object]:
    if request.param == "memory":
        yield MemoryStore()
        return
    url = f"sqlite:///{tmp_path / 'store.db'}"
    make_store(url)
    store = Store(url)
    yield SqlStorage(store)
    store.close()


class NewEntry:
    """A quarantine that a test can look into."""

    def __init__(self) -> None:
        self.messages: list[tuple[str, bytes]] = []

    def keep(self, user: str, message: bytes) -> None:
        self.messages.append((user, message))


@pytest.fixture
def kept() -> NewEntry:
    return NewEntry()


@pytest.fixture
def directory(tmp_path: Path, storage, kept: NewEntry) -> Dspam.DSpamDirectory:
    home = tmp_path / "dspam"
    home.mkdir()
    (home / "group").write_text("bms:stuart,ed,alb,dmm\nunilit:sil,larry\n")
    return Dspam.DSpamDirectory(home, storage, kept)


def learn(directory: Dspam.DSpamDirectory, user: str, times: int = 12) -> None:
    """Teach the user both kinds."""
    directory.username = user
    for message, verdict in ((HAM, dspam.DSR_ISINNOCENT), (SPAM, dspam.DSR_ISSPAM)) * times:
        with directory.dspam_ctx(dspam.DSM_PROCESS, user=user) as ds:
            ds.classification, ds.source = verdict, dspam.DSS_CORPUS
            ds.process(message)


def groups(directory: Dspam.DSpamDirectory, *lines: str) -> None:
    Path(directory.groupfile).write_text("\n".join(lines) + "\n")


def subjects(file: Path) -> list[str]:
    """Of the messages in a mailbox, as the standard library reads it."""
    with contextlib.closing(mailbox.mbox(file)) as box:
        return [str(message["Subject"]) for message in box]


# --- users ---


def test_groups_of_pydspams_own_test(directory: Dspam.DSpamDirectory) -> None:
    assert [directory.get_group(user) for user in ("stuart", "sil", "tonto")] == ["bms", "unilit", "tonto"]
    home = directory.userdir
    assert directory.user_files("alb") == (
        f"{home}/data/bms/bms.css",
        f"{home}/data/alb/alb.sig",
        f"{home}/data/alb/alb.mbox",
    )


def test_parse_groups_reads_both_forms_and_passes_over_nonsense(tmp_path: Path) -> None:
    file = tmp_path / "group"
    file.write_text("group1: user1,user2\nnonsense\ngroup2:shared:user1, user3\n# no: one\n")
    assert Dspam.parse_groups(file) == {"user1": "group2", "user2": "group1", "user3": "group2"}
    assert Dspam.parse_groups(file, dups=True)["user1"] == ["group1", "group2"]
    assert Dspam.parse_groups(tmp_path / "missing") == {}


@pytest.mark.parametrize("user", ["", "..", "../etc/passwd", "a/b", "a\0b"])
def test_a_user_name_never_leaves_the_directory(directory: Dspam.DSpamDirectory, user: str) -> None:
    with pytest.raises(ValueError, match="user name"):
        directory.check_spam(user, HAM)


def test_a_group_file_that_makes_no_sense_says_so(directory: Dspam.DSpamDirectory) -> None:
    groups(directory, "x:sharde:ann")
    with pytest.raises(GroupError, match="line 1: no such type"):
        directory.check_spam("ann", HAM)


# --- receiving ---


def test_innocent_mail_comes_back_with_a_tag_whose_signature_is_kept(directory: Dspam.DSpamDirectory, storage) -> None:
    tagged = directory.check_spam("tonto", HAM)
    assert tagged is not None
    [sigkey] = Dspam.extract_signature_tags(tagged)[1]
    assert storage.get_signature("tonto", sigkey)
    assert directory.result == dspam.DSR_ISINNOCENT
    assert directory.totals == Totals(innocent_learned=1)
    assert b"X-DSpam-Score: 0." in tagged


def test_text_comes_back_as_text(directory: Dspam.DSpamDirectory) -> None:
    tagged = directory.check_spam("tonto", HAM.decode() + "caf\udce9\r\n")
    assert isinstance(tagged, str)
    assert "caf\udce9\n" in tagged


def test_spam_is_quarantined_with_its_recipients(directory: Dspam.DSpamDirectory, kept: NewEntry) -> None:
    learn(directory, "tonto")
    assert directory.check_spam("tonto", SPAM, ["tonto@example.org", "b\n@example.org"]) is None
    [(user, message)] = kept.messages
    assert user == "tonto"
    assert b"\nX-Dspam-Recipients: tonto@example.org, b @example.org\n" in message
    assert directory.probability == pytest.approx(1.0)


@pytest.mark.parametrize("recipients", [None, ["tonto@example.org"]])
def test_recipients_that_a_spammer_wrote_are_not_kept(
    directory: Dspam.DSpamDirectory, kept: NewEntry, recipients: list[str] | None
) -> None:
    learn(directory, "tonto")
    directory.check_spam("tonto", b"X-DSPAM-Recipients: victim@example.net\n" + SPAM, recipients)
    assert b"victim" not in kept.messages[0][1]


def test_without_quarantine_spam_is_only_found(directory: Dspam.DSpamDirectory, kept: NewEntry) -> None:
    learn(directory, "tonto")
    assert directory.check_spam("tonto", SPAM, quarantine=False) is None
    assert kept.messages == []


def test_classify_leaves_innocent_mail_as_it_is_and_learns_nothing(directory: Dspam.DSpamDirectory, storage) -> None:
    assert directory.check_spam("tonto", HAM, classify=True) is HAM
    assert directory.result == dspam.DSR_ISINNOCENT
    assert storage.totals("tonto") == Totals()
    assert storage.counts("tonto", [token_key("lunch")]) == {}


def test_classify_learns_nothing_of_spam_that_is_only_found(
    directory: Dspam.DSpamDirectory, storage, kept: NewEntry
) -> None:
    learn(directory, "tonto")
    assert directory.check_spam("tonto", SPAM, classify=True, quarantine=False) is None
    assert directory.result == dspam.DSR_ISSPAM
    assert storage.totals("tonto") == Totals(12, 12, 0, 0, 12, 12)
    assert kept.messages == []


def test_classify_learns_spam_that_is_quarantined(directory: Dspam.DSpamDirectory, storage, kept: NewEntry) -> None:
    """As pydspam: what is kept can be released, and so needs a signature."""
    learn(directory, "tonto")
    assert directory.check_spam("tonto", SPAM, classify=True) is None
    assert storage.totals("tonto") == Totals(13, 12, 0, 0, 12, 12)
    assert len(Dspam.extract_signature_tags(kept.messages[0][1])[1]) == 1


def test_a_forced_result_is_learned(directory: Dspam.DSpamDirectory, storage, kept: NewEntry) -> None:
    assert directory.check_spam("tonto", SPAM, force_result=dspam.DSR_ISSPAM) is None
    assert storage.totals("tonto") == Totals(spam_learned=1, spam_misclassified=1)
    assert len(kept.messages) == 1


def test_the_header_changes_are_told(directory: Dspam.DSpamDirectory) -> None:
    told = []
    directory.headerchange = lambda _msg, name, _value: told.append(name)
    directory.check_spam("tonto", HAM)
    assert told == ["X-DSPAM-Signature", "X-DSpam-Score", "X-DSpam-Factors"]


# --- feedback ---


def test_the_story_of_pydspams_own_test(directory: Dspam.DSpamDirectory, kept: NewEntry) -> None:
    """Receive and report until a spam is quarantined; its false positive releases it, and the next one passes."""
    for _ in range(40):
        tagged = directory.check_spam("tonto", SPAM)
        if tagged is None:
            break
        directory.add_spam("tonto", tagged)
        assert directory.check_spam("tonto", HAM)
    assert tagged is None
    [(_, message)] = kept.messages
    clean = directory.false_positive("tonto", message)
    assert b"<!DSPAM" not in clean
    assert directory.totals.innocent_misclassified == 1


def test_a_report_teaches_once_and_can_be_taken_back(directory: Dspam.DSpamDirectory, storage) -> None:
    tagged = directory.check_spam("tonto", SPAM)
    for _ in range(3):
        directory.add_spam("tonto", tagged)
    assert storage.totals("tonto") == Totals(spam_learned=1, spam_misclassified=1)
    directory.false_positive("tonto", tagged)
    assert storage.totals("tonto") == Totals(innocent_learned=1, spam_misclassified=1, innocent_misclassified=1)
    assert storage.counts("tonto", [token_key("pills")])[token_key("pills")] == Hits(0, 1)


@pytest.mark.parametrize("kind", [bytes, str])
@pytest.mark.parametrize("report", ["add_spam", "false_positive"])
def test_a_report_gives_the_message_back_without_its_tags(
    directory: Dspam.DSpamDirectory, report: str, kind: type
) -> None:
    body = base64.encodebytes(b"buy cheap pills online now\n")
    message = b"Subject: pills\nContent-Type: text/plain\nContent-Transfer-Encoding: base64\n\n" + body
    tagged = directory.check_spam("tonto", message if kind is bytes else message.decode())
    clean = getattr(directory, report)("tonto", tagged)
    assert isinstance(clean, kind)
    octets = clean if isinstance(clean, bytes) else clean.encode()
    assert b"X-DSPAM-Signature" not in octets
    assert mime.message_from_bytes(octets).get_payload(decode=True).rstrip() == b"buy cheap pills online now"
    assert Dspam.extract_signature_tags(octets)[1] == []


def test_a_signature_that_was_reported_is_out_of_sight(directory: Dspam.DSpamDirectory) -> None:
    """pydspam deletes it; here a mistake can still be taken back."""
    tagged = directory.check_spam("tonto", SPAM)
    [sigkey] = Dspam.extract_signature_tags(tagged)[1]
    directory.add_spam("tonto", tagged)
    with directory.dspam_ctx(dspam.DSM_TOOLS) as ds:
        assert not ds.verify_signature(sigkey)
    directory.false_positive("tonto", tagged)
    assert directory.totals == Totals(innocent_learned=1, spam_misclassified=1, innocent_misclassified=1)


def test_of_two_reports_of_a_text_at_once_one_teaches(directory: Dspam.DSpamDirectory, storage) -> None:
    start = threading.Barrier(2)

    def report() -> None:
        start.wait(PATIENCE)
        Dspam.DSpamDirectory(directory.userdir, storage).add_spam("tonto", SPAM)

    with ThreadPoolExecutor(2) as pool:
        for one in [pool.submit(report) for _ in range(2)]:
            one.result()
    assert storage.totals("tonto") == Totals(spam_learned=1, spam_corpusfed=1)
    assert storage.counts("tonto", [token_key("pills")]) == {token_key("pills"): Hits(1, 0)}


def test_one_forward_may_report_several_messages(directory: Dspam.DSpamDirectory, storage) -> None:
    tagged = [directory.check_spam("tonto", SPAM.replace(b"pills", b"pills%d" % n)) for n in range(3)]
    directory.add_spam("tonto", b"Subject: Fwd\n\n" + b"\n".join(filter(None, tagged)))
    assert storage.totals("tonto") == Totals(spam_learned=3, spam_misclassified=3)


def test_a_message_without_a_known_tag_is_learned_by_its_text_and_once(
    directory: Dspam.DSpamDirectory, storage
) -> None:
    message = b"Resent-To: tonto\n" + SPAM + b"<!DSPAM:UNKNOWN>\n"
    directory.add_spam("tonto", message)
    directory.add_spam("tonto", message)
    assert storage.totals("tonto") == Totals(spam_learned=1, spam_corpusfed=1)
    known = storage.counts("tonto", [token_key("pills"), token_key("Resent-To*tonto"), token_key("UNKNOWN")])
    assert known == {token_key("pills"): Hits(1, 0)}


def test_nobody_teaches_with_anothers_signature(directory: Dspam.DSpamDirectory, storage) -> None:
    tagged = directory.check_spam("tonto", SPAM)
    directory.add_spam("mallory", tagged)
    assert storage.totals("tonto") == Totals(innocent_learned=1)


class Busy(Exception):
    """A database that is locked."""


def test_a_report_waits_in_a_file_while_the_store_is_away(tmp_path: Path) -> None:
    class Away(MemoryStore):
        def get_signature(self, user: str, signature: str) -> bytes | None:
            raise Busy

    directory = Dspam.DSpamDirectory(tmp_path, Away(), unavailable=(Busy,))
    directory.add_spam("tonto", SPAM)
    directory.false_positive("tonto", HAM)
    assert subjects(tmp_path / "data/tonto/tonto.spam") == ["pills"]
    assert subjects(tmp_path / "data/tonto/tonto.fp") == ["lunch"]


# --- groups ---


def test_members_of_a_shared_group_learn_together(directory: Dspam.DSpamDirectory, storage, kept: NewEntry) -> None:
    learn(directory, "stuart")
    assert storage.totals("bms").spam_learned == 12
    assert directory.check_spam("ed", SPAM) is None
    assert [user for user, _ in kept.messages] == ["ed"]


def test_a_managed_group_has_one_quarantine(directory: Dspam.DSpamDirectory, kept: NewEntry) -> None:
    groups(directory, "help:shared,managed:ann,bob")
    learn(directory, "ann")
    assert directory.check_spam("bob", SPAM) is None
    assert [user for user, _ in kept.messages] == ["help"]


def test_a_merged_group_teaches_newcomers_what_everybody_knows(directory: Dspam.DSpamDirectory, storage) -> None:
    groups(directory, "base:merged:*")
    learn(directory, "base")
    assert directory.check_spam("newcomer", SPAM) is None
    assert storage.totals("base") == Totals(12, 12, 0, 0, 12, 12)
    assert storage.totals("newcomer") == Totals(spam_learned=1)


def test_an_uncertain_user_asks_the_peers(directory: Dspam.DSpamDirectory, storage) -> None:
    groups(directory, "office:classification:ann,bob")
    learn(directory, "bob")
    assert directory.check_spam("ann", SPAM) is None
    assert storage.totals("ann") == Totals(spam_learned=1)
    assert directory.check_spam("eve", SPAM) is not None


def test_a_new_user_gets_the_answer_of_the_global_group(directory: Dspam.DSpamDirectory) -> None:
    groups(directory, "any:classification:*site")
    learn(directory, "site")
    assert directory.check_spam("newcomer", SPAM) is None
    assert directory.check_spam("newcomer", HAM) is not None


def test_a_report_inoculates_those_who_asked_for_it(directory: Dspam.DSpamDirectory, storage) -> None:
    groups(directory, "friends:inoculation:ann,bob")
    Path(directory.userdir, "innoculation").write_text("larry:ann,stuart\n")
    tagged = directory.check_spam("ann", SPAM)
    directory.add_spam("ann", tagged)
    directory.add_spam("ann", tagged)  # again: nobody learns it twice
    for user in ("bob", "larry"):
        assert storage.totals(user) == Totals(spam_learned=1, spam_corpusfed=1)
        assert storage.counts(user, [token_key("pills")]) == {token_key("pills"): Hits(5, 0)}
    assert directory.totals == Totals(spam_learned=1, spam_misclassified=1)  # ann's, whoever was inoculated
    directory.false_positive("ann", tagged)
    assert storage.totals("bob") == Totals(spam_learned=1, spam_corpusfed=1)


def test_the_totals_are_those_of_the_present_user_whoever_was_asked(directory: Dspam.DSpamDirectory) -> None:
    groups(directory, "office:classification:ann,bob")
    learn(directory, "bob")
    directory.check_spam("ann", HAM)
    assert directory.totals == Totals(innocent_learned=1)


# --- files ---


def test_the_mailbox_quarantine_keeps_messages_apart(tmp_path: Path) -> None:
    quarantine = Dspam.MboxQuarantine(str(tmp_path))
    quarantine.keep("bob", b"From mta\nSubject: one\n\nFrom here\n>From there")
    quarantine.keep("bob", b"Subject: two\n\ntext\n")
    assert subjects(tmp_path / "data/bob/bob.mbox") == ["one", "two"]
    assert "\n>From here\n>>From there\n" in Path(tmp_path / "data/bob/bob.mbox").read_text()


def test_web_stats_are_what_the_web_interface_reads(directory: Dspam.DSpamDirectory) -> None:
    """TP = 10 + 3 - 2 - 1 = 10, TN = 20 + 4 - 5 - 6 = 13."""
    totals = Totals(10, 20, 2, 5, 1, 6, 3, 4)
    assert Dspam.web_stats(totals) == "10,13,2,5,1,6\n"
    directory.user_files("bob")
    directory.write_web_stats(totals)
    assert Path(directory.userdir, "data/bob/bob.stats").read_text() == "10,13,2,5,1,6\n"


def test_statistics_are_written_when_mail_comes_and_when_users_report(directory: Dspam.DSpamDirectory) -> None:
    file = Path(directory.userdir, "data/ann/ann.stats")
    tagged = directory.check_spam("ann", SPAM)
    assert file.read_text() == "0,1,0,0,0,0\n"
    directory.add_spam("ann", tagged)
    assert file.read_text() == "0,0,1,0,0,0\n"
    assert [path.name for path in file.parent.iterdir()] == ["ann.stats"]


def test_an_inoculation_is_no_true_positive(directory: Dspam.DSpamDirectory, storage) -> None:
    groups(directory, "friends:inoculation:ann,bob")
    directory.add_spam("ann", directory.check_spam("ann", SPAM))
    assert Dspam.web_stats(storage.totals("bob")) == "0,0,0,0,1,0\n"


def test_mail_passes_where_statistics_cannot_be_written(directory: Dspam.DSpamDirectory) -> None:
    Path(directory.userdir, "data").write_text("in the way")
    said = []
    directory.log = lambda *words: said.append(words)
    assert directory.check_spam("ann", HAM)
    assert "statistics" in str(said)


def test_pydspams_names_are_there() -> None:
    assert os.path.join(str(Dspam.CONFIGURE_ARGS["--libdir"]), "dspam") == Dspam.PKGLIBDIR
    assert Dspam._options(" '--libdir=/usr/lib64' '--enable-debug'") == {
        "--libdir": "/usr/lib64",
        "--enable-debug": True,
    }
    assert mime.message_from_file(mime.BytesIO(HAM))["Subject"] == "lunch"


def test_a_lock_is_held_and_let_go(tmp_path: Path) -> None:
    with Dspam.file_lock(str(tmp_path / "lock")) as held:
        assert held.writable()
    with (tmp_path / "lock").open("a") as file:
        dspam.get_fcntl_lock(file.fileno())
        dspam.free_fcntl_lock(file.fileno())
