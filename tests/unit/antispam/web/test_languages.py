"""The catalogues are complete and fit the texts; which language a page has, and how it writes times and numbers."""

from __future__ import annotations

import re

import pytest

from antispam.learning import languages
from antispam.web.languages import preferred
from messages import catalogues, read, template
from support.console import NOW

_PARTS = re.compile(r"%\(\w+\)[a-z]|%%|<[^>]*>|\{\w+\}")


def _forms(text):
    return list(text) if isinstance(text, tuple | list) else [text]


@pytest.fixture(scope="module")
def texts():
    return [message for message in template() if message.id]


def test_texts_are_found(texts):
    """In Python, in pages and in the plain text of the digest."""
    places = {name.partition("/")[0] for message in texts for name, _ in message.locations}
    assert places >= {"checks", "journey", "learning", "mail", "service", "web"}
    assert len(texts) > 400


@pytest.mark.parametrize("path", catalogues(), ids=lambda path: path.parents[1].name)
def test_a_catalogue_has_each_text_and_its_placeholders(texts, path):
    """Run `make messages`, then translate what is new, if this fails."""
    catalogue, wrong = read(path), []
    for message in texts:
        found = catalogue.get(message.id if isinstance(message.id, str) else message.id[0])
        if found is None or found.fuzzy or not all(_forms(found.string)):
            wrong.append(f"missing: {message.id!r}")
            continue
        wanted = [sorted(_PARTS.findall(one)) for one in _forms(message.id)]
        if any(sorted(_PARTS.findall(one)) not in wanted for one in _forms(found.string)):
            wrong.append(f"other placeholders: {message.id!r}")
    known = {one for message in texts for one in _forms(message.id)}
    wrong += [f"no longer a text: {one.id!r}" for one in catalogue if one.id and _forms(one.id)[0] not in known]
    assert wrong == []


@pytest.mark.parametrize(
    ("accepted", "language"),
    [
        ("", "en"),
        ("de", "de"),
        ("de-AT,de;q=0.9,en;q=0.8", "de"),
        ("fr, de;q=0.3, en;q=0.7", "en"),
        ("fr", "en"),
        ("de;q=0", "en"),
        ("en;q=0.2, de;q=0.4", "de"),
        ("*", "en"),
        ("../de", "en"),
        ("de;q=nan", "en"),
        ("x" * 100_000, "en"),
        ("de;q=0.1," * 50_000, "de"),
    ],
)
def test_the_language_is_the_one_that_the_browser_wants_most(accepted, language):
    assert preferred(accepted, "en") == language


def test_a_page_is_in_the_language_of_the_browser(place):
    text = place.client("bob").get("/", headers={"Accept-Language": "de"}).text
    assert '<html lang="de">' in text
    assert "<h1>Quarantäne</h1>" in text


def test_a_choice_outweighs_the_browser(place):
    client = place.client()
    answer = client.post("/language", data={"language": "de", "back": "/login"}, headers={"Accept-Language": "en"})
    assert answer.headers["location"] == "/login"
    assert "Passwort" in client.get("/login", headers={"Accept-Language": "en"}).text


@pytest.mark.parametrize("language", ["xx", "../de", "", "d\x00e"])
def test_only_a_language_that_there_is_can_be_chosen(place, language):
    answer = place.client().post("/language", data={"language": language, "back": "/"})
    assert "set-cookie" not in answer.headers


@pytest.mark.parametrize(
    "back", ["//evil.example/", "/\\evil.example", "http://evil.example", "", "/\r\nX: y", "javascript:alert(1)"]
)
def test_a_choice_leads_to_our_pages_alone(place, back):
    answer = place.client().post("/language", data={"language": "de", "back": back})
    assert (answer.headers["location"], answer.status_code) == ("/", 303)


def test_numbers_and_times_are_written_as_the_language_writes_them():
    assert languages.number_in("en", 1234567) == "1,234,567"
    assert languages.number_in("de", 1234567) == "1.234.567"
    assert languages.number_in("de", -2.5, "+0.00;-0.00") == "-2,50"
    assert re.fullmatch(r"14\.11\.2023 \d\d:13", languages.time_in("de", NOW))
    assert re.fullmatch(r"2023-11-14 \d\d:13", languages.time_in("en", NOW))


@pytest.mark.parametrize("seconds", [1e30, -1e30, float("nan"), 0.0])
def test_a_damaged_time_is_shown_too(seconds):
    assert languages.time_in("de", seconds)
