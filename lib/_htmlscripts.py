"""What runs in HTML and SVG besides script elements: event handlers, links that are programs, entities that hide tags.

Readers differ on where tags are (for example, in a style element there are none for HTML, and there are for SVG), so that every
document is read both ways.  HTML standard, sections 4.12.1 (data blocks), 8.1.8.1 (event handlers), 13.2.5 (tokens).
"""

from __future__ import annotations

import html
import re
from collections.abc import Callable

from _htmltokens import Attribute, attributes, tokens

# NUL inside of a name was skipped by old browsers; a prefix counts in XHTML.
_SCRIPT = re.compile(r"(<\0*(?:[\w.-]{1,64}:)?)(s\0*c\0*r\0*i\0*p\0*t)(?![\w-])", re.IGNORECASE)
# A script element whose type says that it is data (section 4.12.1), written so plainly that no reader takes it for another.
_DATA_ATTRIBUTE = r"""[ \t\r\n]++(?:id|class|data-[a-z-]{1,40}+)=(?:"[^"<>&]{0,200}"|'[^'<>&]{0,200}')"""
_DATA_BLOCK = re.compile(
    rf"""<script(?:{_DATA_ATTRIBUTE})*+[ \t\r\n]++type=(?:"(?:application/(?:[a-z0-9.-]{{1,40}}\+)?json|text/plain)"|"""
    rf"""'(?:application/(?:[a-z0-9.-]{{1,40}}\+)?json|text/plain)')(?:{_DATA_ATTRIBUTE})*+[ \t\r\n]*+>""",
    re.IGNORECASE,
)
_DATA_END = re.compile(r"</script[ \t\n\f\r/>]", re.IGNORECASE)
# Inside of these a script element has tags like any other.
_FOREIGN = re.compile(r"<(?:[\w.-]{1,64}:)?(?:svg|math)(?![\w-])", re.IGNORECASE)

_HANDLER = re.compile(r"(?:^|[^a-z0-9_.@:-])on[a-z]{2,}")
_PROGRAM = ("javascript:", "vbscript:", "livescript:", "mocha:")
_DOCUMENT = ("data:text/html", "data:application/xhtml", "data:text/xml", "data:application/xml", "data:text/xsl")
_PICTURE = "data:image/svg"
_SHOWS_PICTURES = frozenset({"img", "image", "source", "input", "video", "picture"})
# Attributes that may hold several addresses, or one behind something else.
_LISTS = frozenset({"values", "from", "to", "by", "content", "style"})
_BLANK = dict.fromkeys((*range(0x21), *range(0x7F, 0xA1), 0xAD))

_ENTITY = re.compile(r"<!ENTITY([^>]{0,4000}+)(>?)")
_STYLESHEET = re.compile(r"<\?xml-stylesheet([^>]{0,4000}+)", re.IGNORECASE)

# An ASCII letter, a colon or a blank, written as a reference: nobody needs that, except to hide what stands there.
_REFERENCE = (
    r"&(?:#0*+(?:9|1[03]|32|58|6[5-9]|[78]\d|9\d|1[01]\d|12[0-2])(?!\d)|"
    r"#x0*+(?:9|[ad]|20|3a|4[1-9a-f]|5[0-9a]|6[1-9a-f]|7[0-9a])(?![0-9a-f])|tab;|newline;|colon;)"
)
# Each begins with letters, for which Python's re searches fast; so no alternatives, and text in small letters without NUL.
_SUSPECT = tuple(
    re.compile(pattern)
    for pattern in (
        r"<(?:[\w.-]{1,64}:)?script",
        r"""on(?<=[\s"'/\x0b]on)[a-z]{2,60}+\s*+=""",
        _REFERENCE,
        r"srcdoc",
        r"<!entity",
        r"<\?xml-stylesheet",
        r"j\s*+a\s*+v\s*+a\s*+s\s*+c\s*+r\s*+i\s*+p\s*+t",
        r"v\s*+b\s*+s\s*+c\s*+r\s*+i\s*+p\s*+t",
        r"l\s*+i\s*+v\s*+e\s*+s\s*+c\s*+r\s*+i\s*+p\s*+t",
        r"m\s*+o\s*+c\s*+h\s*+a\s*+:",
        r"d\s*+a\s*+t\s*+a\s*+:\s*+(?:text|application|image/svg)",
    )
)
_STEP = 1000
_BARE = 2  # characters of a tag without attributes, beside its name


