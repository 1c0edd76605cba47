"""The console in Debian's Chromium: on a phone and at a desk, by keyboard alone, for people with disabilities, and under
hostile mail. With --pictures, pictures of all pages are left in .cache/screenshots."""

from __future__ import annotations

import dataclasses
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Literal
from urllib.parse import quote

import pytest
import sqlalchemy as sa
from axe_playwright_python.base import AXE_SCRIPT
from playwright.sync_api import Browser, expect
from starlette.routing import Route

from antispam.store import lists, own_lists
from antispam.store.schema import history, quarantine_entry
from antispam.web.app import application
from support.browser import DESK, PHONE, Watched, chromium
from support.console import HASHED, PASSWORD
from support.showcase import MAIL, NOW, RENTED, Sent, Showcase, showcase

pytestmark = pytest.mark.servers
HOSTILE = "\"'><script>alert(1)</script><img src=http://evil.example/x onerror=alert(2)><svg onload=alert(3)>"
HOSTILE_HTML = (
    f"<html><body onload='alert(4)'>{HOSTILE}<iframe src='http://evil.example/f'></iframe><style>@import 'http://evil.example/s'"
    "</style><form action='http://evil.example'><button autofocus onfocus='alert(5)'>x</button></form>"
    "<a href='javascript:alert(6)'>x</a><meta http-equiv=refresh content='0;url=http://evil.example/m'></body></html>"
)


@pytest.fixture(scope="module")
def browser(servers: None) -> Iterator[Browser]:
    with chromium() as started:
        yield started


@pytest.fixture(scope="module")
def shown(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Showcase]:
    with showcase(tmp_path_factory.mktemp("console"), password=HASHED) as made:
        yield made


@pytest.fixture
def fresh(tmp_path: Path) -> Iterator[Showcase]:
    """A console whose mail the test may deliver and delete."""
    with showcase(tmp_path, password=HASHED) as made:
        yield made


@pytest.fixture
def hostile(tmp_path: Path) -> Iterator[Showcase]:
    """A console in which everything that a stranger can write is an attack."""
    attack = Sent(
        1.0, RENTED, "help@parcel.example", f'"{HOSTILE[2:60]}" <help@parcel.example>', f"Parcel {HOSTILE}",
        f"{HOSTILE}\nConfirm your address: http://203.0.113.77/parcel", html=HOSTILE_HTML, attached=f"{HOSTILE}.exe",
    )  # fmt: skip
    plain = dataclasses.replace(attack, ago=2.0, attached="", html="", client=MAIL[2].client, sender=MAIL[2].sender)
    with showcase(tmp_path, [attack, plain], password=HASHED) as made:
        lists.add(made.store, lists.Kind.BLACKLIST, "y@evil.example", reason=HOSTILE, by=HOSTILE, now=NOW)
        own_lists.put(made.store, "bob", own_lists.Kind.BLOCK, "<script>@evil.example", NOW)
        yield made


def _pages(console: Showcase) -> Iterator[tuple[str, str]]:
    """Name and address of every page; what is about one message is about the newest one that is kept, or in the history."""
    with console.store.read() as connection:
        kept = connection.scalar(sa.select(sa.func.max(quarantine_entry.c.id)))
        ref = connection.scalar(sa.select(quarantine_entry.c.ref).where(quarantine_entry.c.id == kept))
        last = connection.scalar(sa.select(history.c.ref).order_by(history.c.id).limit(1))
    for route in application(console.console).routes:
        if isinstance(route, Route) and "GET" in (route.methods or ()):
            about = last if route.name == "mail_message" else ref
            path = re.sub(r"\{\w+(:\w+)?\}", quote(str(about), safe=""), route.path)
            yield route.name, f"{path}?user=bob" if route.name.startswith("message") else path
    yield "explained", f"/explain?ref={quote(str(ref))}"


@pytest.mark.parametrize("width", [PHONE, DESK])
def test_a_user_reads_delivers_deletes_and_lists(browser: Browser, fresh: Showcase, width: int) -> None:
    with Watched(browser, fresh.address, width=width, touch=width == PHONE) as window:
        page = window.page
        page.goto("/")
        page.get_by_label("Name").fill("bob")
        page.get_by_label("Password").fill(PASSWORD)
        page.get_by_role("button", name="Log in").click()
        expect(page.get_by_role("heading", name="Quarantine")).to_be_visible()
        page.get_by_role("link", name="Your parcel is waiting").click()
        expect(page.locator("pre.mail")).to_contain_text("a customs fee")
        page.get_by_role("button", name="Deliver", exact=True).click()
        expect(page.get_by_role("status")).to_have_text("1 of 1 will be delivered.")
        page.get_by_role("checkbox", name="Choose Your account was locked").check()
        page.get_by_role("button", name="Delete", exact=True).click()
        expect(page.get_by_role("status")).to_have_text("1 of 1 were deleted.")
        expect(page.get_by_role("link", name="Your account was locked")).to_have_count(0)
        page.get_by_text("My filter").click()
        page.get_by_role("link", name="Allowed and blocked senders").click()
        page.locator("input[name=name]").first.fill("shop.example")
        page.get_by_role("button", name="Block", exact=True).click()
        expect(page.get_by_text("shop.example").first).to_be_visible()
        page.get_by_role("link", name="Find a message").click()
        page.get_by_label("From", exact=True).fill("help@parcel.example")
        page.get_by_role("button", name="Search").click()
        expect(page.get_by_role("heading", name="What the checks said")).to_be_visible()
        assert window.harm == []


