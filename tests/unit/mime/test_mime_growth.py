"""What a sender repeats may cost time in proportion to its length, and no more."""

from __future__ import annotations

import io
import time

import pytest

import _mimetree
import mime

FACTOR = 8
PART = b"Content-Type: multipart/mixed; boundary=x\n\n--x\nContent-Type: text/plain\n"
STARTS = {
    "the header": b"A: b\n",
    "a part's header": PART,
    "a multipart's body": b"Content-Type: multipart/mixed; boundary=x\n\n",
    "a message in a message": b"Content-Type: message/rfc822\n\nA: b\n",
    "a status": b"Content-Type: message/delivery-status\n\n",
}
REPEATED = {
    "lines From": b"From a\n",
    "lines without a name": b":\n",
    "stray continuations": b" y\n",
    "fields": b"Content-Type: a/b; name=x\n",
    "delimiters": b"--x\n",
    "ends": b"--x--\n",
    "other delimiters": b"--y\n",
    "fields between From": b"A: b\nFrom a\n",
    "empty lines": b"\n",
    "bare returns": b"\r",
}


def _seconds(raw: bytes) -> float:
    """The processor time of this thread for reading, defanging and writing a message."""
    start = time.thread_time()
    message = mime.message_from_file(io.BytesIO(raw))
    mime.defang(message, scan_zip=True)
    message.dump(io.BytesIO())
    return time.thread_time() - start


@pytest.mark.parametrize("repeated", REPEATED.values(), ids=REPEATED.keys())
@pytest.mark.parametrize("begin", STARTS.values(), ids=STARTS.keys())
def test_eight_times_as_much_takes_about_eight_times_as_long(begin: bytes, repeated: bytes) -> None:
    """Quadratic work would take sixty-four times as long. The least of several measurements is what the work takes."""
    count = 60_000 // len(repeated)
    small = min(_seconds(begin + repeated * count) for _ in range(3))
    limit = 3 * FACTOR * small + 0.01
    assert any(_seconds(begin + repeated * (count * FACTOR)) < limit for _ in range(3))


def test_lines_of_junk_stay_with_the_field_before_them() -> None:
    """What is written again has all of them, in their places."""
    raw = b"A: b\nFrom x\n y\n: z\nC: d\nFrom e\n\nbody"
    part = _mimetree.read_header(raw, 0, len(raw))
    assert [field.raw for field in part.fields] == [b"A: b\nFrom x\n y\n: z\n", b"C: d\nFrom e\n"]
    assert [field.value for field in part.fields] == [b" b\n", b" d\n"]


def test_junk_before_the_first_field_is_the_prefix() -> None:
    raw = b"From x\n: y\nA: b\n\nbody"
    part = _mimetree.read_header(raw, 0, len(raw))
    assert raw[: part.prefix] == b"From x\n: y\n"
