"""antispam.protocols.attachments against input that must never win: bounded, and never silent."""

from __future__ import annotations

import base64
import io
import struct
import zipfile

import pytest
from hypothesis import given
from hypothesis import strategies as st

from antispam.protocols.attachments import LIMIT, REPORT, Finding, Limits, Rules, inspect, rewrite
from support.allocations import peak_of
from support.effort import in_proportion, no_dearer

ZIP = [("Content-Type", "application/zip; name=a.zip"), ("Content-Transfer-Encoding", "base64")]


def zipped(entries: dict[str, bytes], method: int = zipfile.ZIP_DEFLATED) -> bytes:
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w", method) as archive:
        for name, content in entries.items():
            archive.writestr(name, content)
    return out.getvalue()


def look(archive: bytes, limits: Limits | None = None) -> list[Finding]:
    return inspect(ZIP, base64.encodebytes(archive), Rules(limits=limits or Limits()))


def reasons(archive: bytes, limits: Limits | None = None) -> set[str]:
    return {item.reason for item in look(archive, limits)}


class TestArchives:
    def test_an_honest_archive(self) -> None:
        assert look(zipped({"a.txt": b"hello" * 100, "b/c.pdf": b"x", "d.zip": zipped({"e.txt": b"y"})})) == []

    def test_an_empty_archive(self) -> None:
        assert look(zipped({})) == []
        assert look(b"") == []

    @pytest.mark.parametrize("method", [zipfile.ZIP_DEFLATED, zipfile.ZIP_STORED, zipfile.ZIP_BZIP2])
    def test_a_dangerous_name(self, method: int) -> None:
        assert reasons(zipped({"a.txt": b"", "b/c.EXE ": b"MZ"}, method)) == {"extension"}

    @pytest.mark.parametrize("outer", [zipfile.ZIP_DEFLATED, zipfile.ZIP_STORED])
    @pytest.mark.parametrize("inner", [zipfile.ZIP_DEFLATED, zipfile.ZIP_STORED])
    def test_nested_archives_under_any_name(self, outer: int, inner: int) -> None:
        nested = zipped({"deep.jpg": zipped({"a.scr": b"x"}, inner)}, outer)
        (item,) = look(zipped({"harmless.dat": nested}, outer))
        assert item.reason == "extension"
        assert item.detail.count("a.scr") == 1

    def test_too_deep(self) -> None:
        archive = zipped({"a.exe": b""})
        for _ in range(10):
            archive = zipped({"n.zip": archive})
        assert reasons(archive) == {LIMIT}

    def test_a_bomb_inside(self) -> None:
        def bomb(size: int) -> bytes:
            return zipped({"n.zip": zipped({"zeros": bytes(size)}, zipfile.ZIP_STORED)})

        larger, large = bomb(80 << 20), bomb(20 << 20)
        with peak_of() as peak:
            assert LIMIT in reasons(large)
        assert peak.octets < 32 << 20
        assert no_dearer(lambda: look(larger), lambda: look(large), 2)

    def test_a_bomb_that_is_one_file(self) -> None:
        assert LIMIT in reasons(zipped({"zeros": bytes(32 << 20)}))

    def test_more_bytes_than_the_limit(self) -> None:
        inner = zipped({"x": bytes(range(256)) * 8000}, zipfile.ZIP_STORED)
        assert LIMIT in reasons(zipped({"n.zip": inner}), Limits(max_unpacked_bytes=1 << 20, max_ratio=10**6))

    def test_more_entries_than_the_limit(self) -> None:
        archive = zipped({f"{number}.txt": b"" for number in range(100)})
        assert reasons(archive, Limits(max_archive_entries=50)) == {LIMIT}

    def test_the_budget_is_shared_by_all_archives_of_a_message(self) -> None:
        part = b"--x\r\nContent-Type: application/zip\r\nContent-Transfer-Encoding: base64\r\n\r\n"
        part += base64.encodebytes(zipped({f"{number}.txt": b"" for number in range(10)}))
        headers = [("Content-Type", "multipart/mixed; boundary=x")]
        limits = Limits(max_archive_entries=50)
        assert inspect(headers, part * 2 + b"--x--", Rules(limits=limits)) == []
        found = inspect(headers, part * 3 + b"--x--", Rules(limits=limits))
        assert {(item.path, item.reason) for item in found} == {((3,), LIMIT)}

    @pytest.mark.parametrize("name", ["../a.txt", "a/../../b.txt", "/etc/a", "c:\\a", "..\\a", "\\\\host\\a"])
    def test_names_that_leave_the_folder(self, name: str) -> None:
        assert reasons(zipped({name: b""})) == {"archive-path"}

    def test_an_encrypted_archive_is_reported(self) -> None:
        archive = bytearray(zipped({"a.txt": b"x"}))
        archive[6] |= 1
        archive[archive.index(b"PK\x01\x02") + 8] |= 1
        assert {(item.reason, item.remedy) for item in look(bytes(archive))} == {("encrypted-archive", REPORT)}

    def test_names_of_an_encrypted_archive_are_looked_at(self) -> None:
        archive = bytearray(zipped({"a.exe": b"x"}))
        archive[6] |= 1
        assert "extension" in reasons(bytes(archive))

    def test_the_two_headers_disagree_on_the_name(self) -> None:
        archive = zipped({"a.txt": b"x"})
        for at in (archive.index(b"a.txt"), archive.rindex(b"a.txt")):
            assert reasons(archive[:at] + b"a.exe" + archive[at + 5 :]) == {"extension"}

    def test_the_two_headers_disagree_on_the_size(self) -> None:
        archive = bytearray(zipped({"a.txt": b"x" * 100}))
        struct.pack_into("<L", archive, archive.index(b"PK\x01\x02") + 24, 7)
        assert reasons(bytes(archive)) == {"archive-sizes"}

    def test_entries_that_overlap(self) -> None:
        archive = bytearray(zipped({"a.txt": b"x" * 50, "b.txt": b"y" * 50}, zipfile.ZIP_STORED))
        first = archive.index(b"PK\x01\x02")
        second = archive.index(b"PK\x01\x02", first + 4)
        struct.pack_into("<L", archive, second + 42, 10)
        assert "archive-overlap" in reasons(bytes(archive))

    def test_an_archive_without_its_directory(self) -> None:
        archive = zipped({"a.exe": b"x"})
        assert reasons(archive[: archive.index(b"PK\x01\x02")]) == {"extension"}

    def test_an_archive_behind_something_else(self) -> None:
        headers = [("Content-Type", "image/png; name=a.png")]
        (item,) = inspect(headers, b"\x89PNG" + zipped({"a.exe": b"x"}))
        assert item.reason == "extension"

    def test_something_else_under_the_name_of_an_archive(self) -> None:
        assert reasons(b"MZ is no archive") == {"unreadable-archive"}

    @given(st.binary(max_size=300), st.integers(0, 300), st.integers(0, 300))
    def test_a_damaged_archive_never_raises(self, noise: bytes, at: int, length: int) -> None:
        archive = zipped({"a.txt": b"hello", "n.zip": zipped({"b.txt": b"c" * 500})})
        look(archive[:at] + noise + archive[at + length :])


