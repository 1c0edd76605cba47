"""Refusing on headers alone: only by a dictionary that was named for it and knows enough."""

from __future__ import annotations

import pytest

from antispam.checks.header_screen import Finding, collect, decide
from antispam.mail.access_map import EMPTY
from antispam.mail.connection import Connection
from antispam.mail.evidence import AuthFinding, DkimFinding
from antispam.mail.findings import Findings
from antispam.mail.verdicts import Action
from antispam.protocols.dkim import DkimResult, SignatureResult
from antispam.store import Store, StoreError
from support.learning import HAM, SPAM, dspam_settings, message, services, teach
from support.stores import make_store


@pytest.fixture(scope="module")
def store(tmp_path_factory):
    url = f"sqlite:///{tmp_path_factory.mktemp('headers') / 'test.db'}"
    make_store(url)
    store = Store(url)
    teach(store, "headers")
    yield store
    store.close()


def find(store, text=SPAM, *found, config="dspam_dict = headers", **changes):
    it = message(text.format(999), ["b@example.com"], *found)
    return collect(Connection("c"), it, None, services(store, dspam_settings(config), **changes))


def verdict(finding):
    return decide(finding, Findings(), dspam_settings(), EMPTY)


def test_without_a_dictionary_named_for_it_nothing_is_asked(store):
    assert find(store, config="") is None
    assert find(store, config="dspam_dict = unknown") is None


def test_what_the_header_shows_is_refused_whatever_the_body_says(store):
    head = SPAM.partition("\r\n\r\n")[0]
    body = HAM.partition("\r\n\r\n")[2]
    refused = verdict(find(store, f"{head}\r\n\r\n{body}"))
    assert (refused.action, refused.code) == (Action.REJECT, 550)
    assert verdict(find(store, HAM)).action is Action.CONTINUE


def test_nobody_is_refused_on_the_word_of_a_beginner(store):
    assert verdict(find(store, config="dspam_dict = headers\nleast = 121")).action is Action.CONTINUE


def test_our_own_users_and_whitelisted_senders_are_not_asked_about(store):
    assert find(store, SPAM, AuthFinding(login="bob")) is None
    proved = DkimFinding(signatures=(SignatureResult(result=DkimResult.PASS, domain="spam.example"),))
    listed = "dspam_dict = headers\ndspam_whitelist = @spam.example"
    assert find(store, SPAM, proved, config=listed) is None
    assert find(store, SPAM, config=listed) is not None


def test_a_database_that_is_gone_is_evidence(store):
    class Gone:
        def get(self, user):
            raise StoreError("locked")

    assert find(store, dictionaries=Gone()).error == "dictionary: locked"


def test_the_finding_can_be_stored_and_read_again(store):
    assert Finding.from_json(find(store).to_json()) == find(store)
