"""The kind of a file: by its octets, its name, and the type in the header.

These may contradict each other, and programs differ in which they trust. So each is a separate question, and callers
take the worst of the answers.
"""

from __future__ import annotations

import re
from collections.abc import Iterable

import _zipscan
from antispam.protocols.attachments.names import extensions

# Archives.
ZIP = "zip"
TAR = "tar"
GZIP = "gzip"
BZIP2 = "bzip2"
XZ = "xz"
TNEF = "tnef"
SEVEN_ZIP = "7z"
RAR = "rar"
CAB = "cab"
ISO = "iso"
LHA = "lha"
XAR = "xar"
CPIO = "cpio"
ZSTD = "zstd"
LZ4 = "lz4"
COMPRESS = "compress"
ARJ = "arj"
DMG = "dmg"
# Other kinds with content inside.
OLE = "ole"
HTML = "html"
SVG = "svg"
MESSAGE = "message"

ARCHIVES = frozenset(
    (ZIP, TAR, GZIP, BZIP2, XZ, TNEF, SEVEN_ZIP, RAR, CAB, ISO, LHA, XAR, CPIO, ZSTD, LZ4, COMPRESS, ARJ, DMG)
)

_AT_START = (
    (b"\x1f\x8b\x08", GZIP),
    (b"\xfd7zXZ\0", XZ),
    (b"\x78\x9f\x3e\x22", TNEF),
    (b"7z\xbc\xaf\x27\x1c", SEVEN_ZIP),
    (b"Rar!\x1a\x07", RAR),
    (b"RE~^", RAR),
    (b"MSCF", CAB),
    (b"xar!", XAR),
    (b"070701", CPIO),
    (b"070702", CPIO),
    (b"070707", CPIO),
    (b"\x28\xb5\x2f\xfd", ZSTD),
    (b"\x04\x22\x4d\x18", LZ4),
    (b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1", OLE),
)
_BZIP2 = re.compile(rb"BZh[1-9](?:1AY&SY|\x17rE8P\x90)")
_COMPRESS = re.compile(rb"\x1f\x9d[\x89-\x90]")
_ARJ = re.compile(rb"\x60\xea.[\0-\x0a].{6}\x02", re.DOTALL)
_LHA = re.compile(rb"..-l[hz][0-9a-z]-", re.DOTALL)
# LZMA without a container: usual properties, a dictionary of 64 KiB or more, a known or unknown size.
_LZMA = re.compile(rb"[\x5d\x6d]\0\0..(?:\xff{8}|.{5}\0\0\0)", re.DOTALL)
_ISO_AT = (32769, 34817, 36865)
_ISO_MARKS = (b"CD001", b"BEA01", b"NSR02", b"NSR03", b"CDROM")
ISO_HEAD = 36870  # octets that `of_octets` needs to recognise a disk image

# Programs, and files that act on a click like programs: (octets at the start, the usual extension).
_PROGRAMS = (
    (b"L\0\0\0\x01\x14\x02\0\0\0\0\0\xc0\0\0\0\0\0\0F", "lnk"),
    (b"ITSF\x03\0\0\0", "chm"),
    (b"?_\x03\0", "hlp"),
    (b"\xe4\x52\x5c\x7b\x8c\xd8\xa7\x4d\xae\xb1\x53\x78\xd0\x29\x96\xd3", "one"),
    (b"\xa1\x2f\xff\x43\xd9\xef\x76\x4c\x9e\xe2\x10\xea\x57\x22\x76\x5f", "onetoc2"),
    (b"MSWIM\0\0\0", "wim"),
    (b"vhdxfile", "vhdx"),
    (b"conectix", "vhd"),
    (b"\0\x01\0\0Standard Jet DB", "mdb"),
    (b"\0\x01\0\0Standard ACE DB", "mdb"),
    (b"SZDD\x88\xf0\x27\x33", "ex_"),
    (b"[InternetShortcut]", "url"),
    (b"Windows Registry Editor Version", "reg"),
    (b"REGEDIT4\r\n", "reg"),
)
# Class identifiers of the Windows Installer, as in the root of an OLE file.
_INSTALLERS = (
    (b"\x84\x10\x0c\0\0\0\0\0\xc0\0\0\0\0\0\0F", "msi"),
    (b"\x86\x10\x0c\0\0\0\0\0\xc0\0\0\0\0\0\0F", "msp"),
    (b"\x82\x10\x0c\0\0\0\0\0\xc0\0\0\0\0\0\0F", "mst"),
)

_BLANK = b" \t\r\n\f\0"
_MARKUP = re.compile(
    rb"<(?:!doctype|\?xml|!--|(?:[a-z][\w.-]{0,30}:)?(?:html|head|body|script|svg|iframe|title|style|meta|link|base|table|div|font|h1|"
    rb"center|form|img|embed|object|frameset|a|b|p|br)[\s/>])",
    re.IGNORECASE,
)
_SVG_MARK = re.compile(rb"<(?:[\w.-]{1,30}:)?svg[\s/>]|http://www\.w3\.org/2000/svg", re.IGNORECASE)
_XML = re.compile(rb"<\?xml|<!doctype\s+(?!html)", re.IGNORECASE)
_XHTML_MARK = re.compile(rb"http://www\.w3\.org/1999/xhtml|<(?:[\w.-]{1,30}:)?html[\s>]", re.IGNORECASE)
_HTA = re.compile(rb"<hta:application", re.IGNORECASE)
_HEADER = re.compile(
    rb"(?:>?From [^\n]*\n)?(?:received|return-path|delivered-to|from|to|subject|date|message-id|mime-version|"
    rb"content-[a-z-]+|x-[a-z0-9-]+)[ \t]*:",
    re.IGNORECASE,
)
_MIME_FIELD = re.compile(rb"\n(?:mime-version|content-type|content-disposition)[ \t]*:", re.IGNORECASE)
_HEAD = 4096


def of_octets(content: bytes) -> set[str]:
    """The kinds that a file may be, by its content."""
    kinds = {kind for mark, kind in _AT_START if content.startswith(mark)}
    if _zipscan.looks_like_zip(content):
        kinds.add(ZIP)
    if _looks_like_tar(content):
        kinds.add(TAR)
    patterns = ((_BZIP2, BZIP2), (_COMPRESS, COMPRESS), (_ARJ, ARJ), (_LHA, LHA))
    kinds.update(kind for pattern, kind in patterns if pattern.match(content))
    if _LZMA.match(content) and not kinds:
        kinds.add(XZ)
    if any(content.startswith(_ISO_MARKS, at) for at in _ISO_AT):
        kinds.add(ISO)
    if content[-512:].startswith(b"koly"):
        kinds.add(DMG)
    return kinds | _of_text(content)


def _looks_like_tar(content: bytes) -> bool:
    return content.startswith(b"ustar", 257)


def ascii_of(content: bytes) -> bytes:
    """UTF-16 or UTF-8 text with a byte order mark, converted to octets in which tags are ASCII; other content
    unchanged.
    """
    for mark, charset in ((b"\xff\xfe", "utf-16-le"), (b"\xfe\xff", "utf-16-be")):
        if content.startswith(mark):
            return content[2:].decode(charset, "replace").encode("utf-8", "replace")
    return content.removeprefix(b"\xef\xbb\xbf")


def _of_text(content: bytes) -> set[str]:
    head = ascii_of(content[: 2 * _HEAD]).lstrip(_BLANK)[:_HEAD]
    if head.startswith(b"<") and _MARKUP.match(head):
        svg, xml = _SVG_MARK.search(head), _XML.match(head)
        if svg and not _XHTML_MARK.search(head):
            return {SVG}
        # Any other XML is data, unless it contains elements that a browser runs.
        if not xml or _XHTML_MARK.search(content) or _SVG_MARK.search(content):
            return {HTML}
        return set()
    if _HEADER.match(head) and _MIME_FIELD.search(b"\n" + head):
        return {MESSAGE}
    return set()


def program(content: bytes, whole: bool = True) -> str | None:
    """The true extension of programs and similar files; None for others.

    `whole` says whether `content` is the whole file or only its beginning.
    """
    if content.startswith(b"MZ"):
        return "exe" if _runs(content, whole) else None
    for mark, extension in _PROGRAMS:
        if content.startswith(mark):
            return extension
    if any(content.startswith(_ISO_MARKS, at) for at in _ISO_AT):
        return "iso"
    if content.startswith(b"\xd0\xcf\x11\xe0"):
        return next((extension for mark, extension in _INSTALLERS if mark in content), None)
    head = ascii_of(content[: 2 * _HEAD])
    return "hta" if b"<" in head and _HTA.search(head) else None


def _runs(content: bytes, whole: bool) -> bool:
    """Whether the DOS header points to a header that Windows runs. In a text that begins with MZ, the offset is 500 MB
    or more.
    """
    at = int.from_bytes(content[60:64], "little") if len(content) >= 64 else 1 << 24
    if at + 4 > len(content):
        return not whole and at < 1 << 24
    return content.startswith((b"PE\0\0", b"NE", b"LE", b"LX"), at)


_NAMED = {
    **dict.fromkeys(("zip", "zipx", "kmz"), ZIP),
    **dict.fromkeys(("tar", "ova"), TAR),
    **dict.fromkeys(("gz", "tgz", "taz"), GZIP),
    **dict.fromkeys(("bz2", "bz", "tbz", "tbz2", "tb2"), BZIP2),
    **dict.fromkeys(("xz", "txz", "lzma", "tlz"), XZ),
    **dict.fromkeys(("rar", "rev"), RAR),
    **dict.fromkeys(("iso", "img", "udf"), ISO),
    **dict.fromkeys(("lzh", "lha"), LHA),
    **dict.fromkeys(("xar", "pkg"), XAR),
    **dict.fromkeys(("zst", "tzst"), ZSTD),
    **dict.fromkeys(("z", "taz"), COMPRESS),
    **dict.fromkeys(("html", "htm", "xhtml", "xht", "shtml", "shtm", "hta", "htc"), HTML),
    **dict.fromkeys(("svg", "svgz"), SVG),
    **dict.fromkeys(("eml", "mht", "mhtml", "nws", "mim", "mime"), MESSAGE),
    "7z": SEVEN_ZIP,
    "cab": CAB,
    "cpio": CPIO,
    "lz4": LZ4,
    "arj": ARJ,
    "dmg": DMG,
    "tnef": TNEF,
}


def of_names(names: Iterable[str]) -> set[str]:
    """The relevant kinds according to the extensions of these names."""
    found = {_NAMED[extension] for name in names for extension in extensions(name) if extension in _NAMED}
    if any(name.lower().rstrip(" .").endswith("winmail.dat") for name in names):
        found.add(TNEF)
    return found


_TYPED = {
    **dict.fromkeys(("text/html", "application/xhtml+xml", "application/html", "text/x-server-parsed-html"), HTML),
    **dict.fromkeys(("image/svg+xml", "image/svg", "application/svg+xml"), SVG),
    **dict.fromkeys(("message/rfc822", "message/global", "message/news", "application/x-mimearchive"), MESSAGE),
    **dict.fromkeys(("application/ms-tnef", "application/vnd.ms-tnef", "application/x-tnef"), TNEF),
    **dict.fromkeys(("application/zip", "application/x-zip-compressed", "application/x-zip"), ZIP),
}


def of_type(media_type: str) -> str | None:
    """The kind that a media type states; None if it is not relevant here."""
    return _TYPED.get(media_type)


def is_svg(content: bytes, names: Iterable[str], media_type: str) -> bool:
    """Whether the file is SVG and no reader treats it as HTML."""
    return (of_octets(content) | of_names(names) | {of_type(media_type)}) & {HTML, SVG} == {SVG}
