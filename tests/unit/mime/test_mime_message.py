"""mime: what is not changed leaves as it came; what pymilter's milters call works as they expect."""

from __future__ import annotations

import base64
import copy
import email.errors
import io
import pickle
import quopri
import zipfile
from collections.abc import Callable
from email.generator import BytesGenerator

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

import mime
from support.effort import in_proportion

WARNING_START = "This message appeared to contain a virus.\n"


def read(raw: bytes) -> mime.MimeMessage:
    return mime.message_from_file(io.BytesIO(raw))


def dumped(message: mime.MimeMessage, unixfrom: bool = False) -> bytes:
    out = io.BytesIO()
    message.dump(out, unixfrom)
    return out.getvalue()


def zipped(*names: str, **nested: bytes) -> bytes:
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w", zipfile.ZIP_DEFLATED) as archive:
        for name in names:
            archive.writestr(name, "x")
        for name, content in nested.items():
            archive.writestr(name.replace("_", "."), content)
    return out.getvalue()


def with_attachment(content: bytes, name: str, line_end: bytes = b"\n") -> bytes:
    lines = [
        b"Subject: a",
        b"Content-Type: multipart/mixed; boundary=x",
        b"",
        b"preamble ",
        b"--x",
        b"",
        b"text \xe9",
        b"--x",
        b"X-Keep:   yes",
        b"Content-Type: application/octet-stream;",
        b'\tname="' + name.encode() + b'"',
        b"Content-Transfer-Encoding: base64",
        b"",
        *base64.encodebytes(content).splitlines(),
        b"--x--  ",
        b"epilogue",
    ]
    return line_end.join(lines)


BROKEN = {
    "nothing": b"",
    "no header": b"\nbody",
    "no body": b"Subject: x",
    "no empty line": b"Subject: x\nno colon here\nbody",
    "CRLF": b"Subject: x\r\n\r\na\r\nb",
    "mixed line ends": b"A: 1\r\nB: 2\n\r\na\rb\nc\r\n\r",
    "folded with white space only": b"A: 1\n \n\t\nB:2\n\nx",
    "white space before the colon": b"Subject : x\nContent-Type\t: text/plain\n\nx",
    "a stray continuation first": b" x: y\nA: b\n\nc",
    "a field without a name": b"A: b\n: c\nD: e\n\nf",
    "8-bit": b"Subject: \xff\xfe\n\n\x80\x00\x81",
    "the boundary never comes": b"Content-Type: multipart/mixed; boundary=x\n\nfoo\n--y\nbar\n",
    "no boundary": b"Content-Type: multipart/mixed\n\n--x\n\nfoo\n--x--\n",
    "no end": b"Content-Type: multipart/mixed; boundary=x\n\n--x\n\nfoo",
    "empty parts": b"Content-Type: multipart/mixed; boundary=x\n\n--x\n--x\n\n--x\nA: b\n--x--",
    "two ends": b"Content-Type: multipart/mixed; boundary=x\n\n--x\n\na\n--x--\n--x\n\nb\n--x--\n",
    "same boundary twice": b"Content-Type: multipart/mixed; boundary=x\n\n--x\nContent-Type: multipart/mixed; boundary=x\n\n"
    b"--x\n\na\n--x--\n--x--\n",
    "white space after the delimiter": b"Content-Type: multipart/mixed; boundary=x\n\n--x \t\r\n\na\r\n--x-- \r\n",
    "a status": b"Content-Type: message/delivery-status\n\nA: b\r\n\r\n\r\nC: d\njunk\n\n",
    "an encoded message": b"Content-Type: message/rfc822\nContent-Transfer-Encoding: base64\n\n"
    + base64.b64encode(b"A: b\n\nc"),
}