def test_a_user_needs_no_mouse(browser: Browser, fresh: Showcase) -> None:
    """From logging in to deleting the second message of the list, by keys alone."""
    with Watched(browser, fresh.address) as window:
        press, page = window.page.keyboard.press, window.page
        page.goto("/login")
        expect(page.get_by_label("Name")).to_be_focused()  # a browser may focus a field after the page has loaded
        page.keyboard.type("bob")
        press("Tab")
        page.keyboard.type(PASSWORD)
        press("Enter")
        expect(page.get_by_role("heading", name="Quarantine")).to_be_visible()
        page.wait_for_load_state("load")  # before that no script listens to keys
        press("Tab")
        expect(page.get_by_role("link", name="Skip to the content")).to_be_focused()
        second = page.locator("table.rows tbody tr").nth(1).get_by_role("link").inner_text()
        for key in ("j", "j", "x"):
            press(key)
        for _ in range(40):
            press("Tab")
            if page.evaluate("document.activeElement.value") == "delete":
                break
        press("Enter")
        expect(page.get_by_role("status")).to_have_text("1 of 1 were deleted.")
        expect(page.get_by_role("link", name=second)).to_have_count(0)


@pytest.mark.parametrize(("who", "language"), [("ann", "de"), ("bob", "en")])
def test_no_page_keeps_people_with_disabilities_out(
    browser: Browser, shown: Showcase, who: str, language: str, pytestconfig: pytest.Config
) -> None:
    """axe finds nothing that is serious or critical, at a desk and on a phone, in light and in dark; and no page is wider than
    the phone: in German, whose words are longer, for who sees all pages. Each page is opened once: what a width or a scheme
    changes is looked at anew, which takes a tenth of the time."""
    found, wide = [], {}
    with Watched(browser, shown.address, shown.session(who), language=language, touch=True) as window:
        refused = False
        for name, path in _pages(shown):
            if path.startswith("/api"):
                continue
            answer = window.page.goto(path)
            if answer is not None and answer.status == 403:
                if refused:  # they all look like the first one
                    continue
                refused = True
            for width, scheme, rules in _LOOKS:
                window.looks(width, scheme)
                if width == PHONE:
                    wide[name, scheme] = window.sideways()
                if name != "message_html":  # where no script runs, axe does not either
                    found += [f"{name} {width} {scheme}: {one}" for one in _violations(window, rules)]
                if pytestconfig.getoption("--pictures") and (width, scheme) in ((DESK, "dark"), (PHONE, "light")):
                    window.picture(f"{who}-{name}-{width}-{scheme}")
    assert found == [], "\n".join(found)
    assert {name: pixels for name, pixels in wide.items() if pixels > 0} == {}


_CHANGES = ("color-contrast", "link-in-text-block", "scrollable-region-focusable", "target-size")
_LOOKS: tuple[tuple[int, Literal["light", "dark"], tuple[str, ...]], ...] = (
    (DESK, "light", ()),
    (DESK, "dark", _CHANGES),
    (PHONE, "dark", _CHANGES),
    (PHONE, "light", _CHANGES),
)


def _violations(window: Watched, rules: tuple[str, ...]) -> Iterator[str]:
    """What is serious or critical by these rules of axe; without any by all of them."""
    options: dict[str, Any] = {"resultTypes": ["violations"], "rules": {"target-size": {"enabled": True}}}
    if rules:
        options["runOnly"] = list(rules)
    if not window.page.evaluate("'axe' in window"):  # Axe.run() has each page read its half megabyte anew each time
        window.page.evaluate(AXE_SCRIPT)
    results = window.page.evaluate("options => axe.run(document, options)", options)
    for one in results["violations"]:
        if one["impact"] in ("serious", "critical"):
            yield f"{one['id']} {[node['target'] for node in one['nodes']][:3]}"


# What has just unfolded has been drawn and has loaded, or has failed to; whatever waits for that has run.
_SETTLED = """async () => {
    const frame = () => new Promise(done => requestAnimationFrame(() => setTimeout(done)));
    await frame();
    const loaded = Promise.all([...document.images].filter(one => !one.complete).map(one => new Promise(done => {
        one.addEventListener('load', done);
        one.addEventListener('error', done);
    })));
    await Promise.race([loaded, new Promise(done => setTimeout(done, 5000))]);  // one that is lazy may never load
    await frame();
}"""


@pytest.mark.parametrize("who", ["ann", "bob"])
def test_hostile_mail_runs_nothing(browser: Browser, hostile: Showcase, who: str) -> None:
    """No dialog, no script, no request that leaves this machine, on any page, and with all that unfolds unfolded."""
    with Watched(browser, hostile.address, hostile.session(who)) as window:
        attacks = 0
        for name, path in _pages(hostile):
            window.page.goto(path)
            if name == "message_html":  # no script of ours runs there either
                window.page.wait_for_timeout(100)
                continue
            window.page.evaluate("for (const one of document.querySelectorAll('details')) one.open = true")
            window.page.evaluate(_SETTLED)
            attacks += "alert(1)" in window.page.content()
        harm = window.harm
    assert (harm, attacks >= 4) == ([], True)
