"""What holds for every address of the console, those of tomorrow included: the addresses come from the application itself."""

from __future__ import annotations

import html.parser
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from urllib.parse import quote, urlencode

import pytest
import sqlalchemy as sa
from starlette.routing import Route

from antispam.store import lists, own_lists, preferences
from antispam.store.own_lists import Kind
from antispam.store.preferences import Preference, Scope
from antispam.store.schema import metadata
from support.console import NOW, Place, token

USERS = "[dspam]\ndspam_users = bob, carol\nbob = bob@example.com\ncarol = carol@example.com\n"
DIGEST = "[digest]\nsend = yes\nsender = postmaster@example.com\n"
SECRET = "carols-secret"
HOSTILE = "\"'><script>alert(1)</script><img src=http://evil.example/x onerror=alert(2)>{{ 7*7 }}%(user)s\u202e"
# Whatever a page may ask for.
FIELDS = (
    *(
        "q",
        "user",
        "check",
        "sort",
        "after",
        "done",
        "became",
        "kind",
        "ref",
        "message_id",
        "from",
        "to",
        "since",
        "until",
    ),
    *("back", "span", "page", "state", "rows", "name", "token", "mailbox", "order", "action", "days", "before"),
)
ALSO_OPEN = {
    "login",
    "enter",
    "kept",
    "stop_digest",
    "openapi",
}  # whoever has the link, wants to log in, or writes a program


def paths(place: Place, ref: str, query: str = "") -> Iterator[tuple[str, str]]:
    """Name and address of every page, about the message of that reference."""
    for route in place.app.routes:
        if isinstance(route, Route) and "GET" in (route.methods or ()):
            path = re.sub(r"\{\w+(:\w+)?\}", quote(ref, safe=""), route.path)
            yield route.name, f"{path}?{query}" if query else path


def write(place: Place, ref: str, user: str, text: str) -> None:
    """A message with the text wherever a sender can write something, kept from the user and delivered to them once more."""
    place.keep(ref, user, subject=text.encode(), body=text.encode(), sender=f"{text}@example.org"[:250])
    place.deliver(f"{ref}d", user, subject=text.encode())


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Place]:
    made = Place(tmp_path_factory.mktemp("console"), more=USERS + DIGEST)
    write(made, "bbb", "carol", SECRET)
    write(made, "aaa", "bob", "bobs-own")
    own_lists.put(made.store, "carol", Kind.BLOCK, f"{SECRET}.example", NOW)
    preferences.put(made.store, Preference(Scope.USER, "carol", "spamSubject", SECRET))
    yield made
    made.store.close()


@pytest.fixture(scope="module")
def hostile(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Place]:
    made = Place(tmp_path_factory.mktemp("console"), more=USERS + DIGEST)
    write(made, "aaa", "bob", HOSTILE)
    preferences.put(made.store, Preference(Scope.USER, "bob", "spamSubject", HOSTILE[:90]))
    preferences.put(made.store, Preference(Scope.USER, "bob", "scoreMark", HOSTILE[:90]))
    lists.add(made.store, lists.Kind.BLACKLIST, "x@evil.example", reason=HOSTILE, by=HOSTILE, now=NOW)
    own_lists.put(made.store, "bob", Kind.BLOCK, "<script>@evil.example", NOW)
    yield made
    made.store.close()


@pytest.mark.parametrize(
    "query", ["", "user=carol", "q=secret", "after=1", "ref=bbb", "to=carol@example.com", "from=example.org"]
)
def test_no_page_shows_a_user_anything_of_another(place: Place, query: str) -> None:
    client = place.client("bob")
    for ref in ("bbb", "bbbd"):
        for name, path in paths(place, ref, query):
            assert SECRET not in client.get(path).text, name
            assert SECRET not in client.get(f"{path}{'&' if query else '?'}user=carol").text, name


def test_their_owner_is_shown_these_texts(place: Place) -> None:
    """So that the test above could fail."""
    client = place.client("carol")
    shown = {name for ref in ("bbb", "bbbd") for name, path in paths(place, ref) if SECRET in client.get(path).text}
    assert {"quarantine", "message", "message_html", "mail", "mail_message", "own_lists", "preferences"} <= shown


def test_no_page_is_shown_to_somebody_who_is_not_logged_in(place: Place) -> None:
    client = place.client()
    for name, path in paths(place, "bbb"):
        answer = client.get(path)
        assert SECRET not in answer.text
        if name not in ALSO_OPEN:
            assert (answer.status_code, answer.headers.get("location")) in (
                (303, "/login"),
                (401, None),
                (405, None),
            ), name


def test_nothing_is_kept_by_a_cache(place: Place) -> None:
    client = place.client("bob")
    for name, path in paths(place, "aaa"):
        assert client.get(path).headers["cache-control"] == "no-store", name


def contents(place: Place) -> dict[str, list[Any]]:
    """All rows of the store, but for when sessions were used and what administrators read."""
    with place.store.read() as connection:
        return {
            table.name: sorted(map(repr, connection.execute(sa.select(table))))
            for table in metadata.sorted_tables
            if table.name not in ("web_session", "console_action")
        }


@pytest.mark.parametrize("who", ["bob", "ann"])
def test_opening_pages_changes_nothing(place: Place, who: str) -> None:
    client = place.client(who)
    for _, path in paths(place, "aaa"):  # secrets of the site are made when they are first needed
        client.get(path)
    before = contents(place)
    for _, path in paths(place, "aaa", urlencode({"do": "delete", "ref": "aaa bob", "token": token(client)})):
        client.get(path)
    assert contents(place) == before