class TestIdentity:
    @pytest.mark.parametrize("raw", BROKEN.values(), ids=BROKEN.keys())
    def test_broken_mail_leaves_as_it_came(self, raw: bytes) -> None:
        message = read(raw)
        assert not message.ismodified()
        assert dumped(message) == raw

    @given(st.binary(max_size=400))
    @example(b"From :x")
    def test_any_bytes_leave_as_they_came(self, raw: bytes) -> None:
        message = read(raw)  # "From :" is a field, and no mailbox line
        assert dumped(message, unixfrom=message.get_unixfrom() is not None) == raw

    @given(
        st.lists(
            st.sampled_from(
                [b"\n", b"\r\n", b"\r", b"--x", b"--y", b"--", b"Content-Type: multipart/mixed; boundary=x", b"a", b" ", b":",
                 b"Content-Type: multipart/digest; boundary=y", b"Content-Type: message/rfc822", b"From z", b"\xff", b"A: b",
                 b"Content-Transfer-Encoding: base64", b"QTogYgoKYw==", b"Content-Type: message/delivery-status"]
            ),
            max_size=40,
        ).map(b"".join)
    )  # fmt: skip
    def test_any_structure_leaves_as_it_came(self, raw: bytes) -> None:
        message = read(raw)
        for part in message.walk():
            part.get_payload()
            part.get_payload(decode=True)
            part.getnames()
            part.get_submsg()
        assert not message.ismodified()
        assert dumped(message, unixfrom=message.get_unixfrom() is not None) == raw

    def test_the_mailbox_line_is_written_on_demand(self) -> None:
        message = read(b"From a@b  Mon\r\nA: b\n\nc")
        assert message.get_unixfrom() == "From a@b  Mon"
        assert dumped(message) == b"A: b\n\nc"
        assert dumped(message, unixfrom=True) == b"From a@b  Mon\r\nA: b\n\nc"

    @given(st.binary(max_size=200), st.sampled_from([b"\n", b"\r\n"]))
    def test_changing_one_part_leaves_all_others(self, noise: bytes, line_end: bytes) -> None:
        noise = noise.replace(b"--x", b"")
        head = b"A: " + noise.replace(b"\n", b"") + b"\nContent-Type: multipart/mixed; boundary=x\n\n"
        head += noise + b"\n--x\n\n" + noise
        tail = line_end + b"--x--" + line_end + noise
        part = b"X: y" + line_end + b"Content-Type: a/b; name=v.exe" + line_end * 2 + b"MZ"
        message = read(head + line_end + b"--x" + line_end + part + tail)
        assert mime.defang(message, "saved")
        out = dumped(message)
        assert out.startswith(head + line_end + b"--x" + line_end + b"X: y" + line_end + b"Content-Type: text/plain")
        assert out.endswith(tail)

    def test_an_added_field_leaves_the_others(self) -> None:
        message = read(b"B:  folded\r\n\tvalue \r\nA : b\r\n\r\nbody\n")
        message["New"] = "x"
        assert dumped(message) == b"B:  folded\r\n\tvalue \r\nA : b\r\nNew: x\r\n\r\nbody\n"

    def test_a_change_inside_an_encoded_message_is_encoded_again(self) -> None:
        inner = b"Subject: s\r\nContent-Type: a/b; name=a.exe\r\n\r\nMZ\r\n"
        message = read(b"Content-Type: message/rfc822\nContent-Transfer-Encoding: base64\n\n" + base64.b64encode(inner))
        assert mime.defang(message)
        again = read(dumped(message))
        assert again.get_payload(0)["subject"] == "s"
        assert again.get_payload(0).get_payload().startswith(WARNING_START)


class TestHeaderChange:
    def test_each_change_of_the_message_itself_is_reported(self) -> None:
        calls: list[tuple[str, str | None]] = []
        message = read(b"X-Y: 1\nX-Y: 2\n\n")
        message.headerchange = lambda _, name, value: calls.append((name, value))
        message["New"] = "v"
        del message["X-Y"]
        message.replace_header("New", "w")
        message.add_header("Content-Disposition", "attachment", filename="x.y")
        assert calls == [
            ("New", "v"),
            ("X-Y", None),
            ("New", None),
            ("New", "w"),
            ("Content-Disposition", 'attachment; filename="x.y"'),
        ]
        assert message.ismodified()

    def test_deletion_is_reported_before_it_happens(self) -> None:
        counts: list[int] = []
        message = read(b"X-Y: 1\nX-Y: 2\n\n")
        message.headerchange = lambda changed, name, _: counts.append(len(changed.getheaders(name)))
        del message["X-Y"]
        assert counts == [2]

    def test_changes_of_parts_are_not_reported(self) -> None:
        calls: list[object] = []
        message = read(with_attachment(b"MZ", "a.exe"))
        message.headerchange = lambda *change: calls.append(change)
        assert mime.defang(message)
        assert not calls


