"""Pages that explain refusals, and the links to them."""

from __future__ import annotations

import re
from html.parser import HTMLParser
from pathlib import Path

import bms
import pytest
from click.testing import CliRunner
from hypothesis import given
from hypothesis import strategies as st

from antispam.commands.errors_page import pages
from antispam.mail.decisions import Decision
from antispam.mail.explanations import PAGES, link, page_of
from antispam.mail.verdicts import Action, Verdict, reject, tempfail
from antispam.settings.values import check_url

URL = "https://mail.example.com/refused"


def refused(check: str, text: str = "No.", enhanced: str = "5.7.1") -> Decision:
    return Decision(check, reject(text, "r", enhanced=enhanced))


@pytest.mark.parametrize("row", bms.JOURNEY.rows, ids=lambda row: row.check.NAME)
def test_every_check_has_a_page(row) -> None:
    assert page_of(refused(row.check.NAME)) in PAGES


@pytest.mark.parametrize(
    ("check", "enhanced", "page"),
    [
        ("spf", "5.7.23", "spf-fail"),
        ("spf_fail", "5.7.23", "spf-fail"),
        ("spf", "5.7.24", "spf-error"),
        ("spf", "5.7.25", "anon"),
        ("spf", "5.7.1", "spf-policy"),
        ("helo", "5.7.1", "helofail"),
        ("sender_lists", "5.7.1", "bandom"),
        ("blacklisted", "5.7.1", "bandom"),
        ("srs", "5.7.1", "dsnrefused"),
        ("reputation", "5.7.1", "illrepute"),
        ("of tomorrow", "5.7.1", "refused"),
    ],
)
def test_a_refusal_links_to_what_explains_it(check: str, enhanced: str, page: str) -> None:
    for url in (URL, f"{URL}/"):
        assert link(refused(check, enhanced=enhanced), url) == f"More about this: {URL}/{page}/"


def test_only_refusals_for_good_are_explained_and_only_once() -> None:
    assert link(refused("spf"), "") == ""
    assert link(Decision("spf", tempfail("Later.", "r")), URL) == ""
    assert link(Decision("spf", Verdict(Action.QUARANTINE)), URL) == ""
    assert link(refused("spf", "No.\nMore about this: https://elsewhere.example/?spf=fail"), URL) == ""


@pytest.mark.parametrize(
    "url", ["mail.example.com", "javascript:alert(1)", "https://x y", "https://x\r\n250 OK", "https://é"]
)
def test_what_is_no_link_is_no_setting(url: str) -> None:
    with pytest.raises(ValueError, match="expected a URL"):
        check_url(url)


class Tags(HTMLParser):
    """Every tag and attribute of a page, and its text."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.tags: list[str] = []
        self.attributes: list[tuple[str, str | None]] = []
        self.open: list[str] = []
        self.feed(text)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append(tag)
        self.attributes += attrs
        if tag != "meta":
            self.open.append(tag)

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag


ALLOWED = {"html", "head", "meta", "title", "style", "body", "h1", "h2", "p", "a", "ul", "li", "footer"}
# What an administrator may pass by accident, or out of a form.
NASTY = [
    "<script>alert(1)</script>",
    '"><img src=x onerror=alert(1)>',
    "&lt;",
    'postmaster@example.com" onclick=x',
    "é\u202e",
]


@pytest.mark.parametrize("text", [*NASTY, "postmaster@example.com", ""])
def test_pages_are_well_formed_and_have_nothing_that_runs(text: str) -> None:
    for name, page in pages(text, text).items():
        parsed = Tags(page)
        assert parsed.open == [], name
        assert set(parsed.tags) <= ALLOWED
        assert {key for key, _ in parsed.attributes} <= {"lang", "charset", "http-equiv", "content", "name", "href"}
        links = [value or "" for key, value in parsed.attributes if key == "href"]
        assert all(re.fullmatch(r"\.\./|[a-z-]+/|mailto:postmaster@example\.com", value) for value in links)


@given(st.text(max_size=80), st.text(max_size=80))
def test_nothing_in_site_or_contact_becomes_markup(site: str, contact: str) -> None:
    parsed = Tags(pages(site, contact)["anon/index.html"])
    assert set(parsed.tags) <= ALLOWED
    assert parsed.open == []


def test_the_overview_links_to_each_page() -> None:
    links = [value for key, value in Tags(pages("", "")["index.html"]).attributes if key == "href"]
    assert links == [f"{name}/" for name in PAGES]


def test_the_command_writes_them_and_writes_them_anew(tmp_path: Path) -> None:
    for contact in ("first@example.com", "second@example.com"):
        done = CliRunner().invoke(bms.main, ["errors-page", str(tmp_path / "refused"), "--contact", contact])
        assert done.exit_code == 0, done.output
        assert "Set [milter] errors_url" in done.output
    page = (tmp_path / "refused" / "anon" / "index.html").read_text()
    assert "second@example.com" in page
    assert "first@example.com" not in page


def test_the_command_spares_what_it_has_not_written(tmp_path: Path) -> None:
    (tmp_path / "index.html").write_text("my home page")
    done = CliRunner().invoke(bms.main, ["errors-page", str(tmp_path)])
    assert done.exit_code != 0
    assert "not one of these pages" in done.output
    assert [path.name for path in tmp_path.iterdir()] == ["index.html"]
    assert (tmp_path / "index.html").read_text() == "my home page"


def test_a_folder_that_cannot_be_written_is_told(tmp_path: Path) -> None:
    (tmp_path / "anon").write_text("in the way")
    done = CliRunner().invoke(bms.main, ["errors-page", str(tmp_path)])
    assert done.exit_code != 0
    assert "Traceback" not in done.output
