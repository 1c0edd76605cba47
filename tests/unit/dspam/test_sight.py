"""What people see of a message, as the reading keeps it for those who judge without having learned."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dspam.features import extract, keys_of
from dspam.reading import read, under

HTML = b"From: a@example.org\r\nSubject: hi\r\nContent-Type: text/html\r\n\r\n"


def sight(body: bytes, header: bytes = HTML):
    return read(header + body).sight


def test_links_have_their_element_and_anchors_their_text():
    seen = sight(b'<a href="https://a.example/x">read <b>this</b></a><img src="https://b.example/i.png">')
    assert seen.links == [(b"a", b"https://a.example/x"), (b"img", b"https://b.example/i.png")]
    assert seen.anchors == [(b"https://a.example/x", b"read this")]
    assert (seen.images, seen.html) == (1, True)


def test_addresses_in_plain_text_are_links():
    assert sight(b"see http://a.example/x", b"From: a@example.org\r\n\r\n").links == [(b"text", b"http://a.example/x")]


def test_text_that_is_hidden_is_told_apart_from_scripts_and_styles():
    seen = sight(b'<style>p {x: y}</style><p>in sight</p><p style="display:none">out of it</p><script>f()</script>')
    assert seen.hidden == [b"out of it"]
    assert seen.texts == [b"in sight"]


def test_words_that_hidden_text_cuts_in_two_are_counted():
    assert sight(b'Pay<span style="font-size:0">xyz</span>Pal, V<i style="display:none">q</i>isa').severed == 2


def test_hidden_text_between_words_severs_none():
    assert (
        sight(b'<div style="display:none">Our news of June</div><p>Hello</p> a <i style="display:none">q</i> b').severed
        == 0
    )


def test_an_invitation_is_known_by_its_calendar():
    assert sight(b"BEGIN:VCALENDAR\r\n", b"From: a@example.org\r\nContent-Type: text/calendar\r\n\r\n").invitation
    assert not sight(b"BEGIN:VCALENDAR\r\n", b"From: a@example.org\r\n\r\n").invitation


def test_attached_files_have_all_their_names_and_their_beginning():
    header = b"From: a@example.org\r\nContent-Type: multipart/mixed; boundary=b\r\n\r\n"
    part = (
        b'--b\r\nContent-Type: application/zip; name="b.zip"\r\nContent-Disposition: attachment; filename="a.zip"\r\n'
        b"Content-Transfer-Encoding: base64\r\n\r\nUEsDBA==\r\n--b--\r\n"
    )
    (piece,) = sight(part, header).pieces
    assert (piece.media_type, piece.names, piece.beginning) == ("application/zip", ("a.zip", "b.zip"), b"PK\x03\x04")


def test_what_is_kept_is_bounded():
    seen = sight(b'<a href="https://a.example/">x</a>' * 3000 + b"<p hidden>" + b"secret " * 10_000)
    assert len(seen.links) <= 400
    assert sum(map(len, seen.hidden)) <= 10_000


def test_a_reading_under_another_header_has_the_features_of_the_whole_message():
    raw = HTML + b'<a href="https://a.example/x">read this</a>'
    trace = b"Received: from x.example ([192.0.2.1]) by y.example\r\n"
    again = keys_of(under(trace, read(raw)))
    assert again.tolist() == extract(trace + raw).tolist()
    assert again.tolist() != extract(raw).tolist()


LINES = (
    b"From: ann@example.org", b"Received: from b.example by c.example; x", b"Received: from d.example", b" folded", b"\tfolded",
    b"From ann Mon Jan 1", b"To: bob@example.org", b"Subject: hi", b"no field", b"--b", b"", b"Message-ID: <1@b.example>",
)  # fmt: skip


@given(st.lists(st.sampled_from(LINES) | st.binary(max_size=30), max_size=8), st.sampled_from([b"\n", b"\r\n"]))
def test_whatever_the_header_is_a_trace_field_above_it_changes_no_more_than_it_does_in_the_message(lines, end):
    trace = b"Received: from x.example (y [192.0.2.1])\r\n\tby example.org\r\n"
    raw = end.join(lines) + end
    assert keys_of(under(trace, read(raw))).tolist() == extract(trace + raw).tolist()


@pytest.mark.parametrize("number", [149, 150, 151])
def test_of_very_many_fields_a_trace_field_takes_the_place_of_the_last(number):
    trace, raw = b"Received: from x.example\n", b"".join(b"X-%d: y\n" % one for one in range(number))
    assert keys_of(under(trace, read(raw))).tolist() == extract(trace + raw).tolist()