class TestStructure:
    HEADERS = (("Content-Type", "multipart/mixed; boundary=x"),)

    def treat(self, body: bytes) -> list[Finding]:
        found = inspect(self.HEADERS, body)
        rewrite(self.HEADERS, body, found)
        return found

    def test_a_hundred_thousand_parts(self) -> None:
        def parts(count: int) -> bytes:
            return b"--x\r\n\r\na\r\n" * count + b"--x\r\nContent-Type: a/b; name=a.exe\r\n\r\n--x--"

        assert {(item.path, item.reason) for item in self.treat(parts(100_000))} == {((), LIMIT)}
        assert in_proportion(self.treat, parts, 100_000)

    def test_messages_a_thousand_deep(self) -> None:
        def nested(depth: int) -> bytes:
            return b"--x\n" + b"Content-Type: message/rfc822\n\n" * depth + b"\n--x--\n"

        assert {item.reason for item in self.treat(nested(1000))} == {LIMIT}
        assert in_proportion(self.treat, nested, 1000)

    @staticmethod
    def encoded(fields: bytes, times: int) -> bytes:
        """A dangerous part that was encoded so many times."""
        message = b"Content-Type: a/b; name=a.exe\n\nMZ"
        for _ in range(times):
            message = fields + b"\nContent-Transfer-Encoding: base64\n\n" + base64.b64encode(message)
        return b"--x\n" + message + b"\n--x--\n"

    def test_encoded_messages_in_encoded_messages(self) -> None:
        """Each is a third larger than what is in it: all together cost a few times what the outermost does."""
        fields = b"Content-Type: message/rfc822"
        deep = self.encoded(fields, 20)
        flat = self.encoded(fields, 1)[:-7] + b"A" * len(deep) + b"\n--x--\n"
        assert LIMIT in {item.reason for item in self.treat(deep)}
        assert no_dearer(lambda: self.treat(deep), lambda: self.treat(flat), 20)

    def test_attached_messages_in_attached_messages(self) -> None:
        """The same; what is attached under the name of a message is decoded, too."""
        fields = b"Content-Type: a/b; name=a.eml"
        deep = self.encoded(fields, 8)
        flat = self.encoded(fields, 1)[:-7] + b"A" * len(deep) + b"\n--x--\n"
        assert self.treat(deep)
        assert no_dearer(lambda: self.treat(deep), lambda: self.treat(flat), 20)

    def test_nothing_but_lines_that_look_like_delimiters(self) -> None:
        assert {item.reason for item in self.treat(b"--xz\n" * 1_100_000)} == {LIMIT}
        assert in_proportion(self.treat, lambda count: b"--xz\n" * count, 1_100_000)

    def test_paddings_in_base64_cost_little_memory(self) -> None:
        body = b"--x\nContent-Type: a/b\nContent-Transfer-Encoding: base64\n\n" + b"QQ==\n" * 200_000
        with peak_of() as peak:
            assert inspect(self.HEADERS, body) == []
        assert peak.octets < 4 * len(body)

    def test_uncertain_parts_in_uncertain_parts(self) -> None:
        fields = (
            b"Content-Type: multipart/mixed; boundary=b%d; boundary=z\nContent-Transfer-Encoding: quoted-printable\n\n"
        )
        outer = b"".join(fields % level + b"--b%d\n" % level for level in range(45))

        def nested(count: int) -> bytes:
            return b"--x\n" + outer + b"\n" + b"=3D" * count + b"\n--x--\n"

        assert LIMIT in {item.reason for item in self.treat(nested(1_000_000))}
        assert in_proportion(self.treat, nested, 1_000_000)

    @pytest.mark.parametrize(
        ("start", "unit", "count"),
        [
            (b"Content-Type: a/b; ", b"name=", 100_000),
            (b"Content-Type: a/b; ", b'name="\\', 100_000),
            (b"Content-Type: a/b; ", b"name*0*=%41;", 50_000),
            (b"Content-Type: a/b; name=", b"=?utf-8?b?QQ==?= ", 50_000),
            (b"Content-Type: ", b"a", 1_000_000),
            (b"Content-Type: multipart/mixed; ", b"boundary=", 100_000),
            (b"Content-Type: text/html\n\n<script>", b"<a x='", 200_000),
            (b"Content-Type: text/html\n\n", b"<script><!--", 100_000),
            (b"Content-Type: text/plain\n\n", b"begin 644 a.txt\n!\n", 50_000),
            (b"Content-Type: application/zip\n\n", b"PK\x03\x04", 250_000),
            (b"Content-Type: application/zip\n\n", b"PK\x01\x02", 250_000),
            (b"Content-Type: text/html\nContent-Transfer-Encoding: base64\n\n", b"QQ==", 250_000),
            (b"Content-Type: multipart/mixed\n\n", b"--\n", 300_000),
            (b"Content-Type: multipart/mixed\n\n", b"--\nContent-Type: a/b; " + b"name=" * 64 + b"\n\n", 2_000),
            (b"", b"Content-Type: multipart/mixed; boundary=x\n\n", 20_000),
            (b"", b"A: b\n", 200_000),
        ],
    )
    def test_no_part_takes_quadratic_time(self, start: bytes, unit: bytes, count: int) -> None:
        assert in_proportion(self.treat, lambda count: b"--x\n" + start + unit * count + b"\n--x--\n", count)


