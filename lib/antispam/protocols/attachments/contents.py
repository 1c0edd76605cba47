"""Examining one file by its octets, its names and its types; the worst result counts."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace

from _unpacking import LIMIT, Budget
from antispam.protocols.attachments import archives, kinds, markup, office
from antispam.protocols.attachments.archives.item import NAME, Item
from antispam.protocols.attachments.findings import (
    CLOSED,
    ENCRYPTED,
    MACRO,
    MARKUP,
    PROGRAM,
    REPLACE,
    REPORT,
    SCRIPT,
    STRIP,
    UNREADABLE,
)
from antispam.protocols.attachments.names import dangerous_name, extensions
from antispam.protocols.attachments.rules import Markup, Rules, Treatment

_MAX_HITS = 20
_INTERESTING = kinds.ARCHIVES | {kinds.OLE, kinds.HTML, kinds.SVG, kinds.MESSAGE}


@dataclass(frozen=True, slots=True)
class File:
    """A file, with what the message says about it.

    names, types  all that the headers state
    charsets      the charsets that the headers state
    where, depth  its path through archives, and the number of archives around it
    attached      it is presented as a file, not shown as text
    cuttable      scripts in it can be removed
    signed        it is covered by a signature
    unwrapped     the headers of a zip in it were already found in the zip around it
    """

    octets: bytes
    names: tuple[str, ...] = ()
    types: frozenset[str] = frozenset()
    charsets: tuple[str, ...] = ()
    where: tuple[str, ...] = ()
    depth: int = 0
    attached: bool = True
    cuttable: bool = False
    signed: bool = False
    unwrapped: bool = False


@dataclass(frozen=True, slots=True)
class Hit:
    """A finding that is not yet assigned to a part."""

    reason: str
    detail: str = ""
    remedy: str = REPLACE
    name: str = ""


@dataclass(slots=True)
class Looker:
    """Examines files.

    budget   the limits for archives; its `tick` is called at every step
    message  examines the octets of a message
    """

    rules: Rules
    budget: Budget
    message: Callable[[bytes], Iterator[Hit]]

    def look(self, file: File) -> Iterator[Hit]:
        """All dangers in a file, apart from its own names, which the caller checks."""
        self.budget.tick()
        seen = kinds.of_octets(file.octets)
        claimed = {kinds.of_type(media_type) for media_type in file.types}
        claimed.update(kinds.of_names(file.names))
        if file.attached:
            yield from self._program(file)
        if self.rules.scan_zip:
            yield from self._archives(file, seen, claimed)
        yield from self._markup(file, (seen | claimed) & {kinds.HTML, kinds.SVG})
        yield from self._macros(file, seen)
        if self.rules.scan_rfc822 and kinds.MESSAGE in (seen if file.attached else set()) | claimed:
            for hit in self.message(file.octets):
                yield replace(hit, detail=f"in an attached message: {hit.detail}")

    def _program(self, file: File) -> Iterator[Hit]:
        extension = kinds.program(file.octets)
        if extension in self.rules.banned:
            yield Hit(PROGRAM, f"by its content it is a .{extension}, which is not accepted")

    # ---- archives

    def _archives(self, file: File, seen: set[str], claimed: set[str | None]) -> Iterator[Hit]:
        if file.unwrapped:
            seen, claimed = seen - {kinds.ZIP}, claimed - {kinds.ZIP}
        readable = seen & kinds.ARCHIVES
        if kinds.ZIP in claimed and file.octets.strip():
            readable.add(kinds.ZIP)  # its headers may be anywhere
        if claimed & kinds.ARCHIVES and not readable and file.octets.strip():
            yield self._closed(UNREADABLE, "it is called an archive and cannot be read as one")
        if readable and file.depth >= self.budget.depth:
            yield Hit(LIMIT, "archives nested too deep")
            return
        for kind in sorted(readable):
            yield from _bounded(self._archive(file, kind))

    def _archive(self, file: File, kind: str) -> Iterator[Hit]:
        macros = False
        for item in archives.items(kind, file.octets, self.budget):
            yield from self._item(file, kind, item)
            if not macros and item.reason == NAME and office.is_macro_entry(item.name):
                macros = True
                yield from self._macro(f"{item.name} in the document")

    def _item(self, file: File, kind: str, item: Item) -> Iterator[Hit]:
        """The dangers of one entry of an archive, and of its content."""
        where = (*file.where, item.name) if item.name else file.where
        inside = "/".join(where)
        if item.reason in CLOSED:
            yield self._closed(item.reason, item.detail or inside)
            return
        if item.reason != NAME:
            yield Hit(item.reason, item.detail or inside)
            return
        names = _names_of(item, file, kind)
        for name in names:
            if verdict := dangerous_name(name, self.rules.banned):
                yield Hit(verdict[0], f"in the archive: {inside or name}: {verdict[1]}")
            elif self.rules.macros is not Treatment.ACCEPT and _is_macro_name(name, self.rules):
                yield from self._macro(f"in the archive: {inside or name}")
        yield from self._member(file, kind, item, names, where)

    def _member(
        self, file: File, kind: str, item: Item, names: tuple[str, ...], where: tuple[str, ...]
    ) -> Iterator[Hit]:
        extension = kinds.program(item.head, whole=False)
        if extension in self.rules.banned:
            yield Hit(PROGRAM, f"in the archive: {'/'.join(where)}: by its content it is a .{extension}")
            return
        known = kinds.of_octets(item.head) | kinds.of_names(names)
        if item.unwrapped:
            known.discard(kinds.ZIP)
        if not known & _INTERESTING:
            return
        octets, fault = item.whole()
        if fault:
            yield self._closed(*fault) if fault[0] in CLOSED else Hit(*fault)
        if not octets or (fault and fault[0] == LIMIT):
            return
        # A compressed tar archive is a single archive to its readers.
        depth = file.depth if kind in archives.STREAMS and kinds.TAR in known else file.depth + 1
        inner = File(octets, names, where=where, depth=depth, unwrapped=item.unwrapped)
        prefix = f"in the archive: {'/'.join(where)}: "
        for hit in self.look(inner):
            detail = hit.detail if hit.detail.startswith("in the archive: ") else prefix + (hit.detail or hit.reason)
            yield replace(hit, detail=detail, remedy=REPORT if hit.remedy == REPORT else REPLACE)

    def _closed(self, reason: str, detail: str) -> Hit:
        return Hit(reason, detail, REPLACE if self.rules.unreadable is Treatment.BAN else REPORT)

    # ---- documents

    def _markup(self, file: File, found: set[str | None]) -> Iterator[Hit]:
        if not found:
            return
        svg = found == {kinds.SVG}
        answer = self.rules.svg if svg else self.rules.html
        if file.attached and answer is not Markup.CLEAN:
            if answer is Markup.BAN:
                yield Hit(MARKUP, f"an {'SVG' if svg else 'HTML'} file")
            return
        if not self.rules.scan_html:
            return
        limits = self.rules.limits
        if len(file.octets) > limits.max_html_bytes or markup.costs_too_much(
            file.octets, file.charsets, limits.max_html_tags
        ):
            yield Hit(LIMIT, f"{len(file.octets)} bytes of HTML")
            return
        charset = markup.script(file.octets, file.charsets, svg, self.budget.tick)
        if charset:
            yield Hit(SCRIPT, f"a script in {charset}")
        elif charset is not None:
            # Removing a script from signed mail breaks the signature and gains little, so it is only reported.
            remedy = STRIP if file.cuttable else REPLACE
            yield Hit(SCRIPT, "HTML with a script", REPORT if file.signed and not file.attached else remedy)

    def _macros(self, file: File, seen: set[str]) -> Iterator[Hit]:
        if kinds.OLE not in seen:
            return
        if detail := office.in_ole(file.octets):
            yield from self._macro(detail)
        if office.is_encrypted(file.octets):
            yield self._closed(ENCRYPTED, "a document with a password")

    def _macro(self, detail: str) -> Iterator[Hit]:
        if self.rules.macros is not Treatment.ACCEPT:
            yield Hit(MACRO, detail, REPLACE if self.rules.macros is Treatment.BAN else REPORT)

    def macro_name(self, name: str) -> Iterator[Hit]:
        """The finding for a name with an extension for files with macros."""
        if _is_macro_name(name, self.rules):
            yield from self._macro("a name for documents with macros")


def _bounded(hits: Iterator[Hit]) -> Iterator[Hit]:
    """Each hit once, until there are enough dangerous ones. Hits that are only reported never end the search."""
    seen: set[Hit] = set()
    dangerous = reported = 0
    for hit in hits:
        if hit.remedy == REPORT:
            reported += 1
        else:
            dangerous += _MAX_HITS if hit.reason == LIMIT else 1
        if hit not in seen and (hit.remedy != REPORT or reported <= _MAX_HITS):
            seen.add(hit)
            yield hit
        if dangerous >= _MAX_HITS:
            return


def _is_macro_name(name: str, rules: Rules) -> bool:
    return not rules.macro_names.isdisjoint(extensions(name))


def _names_of(item: Item, file: File, kind: str) -> tuple[str, ...]:
    """The names of an entry of an archive. The content of a stream has the stream's name without its last extension."""
    names = [item.name] if item.name else []
    if kind in archives.STREAMS:
        for name in file.names[:8]:
            stem, _, extension = name.rpartition(".")
            extension = extension.strip().lower()
            names.append(f"{stem}.{_IN_STREAM[extension]}" if extension in _IN_STREAM else stem)
    return tuple(dict.fromkeys(name for name in names if name))


_IN_STREAM = {
    "svgz": "svg",
    "tgz": "tar",
    "taz": "tar",
    "tbz": "tar",
    "tbz2": "tar",
    "txz": "tar",
    "tlz": "tar",
    "tzst": "tar",
}
