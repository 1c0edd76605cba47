"""What a release from the quarantine teaches, and how much a user may keep."""

from __future__ import annotations

import dataclasses
import time

import pytest

from antispam.learning import releases
from antispam.learning.fingerprinting import Fingerprinter, FingerprintSettings, key_of, marks_of
from antispam.learning.settings import DspamSettings
from antispam.learning.teacher import Dictionaries
from antispam.mail.decisions import Decision
from antispam.mail.shown import Shown
from antispam.mail.verdicts import quarantine as quarantined
from antispam.protocols.fingerprints import name_mark
from antispam.settings import default_settings
from antispam.store import Store, fingerprints, preferences, quarantine
from antispam.store.preferences import Preference, Scope
from antispam.store.quarantine import NewEntry
from antispam.store.quarantine_settings import QuarantineSettings
from dspam.features import extract
from dspam.store import pack_keys, put_signature
from gossip import Records
from gossip.records import vote_row
from support.learning import HAM, dspam_settings, message
from support.stores import make_store


@pytest.fixture
def store(tmp_path):
    url = f"sqlite:///{tmp_path / 'test.db'}"
    make_store(url)
    store = Store(url)
    decision = Decision("spam_action", quarantined("0.99"))
    with store.write() as connection:
        kept = [
            NewEntry("ann", ("ann@example.com",), decision),
            NewEntry("x@example.com", ("x@example.com",), decision),
        ]
        quarantine.insert(connection, message(HAM, ["ann@example.com", "x@example.com"]), kept)
    yield store
    store.close()


def settings(config="dspam_users = ann"):
    return default_settings([DspamSettings, QuarantineSettings]).replaced(dspam_settings(config))


def test_it_is_honest_mail_to_the_user_and_learned_once(store):
    teach = releases.teaching(settings(), store)
    teach("ann", "abcdefghijkl")
    teach("ann", "abcdefghijkl")
    assert Dictionaries(store).make("ann").totals() == (0, 1)


def test_what_the_filter_saw_is_learned_where_it_remembers_it(store):
    ann = Dictionaries(store).make("ann")
    put_signature(store, ann.number, "abcdefghijkl", pack_keys(extract(b"Subject: other\r\n\r\nquite other\r\n")))
    releases.teaching(settings(), store)("ann", "abcdefghijkl")
    key = int(extract(b"Subject: other\r\n\r\nquite other\r\n")[0])
    assert ann.written(key) == (0, 1)


def test_its_senders_reputation_hears_of_it(store):
    Records(store).note(vote_row("u", "example.org:SPF", 100.0, ref="abcdefghijkl", vote=-1))
    releases.teaching(settings(), store)("ann", "abcdefghijkl")
    found = Records(store).get("example.org:SPF")
    assert found is not None
    assert (found.spam_count, found.ham_count) == (0, 1)


def test_who_is_no_user_teaches_the_screener(store):
    releases.teaching(settings(), store)("x@example.com", "abcdefghijkl")
    assert Dictionaries(store).make("site").totals() == (0, 1)


def test_without_a_screener_nobody_learns_and_that_is_said(store):
    with pytest.raises(LookupError, match="there is no dspam_screener"):
        releases.teaching(settings("dspam_screener ="), store)("x@example.com", "abcdefghijkl")


def test_a_user_may_keep_more_or_less_by_preference(store):
    given = settings()
    preferences.put(store, Preference(Scope.SITE, "", "quarantineKeep", "10"))
    preferences.put(store, Preference(Scope.USER, "ann", "quarantineSize", "1M"))
    limits_of = releases.limits(given, store)
    site = dataclasses.replace(given[QuarantineSettings], keep=10 * 86400.0)
    assert limits_of("bob") == site.limits
    assert limits_of("ann") == dataclasses.replace(site, user_size=1 << 20).limits


def test_a_release_takes_back_what_its_user_reported_and_is_no_word_for_everybody(store):
    """People release out of curiosity, too."""
    text = " ".join(
        f"{letter}{'abcdefghijklmnop'[at % 16] * (at % 7 + 2)}" for at, letter in enumerate("qrstuvwxyz" * 6)
    )
    raw = f"From: win@spam.example\r\nSubject: x\r\n\r\n{text}\r\n"
    decision = Decision("spam_action", quarantined("0.99"))
    kept = dataclasses.replace(message(raw, ["ann@example.com"]), ref="bbbbbbbbbbbb")
    with store.write() as connection:
        quarantine.insert(connection, kept, [NewEntry("ann", ("ann@example.com",), decision)])
    own = FingerprintSettings()
    for reporter in ("ann", "carl"):
        Fingerprinter(store, own, reporter, time.time()).spam(raw.encode())
    classes = [DspamSettings, QuarantineSettings, FingerprintSettings]
    releases.teaching(default_settings(classes).replaced(dspam_settings("dspam_users = ann")), store)(
        "ann", "bbbbbbbbbbbb"
    )
    key = key_of(store, time.time())
    found = fingerprints.matching(store, marks_of(Shown(kept), key).all, time.time(), own.common)
    assert {one.reporter for one in found} == {name_mark("carl", key)}
