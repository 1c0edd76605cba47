"""Tags: put into a message, and found again whatever a mail client made of it."""

from __future__ import annotations

import base64

import pytest
from hypothesis import given
from hypothesis import strategies as st

import mime
from Dspam import add_signature_tag, convert_eol, create_signature_id, extract_signature_tags, signature_ids
from support.effort import in_proportion

ID = "TESTING123LONGTAG"


def tagged(message: bytes, prob: float | None = None, factors: list[tuple[str, float]] | None = None) -> bytes:
    msg = mime.message_from_bytes(message)
    add_signature_tag(msg, ID, prob, factors)
    return msg.as_bytes()


def test_ids_are_letters_and_digits_and_never_the_same() -> None:
    ids = [create_signature_id() for _ in range(1000)]
    assert len(set(ids)) == 1000
    assert all(one.isalnum() and len(one) <= 64 for one in ids)


# --- out of a text ---


@pytest.mark.parametrize(
    "tag",
    [
        f"<!DSPAM:{ID}>",
        f"<!--DSPAM:{ID}-->",
        f"!DSPAM:{ID}!",  # DSPAM's own, in plain text
        "<!DSPAM:TESTING123=\nLONGTAG>",  # a soft line break of quoted-printable
        "<!DSPAM:TESTING123=\r\nLONGTAG>",
        "<!DS=\nPAM:TESTING123LONGTAG>",
        "<!DSPAM:TESTING123\n> > LONGTAG>",  # a client that wraps what it quotes
        "<!DSPAM:TESTING123LONG\r\n TAG>",
        "<!DSPAM:TESTING123 \n> LONGTAG>",  # format=flowed
        "<!DSPAM: \r\nTESTING123LONGTAG>",
        f"&lt;!DSPAM:{ID}&gt;",
        f"=3C=21DSPAM:{ID}=3E",
    ],
)
@pytest.mark.parametrize("kind", [str, bytes])
def test_a_tag_is_found_and_removed_however_it_was_mangled(tag: str, kind: type) -> None:
    text = f"before {tag} after"
    if kind is bytes:
        assert extract_signature_tags(text.encode()) == (b"before  after", [ID])
    else:
        assert extract_signature_tags(text) == ("before  after", [ID])


@pytest.mark.parametrize(
    "text", ["<!DSPAM:>", f"<!DSPAM:{'A' * 65}>", "<!DSPAM:no id>", "<!DSPAM:open", "DSPAM:ABC", ""]
)
def test_what_only_looks_like_a_tag_stays(text: str) -> None:
    assert extract_signature_tags(text) == (text, [])


def test_several_tags_come_in_their_order() -> None:
    assert extract_signature_tags("<!DSPAM:A1>x<!DSPAM:B2>y!DSPAM:C3!")[1] == ["A1", "B2", "C3"]