class TestContent:
    def test_text_has_line_feeds_and_its_charset(self) -> None:
        message = read(b"Content-Type: text/plain; charset=utf-8\n\n\xc3\xa9\r\n")
        assert message.get_payload() == "é\n"

    @pytest.mark.parametrize("charset", ["nonsense", "idna", "a\0b", '"', "punycode", "hex", "utf-8''x"])
    def test_a_foolish_charset_never_raises(self, charset: str) -> None:
        for form in (f"charset={charset}", f"charset*={charset}''x"):
            message = read(f"Content-Type: text/plain; {form}\n\n".encode() + b"\xff\n")
            assert isinstance(message.get_payload(), str)
            message.get_content_charset()

    def test_a_replaced_body_takes_the_line_ends_of_the_old_one(self) -> None:
        message = read(b"A: b\n\nold\r\nlines\r\n")
        message.set_payload("new\nlines\n")
        assert dumped(message) == b"A: b\n\nnew\r\nlines\r\n"

    def test_parts_can_be_added_and_removed(self) -> None:
        message = read(with_attachment(b"MZ", "a.txt", b"\r\n"))
        message.get_payload().pop()
        assert message.ismodified()
        again = read(dumped(message))
        assert [part.get_payload() for part in again.get_payload()] == ["text \ufffd"]
        assert again.preamble == "preamble "
        assert again.epilogue == "epilogue"

    def test_the_generators_of_the_library_still_work(self) -> None:
        raw = with_attachment(b"MZ", "a.txt")
        library, ours = io.BytesIO(), io.BytesIO()
        BytesGenerator(library).flatten(read(raw))
        mime.MimeGenerator(ours).flatten(read(raw))
        assert b'name="a.txt"' in library.getvalue()
        assert ours.getvalue() == raw

    def test_a_message_in_an_attachment_is_found_and_changed_in_place(self) -> None:
        raw = with_attachment(b"Subject: s\nContent-Type: a/b; name=a.exe\n\nMZ\n", "fw.eml")
        message = read(raw)
        inner = message.get_payload(1).get_submsg()
        assert isinstance(inner, mime.MimeMessage)
        assert not message.ismodified()
        mime.check_name(inner)
        assert message.ismodified()
        written = read(dumped(message)).get_payload(1).get_submsg()
        assert written.get_payload().startswith(WARNING_START)

    def test_defects_are_those_of_the_email_package(self) -> None:
        message = read(BROKEN["the boundary never comes"])
        assert any(isinstance(defect, email.errors.StartBoundaryNotFoundDefect) for defect in message.defects)

    def test_a_copy_is_like_the_original(self) -> None:
        raw = with_attachment(b"MZ", "a.exe", b"\r\n")
        copied = copy.deepcopy(read(raw))
        assert dumped(copied) == raw
        assert mime.defang(copied)
        assert dumped(pickle.loads(pickle.dumps(read(raw)))) == raw

    def test_a_new_message_can_be_written(self) -> None:
        message = mime.MimeMessage()
        assert not message.ismodified()
        message["A"] = "b"
        message.set_payload("x")
        assert message.as_bytes() == b"A: b\n\nx"


