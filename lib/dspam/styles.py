"""Which elements of an HTML document are hidden by its styles, as CSS 2.2 and HTML say.

Only what can hide text, or show it again, is looked at.  Selectors are followed where they are simple (`p`, `.x`, `#x`,
`td.x.y`): a rule that is not understood hides nothing, so that nobody can make the filter look away from what people see.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from functools import lru_cache
from typing import NamedTuple

from dspam.colours import TRANSPARENT, Colour, colour, unreadable

Declaration = tuple[str, str, bool]
"""Property, value, whether it is important; in small letters."""

_PROPERTIES = frozenset(
    re.findall(
        r"\S+",
        """background background-color background-image bottom clip clip-path color content-visibility direction display filter
        font font-size height left margin-left margin-top max-height max-width opacity overflow overflow-x overflow-y position
        right text-indent top transform unicode-bidi visibility -webkit-text-fill-color width zoom""",
    )
)
_COMMENT = re.compile(r"/\*.*?(?:\*/|\Z)", re.DOTALL)
_ESCAPE = re.compile(r"\\([0-9a-f]{1,6})[ \t\n]?", re.IGNORECASE)
_LENGTH = re.compile(r"([+-]?[0-9]*\.?[0-9]+)(px|pt|pc|em|rem|ex|ch|in|cm|mm|vw|vh|%)?(?![\w.])")
_PIXELS = {
    "": 1.0,
    "px": 1.0,
    "pt": 4 / 3,
    "pc": 16.0,
    "em": 16.0,
    "rem": 16.0,
    "ex": 8.0,
    "ch": 8.0,
    "in": 96.0,
    "cm": 37.8,
    "mm": 3.78,
    "vw": 10.0,
    "vh": 8.0,
}
_SIZES = {
    "xx-small": 9.0,
    "x-small": 10.0,
    "small": 13.0,
    "medium": 16.0,
    "large": 18.0,
    "x-large": 24.0,
    "xx-large": 32.0,
    "initial": 16.0,
}
_FONT_SIZE = re.compile(r"(?:^|\s)([0-9]*\.?[0-9]+(?:px|pt|em|rem|%)?|(?:xx?-)?(?:small|large)|medium)(?:/\S+)?\s+\S")
_GONE = re.compile(
    r"inset\(\s*(?:[5-9][0-9]|100)(?:\.[0-9]+)?%|circle\(\s*0(?:\.0+)?(?:px|%|\s|\))|scale(?:x|y|3d)?\(\s*0?\.?0*\s*[,)]"
    r"|translate(?:x|y|3d)?\([^)]{0,40}?-[0-9]{3}"
)
_FAR = 300.0  # pixels outside of the page or the box
_TINY = 5.0  # pixels; nobody reads smaller letters
_FAINT = 0.1


class Style(NamedTuple):
    """What one element's declarations say; None if they say nothing.

    gone        neither the element nor what is in it can be seen
    visible     its `visibility`
    pixels      its font size, or `times` its parent's
    text        the colour of its text
    background  the colour behind it; `unknown` where it is an image
    inline      whether it stands within its line
    reversed    whether it is written from right to left, letter by letter
    """

    gone: bool = False
    visible: bool | None = None
    pixels: float | None = None
    times: float | None = None
    text: Colour | None = None
    background: Colour | None = None
    unknown: bool = False
    inline: bool | None = None
    reversed: bool = False


NO_STYLE = Style()


class Look(NamedTuple):
    """How text looks in a place of the document."""

    gone: bool = False
    visible: bool = True
    pixels: float = 16.0
    text: Colour = (0, 0, 0)
    background: Colour | None = (255, 255, 255)
    reversed: bool = False
    seen: bool = True


@lru_cache(maxsize=8192)
def look(parent: Look, style: Style) -> Look:
    """How text looks in an element of this style."""
    pixels = style.pixels if style.pixels is not None else min(parent.pixels * (style.times or 1.0), 1e6)
    if style.times == 0:
        pixels = 0.0
    background = None if style.unknown else style.background or parent.background
    if style.background == TRANSPARENT:
        background = parent.background
    text = style.text or parent.text
    gone = parent.gone or style.gone
    visible = parent.visible if style.visible is None else style.visible
    seen = not gone and visible and pixels >= _TINY and not unreadable(text, background)
    return Look(gone, visible, pixels, text, background, parent.reversed or style.reversed, seen)


@lru_cache(maxsize=4096)
def declarations(text: str) -> tuple[Declaration, ...]:
    """The declarations in a style attribute or between the braces of a rule."""
    if "/*" in text:
        text = _COMMENT.sub("", text)
    if "\\" in text:
        text = _ESCAPE.sub(lambda found: chr(min(int(found[1], 16), 0x7F)), text)
    found = []
    for piece in text.lower().split(";")[:100]:
        name, colon, value = piece.partition(":")
        if colon and (name := name.strip()) in _PROPERTIES:
            value, mark, _ = value.partition("!important")
            found.append((name, " ".join(value.split())[:200], bool(mark)))
    return tuple(found)


@lru_cache(maxsize=4096)
def style(declared: tuple[Declaration, ...]) -> Style:
    """What declarations amount to, the later ones winning, important ones before all others."""
    if not declared:
        return NO_STYLE
    found: dict[str, str] = {}
    for name, value, _ in sorted(declared, key=lambda one: one[2]):  # stable: later ones stay later
        found[name] = value
        if name == "background":
            found.pop("background-color", None)
            found.pop("background-image", None)
    pixels, times = _font_size(found)
    shown = found.get("visibility")
    background, unknown = _background(found)
    display = found.get("display", "")
    return Style(
        gone=_gone(found),
        visible=None if shown not in ("visible", "hidden", "collapse") else shown == "visible",
        pixels=pixels,
        times=times,
        text=colour(found.get("-webkit-text-fill-color", "")) or colour(found.get("color", "")),
        background=background,
        unknown=unknown,
        inline=display.startswith("inline") if display and display not in ("inherit", "initial", "contents") else None,
        reversed=found.get("direction") == "rtl" and "override" in found.get("unicode-bidi", ""),
    )


def _background(found: dict[str, str]) -> tuple[Colour | None, bool]:
    """The colour, and whether something unknown lies over it."""
    whole = found.get("background", "")
    if "url(" in whole + found.get("background-image", "") or "gradient(" in whole + found.get("background-image", ""):
        return None, True
    named = colour(found["background-color"]) if "background-color" in found else None
    if named is None and whole:
        named = colour(whole) or next((one for one in map(colour, whole.split()[:6]) if one is not None), None)
    return named, False


def _font_size(found: dict[str, str]) -> tuple[float | None, float | None]:
    value = found.get("font-size", "")
    if not value and (written := _FONT_SIZE.search(found.get("font", ""))):
        value = written[1]
    if value in _SIZES:
        return _SIZES[value], None
    if value in ("smaller", "larger"):
        return None, 0.83 if value == "smaller" else 1.2
    if not (length := _LENGTH.match(value)):
        return None, None
    number, unit = float(length[1][:12]), length[2] or ""
    if unit in ("em", "%", "ex", "ch"):
        return None, number * {"em": 1.0, "%": 0.01}.get(unit, 0.5)
    return number * _PIXELS[unit], None


def _pixels(value: str, percent: float = 8.0) -> float | None:
    """A length in pixels, percents taken of a page of a hundred times `percent`."""
    if not (length := _LENGTH.match(value)):
        return None
    return float(length[1][:12]) * (percent if length[2] == "%" else _PIXELS[length[2] or ""])


def _gone(found: dict[str, str]) -> bool:
    if found.get("display") == "none" or found.get("content-visibility") == "hidden":
        return True
    faint = _pixels(found.get("opacity", ""), 0.01)
    if (faint is not None and faint <= _FAINT) or _pixels(found.get("zoom", "")) == 0:
        return True
    if any(found.get(name, "").startswith(("hidden", "clip")) for name in ("overflow", "overflow-x", "overflow-y")):
        sizes = (_pixels(found.get(name, "")) for name in ("height", "max-height", "width", "max-width"))
        if any(size is not None and size <= 1 for size in sizes):
            return True
    return (
        _elsewhere(found)
        or any(_GONE.search(found[name]) for name in ("clip-path", "transform") if name in found)
        or "opacity(0" in found.get("filter", "").replace(" ", "")
    )


def _elsewhere(found: dict[str, str]) -> bool:
    """Whether the text stands outside of the page, or of the part of its box that is shown."""
    moved = [_pixels(found.get(name, "")) or 0.0 for name in ("margin-left", "margin-top", "text-indent")]
    if min(moved) <= -_FAR or moved[2] >= 2000:
        return True
    if found.get("position") not in ("absolute", "fixed", "relative"):
        return False
    if any((_pixels(found.get(name, "")) or 0.0) <= -_FAR for name in ("left", "top", "right", "bottom")):
        return True
    numbers = [float(number[:12]) for number, _ in _LENGTH.findall(found.get("clip", ""))]
    return len(numbers) == 4 and (numbers[1] - numbers[3] <= 1 or numbers[2] - numbers[0] <= 1)


class _Rule(NamedTuple):
    tag: str
    needs: frozenset[str]  # ".class" and "#id"
    weight: tuple[int, int, int]  # ids, classes, order
    declared: str


_SELECTOR = re.compile(r"([a-z][a-z0-9]*|\*)?((?:[.#][\w-]+)*)")
_PART = re.compile(r"[.#][\w-]+")
_BRACES = re.compile(r"[{}]")
_WIDTH = re.compile(r"(min|max)-(?:device-)?width\s*:\s*([0-9]+)")
_SCREEN = 1000  # pixels that a window is wide
_MAX_RULES = 3000
_MAX_SELECTORS = 50
# The mail of one sender has the same sheet again and again: a few are remembered, which are neither long nor have many rules.
_MAX_KNOWN, _MAX_KNOWN_OCTETS, _MAX_KNOWN_RULES = 16, 16_384, 500
_KNOWN: dict[str, tuple[dict[str, tuple[_Rule, ...]], int]] = {}


class Sheet:
    """The rules of a document's `<style>` elements."""

    def __init__(self) -> None:
        self._rules: dict[str, list[_Rule]] = {}
        self._count = 0

    def __bool__(self) -> bool:
        return bool(self._rules)

    def add(self, text: str) -> None:
        """Read the content of one element; linear in its length."""
        known = None if self._count else _KNOWN.get(text)
        if known is not None:
            self._rules, self._count = {name: [*rules] for name, rules in known[0].items()}, known[1]
            return
        first = not self._count and len(text) <= _MAX_KNOWN_OCTETS
        self._read(text)
        if first and self._count <= _MAX_KNOWN_RULES:
            if len(_KNOWN) >= _MAX_KNOWN:
                _KNOWN.clear()
            _KNOWN[text] = {name: tuple(rules) for name, rules in self._rules.items()}, self._count

    def _read(self, text: str) -> None:
        text = _COMMENT.sub("", text).replace("<!--", "").replace("-->", "")
        ignored: list[bool] = []  # for each open brace, whether what is in it does not count
        at = 0
        for brace in _BRACES.finditer(text):
            said = text[at : brace.start()]
            at = brace.end()
            if brace[0] == "{":
                prelude = said.rpartition(";")[2].strip().lower()
                if len(ignored) < 20:
                    ignored.append(any(ignored) or not _applies(prelude))
                    selector = prelude
            elif ignored:
                if not ignored.pop() and said.strip() and not selector.startswith("@"):
                    self._rule(selector, said)
                selector = "@"

    def _rule(self, selectors: str, declared: str) -> None:
        for selector in selectors.split(",")[:_MAX_SELECTORS]:
            found = _SELECTOR.fullmatch(selector.strip())
            if not found or self._count >= _MAX_RULES:
                continue
            self._count += 1
            tag, needs = found[1] or "*", frozenset(_PART.findall(found[2]))
            ids = sum(one[0] == "#" for one in needs)
            rule = _Rule(tag, needs, (ids, len(needs) - ids, (tag != "*") * _MAX_RULES + self._count), declared)
            self._rules.setdefault(min(needs, default=tag), []).append(rule)

    def declared(self, tag: str, names: Iterable[str]) -> tuple[Declaration, ...]:
        """What the rules say of an element with this tag and these ".class" and "#id", the weakest first."""
        own = frozenset(names)
        rules = [rule for name in (*own, tag, "*") for rule in self._rules.get(name, ())]
        fitting = sorted(
            (rule for rule in rules if rule.tag in (tag, "*") and rule.needs <= own), key=lambda rule: rule.weight
        )
        return tuple(one for rule in fitting for one in declarations(rule.declared))


def _applies(prelude: str) -> bool:
    """Whether what stands in these braces counts for somebody who reads mail on a screen of usual size."""
    if not prelude.startswith("@"):
        return True
    if prelude.startswith(("@supports", "@layer")):
        return True
    if not prelude.startswith("@media"):
        return False
    condition = prelude[6:].strip()
    widths = _WIDTH.findall(condition)
    if any((int(number[:6]) > _SCREEN) == (side == "min") for side, number in widths):
        return False
    rest = _WIDTH.sub("", condition)
    return re.fullmatch(r"(?:only|screen|all|and|[()\s]|px|em)*", rest) is not None
