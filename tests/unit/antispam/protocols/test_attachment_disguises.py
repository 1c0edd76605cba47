"""Dangerous attachments in the disguises that senders have tried: none gets by."""

from __future__ import annotations

import base64
import binascii
import bz2
import gzip
import lzma
import quopri
import zipfile
from collections.abc import Iterator

import pytest

from _sgmlfilter import has_script
from antispam.journey.delivery import Outcome
from antispam.protocols.attachments import DEFAULT_BANNED, REPLACE, Rules, Treatment, inspect, rewrite
from antispam.service.application import Application
from support.archives import (
    ARCHIVES,
    PROGRAM,
    encrypted_zip,
    tarred,
    winmail,
    written,
    zip_with_unicode_path,
    zipped,
)
from support.dns import ScriptedResolver
from support.whole_journey import application, connected, send

MIXED = [("Subject", "s"), ("Content-Type", "multipart/mixed; boundary=x")]
TEXT = b"Content-Type: text/plain\n\nhello\n"
RULES = Rules(unreadable=Treatment.BAN, macros=Treatment.BAN)
EXE = {"a.exe": b"MZ"}
MESSAGE = b"From: a@b.example\nSubject: x\nMIME-Version: 1.0\nContent-Type: a/b; name=a.exe\n\nMZ\n"
SCRIPT = b"<html><script>evil()</script></html>"
UU = b"begin 644 %s\n" + b"#35I0\n" + b"`\nend\n"


def part(fields: str, content: bytes = b"MZ", encoding: str = "base64") -> bytes:
    """A part whose content is really in base64, whatever its header calls that."""
    said = f"\nContent-Transfer-Encoding: {encoding}" if encoding else ""
    return (fields + said).encode("utf-8") + b"\n\n" + base64.encodebytes(content)


def plain(fields: str, content: bytes = b"MZ") -> bytes:
    return fields.encode("utf-8", "surrogateescape") + b"\n\n" + content + b"\n"


def named(name: str, content: bytes = b"MZ") -> bytes:
    return part(f'Content-Type: application/octet-stream\nContent-Disposition: attachment; filename="{name}"', content)


def uuencoded(name: bytes, content: bytes) -> bytes:
    lines = [content[at : at + 45] for at in range(0, len(content), 45)]
    return b"begin 644 " + name + b"\n" + b"".join(binascii.b2a_uu(line) for line in lines) + b"`\nend\n"


NAMES = {
    "one that shows nothing at the end, Mongolian": "a.exe\u180e",
    "one that shows nothing at the end, Braille": "a.exe\u2800",
    "one that shows nothing at the end, variation selector": "a.exe\ufe0f",
    "one that shows nothing at the end, Hangul filler": "a.exe\u115f",
    "one that shows nothing at the end, tag": "a.exe\U000e0041",
    "one that shows nothing in the middle": "a.e\u2064xe",
    "no-break space at the end": "a.exe\xa0",
    "full-width letters": "a.ｅｘｅ",
    "Cyrillic letters": "a.ехе",
    "one Cyrillic letter": "a.eхe",
    "Cyrillic letters of another extension": "a.ѕсr",
    "a Greek letter": "a.vbs".replace("v", "ν"),
    "dots and blanks at the end": "a.exe. . .",
    "a stream of NTFS": "a.exe::$DATA",
    "shown backwards": "gpj.\u202eexe.a",
    "a class identifier": "a.txt.{3050f4d8-98b5-11cf-bb82-00aa00bdce0b}",
    "appinstaller": "a.appinstaller",
    "OneNote": "a.one",
    "a OneNote package": "a.onepkg",
    "a web query": "a.iqy",
    "a symbolic link of Excel": "a.slk",
    "a remote desktop": "a.rdp",
    "an appx bundle": "a.appxbundle",
    "an msix bundle": "a.msixbundle",
    "a browser application": "a.xbap",
    "a data link": "a.udl",
    "a cabinet": "a.cab",
}