PIECES = [
    *(
        b"--x\n",
        b"--y\n",
        b"--x--\n",
        b"--",
        b"\n",
        b"\r\n",
        b"\r",
        b"\0",
        b"\xff",
        b"a",
        b": ",
        b";",
        b'"',
        b"=",
        b"%41",
    ),
    *(b"Content-Type: multipart/mixed; boundary=y\n", b"Content-Type: message/rfc822\n", b"Content-Type: text/html\n"),
    *(b"Content-Type: multipart/signed; boundary=x\n", b"Content-Disposition: attachment; filename=a.exe\n"),
    *(b"Content-Transfer-Encoding: base64\n", b"Content-Transfer-Encoding: quoted-printable\n", b"name*0*=", b"a.exe"),
    *(b"<script>", b"</script>", b"begin 644 a.exe\n!\n", zipped({"a.exe": b""}), b"PK\x03\x04", b"name=x.eml\n"),
    b"Content-Type: message/delivery-status\n",
]


class TestAnything:
    @given(st.lists(st.sampled_from(PIECES), max_size=40).map(b"".join), st.sampled_from(["x", "y", ""]))
    def test_it_never_raises_and_leaves_clean_mail_alone(self, body: bytes, boundary: str) -> None:
        headers = [("Content-Type", f"multipart/mixed; boundary={boundary}")]
        found = inspect(headers, body)
        changed = rewrite(headers, body, found)
        if not any(item.remedy != REPORT for item in found):
            assert changed.body == body
            assert not changed.headers

    @given(st.lists(st.tuples(st.binary(max_size=40), st.binary(max_size=80)), max_size=6), st.binary(max_size=300))
    def test_no_bytes_raise(self, headers: list[tuple[bytes, bytes]], body: bytes) -> None:
        rewrite(headers, body, inspect(headers, body))

    @given(st.lists(st.sampled_from(PIECES), max_size=30).map(b"".join))
    def test_what_was_rewritten_is_clean(self, body: bytes) -> None:
        headers = [("Content-Type", "multipart/mixed; boundary=x")]
        for _ in range(3):
            found = [item for item in inspect(headers, body) if item.remedy != REPORT]
            changed = rewrite(headers, body, found)
            if changed.headers:
                return
            body = changed.body
        assert not [item for item in inspect(headers, body) if item.remedy != REPORT]
