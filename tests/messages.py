"""`make messages`: brings the catalogues of the console up to date with its texts. What is new has no translation yet."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from pathlib import Path

from babel.messages import Catalog
from babel.messages.extract import DEFAULT_KEYWORDS, extract_from_dir
from babel.messages.frontend import parse_mapping_cfg
from babel.messages.pofile import read_po, write_po
from bms import JOURNEY

SOURCES = Path(__file__).resolve().parents[1] / "lib" / "antispam"
LOCALE = SOURCES / "locale"
_KEYWORDS = {**DEFAULT_KEYWORDS, "marked": None, "translate": None}


def template() -> Catalog:
    """All texts, and where they are."""
    with (LOCALE / "babel.cfg").open(encoding="utf-8") as file:
        method_map, options_map = parse_mapping_cfg(file)
    made = Catalog(project="bms-antispam", charset="utf-8")
    everywhere = {"directory_filter": lambda _: True}  # as a rule Babel passes over folders such as _shared
    found = extract_from_dir(str(SOURCES), method_map, options_map, keywords=_KEYWORDS, **everywhere)
    for name, _, message, _, context in sorted(found, key=lambda one: (one[0], one[1])):
        made.add(message, None, [(name, None)], context=context)
    for row in JOURNEY.rows:
        if text := getattr(row.check, "OTHERWISE", ""):
            made.add(text, None, [(f"checks/{row.check.NAME}.py", None)])
    return made


def catalogues() -> list[Path]:
    """The file of each language."""
    return sorted(LOCALE.glob("*/LC_MESSAGES/console.po"))


def read(path: Path) -> Catalog:
    """A catalogue out of catalogues()."""
    with path.open("rb") as file:
        return read_po(file, path.parents[1].name)


def main(added: Sequence[str]) -> int:
    """Update each file, and make those of languages that are added; 1 where texts are not translated."""
    missing = 0
    for language in added:
        path = LOCALE / language / "LC_MESSAGES" / "console.po"
        path.parent.mkdir(parents=True, exist_ok=True)
        with path.open("xb") as file:
            write_po(file, Catalog(locale=language, project="bms-antispam", charset="utf-8", fuzzy=False))
    for path in catalogues():
        catalogue = read(path)
        catalogue.update(template(), no_fuzzy_matching=True)
        catalogue.obsolete.clear()
        catalogue.creation_date = (
            catalogue.revision_date
        )  # the time of each run would clash wherever two people add texts
        with path.open("wb") as file:
            write_po(file, catalogue, width=120, omit_header=False, include_lineno=False)
        new = [message.id for message in catalogue if message.id and not _translated(message.string)]
        missing += len(new)
        for one in new:
            print(f"{path.parents[1].name}: {one!r}")
    return 1 if missing else 0


def _translated(string: object) -> bool:
    return all(string) if isinstance(string, tuple | list) else bool(string)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