class TestNames:
    def test_names_are_pairs(self) -> None:
        message = read(
            b"Content-Type: text/plain; name=a.txt\nContent-Disposition: attachment; filename*=utf-8''f%20o.exe\n\n"
        )
        assert message.getnames()[:3] == [("text/plain", ""), ("name", "a.txt"), ("filename", "f o.exe")]
        assert message.getname() == "a.txt"
        assert message.getfilename() == "f o.exe"

    @pytest.mark.parametrize(
        "fields",
        [
            "Content-Type: a/b; name*0=foo; name*1=.exe",
            "Content-Type: a/b; name*1=.exe; name*0=foo",
            "Content-Type: a/b; name*0*=utf-8''foo%2E; name*1*=e%78e",
            "Content-Type: a/b; name==?utf-8?q?foo=2Eexe?=",
            'Content-Type: a/b; name="=?utf-8?q?what?.exe?="',
            'Content-Disposition: attachment; filename="=?utf-8?b?Zm9vLmV4ZQ==?="',
            'Content-Disposition: attachment; filename="=?utf-8?b?Zm9v?=\n =?utf-8?b?LmV4ZQ==?="',
            "Content-Type: a/b; name=foo.txt; name=foo.exe",
            'Content-Type: a/b; name="foo.exe',
            "Content-Type: a/b name=foo.exe",
            "Content-Type: a/b; name = foo.exe (comment)",
            'Content-Type: a/b; name="foo.\n exe"',
            "Content-Type: text/plain\nContent-Type: a/b; name=foo.exe",
        ],
    )
    def test_every_reading_of_a_name_is_checked(self, fields: str) -> None:
        message = read(f"{fields}\n\nMZ".encode())
        assert mime.defang(message)

    @pytest.mark.parametrize(
        "end",
        [" ", "\t", "  \t ", ".", " . ", "\xa0", "\u200b", "\u180e", "\u2800", "\ufe0f", "\u115f", "\u3164", "\U000e0041",
         "\0", "\0.txt", ":x", "::$DATA", "\u2060.\u200e"],
    )  # fmt: skip
    def test_what_shows_nothing_at_the_end_hides_no_extension(self, end: str) -> None:
        """Windows drops blanks and dots there, and readers do not show the others."""
        assert mime.check_ext(f"a.exe{end}") == f"a.exe{end}"

    @pytest.mark.parametrize("name", ["a.e\u200bxe", "a\u2024exe", "a.\uff45\uff58\uff45", "A.EXE "])
    def test_what_is_opened_as_another_name_is_judged_by_that(self, name: str) -> None:
        assert mime.check_ext(name) == name

    @pytest.mark.parametrize("name", ["exe", "a.exe.txt", "a.txt ", "executive.doc", "a.ex e.b", "...", " ", "\u200b"])
    def test_other_names_pass(self, name: str) -> None:
        assert mime.check_ext(name) is None

    @given(st.text(max_size=40))
    def test_no_name_raises(self, name: str) -> None:
        assert mime.check_ext(name) in (name, None)
        assert mime.check_ext(name + "a.exe" + "\u2800. " * 20)

    @pytest.mark.parametrize("written", ['"a.exe "', '"a.exe\t"', "a.exe\t", '"a.exe\u2800"', '"a.exe."'])
    @pytest.mark.parametrize("field", ["Content-Type: a/b; name=", "Content-Disposition: attachment; filename="])
    def test_an_attachment_with_such_a_name_is_replaced(self, field: str, written: str) -> None:
        assert mime.defang(read(f"{field}{written}\n\nMZ".encode()))

    @pytest.mark.parametrize("noise", ["name=b; " * 100, "x=" + "y" * 70_000 + "; "])
    def test_a_name_behind_more_than_is_looked_at_does_not_pass(self, noise: str) -> None:
        assert mime.defang(read(f"Content-Type: a/b; {noise}name=a.exe\n\nMZ".encode()))

    def test_parameters_have_lower_case_names(self) -> None:
        message = read(b'Content-Type: TEXT/Plain; NAME="A.txt "; Charset=UTF-8\n\n')
        assert message.getparams() == [("TEXT/Plain", ""), ("name", "A.txt "), ("charset", "UTF-8")]
        assert message.getfilename() == "A.txt"

    def test_names_inside_of_archives(self) -> None:
        content = zipped("a.txt", b_zip=zipped("c.pif"))
        message = read(with_attachment(content, "a.zip")).get_payload(1)
        assert {"a.txt", "b.zip", "c.pif"} <= {
            name for kind, name in message.getnames(scan_zip=True) if kind == "zipname"
        }

    def test_an_archive_that_cannot_be_read_is_replaced(self) -> None:
        with pytest.raises(zipfile.BadZipFile):
            mime.zipnames(b"junk")
        message = read(with_attachment(b"junk", "a.zip"))
        assert not mime.defang(message)
        assert mime.defang(message, scan_zip=True)
        assert "named 'a.zip'" in message.get_payload(1).get_payload()

    def test_a_dangerous_name_in_an_archive_reports_the_archive(self) -> None:
        message = read(with_attachment(zipped("x.exe"), "a.zip"))
        assert mime.defang(message, "kept", scan_zip=True)
        assert "named 'a.zip'" in message.get_payload(1).get_payload()
        assert ":kept'" in message.get_payload(1).get_payload()


