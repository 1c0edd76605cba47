"""Signed envelope senders."""

from __future__ import annotations

import string

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

import SES

DAY = 86400.0
NOW = 1_800_000_000.0
LOCAL = st.text(string.ascii_letters + string.digits + "=+-._", min_size=1, max_size=40)


def signer(now=NOW, secret="shhhh!", **options):
    return SES.Signer(secret, clock=lambda: now, **options)


@given(LOCAL)
def test_what_is_signed_is_verified(local):
    signed = signer().sign(f"{local}@Example.org")
    found = signer().verify(signed)
    assert found.address == f"{local}@Example.org"
    assert found.timecode == int(NOW // (DAY / 4))


def test_each_signature_is_another():
    it = signer()
    assert len({it.sign("ann@example.org") for _ in range(50)}) == 50


def test_case_of_the_signature_and_the_domain_does_not_matter():
    signed = signer().sign("ann@example.org")
    tag, signature, rest = signed.split("=")
    assert signer().verify(f"{tag.lower()}={signature.lower()}={rest.upper().replace('ANN', 'ann')}")


@given(place=st.integers(4, 60), char=st.sampled_from(SES.CHARACTERS))
def test_a_signature_that_was_changed_is_refused(place, char):
    signed = signer().sign("ann@example.org")
    assume(place < len(signed) and signed[place] not in f"=@{char}{char.lower()}")
    with pytest.raises(SES.SesError):
        signer().verify(signed[:place] + char + signed[place + 1 :])


@pytest.mark.parametrize(("days", "good"), [(0, True), (9.7, True), (10.3, False), (3.9, True)])
def test_a_signature_expires(days, good):
    signed = signer(NOW).sign("ann@example.org")
    if good:
        assert signer(NOW + days * DAY).verify(signed)
    else:
        with pytest.raises(SES.SesError):
            signer(NOW + days * DAY).verify(signed)


def test_one_with_a_number_of_its_own_never_does_but_is_verified():
    signed = signer().sign("ann@example.org", 77)
    assert signer(NOW + 5000 * DAY).verify(signed) == SES.Signed("ann@example.org", 0, 77)
    with pytest.raises(SES.Forged):
        signer(secret="other").verify(signed)


def test_secrets_can_be_changed():
    assert signer(secret=["new", "old"]).verify(signer(secret="old").sign("ann@example.org"))
    with pytest.raises(SES.Forged):
        signer(secret="new").verify(signer(secret="old").sign("ann@example.org"))


@pytest.mark.parametrize("expiration", [1, 3, 7, 15, 63, 999])
def test_any_expiration_leaves_room_for_the_time(expiration):
    for hours in range(0, 24 * expiration, max(6, expiration)):
        signed = signer(NOW, expiration=expiration).sign("ann@example.org")
        assert signer(NOW + hours * 3600 * 0.98, expiration=expiration).verify(signed)


@given(st.text(max_size=200))
def test_arbitrary_text_raises_its_own_error_only(text):
    for address in (text, f"SES={text}@x.example", f"SES={text}=ann@x.example", f"SES=A={text}@x.example"):
        with pytest.raises(SES.SesError):
            signer().verify(address)


@pytest.mark.parametrize("address", ["", "ann", "@example.org", "ann@"])
def test_what_is_no_address_is_not_signed(address):
    with pytest.raises(SES.SesError):
        signer().sign(address)


@pytest.mark.parametrize("options", [{"secret": ""}, {"secret": []}, {"expiration": 0}, {"hashbits": 8}])
def test_options_that_make_no_sense_are_refused(options):
    with pytest.raises(ValueError, match=r"secret|must be"):
        signer(**options)


def test_a_quoted_local_part_is_quoted_as_a_whole():
    signed = signer().sign('"ann smith"@example.org')
    assert signed.startswith('"SES=')
    assert signed.endswith('=ann smith"@example.org')
    assert signer().verify(signed).address == '"ann smith"@example.org'