PARTS = {
    # Names.
    "a comment in a name": plain("Content-Type: a/b; name=attached.()bat"),
    "a comment in a comment in a name": plain("Content-Type: a/b; name=attached.(x(y)z)bat"),
    "a comment before the equals sign": plain("Content-Type: a/b; name(x)=a.bat"),
    "a long line of junk before the name": part(
        "Content-Type: a/b\n" + "x" * 5000 + "\nContent-Disposition: attachment; filename=a.exe"
    ),
    "many lines of junk before the name": part(
        "Content-Type: a/b\n" + "junk line\n" * 2000 + "Content-Disposition: attachment; filename=a.exe"
    ),
    "junk before the transfer encoding of an archive": part("Content-Type: a/b\njunk line", zipped(EXE)),
    # Transfer encodings.
    "base64 with a comma": part("Content-Type: a/b", zipped(EXE), "base64,"),
    "base64 with a semicolon": part("Content-Type: a/b", zipped(EXE), "base64;"),
    "base64 with a comment behind": part("Content-Type: a/b", zipped(EXE), "base64 (x)"),
    "base64 with a comment in front": part("Content-Type: a/b", zipped(EXE), "(x) base64"),
    "base64 in quotes": part("Content-Type: a/b", zipped(EXE), '"base64"'),
    "base64 behind another word": part("Content-Type: a/b", zipped(EXE), "7bit, base64"),
    "two transfer encodings": part("Content-Type: a/b\nContent-Transfer-Encoding: 7bit", zipped(EXE)),
    "a message in base64 with a comma": part("Content-Type: message/rfc822", MESSAGE, "base64,"),
    "a message in base64 with a comment": part("Content-Type: message/rfc822", MESSAGE, "(x) base64"),
    "a message in base64 or not": part("Content-Type: message/rfc822\nContent-Transfer-Encoding: 7bit", MESSAGE),
    "a multipart in base64 with a comma": part(
        "Content-Type: multipart/mixed; boundary=y", b"--y\nContent-Type: a/b; name=a.exe\n\nMZ\n--y--\n", "base64,"
    ),
    "HTML in base64 with a comma": part("Content-Type: text/html", SCRIPT, "base64,"),
    # uuencode.
    "uuencode, the name stands in begin only": plain(
        "Content-Type: a/b\nContent-Transfer-Encoding: x-uuencode", UU % b"a.exe"
    ),
    "an archive uuencoded in a text": plain("Content-Type: text/plain", b"hi\n" + uuencoded(b"a.zip", zipped(EXE))),
    "an archive in x-uuencode": plain(
        "Content-Type: a/b\nContent-Transfer-Encoding: x-uuencode", uuencoded(b"a.dat", zipped(EXE))
    ),
    "begin-base64": plain(
        "Content-Type: text/plain", b"begin-base64 644 a.zip\n" + base64.encodebytes(zipped(EXE)) + b"====\n"
    ),
    # Messages.
    "a piece of a message": plain("Content-Type: message/partial; id=a; number=1; total=2", b"x"),
    "a message in a zip": named("a.zip", zipped({"letter.eml": MESSAGE})),
    "a message without a name of one in a zip": named("a.zip", zipped({"letter": MESSAGE})),
    "a message under another type": named("letter.dat", MESSAGE),
    "a web archive": named("page.mht", MESSAGE),
    # What octets are.
    "a program under another name": named("a.txt", PROGRAM),
    "a program under a picture's type": part("Content-Type: image/png; name=a.png", PROGRAM),
    "a program in a zip under another name": named("a.zip", zipped({"a.txt": PROGRAM})),
    "a shortcut under another name": named("a.txt", b"L\0\0\0\x01\x14\x02\0\0\0\0\0\xc0\0\0\0\0\0\0F" + bytes(60)),
    "a help file under another name": named("a.pdf", b"ITSF\x03\0\0\0" + bytes(60)),
    "a OneNote section under another name": named(
        "a.pdf", b"\xe4\x52\x5c\x7b\x8c\xd8\xa7\x4d\xae\xb1\x53\x78\xd0\x29\x96\xd3" + bytes(60)
    ),
    "an archive under a picture's type": part("Content-Type: image/png; name=a.png", ARCHIVES["7z"](EXE)),
    "an archive behind a picture": named("a.png", b"\x89PNG\r\n\x1a\n" + bytes(100) + zipped(EXE)),
    # Archives.
    "the Unicode path of a zip": named("a.zip", zip_with_unicode_path("a.txt", "a.exe")),
    "a zip in bzip2": named("a.zip", zipped({"n.zip": zipped(EXE)}, zipfile.ZIP_BZIP2)),
    "a zip in LZMA": named("a.zip", zipped({"n.zip": zipped(EXE)}, zipfile.ZIP_LZMA)),
    "a tar in a zip": named("a.zip", zipped({"n.tar": tarred(EXE)})),
    "a 7z in a tar": named("a.tar", tarred({"n.7z": ARCHIVES["7z"](EXE)})),
    "a zip in a rar": named("a.rar", ARCHIVES["rar"]({"n.zip": zipped(EXE)})),
    "a rar in a winmail.dat": named("winmail.dat", winmail({"n.rar": ARCHIVES["rar5.rar"](EXE)})),
    "a winmail.dat whose names are properties": named("winmail.dat", winmail(EXE, in_properties=True)),
    "a winmail.dat under another name": named("a.bin", winmail(EXE)),
    "a program that is only compressed, gz": named("a.exe.gz", gzip.compress(b"MZ")),
    "a program that is only compressed, bz2": named("a.exe.bz2", bz2.compress(b"MZ")),
    "a program that is only compressed, xz": named("a.exe.xz", lzma.compress(b"MZ")),
    "a program that is only compressed, zst": named("a.exe.zst", written("raw", {"a": b"MZ"}, "zstd")),
    "a program in LZMA": named("a.exe.lzma", lzma.compress(b"MZ", lzma.FORMAT_ALONE)),
    "gzip with the true name inside": named("a.dat", b"\x1f\x8b\x08\x08" + bytes(6) + b"a.exe\0\x03\0" + bytes(8)),
    "two gzip files in one": named("a.tgz", gzip.compress(tarred(EXE)[:512]) + gzip.compress(tarred(EXE)[512:])),
    "tar with a long name of GNU": named("a.tar", tarred({"d" * 120 + "/a.exe": b""}, 1)),
    "tar with a long name of pax": named("a.tar", tarred({"d" * 120 + "/ä.exe": b""}, 2)),
    "an archive with a password": named("a.zip", encrypted_zip({"a.txt": b"x"})),
    "an archive of a kind that nobody here reads": named("a.arj", b"\x60\xea\x20\0\x1e\x06\x01\0\0\0\x02" + bytes(30)),
    "no archive at all": named("a.rar", b"nothing of the kind"),
    # Documents.
    "HTML with a script in a zip": named("a.zip", zipped({"x.html": SCRIPT})),
    "a page by its name only, stored in a zip": named("a.zip", zipped({"x.html": b"hi <script>"}, zipfile.ZIP_STORED)),
    "HTML with a script in a 7z": named("a.7z", ARCHIVES["7z"]({"x.html": SCRIPT})),
    "HTML without a name of its own in a zip": named("a.zip", zipped({"x.dat": SCRIPT})),
    "SVG with a script in a zip": named("a.zip", zipped({"x.svg": b"<svg><script>evil()</script></svg>"})),
    "SVG with a handler in a zip": named("a.zip", zipped({"x.svg": b"<svg onload='evil()'/>"})),
    "compressed SVG with a script": named("a.svgz", gzip.compress(b"<svg><script>evil()</script></svg>")),
    "macros in a Word file": named("a.docx", zipped({"word/document.xml": b"<w/>", "word/vbaProject.bin": b"x"})),
    "macros in a Word file in a zip": named("a.zip", zipped({"a.docx": zipped({"word/vbaProject.bin": b"x"})})),
    "macros in an old Word file": named(
        "a.doc", b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1" + bytes(600) + "_VBA_PROJECT".encode("utf-16-le") + bytes(600)
    ),
    "an Excel 4 macro sheet": named(
        "a.xls", b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1" + bytes(600) + b"\x85\0\x0e\0\0\0\0\0\0\x01\x06\0Macro1" + bytes(9)
    ),
    "a Word file that is made for macros": named("a.docm", zipped({"word/document.xml": b"<w/>"})),
    "macros in an OpenDocument file": named("a.odt", zipped({"content.xml": b"<x/>", "Basic/Standard/Module1.xml": b""})),
    "a document with a password": named(
        "a.docx", b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1" + bytes(99) + "EncryptedPackage".encode("utf-16-le")
    ),
}  # fmt: skip