def carols(place: Place) -> dict[str, list[str]]:
    """The rows that are about her."""
    return {
        name: [row for row in rows if "carol" in row or SECRET in row or "'bbb" in row]
        for name, rows in contents(place).items()
    }


DO = ("release", "allow", "block", "delete", "spam", "ham", "undo", "remove", "ask", "accept", "refuse")


def press_everything(place: Place, who: str, do: str, user: str) -> None:
    """Send the form about carol's message to every address that takes one, but for those that end the session."""
    client = place.client(who)
    refs = ["bbb carol", "bbb ", "bbb", "bbbd", "bbbd carol", "1", "2"]
    form = {
        "do": do, "user": user, "ref": refs, "listed": refs, "entry": f"{SECRET}.example", "name": f"{SECRET}.example",
        "spamSubject": "changed", "id": refs, "number": "1", "token": token(client, "/account"),
    }  # fmt: skip
    for route in place.app.routes:
        if isinstance(route, Route) and "POST" in (route.methods or ()) and "log" not in route.path:
            path = re.sub(r"\{\w+(:\w+)?\}", "bbb", route.path)
            answer = client.post(path, data=form)
            assert answer.status_code < 500, (path, answer.text)


@pytest.mark.parametrize("user", ["carol", "bob"])
@pytest.mark.parametrize("do", DO)
def test_no_form_of_a_user_changes_anything_of_another(place: Place, do: str, user: str) -> None:
    before = carols(place)
    press_everything(place, "bob", do, user)
    after = carols(place)
    for rows in (before, after):  # whom he blocks himself may have her name in it
        rows["own_list"] = [row for row in rows["own_list"] if row.startswith("('carol'")]
    assert after == before


@pytest.mark.parametrize("do", ["release", "delete", "block", "spam", "remove"])
def test_the_same_form_of_its_owner_does_something(tmp_path: Path, do: str) -> None:
    """So that the test above could fail."""
    made = Place(tmp_path, more=USERS + DIGEST)
    write(made, "bbb", "carol", SECRET)
    own_lists.put(made.store, "carol", Kind.BLOCK, f"{SECRET}.example", NOW)
    before = carols(made)
    press_everything(made, "carol", do, "carol")
    after = carols(made)
    made.store.close()
    del before["preference"], after["preference"]  # which any of them sets
    assert after != before


class Active(html.parser.HTMLParser):
    """What could do something in a page: scripts, handlers, styles in place, addresses elsewhere."""

    def __init__(self) -> None:
        super().__init__()
        self.found: list[str] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        given = dict(attrs)
        if tag == "script" and not str(given.get("src", "")).startswith("/static/"):
            self.found.append("script")
        if tag in ("img", "object", "embed", "base", "style"):
            self.found.append(tag)
        for name, value in attrs:
            address = (value or "").strip().lower()
            if name.startswith("on") or name == "style":
                self.found.append(f"{tag} {name}")
            if name in ("href", "src", "action", "formaction") and not address.startswith(("/", "?", "#")):
                self.found.append(f"{tag} {name}={address}")
            if address.startswith("//") and name in ("href", "src", "action"):
                self.found.append(f"{tag} {name}={address}")


def active(text: str) -> list[str]:
    parser = Active()
    parser.feed(text)
    return parser.found


@pytest.mark.parametrize("who", ["bob", "ann"])
def test_hostile_mail_is_inert_in_every_page(hostile: Place, who: str) -> None:
    client = hostile.client(who)
    for ref in ("aaa", "aaad"):
        for name, path in paths(hostile, ref):
            answer = client.get(path)
            assert answer.status_code < 500, name
            found = active(answer.text)
            assert found == ([] if name != "message_html" else [one for one in found if one == "style"]), name
            assert "49" not in re.findall(r"alert\(1\).{0,200}?evil.{0,80}?(49)", answer.text), name


@pytest.mark.parametrize(
    "value", [HOSTILE, "\x00", "%s%(x)d{0}", "a" * 1500, "-1", "1e309", "\ud7ff\uffff", "javascript:alert(1)"]
)
@pytest.mark.parametrize("who", ["bob", "ann"])
def test_hostile_addresses_are_inert_in_every_page(hostile: Place, who: str, value: str) -> None:
    client = hostile.client(who)
    together = urlencode(dict.fromkeys(FIELDS, value))
    for name, path in paths(hostile, "aaa", together):
        answer = client.get(path)
        assert answer.status_code < 500, name
        assert name == "message_html" or active(answer.text) == [], name


@pytest.mark.parametrize("field", FIELDS)
def test_each_field_of_an_address_may_be_anything(hostile: Place, field: str) -> None:
    client = hostile.client("ann")
    for name, path in paths(hostile, "aaa", urlencode({field: HOSTILE})):
        answer = client.get(path)
        assert answer.status_code < 500, name
        assert name == "message_html" or active(answer.text) == [], name


@pytest.mark.parametrize(
    "ref", [HOSTILE, "..", "a\x00b", "a" * 3000, "'; drop table history --"], ids=lambda ref: ascii(ref[:12])
)
def test_hostile_references_are_inert_in_every_page(hostile: Place, ref: str) -> None:
    client = hostile.client("ann")
    for name, path in paths(hostile, ref):
        answer = client.get(path)
        assert answer.status_code < 500, name
        assert active(answer.text) == [], name


def test_the_finder_of_what_could_do_something_finds_it() -> None:
    bad = (
        '<script>x</script><p onclick="x"><a href="javascript:x"><img src=x><p style="x"><form action="//evil.example">'
    )
    assert len(active(bad)) >= 6
