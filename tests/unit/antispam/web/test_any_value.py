"""Whatever stands in a query or a form, the console answers with a page, a refusal or what it did, and never with a failure."""

from __future__ import annotations

import re
from collections.abc import Iterator
from urllib.parse import urlencode

import pytest
from starlette.routing import Route

from support.console import Place, token

NAMES = (
    *("after", "again", "all", "answer", "back", "became", "before", "by", "check", "current", "do", "domain", "done", "entry"),
    *("id", "identity", "key", "kind", "language", "lesson", "listed", "login", "name", "new", "number", "of", "order", "q"),
    *("ref", "reason", "rows", "sort", "span", "state", "until", "user", "text", "access", "hours", "address", "value", "to"),
    *("from", "since", "action", "message_id", "digest", "spamAction", "scoreMark", "often"),
)  # fmt: skip
VALUES = ("9" * 30, "-1", "\u0663", "1e400-nan", "\r\nSet-Cookie: x=y\0", "aaa bob\0%s{0}\udc80", "//evil.example/")
FORM = {"Content-Type": "application/x-www-form-urlencoded"}
NUMBERS = ("after", "number", "id", "lesson")


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Place]:
    made = Place(tmp_path_factory.mktemp("console"), more="[dspam]\ndspam_users = bob\nbob = bob@example.com\n")
    made.keep("aaa", "bob")
    made.deliver("bbb", "bob")
    yield made
    made.store.close()


def routes(place: Place, method: str) -> list[str]:
    """The addresses for a method, but for those of the API, of which the document is held elsewhere, and of logging out."""
    found = [one for one in place.app.routes if isinstance(one, Route) and method in (one.methods or ())]
    return [
        re.sub(r"\{\w+(:\w+)?\}", "aaa", one.path)
        for one in found
        if not one.path.startswith("/api")
        and one.name not in ("logout", "logout_everywhere", "login", "change_password")
    ]


@pytest.mark.parametrize("value", VALUES, ids=ascii)
def test_no_query_makes_a_page_fail(place: Place, value: str) -> None:
    client = place.client("ann")
    query = urlencode(dict.fromkeys(NAMES, value), errors="surrogateescape")
    answers = {path: client.get(f"{path}?{query}") for path in routes(place, "GET")}
    assert [path for path, answer in answers.items() if answer.status_code >= 500] == []
    assert [path for path, answer in answers.items() if "set-cookie" in answer.headers] == []


@pytest.mark.parametrize("value", VALUES, ids=ascii)
def test_no_form_makes_the_console_fail(place: Place, value: str) -> None:
    """And none leads elsewhere."""
    client = place.client("ann")
    form = dict.fromkeys(NAMES, value) | {"token": token(client, "/account")}
    for path in routes(place, "POST"):
        answer = client.post(path, content=urlencode(form, errors="surrogateescape"), headers=FORM)
        assert answer.status_code < 500, path
        assert answer.headers.get("location", "/").startswith("/"), path
        assert not answer.headers.get("location", "/").startswith("//"), path
        assert "x=y" not in answer.headers.get("set-cookie", ""), path


@pytest.mark.parametrize("name", NUMBERS)
def test_no_number_is_too_long(place: Place, name: str) -> None:
    """Python refuses to read more than 4,300 digits, and a database more than 19."""
    client = place.client("ann")
    form = {"token": token(client, "/account"), "do": "deliver", name: "9" * 5000}
    answers = [client.get(f"{path}?{name}={'9' * 5000}") for path in routes(place, "GET")]
    answers += [client.post(path, data=form) for path in routes(place, "POST")]
    assert [str(one.url)[:60] for one in answers if one.status_code >= 500] == []
