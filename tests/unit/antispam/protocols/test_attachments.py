"""antispam.protocols.attachments: what is found, and that a rewritten message differs only where something was found."""

from __future__ import annotations

import base64
import json
import quopri
from dataclasses import replace

import pytest

from antispam.protocols.attachments import (
    BIDI,
    EXTENSION,
    LIMIT,
    NOTICE,
    OPAQUE,
    REPLACE,
    REPORT,
    SCRIPT,
    STRIP,
    Finding,
    HeaderChange,
    Limits,
    Rules,
    dangerous_name,
    inspect,
    rewrite,
)

MIXED = [("Subject", "s"), ("Content-Type", "multipart/mixed; boundary=x")]


def parts(*parts: bytes, line_end: bytes = b"\r\n") -> bytes:
    """A multipart body with boundary x around these parts, with a preamble and an epilogue."""
    lines = [b"preamble"]
    for part in parts:
        lines += [b"--x", part.replace(b"\n", line_end)]
    return line_end.join([*lines, b"--x--", b"epilogue \xff"])


def attachment(fields: str, content: bytes = b"MZ") -> bytes:
    encoded = base64.encodebytes(content).rstrip()
    return fields.encode("utf-8") + b"\nContent-Transfer-Encoding: base64\n\n" + encoded


EXE = attachment("X-Keep: 1\nContent-Type: application/octet-stream; name=a.exe")
TEXT = b"Content-Type: text/plain\n\nhello \xe9"


class TestNames:
    @pytest.mark.parametrize(
        "name",
        [
            "a.exe",
            "A.EXE",
            "invoice.pdf.exe",
            "a.exe.",
            "a.exe . .",
            "a.exe\0.txt",
            "a.e\0xe",
            "a.exe::$DATA",
            "a.exe:b.txt",
            "a.e\u200bxe",
            "a.ｅｘｅ",
            "dir/a.exe",
            "c:\\dir\\a.exe",
            "a.exe/",
            "'a.exe'",
            "a.{3050f4d8-98b5-11cf-bb82-00aa00bdce0b}",
            ".scr",
        ],
    )
    def test_a_name_that_runs_on_a_click(self, name: str) -> None:
        verdict = dangerous_name(name)
        assert verdict is not None
        assert verdict[0] == EXTENSION

    def test_a_name_that_is_shown_backwards(self) -> None:
        verdict = dangerous_name("photo\u202etxt.jpg")
        assert verdict is not None
        assert verdict[0] == BIDI

    @pytest.mark.parametrize(
        "name", ["", "exe", "a.txt", "a.exe.txt", "exe.pdf", "a.", "שלום.pdf", "a b.docx", "..", "\0"]
    )
    def test_a_name_that_does_not(self, name: str) -> None:
        assert dangerous_name(name) is None

    @pytest.mark.parametrize(
        "fields",
        [
            "Content-Type: a/b; name=a.exe",
            'Content-Disposition: attachment; filename="a.exe"',
            "Content-Disposition: attachment; filename*0=a; filename*1=.exe",
            "Content-Disposition: attachment; filename*1=.exe; filename*0=a",
            "Content-Disposition: attachment; filename*0*=utf-8''a%2E; filename*1*=%65xe",
            "Content-Disposition: attachment; filename*00=a; filename*01=.exe",
            "Content-Disposition: attachment; filename*=utf-8''a%2Eexe; filename=a.txt",
            "Content-Disposition: attachment; filename=a.txt; filename=a.exe",
            "Content-Disposition: attachment; filename=a.txt\nContent-Type: a/b; name=a.exe",
            "Content-Disposition: attachment; filename=a.txt\nContent-Disposition: attachment; filename=a.exe",
            'Content-Type: a/b; name="=?utf-8?b?YS5leGU=?="',
            "Content-Type: a/b; name==?iso-8859-1?q?a=2Eexe?=",
            'Content-Type: a/b;\n\tname\n =\n "a.exe"',
            'Content-Type: a/b; name="a.exe',
            "Content-Type: a/b; name=my file.exe",
            'Content-Type: a/b; name="a.ex\\e"',
            "Content-Type: a/b\n ; NAME=a.exe",
            "Content-Type : a/b; name=a.exe",
            "Content-Type: a/b (; name=a.txt); name=a.exe",
            "X: y\rContent-Type: a/b; name=a.exe",
            "Content-Type: a/b\nbroken line\nContent-Disposition: attachment; filename=a.exe",
        ],
    )
    def test_every_reading_of_a_header(self, fields: str) -> None:
        found = inspect(MIXED, parts(TEXT, attachment(fields)))
        assert [(item.path, item.reason, item.remedy) for item in found] == [((2,), EXTENSION, REPLACE)]


