"""Sender rewriting: what is made leads back, and nothing else does."""

from __future__ import annotations

import string

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

import SRS

DAY = 86400.0
NOW = 1_800_000_000.0
LOCAL = st.text(string.ascii_letters + string.digits + "=+-._", min_size=1, max_size=40)
HOST = st.from_regex(r"[a-z0-9]{1,10}\.example", fullmatch=True)


def srs(variant=SRS.Guarded, now=NOW, **options):
    return variant("shhhh!", clock=lambda: now, **options)


@pytest.mark.parametrize("variant", [SRS.Guarded, SRS.Shortcut, SRS.Reversible])
@pytest.mark.parametrize("separator", ["=", "+", "-"])
def test_what_is_forwarded_leads_back(variant, separator):
    it = srs(variant, separator=separator)
    address = it.forward("Ann.Miller@Example.org", "forwarder.example")
    assert address.startswith(f"SRS0{separator}")
    assert address.endswith("@forwarder.example")
    assert it.reverse(address) == "Ann.Miller@Example.org"


@given(local=LOCAL, host=HOST)
def test_any_sender_leads_back(local, host):
    assume(not SRS.Guarded.tag_of(local))
    it = srs()
    assert it.reverse(it.forward(f"{local}@{host}", "forwarder.example")) == f"{local}@{host}"


@given(local=LOCAL, host=HOST)
def test_a_signed_sender_keeps_his_domain(local, host):
    assume(not SRS.Guarded.tag_of(local))
    it = srs()
    signed = it.sign(f"{local}@{host}")
    assert signed.endswith(f"={local}@{host}")
    assert it.reverse(signed) == f"{local}@{host}"


def test_three_forwarders_make_an_address_that_leads_back_through_the_first():
    first, second, third = (SRS.new(f"secret {number}", clock=lambda: NOW) for number in range(3))
    one = first.forward("ann@example.org", "a.example")
    two = second.forward(one, "b.example")
    three = third.forward(two, "c.example")
    assert two.startswith("SRS1=")
    assert len(three) == len(two)
    assert third.reverse(three) == second.reverse(two) == one
    assert first.reverse(one) == "ann@example.org"


def test_a_quoted_local_part_stays_quoted():
    it = srs()
    address = it.forward('"ann smith"@example.org', "f.example")
    assert address.startswith('"SRS0=')
    assert it.reverse(address) == '"ann smith"@example.org'


def test_a_sender_of_the_own_domain_is_left_alone_unless_wanted():
    assert srs().forward("ann@f.example", "F.example") == "ann@f.example"
    assert srs(alwaysrewrite=True).forward("ann@f.example", "f.example").startswith("SRS0=")


def test_case_that_was_folded_on_the_way_is_forgiven():
    it = srs()
    assert it.reverse(it.forward("Ann@example.org", "f.example").lower()) == "ann@example.org"


@given(place=st.integers(5, 40), char=st.sampled_from(string.ascii_letters + string.digits))
def test_an_address_that_was_changed_is_refused(place, char):
    it = srs(hashlength=8)
    address = it.forward("ann@example.org", "f.example")
    assume(place < address.index("@") and address[place].lower() != char.lower() and address[place] != "=")
    with pytest.raises(SRS.SrsError):
        it.reverse(address[:place] + char + address[place + 1 :])


def test_another_secret_refuses():
    with pytest.raises(SRS.Forged):
        SRS.new("other", clock=lambda: NOW).reverse(srs().forward("ann@example.org", "f.example"))


def test_secrets_can_be_changed():
    old = SRS.new("old", clock=lambda: NOW).forward("ann@example.org", "f.example")
    new = SRS.new(["new", "old"], clock=lambda: NOW)
    assert new.reverse(old) == "ann@example.org"
    assert SRS.new("new", clock=lambda: NOW).reverse(new.forward("ann@example.org", "f.example")) == "ann@example.org"


@pytest.mark.parametrize(("days", "good"), [(0, True), (21, True), (22, False), (500, False), (1024, True)])
def test_an_address_expires_until_the_days_are_counted_anew(days, good):
    address = srs().forward("ann@example.org", "f.example")
    later = srs(now=NOW + days * DAY)
    if good:
        assert later.reverse(address) == "ann@example.org"
    else:
        with pytest.raises(SRS.Expired):
            later.reverse(address)