def suspect(text: str) -> bool:
    """Whether a closer look is worth its time (cheap)."""
    small = text.replace("\0", "").lower()
    return any(pattern.search(small) for pattern in _SUSPECT)


def is_data_block(tag: str) -> bool:
    """Whether this start tag of a script element begins data: JSON-LD above all."""
    return _DATA_BLOCK.fullmatch(tag) is not None


def has_foreign(text: str) -> bool:
    """Whether there may be SVG or MathML, in which a script element has tags like any other, whatever its type."""
    return _FOREIGN.search(text) is not None


def has_start(text: str) -> bool:
    """Whether anything looks like the start of a script, in any context."""
    return _SCRIPT.search(text) is not None


def rename_scripts(text: str) -> str:
    """Whatever looks like the start of a script, in any context, becomes an element that does nothing."""
    foreign = has_foreign(text)

    def rename(found: re.Match[str]) -> str:
        if not foreign and _DATA_BLOCK.match(text, found.start()):
            return found[0]
        return f"{found[1]}x-{found[2]}"

    return _SCRIPT.sub(rename, text)


def inert(text: str, xml: bool, tick: Callable[[], object]) -> str:
    """The document without event handlers and links that are programs, by both readings."""
    if xml:
        text = _STYLESHEET.sub(_inert_stylesheet, _ENTITY.sub(_inert_entity, text))
    for foreign in (False, True):
        if suspect(text):  # else no tag of it is
            text = _without_handlers(text, foreign, tick)
    return text


def _inert_entity(found: re.Match[str]) -> str:
    """Names for addresses, as Illustrator writes them, stay; what may hold tags, or comes from elsewhere, makes no document."""
    harmless = found[2] and not re.search(r"[<&%]|SYSTEM|PUBLIC", found[1])
    return found[0] if harmless else f"<!x-ENTITY{found[1]}{found[2]}"


def _inert_stylesheet(found: re.Match[str]) -> str:
    """Style sheets in XSLT write documents of their own; those in CSS stay."""
    return found[0] if "text/css" in found[1] else f"<?x-xml-stylesheet{found[1]}"


def _without_handlers(text: str, foreign: bool, tick: Callable[[], object]) -> str:
    pieces = []
    data_until = at = 0
    blocks = not has_foreign(text)
    for number, token in enumerate(tokens(text, foreign)):
        if number % _STEP == 0:
            tick()
        raw = token.raw
        if token.kind == "start" and at >= data_until:
            if token.name == "script" and blocks and is_data_block(raw):
                end = _DATA_END.search(text, at)
                data_until = end.start() if end else len(text)
            elif len(raw) > len(token.name) + _BARE and suspect(raw):
                raw = _inert_tag(raw, token.name)
        pieces.append(raw)
        at += len(token.raw)
    return "".join(pieces)


def _inert_tag(tag: str, name: str) -> str:
    pieces = []
    at = 0
    for attribute in attributes(tag, name):
        if _acts(attribute, name):
            # With the blank in front, but never so that two others become one.
            start = attribute.start - 1 if tag[attribute.start - 1] in " \t\r\n\f/" else attribute.start
            pieces += [tag[at : max(at, start)], " "]
            at = attribute.end
    return "".join(pieces) + tag[at:] if pieces else tag


def _acts(attribute: Attribute, tag: str) -> bool:
    """Whether an attribute makes something run."""
    if _HANDLER.search(attribute.name.replace("\0", "")):
        return True
    value = attribute.value
    if attribute.name == "srcdoc":
        return suspect(html.unescape(value))
    if ":" not in value and "&" not in value:
        return False
    url = html.unescape(value).translate(_BLANK).lower()
    if url.startswith(_PROGRAM + _DOCUMENT):
        return True
    if url.startswith(_PICTURE):
        return tag.rpartition(":")[2] not in _SHOWS_PICTURES
    return attribute.name in _LISTS and any(word in url for word in (*_PROGRAM, "url=data:"))