class TestFindings:
    def test_honest_mail_has_none(self) -> None:
        assert inspect(MIXED, parts(TEXT, attachment('Content-Type: a/b; name="a.pdf"'))) == []

    def test_findings_are_json(self) -> None:
        for item in inspect(MIXED, parts(TEXT, EXE)):
            assert Finding.from_json(json.loads(json.dumps(item.to_json()))) == item

    def test_a_name_from_mail_is_printable(self) -> None:
        (item,) = inspect(MIXED, parts(attachment('Content-Type: a/b; name="\x1b[31m\u2028a.exe"')))
        assert item.name.isprintable()

    def test_a_forwarded_message(self) -> None:
        forwarded = (
            b"Content-Type: message/rfc822\n\nSubject: in\nContent-Type: multipart/mixed; boundary=y\n\n--y\n" + EXE
        )
        body = parts(TEXT, forwarded + b"\n--y--")
        assert [item.path for item in inspect(MIXED, body)] == [(2, 1, 1)]
        assert inspect(MIXED, body, Rules(scan_rfc822=False)) == []

    def test_a_forwarded_message_in_base64(self) -> None:
        body = parts(attachment("Content-Type: message/rfc822", b"Content-Type: a/b; name=a.exe\n\nMZ"))
        assert [item.path for item in inspect(MIXED, body)] == [(1, 1)]

    def test_a_message_in_an_attachment(self) -> None:
        body = parts(attachment("Content-Type: application/octet-stream; name=fw.eml", EXE))
        assert [(item.path, item.name) for item in inspect(MIXED, body)] == [((1,), "a.exe")]

    def test_uuencoded_text(self) -> None:
        body = b"hello\n\nbegin 644 a.exe\n#35H \n`\nend\n"
        assert [item.path for item in inspect([], body)] == [()]
        assert inspect([], b"begin 644 of the a.exe\n") == []

    def test_opaque_mail_is_reported_and_stays(self) -> None:
        headers = [("Content-Type", "application/pkcs7-mime; name=smime.p7m")]
        body = base64.encodebytes(b"\x30\x80")
        (item,) = inspect(headers, body)
        assert (item.reason, item.remedy) == (OPAQUE, REPORT)
        assert rewrite(headers, body, [item]).body == body


class TestReadersThatDisagree:
    """The strict reading shows nothing, another one does."""

    INNER = b"--y\nContent-Type: a/b; name=a.exe\n\nMZ\n--y--\n"

    @pytest.mark.parametrize(
        ("types", "body"),
        [
            (["multipart/mixed; boundary=x", "multipart/mixed; boundary=y"], INNER),
            (["text/plain", "multipart/mixed; boundary=y"], INNER),
            (["multipart/mixed; boundary=x; boundary=y"], INNER),
            (["multipart/mixed; boundary*0=x; boundary*1=z; boundary=q"], INNER),
            (["multipart/mixed"], INNER),
            (["multipart/mixed; boundary=z"], INNER),
            (["multipart / mixed; boundary=y"], INNER),
            (["multipart/mixed; boundary=x"], b"--x\n\nhi\n--xyz\nContent-Type: a/b; name=a.exe\n\nMZ\n--x--\n"),
            (
                ["multipart/mixed; boundary=x"],
                b"--x\nContent-Type: multipart/mixed; boundary=x\n\n" + INNER + b"--x--\n",
            ),
        ],
    )
    def test_what_only_some_see_is_found(self, types: list[str], body: bytes) -> None:
        headers = [("Content-Type", value) for value in types]
        found = inspect(headers, body)
        assert EXTENSION in {item.reason for item in found}
        assert b"name=a.exe" not in rewrite(headers, body, found).body

    def test_a_multipart_in_base64(self) -> None:
        headers = [*MIXED, ("Content-Transfer-Encoding", "base64")]
        assert inspect(headers, base64.encodebytes(parts(EXE)))[0].path == ()

    def test_two_transfer_encodings(self) -> None:
        html = base64.b64encode(b"<script>x</script>")
        fields = b"Content-Type: text/html\nContent-Transfer-Encoding: 7bit\nContent-Transfer-Encoding: base64\n\n"
        (item,) = inspect(MIXED, parts(fields + html))
        assert (item.reason, item.remedy) == (SCRIPT, REPLACE)

    def test_base64_that_goes_on_after_its_padding(self) -> None:
        html = base64.b64encode(b"<p>a") + b"\n" + base64.b64encode(b"<script>x</script>")
        fields = b"Content-Type: text/html\nContent-Transfer-Encoding: base64\n\n"
        assert [item.reason for item in inspect(MIXED, parts(fields + html))] == [SCRIPT]