@pytest.mark.parametrize(
    "piece", ["<!DSPAM:", "!DSPAM:A", "!", "<!DSPAM:A=\n", "!DSPAM:" + "A\n>>>>", "=\n", "D=\n", "!DSPAM:A \n", " \n"]
)
def test_hostile_text_takes_time_in_proportion(piece: str) -> None:
    assert in_proportion(extract_signature_tags, lambda count: piece * count, 300_000 // len(piece))


WRAPPED = base64.encodebytes(b"hello\n<!DSPAM:INNER>\n")


@pytest.mark.parametrize("kind", [str, bytes])
def test_a_tag_in_a_base64_part_is_found_and_removed(kind: type) -> None:
    message = (
        b'Content-Type: multipart/mixed; boundary="b"\n\n<!DSPAM:ONE>--b\nContent-Type: text/plain\n'
        b"Content-Transfer-Encoding: base64\n\n" + WRAPPED + b"--b\n\n<!DSPAM:TWO>\n--b--\n"
    )
    message = message.replace(b"<!DSPAM:ONE>--b", b"<!DSPAM:ONE>\n--b")
    given = message if kind is bytes else message.decode()
    clean, ids = extract_signature_tags(given)
    assert ids == ["ONE", "INNER", "TWO"]
    expected = message.replace(WRAPPED, base64.encodebytes(b"hello\n\n"))
    expected = expected.replace(b"<!DSPAM:ONE>", b"").replace(b"<!DSPAM:TWO>", b"")
    assert (clean if kind is bytes else clean.encode()) == expected


def test_our_own_tag_in_a_base64_message_is_seen() -> None:
    body = base64.encodebytes("grüße\n".encode("latin-1"))
    message = tagged(b"Content-Type: text/plain; charset=latin-1\nContent-Transfer-Encoding: base64\n\n" + body)
    clean, ids = extract_signature_tags(message)
    assert ids == [ID]
    assert mime.message_from_bytes(clean).get_payload(decode=True) == "grüße\n\n\n".encode("latin-1")


def test_a_base64_part_without_tags_stays_as_it_came() -> None:
    message = b"Content-Transfer-Encoding: base64\n\n  aGVs\nbG8=  garbage"
    assert extract_signature_tags(message) == (message, [])


def test_text_that_names_base64_and_is_no_message_is_only_text() -> None:
    assert extract_signature_tags("base64 \ud800 <!DSPAM:A1>") == ("base64 \ud800 ", ["A1"])


@given(st.binary(max_size=200))
def test_no_base64_content_makes_it_raise(content: bytes) -> None:
    message = b"Content-Transfer-Encoding: base64\n\n" + base64.encodebytes(content + b"<!DSPAM:A1>")
    assert "A1" in extract_signature_tags(message)[1]
    extract_signature_tags(b"Content-Transfer-Encoding: base64\n\n" + content)


@given(st.text("<!DSPAM:-A1=\r\n> &lt;3CE", max_size=120))
def test_no_text_makes_it_raise(text: str) -> None:
    left, ids = extract_signature_tags(text)
    assert all(0 < len(one) <= 64 for one in ids)
    assert extract_signature_tags(text.encode())[0] == left.encode()


# --- out of a message ---


def test_ids_are_found_in_headers_parts_and_attached_messages_each_once() -> None:
    hidden = base64.encodebytes(b"<!DSPAM:B64>")
    message = (
        b'X-DSPAM-Signature: TOP\nContent-Type: multipart/mixed; boundary="b"\n\n--b\n'
        b"Content-Transfer-Encoding: base64\n\n" + hidden + b"--b\nContent-Type: message/rfc822\n\n"
        b"X-DSPAM-Signature: INNER\nSubject: x\n\n<!DSPAM:BODY>\n<!DSPAM:TOP>\n--b--\n"
    )
    assert signature_ids(message) == ["TOP", "B64", "INNER", "BODY"]


def test_ids_are_found_in_headers_that_were_forwarded_inline() -> None:
    assert signature_ids(b"Subject: Fwd: x\n\n> From: y\n> X-DSPAM-Signature: INLINE\n> Subject: x\n") == ["INLINE"]


def test_ids_are_found_in_utf_16() -> None:
    assert signature_ids(b"Content-Type: text/plain; charset=utf-16le\n\n" + "<!DSPAM:WIDE>".encode("utf-16le")) == [
        "WIDE"
    ]


def test_a_flood_of_ids_is_cut_off() -> None:
    flood = b"Subject: x\n\n" + b"".join(b"<!DSPAM:%d>" % n for n in range(5_000))
    assert len(signature_ids(flood)) == 1_000


@given(st.binary(max_size=300))
def test_no_message_makes_it_raise(message: bytes) -> None:
    signature_ids(message + b"<!DSPAM:A>")


# --- into a message ---


def test_a_plain_message_gets_the_tag_at_its_end() -> None:
    assert tagged(b"Subject: x\n\nhello\n") == b"Subject: x\nX-DSPAM-Signature: %b\n\nhello\n\n<!DSPAM:%b>\n" % (
        ID.encode(),
        ID.encode(),
    )


def test_line_ends_stay() -> None:
    assert tagged(b"Subject: x\r\n\r\nhello\r\n").endswith(b"hello\r\n\r\n<!DSPAM:TESTING123LONGTAG>\r\n")


def test_the_score_and_the_factors_are_in_the_header() -> None:
    message = tagged(b"Subject: x\n\nhello\n", 0.99, [("Subject*free+viagra", 0.9999), ("a\nb", 0.5)])
    assert b"X-DSpam-Score: 0.99000\n" in message
    assert b"X-DSpam-Factors: 2\n\tSubject%2Afree%2Bviagra,0.99990\n\ta%0Ab,0.50000\n" in message


def test_fields_that_a_sender_forged_go() -> None:
    message = tagged(b"X-Dspam-Signature: FORGED\nX-DSPAM-SCORE: 0\nSubject: x\n\nhello\n", 0.5)
    assert b"FORGED" not in message
    assert message.lower().count(b"x-dspam-score") == 1


@pytest.mark.parametrize("body", [b"<html><body>hi</body></html>\n", b"<p>hi\n", b"<BODY>hi</BODY>"])
def test_html_gets_the_tag_inside_of_the_body(body: bytes) -> None:
    message = tagged(b"Content-Type: text/html\n\n" + body)
    assert extract_signature_tags(message)[1] == [ID]
    assert b"</body" not in message.lower() or message.index(b"<!DSPAM") < message.lower().index(b"</body")


MIXED = (
    b'Content-Type: multipart/alternative; boundary="b"\n\n--b\nContent-Type: text/plain\n\nplain\n--b\n'
    b"Content-Type: text/html\n\n<b>html</b>\n--b--\n"
)


def test_of_several_parts_the_html_one_is_tagged_and_only_it() -> None:
    message = tagged(MIXED)
    assert extract_signature_tags(message)[1] == [ID]
    assert message.index(b"<b>html</b>") < message.index(b"<!DSPAM")


def test_a_base64_part_stays_one() -> None:
    body = base64.encodebytes("grüße\n".encode("latin-1"))
    message = tagged(b"Content-Type: text/plain; charset=latin-1\nContent-Transfer-Encoding: base64\n\n" + body)
    part = mime.message_from_bytes(message)
    assert part["Content-Transfer-Encoding"] == "base64"
    assert part.get_payload(decode=True) == "grüße\n\n<!DSPAM:TESTING123LONGTAG>\n".encode("latin-1")
    assert signature_ids(message) == [ID]


@pytest.mark.parametrize("body", [b"gr=C3=BC=C3=9Fe=\nx\n", b"gr\xc3\xbc=3D\n"])
def test_a_quoted_printable_part_keeps_its_text(body: bytes) -> None:
    before = b"Content-Type: text/plain; charset=utf-8\nContent-Transfer-Encoding: quoted-printable\n\n" + body
    after = mime.message_from_bytes(tagged(before))
    text = mime.message_from_bytes(before).get_payload(decode=True)
    assert after.get_payload(decode=True) == text + b"\n<!DSPAM:TESTING123LONGTAG>\n"


def test_eight_bit_text_stays_what_it_is() -> None:
    message = tagged(b"Content-Type: text/plain; charset=latin-1\nContent-Transfer-Encoding: 8bit\n\ngr\xfc\xdfe\n")
    assert b"gr\xfc\xdfe\n\n<!DSPAM" in message


@pytest.mark.parametrize(
    "kind",
    [
        b'multipart/signed; boundary="b"; protocol="application/pgp-signature"',
        b'multipart/encrypted; boundary="b"',
        b"application/pkcs7-mime",
    ],
)
def test_what_is_signed_or_encrypted_has_its_body_left_alone(kind: bytes) -> None:
    body = b"--b\n\nhello\n--b\nContent-Type: application/pgp-signature\n\nabc\n--b--\n"
    message = tagged(b"Content-Type: " + kind + b"\n\n" + body)
    assert message.endswith(b"\n\n" + body)
    assert signature_ids(message) == [ID]


def test_an_attached_message_is_somebody_elses() -> None:
    inner = b"Subject: inner\nContent-Type: text/html\n\n<b>inner</b>\n"
    message = tagged(
        b'Content-Type: multipart/mixed; boundary="b"\n\n--b\nContent-Type: message/rfc822\n\n' + inner + b"--b--\n"
    )
    assert inner in message
    assert signature_ids(message) == [ID]


@given(st.binary(max_size=300))
def test_any_message_can_be_tagged_and_says_its_id(body: bytes) -> None:
    assert ID in signature_ids(tagged(b"Subject: x\n" + body))


# --- line ends ---


@pytest.mark.parametrize(
    ("text", "unix"),
    [("a\r\nb\rc\n", "a\nb\nc\n"), ("a", "a\n"), ("", "\n"), ("a\0b\n", "ab\n"), ("a\u2028b\n", "a\u2028b\n")],
)
def test_convert_eol(text: str, unix: str) -> None:
    assert convert_eol(text) == unix
    assert convert_eol(text.encode()) == unix.encode()
