"""History rows are small, and everything that was written can be read again."""

from __future__ import annotations

import base64
import hashlib
import zlib

import msgspec
import pytest
import sqlalchemy as sa
from bms import JOURNEY
from hypothesis import given
from hypothesis import strategies as st

from antispam.mail.message import Auth
from antispam.service.application import Application, settings_classes
from antispam.settings import load_text
from antispam.store import packed
from antispam.store.connecting import url_from
from antispam.store.migrate import migrate
from antispam.store.schema import history
from support.dns import ScriptedResolver

VALUES = st.recursive(
    st.none() | st.booleans() | st.integers(0, 999) | st.text(max_size=50),
    lambda one: st.lists(one) | st.dictionaries(st.text(max_size=10), one),
)


@given(st.text(max_size=2000) | VALUES.map(lambda value: msgspec.json.encode(value).decode()))
def test_what_is_packed_is_unpacked(text):
    assert packed.unpack(packed.pack(text)) == text or text.startswith(("z1", "z2", "z3"))


@given(st.binary(max_size=300))
def test_the_letters_are_those_of_base_85(octets):
    assert packed._in_letters(octets) == base64.b85encode(octets).decode()


def test_rows_of_older_versions_are_read_as_they_stand():
    assert packed.unpack('[{"check":"spf"}]') == '[{"check":"spf"}]'


@pytest.mark.parametrize(
    "damaged", ["z1", "z1!", "z1" + "0" * 100, "z2é", "z3!", packed.pack('{"a":"' + "x" * 100 + '"}')[:-7]]
)
def test_a_damaged_value_is_none(damaged):
    assert packed.unpack(damaged) == ""


@pytest.mark.parametrize(
    ("version", "digest"), [("z1", "ad675b1d480d1562"), ("z2", "bae7d206981485b9"), ("z3", "8cf592eb3f4b27aa")]
)
def test_a_dictionary_never_changes(version, digest):
    """Rows were written with it: another one needs a version of its own."""
    assert hashlib.sha256(packed._DICTIONARIES[version]).hexdigest()[:16] == digest


def test_what_the_first_version_packed_is_read():
    text = '[{"check":"spf","action":"continue","code":0,"mode":"enforce","reason":"SPF pass for example.org"}]'
    with_first = zlib.compressobj(9, zlib.DEFLATED, zlib.MAX_WBITS, zdict=packed._DICTIONARIES["z1"])
    octets = with_first.compress(text.encode()) + with_first.flush()
    assert packed.unpack("z1" + base64.b85encode(octets).decode()) == text


def test_a_usual_message_takes_no_more_than_600_octets(tmp_path):
    """It took 3.4 kB, most of it keys: 4 GB a million messages."""
    settings = load_text(f"[milter]\ndatadir = {tmp_path}\n[greylist]\nmode = off\n", settings_classes(JOURNEY))
    migrate(url_from(settings))
    resolver = ScriptedResolver({"news.example.org": {"TXT": ["v=spf1 ip4:192.0.2.1 -all"]}})
    application = Application(JOURNEY, settings, resolver=resolver)
    session = application.session()
    session.connect("192.0.2.1", name="out-17.mail.example.org", receiver="mx1.example.com")
    session.helo("out-17.mail.example.org")
    session.mail("bounce-20261127-4711@news.example.org", (), Auth(), "4fPq2Z1x8Bz9")
    session.rcpt("bob.smith@example.com")
    session.rcpt("carl@example.com")
    for name, value in (("From", "Ann <ann@news.example.org>"), ("To", "bob.smith@example.com"), ("Subject", "Lunch")):
        session.header(name.encode(), b" " + value.encode())
    session.body(b"Hello Bob\r\n")
    session.end("4fPq2Z1x8Bz9")
    session.taken()
    application.history.flush()
    texts = [sa.cast(column, sa.Text) for column in history.columns]
    with application.store.read() as connection:
        row = connection.execute(sa.select(*texts)).one()
    application.close()
    assert sum(len(str(value)) for value in row) <= 600


@given(st.binary(max_size=300).map(lambda octets: base64.b85encode(octets).decode()) | st.text(max_size=40))
def test_letters_are_read_as_the_standard_library_reads_them(letters):
    try:
        expected = base64.b85decode(letters)
    except ValueError:
        expected = None
    try:
        found = packed._from_letters(letters)
    except ValueError:
        found = None
    assert found == expected


@pytest.mark.parametrize("letters", ["~~~~~", "|NsC1", "|NsC0", "0000", "0", "", "00 00", "zé", "~"])
def test_letters_at_the_edges_are_read_as_the_standard_library_reads_them(letters):
    test_letters_are_read_as_the_standard_library_reads_them.hypothesis.inner_test(letters)