class TestHtml:
    HTML = "<p>\u00e9&bogus</p><script>evil()</script><b>".encode("latin-1")

    @pytest.mark.parametrize("encoding", ["8bit", "base64", "quoted-printable"])
    def test_scripts_are_taken_out_and_the_rest_stays(self, encoding: str) -> None:
        encode = {"base64": base64.encodebytes, "quoted-printable": quopri.encodestring}.get(encoding, bytes)
        fields = f"Content-Type: text/html\nX: y\nContent-Transfer-Encoding: {encoding}\n\n".encode()
        body = parts(TEXT, fields + encode(self.HTML))
        found = inspect(MIXED, body)
        assert [(item.path, item.reason, item.remedy) for item in found] == [((2,), SCRIPT, STRIP)]
        changed = rewrite(MIXED, body, found)
        assert changed.headers == ()
        if encoding == "8bit":
            marker = b"<!-- WARNING: embedded script removed -->"
            assert changed.body == body.replace(b"<script>evil()</script>", marker)
        assert inspect(MIXED, changed.body) == []

    def test_scripts_in_signed_mail_are_reported_only(self) -> None:
        headers = [("Content-Type", "multipart/signed; boundary=x")]
        body = parts(b"Content-Type: text/html\n\n" + self.HTML, b"Content-Type: application/pgp-signature\n\nx")
        found = inspect(headers, body)
        assert [(item.reason, item.remedy) for item in found] == [(SCRIPT, REPORT)]
        assert rewrite(headers, body, found).body == body

    def test_a_dangerous_attachment_in_signed_mail_is_replaced(self) -> None:
        headers = [("Content-Type", "multipart/signed; boundary=x")]
        body = parts(EXE, b"Content-Type: application/pgp-signature\n\nx")
        assert b"name=a.exe" not in rewrite(headers, body, inspect(headers, body)).body

    @pytest.mark.parametrize("charset", ["utf-16", "utf-7", "utf-32", "cp037"])
    def test_a_charset_does_not_hide_a_script(self, charset: str) -> None:
        html = attachment(f"Content-Type: text/html; charset={charset}", "<script>x</script>".encode(charset))
        (item,) = inspect(MIXED, parts(html))
        assert (item.reason, item.remedy) == (SCRIPT, REPLACE)

    def test_utf7_in_its_usual_disguise(self) -> None:
        html = b"Content-Type: text/html; charset=utf-7\n\n+ADw-script+AD4-x+ADw-/script+AD4-"
        assert [item.reason for item in inspect(MIXED, parts(html))] == [SCRIPT]

    def test_it_can_be_switched_off(self) -> None:
        assert inspect([("Content-Type", "text/html")], self.HTML, Rules(scan_html=False)) == []

    def test_more_html_than_the_limit_is_a_finding(self) -> None:
        rules = Rules(limits=Limits(max_html_bytes=10))
        assert [item.reason for item in inspect([("Content-Type", "text/html")], b"<p>" * 10, rules)] == [LIMIT]


