"""Honest attachments, as programs write them: all of them pass, octet by octet."""

from __future__ import annotations

import base64
import bz2
import gzip
import lzma
import zipfile

import pytest

from antispam.protocols.attachments import DEFAULT_BANNED, REPORT, Rules, Treatment, inspect
from support.archives import ARCHIVES, tarred, winmail, written, zipped

MIXED = [("Subject", "s"), ("Content-Type", "multipart/mixed; boundary=x")]
RULES = Rules(unreadable=Treatment.BAN, macros=Treatment.BAN)
OLE = b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1" + bytes(1500)
DOCX = zipped({"[Content_Types].xml": b"<Types/>", "_rels/.rels": b"<r/>", "word/document.xml": b"<w:document/>"})
MAIL = b"Received: x\nFrom: a@b.example\nSubject: x\nMIME-Version: 1.0\nContent-Type: text/plain\n\nHello, .exe here.\n"
PAGE = b"<!DOCTYPE html><html><head><style>td{color:red}</style></head><body><a href='https://a.example/?on=1'>x</a></body></html>"
PICTURE = b"<?xml version='1.0'?><svg xmlns='http://www.w3.org/2000/svg'><path d='M0 0'/></svg>"

FILES = {
    "Quartalsbericht 2026.pdf": b"%PDF-1.7\n" + bytes(range(256)) * 4,
    "photo.jpg": b"\xff\xd8\xff\xe0\0\x10JFIF\0" + bytes(range(256)) * 8,
    "logo.png": b"\x89PNG\r\n\x1a\n" + bytes(200),
    "scan.tif": b"II*\0" + bytes(200),
    "moving.gif": b"GIF89a" + bytes(200),
    "report.docx": DOCX,
    "table.xlsx": zipped({"[Content_Types].xml": b"<Types/>", "xl/workbook.xml": b"<w/>", "xl/worksheets/sheet1.xml": b""}),
    "slides.pptx": zipped({"[Content_Types].xml": b"<Types/>", "ppt/media/image1.svg": PICTURE}),
    "letter.odt": zipped({"mimetype": b"application/vnd.oasis.opendocument.text", "content.xml": b"<office/>"}),
    "book.epub": zipped({"mimetype": b"application/epub+zip", "OEBPS/a.xhtml": PAGE, "META-INF/container.xml": b"<c/>"}),
    "old.doc": OLE,
    "old.xls": OLE + b"\x85\0\x0e\0\0\0\0\0\0\0\x06\0Sheet1" + bytes(9),
    "mail.msg": OLE,
    "notes.txt": b"MZ CR announces: do not open a.exe\n" * 9,
    "list.csv": b"ID;Preis;Name\n1;2,50;Apfel\n",
    "data.json": b'{"script": "<script>", "on": 1}',
    "feed.xml": b"<?xml version='1.0'?><rss><item onclick='1'>text</item></rss>",
    "invoice.xml": b"<?xml version='1.0'?><rsm:CrossIndustryInvoice/>",
    "invite.ics": b"BEGIN:VCALENDAR\r\nMETHOD:REQUEST\r\nEND:VCALENDAR\r\n",
    "card.vcf": b"BEGIN:VCARD\r\nFN:A\r\nEND:VCARD\r\n",
    "signature.asc": b"-----BEGIN PGP SIGNATURE-----\n\niQ==\n-----END PGP SIGNATURE-----\n",
    "smime.p7s": b"0\x82" + bytes(100),
    "report.rtf": b"{\\rtf1 text}",
    "song.mp3": b"ID3\x04" + bytes(200),
    "film.mp4": b"\0\0\0\x18ftypmp42" + bytes(200),
    "voice.wav": b"RIFF\0\0\0\0WAVEfmt " + bytes(100),
    "drawing.dwg": b"AC1032" + bytes(100),
    "font.woff2": b"wOF2" + bytes(100),
    "program.py": b"print('hello')\n",
    "change.patch": b"--- a/x\n+++ b/x\n@@ -1 +1 @@\n-begin 644 a\n+begin 644 b\n",
    "page.html": PAGE,
    "with-data.html": b'<html><script type="application/ld+json">{"@type": "Event"}</script></html>',
    "picture.svg": PICTURE,
    "picture.svgz": gzip.compress(PICTURE),
    "forwarded.eml": MAIL,
    "photos.zip": zipped({"a/1.jpg": b"\xff\xd8\xff" * 99, "a/2.jpg": b"x"}, zipfile.ZIP_STORED),
    "mails.zip": zipped({"1.eml": MAIL, "2.eml": MAIL}),
    "site.zip": zipped({"index.html": PAGE, "style.css": b"a{}", "logo.svg": PICTURE}),
    "nested.zip": zipped({"inner.zip": zipped({"deep.docx": DOCX})}),
    "empty.zip": zipped({}),
    "lzma.zip": zipped({"a.txt": b"text" * 99}, zipfile.ZIP_LZMA),
    "source.tar.gz": gzip.compress(tarred({"src/main.c": b"int main;", "src/README": b"x"})),
    "source.tgz": gzip.compress(tarred({"d" * 120 + "/main.c": b"int main;"})),
    "log.gz": gzip.compress(b"line\n" * 9999),
    "log.bz2": bz2.compress(b"line\n" * 99),
    "log.xz": lzma.compress(b"line\n" * 99),
    "log.zst": written("raw", {"log": b"line\n" * 99}, "zstd"),
    "documents.7z": ARCHIVES["7z"]({"ein Brief.docx": DOCX, "ä/ö.txt": b"x"}),
    "documents.rar": ARCHIVES["rar"]({"a.docx": DOCX}),
    "documents5.rar": ARCHIVES["rar5.rar"]({"a.docx": DOCX}),
    "winmail.dat": winmail({"report.docx": DOCX, "logo.png": b"\x89PNG"}),
    "שלום.pdf": b"%PDF-1.4",
    "Договор.docx": DOCX,
    "契約書.pdf": b"%PDF-1.4",
    "a.b.c.pdf": b"%PDF-1.4",
    "no extension": b"text",
    "Re: .exe files": b"text",
    "random.bin": bytes(range(256)) * 20,
}  # fmt: skip
TYPES = {
    "pdf": "application/pdf",
    "svg": "image/svg+xml",
    "html": "text/html",
    "eml": "message/rfc822",
    "txt": "text/plain",
}


