"""Dictionaries, DKIM keys and the configuration in the console."""

from __future__ import annotations

import re

import numpy as np
import pytest

from antispam.checks._shared.dkim_keys.files import Algorithm
from antispam.checks._shared.dkim_keys.folder import KeyFolder
from antispam.checks._shared.dkim_keys.rotation import Key, Stage
from antispam.web import dictionaries_pages, dkim_pages
from dspam.store import TokenStore, latest, user_id
from support.console import NOW, Place, token

DAY = 86_400.0
ONE = np.array([[1, 0, 0]], dtype=np.int32)


def teach(place, user, ref, *, is_spam=True, at=NOW):
    TokenStore(place.store, now=lambda: at).train(user_id(place.store, user), ref, is_spam, [7], ONE)


# Dictionaries


def test_a_lesson_names_its_dictionary_and_its_message(place):
    place.keep("aaa", "bob", subject=b"cheap watches")
    teach(place, "bob", "aaa")
    page = place.client("helen").get("/dictionaries").text
    assert ("/explain?ref=aaa" in page, "cheap watches" in page) == (True, True)
    assert '<td data-label="Dictionary">bob</td>' in page


def test_a_lesson_of_a_message_that_nobody_knows_any_more_is_told_as_well(place, monkeypatch):
    monkeypatch.setattr(dictionaries_pages, "NEWEST", 1)
    for ref in ("aaa", "bbb"):
        place.keep(ref, "bob")
        teach(place, "bob", ref)
    page = place.client("helen").get("/dictionaries").text
    assert ("ref=bbb" in page, "ref=aaa" in page, "not among the newest" in page) == (True, False, True)


def test_only_administrators_see_the_button(place):
    teach(place, "bob", "aaa")
    pages = [place.client(name).get("/dictionaries").text for name in ("helen", "ann")]
    assert ["Take back" in page for page in pages] == [False, True]


@pytest.mark.parametrize("lesson", ["2", "0", "x", "-1", "9" * 30, ""])
def test_a_number_of_no_lesson_takes_nothing_back(place, lesson):
    teach(place, "bob", "aaa")
    client = place.client("ann")
    answer = client.post("/dictionaries", data={"lesson": lesson, "token": token(client)})
    assert answer.headers["location"] == "/dictionaries?done=gone"
    assert len(latest(place.store, 9)) == 1


def test_the_lessons_of_one_dictionary_have_pages_of_their_own(place):
    for number in range(51):
        teach(place, "bob", f"m{number}")
        teach(place, "carol", f"m{number}")
    client = place.client("helen")
    first = client.get("/dictionaries?of=bob").text
    (older,) = re.findall(r'href="(\?of=bob&amp;before=[0-9]+)"', first)
    second = client.get("/dictionaries" + older.replace("&amp;", "&")).text
    shown = [re.findall(r'data-label="Dictionary">([a-z]+)<', page) for page in (first, second)]
    assert shown == [["bob"] * 50, ["bob"]]


def test_lessons_have_pages(place):
    for number in range(51):
        teach(place, "bob", f"m{number}")
    client = place.client("helen")
    assert 'href="?before=2"' in client.get("/dictionaries").text
    assert client.get("/dictionaries?before=2").text.count('data-label="Learned as"') == 1


# DKIM keys


@pytest.fixture
def signing(tmp_path):
    """A console whose filter signs with a key in rotation since so many days."""
    folder = KeyFolder(tmp_path / "dkim")
    folder.path.mkdir()
    (folder.path / "example.com").mkdir()
    made = []

    def make(days):
        folder.make("example.com", "r1", Algorithm.ED25519, 0)
        folder.save("example.com", (Key("r1", Algorithm.ED25519, Stage.SIGNING, NOW - days * DAY),))
        place = Place(tmp_path, more=f"[dkim_sign]\nkey_folder = {folder.path}\n")
        made.append(place)
        record = folder.private_key("example.com", "r1").dns_record
        place.dns.zones["r1._domainkey.example.com"] = {"TXT": [record]}
        return place

    yield make
    for place in made:
        place.store.close()


@pytest.mark.parametrize(("days", "due"), [(10, False), (200, True)])
def test_a_key_that_signed_for_half_a_year_is_due(signing, days, due):
    page = signing(days).client("helen").get("/dkim").text
    assert f"for {days} days" in page
    assert ("bms dkim rotate example.com" in page) is due


def test_the_name_servers_are_asked_when_somebody_asks(signing):
    place = signing(10)
    client = place.client("helen")
    assert "not asked yet" in client.get("/dkim").text
    assert place.dns.asked == []
    page = client.post("/dkim", data={"token": token(client)}).text
    assert '<span class="done">right</span>' in page
    assert place.dns.asked == [("r1._domainkey.example.com", "TXT")]


def test_a_key_comes_with_its_record(signing):
    page = signing(10).client("helen").get("/dkim").text
    assert "r1._domainkey.example.com. IN TXT ( &#34;v=DKIM1; k=ed25519; p=" in page


def test_a_key_that_is_not_published_is_said(signing):
    place = signing(10)
    place.dns.zones.clear()
    client = place.client("ann")
    assert '<span class="problem">missing</span>' in client.post("/dkim", data={"token": token(client)}).text


def test_all_keys_together_have_one_deadline(signing, monkeypatch):
    monkeypatch.setattr(dkim_pages, "LOOKUP_SECONDS", 0.0)
    client = signing(10).client("ann")
    assert "no answer" in client.post("/dkim", data={"token": token(client)}).text


def test_a_stranger_does_not_make_the_site_ask(signing):
    place = signing(10)
    others = {"token": token(place.client("bob"))}
    assert [place.client(name).post("/dkim", data=others).status_code for name in ("bob", "ann")] == [403, 403]
    assert place.dns.asked == []


def test_a_folder_that_can_not_be_read_is_said(signing, monkeypatch):
    place = signing(10)

    def unreadable(folder):
        raise OSError("<b>no</b>")

    monkeypatch.setattr(KeyFolder, "domains", unreadable)
    page = place.client("helen").get("/dkim").text
    assert "&lt;b&gt;no&lt;/b&gt;" in page


# The configuration


def test_the_configuration_shows_what_was_set_and_on_request_everything(place):
    client = place.client("helen")
    some, everything = client.get("/configuration").text, client.get("/configuration?all=1").text
    assert ("[greylist]" in some, "[greylist]" in everything, "sqlite:///" in some) == (False, True, True)


def test_secrets_are_not_shown(tmp_path):
    more = (
        "[srs]\nsecret = hush-hush-hush\n[gossip]\nkey = hush-key-hush-key\n"
        "[author_domain]\nsql_url = postgresql://bms:hush-sql@db.example/mail\n"
    )
    place = Place(tmp_path, more=more)
    for path in ("/configuration", "/configuration?all=1"):
        page = place.client("ann").get(path).text
        assert "hush" not in page
    place.store.close()


def test_warnings_stand_above_the_options(tmp_path):
    place = Place(tmp_path, more="[dkim]\ndomain = example.com\n")
    for path in ("/configuration", "/overview"):
        assert "[dkim] domain is set, but privkey is not" in place.client("ann").get(path).text
    place.store.close()