class TestRewrite:
    @pytest.mark.parametrize("line_end", [b"\r\n", b"\n"])
    def test_only_the_dangerous_part_changes(self, line_end: bytes) -> None:
        body = parts(TEXT, EXE, TEXT, line_end=line_end)
        changed = rewrite(MIXED, body, inspect(MIXED, body), "gone: $name, $reason, $reference\n", "ref-1")
        before, after = body.split(EXE.replace(b"\n", line_end))
        assert changed.body.startswith(before + b"X-Keep: 1" + line_end + b"Content-Type: text/plain")
        assert changed.body.endswith(after)
        assert b"gone: a.exe, extension (.exe is not accepted), ref-1" + line_end in changed.body
        assert changed.headers == ()
        assert inspect(MIXED, changed.body) == []

    def test_without_findings_nothing_changes(self) -> None:
        body = parts(TEXT, EXE)
        assert rewrite(MIXED, body, []).body == body

    def test_a_finding_that_is_not_in_the_message_changes_nothing(self) -> None:
        body = parts(TEXT, EXE)
        assert rewrite(MIXED, body, [Finding((9, 9), "x", EXTENSION)]).body == body

    def test_a_message_that_is_the_attachment_gets_a_new_header(self) -> None:
        headers = [
            (b"Content-Type", b"a/b; name=a.exe"),
            ("content-type", "a/b"),
            ("Content-Disposition", "attachment"),
            ("Content-Transfer-Encoding", "base64"),
        ]
        changed = rewrite(headers, b"TVo=\r\n", inspect(headers, b"TVo=\r\n"))
        assert changed.headers == (
            HeaderChange("Content-Disposition", 1, None),
            HeaderChange("Content-Transfer-Encoding", 1, "7bit"),
            HeaderChange("Content-Type", 2, None),
            HeaderChange("Content-Type", 1, 'text/plain; charset=us-ascii; name="WARNING.TXT"'),
        )
        assert b"a.exe" in changed.body
        assert b"\n" not in changed.body.replace(b"\r\n", b"")

    def test_a_part_of_an_encoded_message_is_replaced_inside_of_it(self) -> None:
        inner = b"Subject: in\nContent-Type: a/b; name=a.exe\n\nMZ"
        body = parts(attachment("Content-Type: message/rfc822", inner))
        changed = rewrite(MIXED, body, inspect(MIXED, body)).body
        decoded = base64.b64decode(changed.split(b"\r\n\r\n", 1)[1].split(b"--x--")[0])
        assert decoded.startswith(b"Subject: in\nContent-Type: text/plain")

    def test_text_beyond_ascii_in_a_notice(self) -> None:
        body = parts(attachment('Content-Type: a/b; name="größe.exe"'))
        changed = rewrite(MIXED, body, inspect(MIXED, body), "Entfernt: $name – weg").body
        assert b"charset=utf-8" in changed
        assert b"gr=C3=B6=C3=9Fe.exe" in changed

    def test_a_name_cannot_become_a_delimiter_or_a_field(self) -> None:
        body = parts(attachment('Content-Type: a/b; name="\r\n --x--\r\n.exe"'))
        changed = rewrite(MIXED, body, inspect(MIXED, body)).body
        assert changed.count(b"\r\n--x") == 2

    def test_the_outermost_replaced_part_wins(self) -> None:
        body = parts(TEXT, EXE)
        found = [*inspect(MIXED, body), Finding((), "m", LIMIT)]
        assert rewrite(MIXED, body, found, "all gone").body == b"all gone\r\n"

    def test_the_shipped_notice_names_all_it_should(self) -> None:
        assert {"$name", "$reason", "$reference"} <= set(NOTICE.split())


@pytest.mark.parametrize(("more", "expected"), [(b"", set()), (b"<a onclick=x>", {LIMIT})])
def test_tags_beyond_the_limit_count_only_where_they_must_be_looked_at(more: bytes, expected: set[str]) -> None:
    body = b"<html>" + b"<td>x</td>" * 200 + more
    found = inspect([("Content-Type", "text/html")], body, Rules(limits=Limits(max_html_tags=100)))
    assert {item.reason for item in found} == expected


def test_rules_can_ban_something_else() -> None:
    rules = replace(Rules(), banned=frozenset({"pdf"}))
    assert inspect(MIXED, parts(EXE), rules) == []
    assert len(inspect(MIXED, parts(attachment("Content-Type: a/b; name=a.pdf")), rules)) == 1