def refused(*content: bytes, rules: Rules = RULES) -> bool:
    body = b"--x\n" + b"\n--x\n".join((TEXT, *content)) + b"\n--x--\n"
    return any(found.remedy == REPLACE and found.path == (2,) for found in inspect(MIXED, body, rules))


@pytest.mark.parametrize("name", NAMES.values(), ids=NAMES)
def test_a_name(name: str) -> None:
    assert refused(named(name))


@pytest.mark.parametrize("name", NAMES.values(), ids=NAMES)
def test_a_name_in_an_archive(name: str) -> None:
    assert refused(named("a.zip", zipped({name: b"MZ"})))


@pytest.mark.parametrize("content", PARTS.values(), ids=PARTS)
def test_a_part(content: bytes) -> None:
    assert refused(content)


@pytest.mark.parametrize("kind", ARCHIVES)
def test_a_program_in_an_archive_of_every_kind(kind: str) -> None:
    rules = Rules(banned=DEFAULT_BANNED - {"cab", "iso"})
    assert refused(named(f"a.{kind}", ARCHIVES[kind]({"readme.txt": b"hi", "dir/a.exe": b"MZ"})), rules=rules)
    assert not refused(named(f"a.{kind}", ARCHIVES[kind]({"readme.txt": b"hi"})), rules=rules)


