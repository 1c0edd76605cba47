"""What people see of a message, as the reading keeps it for those who judge without having learned."""

from __future__ import annotations

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
    again = keys_of(under(trace + HTML, read(raw)))
    assert again.tolist() == extract(trace + raw).tolist()
    assert again.tolist() != extract(raw).tolist()
