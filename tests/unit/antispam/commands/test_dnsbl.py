"""`bms dnsbl check`: which lists work."""

from __future__ import annotations

import pytest

from antispam.checks._shared.dnsbl.settings import DnsblSettings
from antispam.commands.dnsbl import try_all
from antispam.deadline import Deadline
from antispam.settings import load_text
from support.dns import TIMEOUT, ScriptedResolver

CLIENTS = "2.0.0.127.bl.example", "1.0.0.127.bl.example"
DOMAINS = "test.bl.example", "invalid.bl.example"


def tried(zones, more=""):
    lists = load_text(f"[dnsbl]\nzones = one\n[dnsbl one]\nzone = bl.example\n{more}", [DnsblSettings])[
        DnsblSettings
    ].lists
    (found,) = try_all(lists, ScriptedResolver(zones), Deadline.after(60))
    return found.works, found.told


@pytest.mark.parametrize(
    ("listed", "unlisted", "works", "told"),
    [
        (["127.0.0.2"], [], True, "works"),
        ([], [], False, "does not have the test entry"),
        (["127.0.0.2"], ["127.0.0.2"], False, "lists everything"),
        (["127.255.255.254"], ["127.255.255.254"], False, "does not serve us"),
        (["192.0.2.66"], ["192.0.2.66"], False, "another server answers in its place"),
        (TIMEOUT, [], False, "does not answer"),
    ],
)
@pytest.mark.parametrize(("names", "about"), [(CLIENTS, "client"), (DOMAINS, "links, sender")])
def test_the_test_entries_tell_whether_a_list_works(names, about, listed, unlisted, works, told):
    zones = {name: {"A": answer} for name, answer in zip(names, (listed, unlisted), strict=True) if answer}
    found = tried(zones, f"about = {about}")
    assert found[0] == works
    assert told in found[1]


def test_a_list_may_have_another_test_entry():
    assert tried({"test.uri.example.bl.example": {"A": ["127.0.0.14"]}}, "about = links\nlisted = test.uri.example")[0]


def test_one_of_mailboxes_is_asked_about_nobody():
    assert tried({}, "about = emails") == (True, "answers; it has no test entry")
    assert not tried({f"{'0' * 40}.bl.example": {"A": ["127.0.0.2"]}}, "about = emails")[0]