@pytest.mark.parametrize("name", FILES)
@pytest.mark.parametrize("typed", [False, True])
def test_it_passes(name: str, typed: bool) -> None:
    kind = TYPES.get(name.rpartition(".")[2], "application/octet-stream") if typed else "application/octet-stream"
    encoded = base64.encodebytes(FILES[name])
    fields = (
        f'Content-Type: {kind}\nContent-Disposition: attachment; filename="{name}"\nContent-Transfer-Encoding: base64'
    )
    body = b"--x\nContent-Type: text/plain\n\nhello\n--x\n" + fields.encode() + b"\n\n" + encoded + b"\n--x--\n"
    assert inspect(MIXED, body, RULES) == []


@pytest.mark.parametrize(
    ("fields", "content"),
    [
        ("Content-Type: text/plain; charset=utf-8", b"Begin 644 things and <script> tags.\nbegin with a.exe\n"),
        (
            "Content-Type: text/plain",
            b"From: a\nSubject: quoted\nMIME-Version: 1.0\nContent-Type: a/b; name=a.exe\n\nx\n",
        ),
        ("Content-Type: text/plain\nContent-Transfer-Encoding: 8bit;", "grüße".encode()),
        ("Content-Type: text/html\nContent-Transfer-Encoding: 7BIT", PAGE),
        ("Content-Type: text/html; charset=utf-16", b"\xff\xfe" + PAGE.decode().encode("utf-16-le")),
        ('Content-Type: text/plain; name="letter (final).txt"', b"x"),
        ("Content-Type: text/calendar; method=REQUEST", b"BEGIN:VCALENDAR\r\nEND:VCALENDAR\r\n"),
    ],
)
def test_a_text_passes(fields: str, content: bytes) -> None:
    body = b"--x\n" + fields.encode() + b"\n\n" + content + b"\n--x--\n"
    assert inspect(MIXED, body, RULES) == []


def test_images_of_disks_and_cabinets_pass_where_they_are_not_banned() -> None:
    rules = Rules(banned=DEFAULT_BANNED - {"iso", "cab"}, unreadable=Treatment.BAN)
    for kind in ("iso", "cab"):
        body = base64.encodebytes(ARCHIVES[kind]({"a.txt": b"x"}))
        head = [("Content-Type", f"a/b; name=a.{kind}"), ("Content-Transfer-Encoding", "base64")]
        assert inspect(head, body, rules) == []


def test_as_shipped_macros_and_passwords_are_only_reported() -> None:
    body = base64.encodebytes(zipped({"word/vbaProject.bin": b"x"}))
    head = [("Content-Type", "a/b; name=a.docm"), ("Content-Transfer-Encoding", "base64")]
    assert {found.remedy for found in inspect(head, body)} == {REPORT}
