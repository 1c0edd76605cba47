"""`make screenshots`: the pictures of the README in docs/pictures, taken in Chromium of a console over believable mail."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Literal

import sqlalchemy as sa
from playwright.sync_api import Browser

from antispam.store.schema import quarantine_entry
from support.browser import DESK, PHONE, Watched, chromium
from support.places import REPOSITORY
from support.processes import RunDirectory
from support.showcase import Showcase, showcase

PICTURES = REPOSITORY / "docs" / "pictures"
LIMIT = 150_000  # octets of a picture
_HEIGHT = 760  # pixels
_DAYS = 7


def _taken(console: Showcase) -> Iterator[tuple[str, str, str, int]]:
    """Name, whose page, address and width of each picture."""
    parcel = quarantine_entry.c.subject == "Your parcel is waiting"
    with console.store.read() as connection:
        ref = connection.scalar(sa.select(quarantine_entry.c.ref).where(parcel))
    yield "quarantine", "bob", "/", DESK
    yield "message", "bob", f"/messages/{ref}?user=bob", DESK
    yield "message-phone", "bob", f"/messages/{ref}?user=bob", PHONE
    yield "overview", "ann", "/overview?span=week", DESK
    yield "explain", "ann", f"/explain?ref={ref}", DESK


def _take(browser: Browser, console: Showcase, scheme: Literal["light", "dark"]) -> Iterator[Path]:
    for name, who, path, width in _taken(console):
        with Watched(browser, console.address, console.session(who), width=width, scheme=scheme) as window:
            window.page.goto(path)
            to = PICTURES / f"{name}-{scheme}.png"
            window.page.screenshot(path=to, clip={"x": 0, "y": 0, "width": width, "height": _HEIGHT})
            yield to


def main() -> int:
    """Take all pictures; 1 where one is too large."""
    PICTURES.mkdir(parents=True, exist_ok=True)
    with RunDirectory("pictures") as run, showcase(run.path, days=_DAYS) as console, chromium() as browser:
        taken = [*_take(browser, console, "light"), *_take(browser, console, "dark")]
    for path in taken:
        print(f"{path.relative_to(REPOSITORY)}: {path.stat().st_size:,} octets")
    return 1 if any(path.stat().st_size > LIMIT for path in taken) else 0


if __name__ == "__main__":
    sys.exit(main())