class TestChecks:
    def test_a_code_ends_the_walk(self) -> None:
        seen: list[str] = []

        def check(part: mime.MimeMessage) -> int:
            seen.append(part.get_content_type())
            return 7

        assert mime.check_attachments(read(with_attachment(b"", "a")), check) == 7
        assert seen == ["text/plain"]

    def test_forwarded_messages_are_entered_on_demand(self) -> None:
        raw = b"Content-Type: message/rfc822\n\nContent-Type: a/b; name=a.exe\n\nMZ"
        assert not mime.defang(read(raw), scan_rfc822=False)
        assert mime.defang(read(raw))

    @pytest.mark.parametrize("encoding", ["7bit", "8bit", "base64", "quoted-printable"])
    def test_scripts_go_and_everything_else_stays(self, encoding: str) -> None:
        html = "<p>é</p>\r\n<script>x()</script>\r\n<b title='a>b'>&nbsp;&bogus"
        encode = {"base64": base64.encodebytes, "quoted-printable": quopri.encodestring}.get(encoding, bytes)
        body = encode(html.encode("latin-1"))
        message = read(f"Content-Type: text/html\nContent-Transfer-Encoding: {encoding}\n\n".encode() + body)
        assert mime.check_html(message) == 0
        assert message.ismodified()
        cleaned = read(dumped(message))
        assert cleaned.getencoding() == encoding
        expected = html.replace("<script>x()</script>", mime.HTMLScriptFilter.msg).replace("\r\n", "\n")
        assert cleaned.get_payload(decode=True).decode("latin-1").replace("\r\n", "\n") == expected

    def test_html_without_scripts_is_not_touched(self) -> None:
        message = read(b"Content-Type: text/html\n\n<p>&bogus <a b=c>")
        mime.check_html(message)
        assert not message.ismodified()