def test_one_from_tomorrow_is_not_good_today():
    with pytest.raises(SRS.Expired):
        srs(now=NOW - DAY).reverse(srs().forward("ann@example.org", "f.example"))


def test_a_short_hash_is_no_way_in():
    it = srs()
    address = it.forward("ann@example.org", "f.example")
    with pytest.raises(SRS.Forged):
        it.reverse(address.replace(address[5:9], address[5:6]))


@pytest.mark.parametrize(
    "options", [{"separator": "x"}, {"separator": ""}, {"hashlength": 0}, {"hashlength": 28}, {"maxage": 0}]
)
def test_options_that_make_no_sense_are_refused(options):
    with pytest.raises(ValueError, match=r"secret|must be"):
        srs(**options)


@pytest.mark.parametrize("secret", ["", [], ["x", ""]])
def test_there_must_be_a_secret(secret):
    with pytest.raises(ValueError, match="secret"):
        SRS.new(secret)


@given(st.text(max_size=200))
def test_arbitrary_text_raises_its_own_error_only(text):
    it = srs()
    for address in (text, f"SRS0={text}@f.example", f"SRS1={text}@f.example", f"SRS1=ABCD={text}@f.example"):
        for call in (it.reverse, it.sign, lambda one: it.forward(one, "f.example")):
            try:
                call(address)
            except SRS.SrsError:
                continue


def test_a_database_keeps_addresses_short(tmp_path):
    it = srs(SRS.DB, database=tmp_path / "srs.db")
    address = it.forward("a.very.long.name.of.somebody@mail.department.example.org", "f.example")
    assert len(address) < 45
    assert it.reverse(address.lower()) == "a.very.long.name.of.somebody@mail.department.example.org"
    with pytest.raises(SRS.NotRewritten):
        it.reverse("SRS0=aaaaaaaaaaaaaaaaaaaaaaaa@f.example")


def test_a_database_forgets(tmp_path):
    address = srs(SRS.DB, database=tmp_path / "srs.db").forward("ann@example.org", "f.example")
    with pytest.raises(SRS.Expired):
        srs(SRS.DB, now=NOW + 30 * DAY, database=tmp_path / "srs.db").reverse(address)


def test_a_database_is_not_asked_about_what_it_can_not_hold(tmp_path):
    it = srs(SRS.DB, database=tmp_path / "srs.db")
    with pytest.raises(SRS.NotRewritten):
        it.reverse("SRS0=\udcff@f.example")
    with pytest.raises(SRS.NotRewritten):
        it.forward("\udcff@example.org", "f.example")


def test_a_database_tells_late_addresses_from_unknown_ones_while_new_ones_are_made(tmp_path):
    address = srs(SRS.DB, database=tmp_path / "srs.db").forward("ann@example.org", "f.example")
    later = srs(SRS.DB, now=NOW + 30 * DAY, database=tmp_path / "srs.db")
    later.forward("bob@example.org", "f.example")
    with pytest.raises(SRS.Expired):
        later.reverse(address)
    later = srs(SRS.DB, now=NOW + 43 * DAY, database=tmp_path / "srs.db")
    later.forward("bob@example.org", "f.example")
    with pytest.raises(SRS.NotRewritten):
        later.reverse(address)


def test_a_database_that_can_not_be_used_says_so(tmp_path):
    file = tmp_path / "srs.db"
    it = srs(SRS.DB, database=file)
    address = it.forward("ann@example.org", "f.example")
    file.write_bytes(b"no database at all " * 100)
    for call in (lambda: it.reverse(address), lambda: it.sign("ann@example.org"), lambda: srs(SRS.DB, database=file)):
        with pytest.raises(SRS.Unavailable, match=r"srs\.db"):
            call()
    with pytest.raises(SRS.Unavailable):
        srs(SRS.DB, database=tmp_path / "nowhere" / "srs.db")


@given(text=st.text(max_size=100))
def test_a_database_takes_arbitrary_text(tmp_path_factory, text):
    it = srs(SRS.DB, database=tmp_path_factory.getbasetemp() / "arbitrary.db")
    for call in (it.reverse, it.sign):
        try:
            call(f"SRS0={text}@f.example")
        except SRS.SrsError:
            continue
