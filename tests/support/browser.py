"""Debian's Chromium, driven by Playwright, and what it must not have done."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from pathlib import Path
from typing import Literal

from playwright.sync_api import Browser, BrowserContext, Dialog, Page, expect, sync_playwright

from antispam.web.answers import COOKIE
from support.patience import PATIENCE
from support.places import CACHE

CHROMIUM = Path("/usr/bin/chromium")
PICTURES = CACHE / "screenshots"
PHONE, DESK = 390, 1280  # pixels
_HEIGHT = 800
_MILLISECONDS = 1000 * PATIENCE
# As root there is no sandbox of its own; whatever it wants from elsewhere does not exist.
_OPTIONS = [
    "--no-sandbox",
    "--disable-background-networking",
    "--host-resolver-rules=MAP * ~NOTFOUND, EXCLUDE 127.0.0.1",
]


@contextlib.contextmanager
def chromium() -> Iterator[Browser]:
    """The browser; a process that ends with the context."""
    expect.set_options(timeout=_MILLISECONDS)  # 5 s by default, for whatever a page is expected to show
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=CHROMIUM, args=_OPTIONS, timeout=_MILLISECONDS)
        try:
            yield browser
        finally:
            browser.close()


class Watched:
    """A window whose pages are watched: `harm` has every dialog, script error and refused script, and every request elsewhere.

    secret  the session of somebody who is logged in; "" is nobody
    """

    def __init__(
        self,
        browser: Browser,
        address: str,
        secret: str = "",
        *,
        width: int = DESK,
        scheme: Literal["light", "dark"] = "light",
        language: str = "en",
        touch: bool = False,
    ) -> None:
        self.harm: list[str] = []
        self.context: BrowserContext = browser.new_context(
            base_url=address,
            viewport={"width": width, "height": _HEIGHT},
            color_scheme=scheme,
            locale=language,
            has_touch=touch,
            timezone_id="UTC",
        )
        if secret:
            self.context.add_cookies([{"name": COOKIE, "value": secret, "url": address}])
        self.context.set_default_timeout(_MILLISECONDS)
        self.page: Page = self.context.new_page()
        self.page.on("dialog", self._opened)
        self.page.on("pageerror", lambda error: self.harm.append(f"error: {error}"))
        self.page.on("console", lambda said: self._said(said.type, said.text))
        self.page.on("request", lambda request: self._asked(request.url, address))

    def _opened(self, dialog: Dialog) -> None:
        self.harm.append(f"dialog: {dialog.message}")
        dialog.dismiss()

    def _said(self, kind: str, text: str) -> None:
        """What the browser refuses to do it says as an error; that an answer is 404 is none."""
        if kind in ("error", "warning") and "server responded with a status of 4" not in text:
            self.harm.append(f"said: {text}")

    def _asked(self, url: str, address: str) -> None:
        if not url.startswith(f"{address}/"):
            self.harm.append(f"asked elsewhere: {url}")

    def __enter__(self) -> Watched:
        return self

    def __exit__(self, *exc: object) -> None:
        self.context.close()

    def looks(self, width: int, scheme: Literal["light", "dark"]) -> None:
        """Show the page that is open in another width and colour scheme."""
        self.page.set_viewport_size({"width": width, "height": _HEIGHT})
        self.page.emulate_media(color_scheme=scheme)
        # At its end, no row is half behind the buttons at the foot of a list.
        self.page.evaluate("scrollTo(0, document.documentElement.scrollHeight)")

    def sideways(self) -> int:
        """Pixels by which the page is wider than its window: a person would have to scroll to the right."""
        return int(self.page.evaluate("document.documentElement.scrollWidth - document.documentElement.clientWidth"))

    def picture(self, name: str) -> None:
        """Keep the page as a picture for people."""
        PICTURES.mkdir(parents=True, exist_ok=True)
        self.page.screenshot(path=PICTURES / f"{name}.png", full_page=True)