class TestHostile:
    """Bounded time and memory, and never a RecursionError."""

    def treat(self, raw: bytes) -> None:
        message = read(raw)
        mime.defang(message, scan_zip=True)
        dumped(message)

    def test_a_hundred_thousand_parts(self) -> None:
        raw = b"Content-Type: multipart/mixed; boundary=x\n\n" + b"--x\n\na\n" * 100_000 + b"--x--\n"
        message = read(raw)
        assert dumped(message) == raw
        assert len(message.get_payload()) < 20_000
        assert mime.defang(message)  # what was not looked at does not pass

    def test_messages_nested_ten_thousand_deep(self) -> None:
        def nested(depth: int) -> bytes:
            return b"Content-Type: message/rfc822\n\n" * depth + b"Content-Type: a/b; name=a.exe\n\nMZ"

        assert in_proportion(self.treat, nested, 10_000)
        raw = nested(10_000)
        assert mime.defang(read(raw))
        assert dumped(read(raw)) == raw

    def test_multiparts_nested_ten_thousand_deep(self) -> None:
        level = b"Content-Type: multipart/mixed; boundary=b%d\n\n--b%d\n"

        def nested(depth: int) -> bytes:
            return b"".join(level % (n, n) for n in range(depth))

        assert in_proportion(self.treat, nested, 10_000)
        raw = nested(10_000)
        assert dumped(read(raw)) == raw
        for _ in read(raw).walk():
            pass

    @pytest.mark.parametrize(
        "make",
        [
            lambda count: b'Content-Type: a/b; name="' + b";" * (4 * count),
            lambda count: b"Content-Type: a/b; " + b'name="\\"' * count,
            lambda count: b"Content-Type: a/b; " + b"name=" * count,
            lambda count: b"Content-Type: a/b; " + b"".join(b"name*%d=x;" % n for n in range(count)),
            lambda count: b"Content-Type: a/b; name*" + b"9" * (2 * count) + b"=x",
            lambda count: b'Content-Type: a/b; name="' + b"=?utf-8?q?x?= " * count + b'"',
            lambda count: b"Content-Type: text/html\n\n" + b"<a " * (4 * count),
            lambda count: b"Content-Type: text/html\n\n<script>" + b"</" * (4 * count),
            lambda count: b"Content-Type: text/html\n\n<script>" + b"<!--" * (4 * count),
            lambda count: b"Content-Type: text/html\n\n" + b"<script" * (2 * count),
            lambda count: b"Content-Type: text/html\n\n" + b"<script>" * (2 * count) + b'<a x="' * count + b">",
        ],
    )
    def test_no_input_takes_quadratic_time(self, make: Callable[[int], bytes]) -> None:
        assert in_proportion(self.treat, make, 50_000)


class TestScriptFilter:
    def clean(self, html: str) -> str:
        out = io.StringIO()
        filtered = mime.HTMLScriptFilter(out)
        filtered.feed(html[: len(html) // 2])
        filtered.write(html[len(html) // 2 :])
        filtered.close()
        return out.getvalue()

    @given(st.lists(st.sampled_from([*"<>/!-\"'= sp&;#x", "<a ", "<!--", "-->", "<style>", "</style>"])).map("".join))
    def test_what_has_no_script_passes_unchanged(self, html: str) -> None:
        assert self.clean(html) == html

    @given(
        st.lists(
            st.sampled_from(
                ["<script>", "</script>", "<!--", "-->", "<!-->", "<style>", "</style>", '<a x="', "'", '"', ">", "<title>",
                 "<ScRipt x=y ", "<s\0cript>", "<svg:script>", "<noscript>", "x", " ", "<"]
            )
        ).map("".join)
    )  # fmt: skip
    def test_no_context_hides_a_script(self, html: str) -> None:
        cleaned = self.clean(html).lower().replace("\0", "")
        assert "<script>" not in cleaned
        assert "<script " not in cleaned
        assert "<svg:script" not in cleaned

    @pytest.mark.parametrize(
        ("html", "expected"),
        [
            ("a<SCRIPT src='>'>b</SCRIPT >c", f"a{mime.HTMLScriptFilter.msg}c"),
            ("a<script>b", f"a{mime.HTMLScriptFilter.msg}"),
            ("<style><!--</style><script>b</script>-->", f"<style><!--</style>{mime.HTMLScriptFilter.msg}-->"),
            ("<!-- <script>a</script> -->z", "<!-- <x-script>a</script> -->z"),
            ("</script>x", "</script>x"),
        ],
    )
    def test_examples(self, html: str, expected: str) -> None:
        assert self.clean(html) == expected

    def test_a_derived_filter_sees_tags_by_name(self) -> None:
        seen: list[object] = []

        class Links(mime.SGMLFilter):
            def start_a(self, attributes: object) -> None:
                seen.append(attributes)

            def end_a(self) -> None:
                seen.append("end")

            def do_img(self, attributes: object) -> None:
                seen.append(attributes)

        out = io.StringIO()
        links = Links(out)
        links.feed('<p CLASS="q" x>t<A HREF=y>l</A><img src=1>&amp;&#65;<?p i><!DOCTYPE x></P>')
        links.close()
        assert seen == [[("href", "y")], "end", [("src", "1")]]
        assert out.getvalue() == '<p CLASS="q" x>tl&amp;&#65;<?p i><!DOCTYPE x></P>'