@pytest.mark.parametrize("kind", ARCHIVES)
def test_a_program_in_an_archive_of_every_kind_under_a_harmless_name(kind: str) -> None:
    rules = Rules(banned=DEFAULT_BANNED - {"cab", "iso"})
    assert refused(named("a.dat", ARCHIVES[kind]({"readme.txt": PROGRAM * 9})), rules=rules)


MARKUP = {
    "HTML as octets": ("Content-Type: application/octet-stream; name=invoice.html", SCRIPT),
    "HTML as octets without a name": ("Content-Type: application/octet-stream", SCRIPT),
    "HTML as plain text": ("Content-Type: text/plain; name=a.txt", SCRIPT),
    "HTML as a picture": ("Content-Type: image/png; name=a.png", SCRIPT),
    "HTML behind blank lines": ("Content-Type: text/plain", b"\n\n  " + SCRIPT),
    "HTML behind a byte order mark": ("Content-Type: text/plain", b"\xef\xbb\xbf" + SCRIPT),
    "XHTML as XML": (
        "Content-Type: text/xml; name=a.xml",
        b'<?xml version="1.0"?><x:html xmlns:x="http://www.w3.org/1999/xhtml"><x:script>evil()</x:script></x:html>',
    ),
    "SVG as octets": ("Content-Type: application/octet-stream; name=a.svg", b"<svg><script>evil()</script></svg>"),
    "SVG as a picture": ("Content-Type: image/svg+xml; name=a.svg", b"<svg><script>evil()</script></svg>"),
    "SVG by its octets": ("Content-Type: image/png; name=a.png", b"<svg><script>evil()</script></svg>"),
}


@pytest.mark.parametrize(("fields", "content"), MARKUP.values(), ids=MARKUP)
@pytest.mark.parametrize("encoding", ["8bit", "base64", "quoted-printable"])
def test_scripts_leave_whatever_type_hides_them(fields: str, content: bytes, encoding: str) -> None:
    encoded = {"base64": base64.encodebytes, "quoted-printable": quopri.encodestring}.get(encoding, bytes)(content)
    body = b"--x\n" + TEXT + b"--x\n" + fields.encode() + b"\nContent-Transfer-Encoding: " + encoding.encode()
    body += b"\n\n" + encoded + b"\n--x--\n"
    left = rewrite(MIXED, body, inspect(MIXED, body)).body
    (changed,) = (part for part in left.split(b"--x\n")[2:])
    content = changed.partition(b"\n\n")[2].partition(b"\n--x")[0]
    decode = {"base64": base64.b64decode, "quoted-printable": quopri.decodestring}.get(encoding, bytes)
    assert not has_script(decode(content).decode("latin-1"))
    assert b"evil" not in decode(content) or b"<x:x-script>" in decode(content)


@pytest.fixture(scope="module")
def filter_of_a_site(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Application]:
    config = "[greylist]\nmode = off\n[defang]\nremedy = reject\nunreadable_archives = yes\nmacros = ban\n"
    with application(tmp_path_factory.mktemp("site"), ScriptedResolver(), config) as made:
        yield made


@pytest.mark.parametrize("content", PARTS.values(), ids=PARTS)
def test_the_whole_filter_refuses_it(content: bytes, filter_of_a_site: Application) -> None:
    body = b"--x\n" + b"\n--x\n".join((TEXT, content)) + b"\n--x--\n"
    fields = [(name.encode(), f" {value}".encode()) for name, value in [("From", "ann@example.net"), *MIXED]]
    outcome = send(connected(filter_of_a_site), fields, body.replace(b"\n", b"\r\n"))
    assert isinstance(outcome, Outcome)
    assert (outcome.verdict.code, outcome.verdict.enhanced) == (550, "5.7.1")
    assert "attachment that is not accepted" in outcome.verdict.text
