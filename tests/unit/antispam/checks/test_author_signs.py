"""Who a message says it is from: names of brands, of other addresses, answers that go elsewhere; and honest ones."""

from __future__ import annotations

import pytest

from antispam.checks import author_signs
from antispam.mail.evidence import DkimFinding
from antispam.protocols.dkim import DkimResult, SignatureResult
from antispam.protocols.signs.people import is_random
from antispam.settings import SettingsError
from support.signs import hits


def met_by(*fields: str, **more) -> set[str]:
    return set(hits(author_signs, *fields, **more))


@pytest.mark.parametrize(
    ("fields", "name"),
    [
        (["From: PayPal Service <info@evil.example>"], "FROM_NAME_BRAND"),
        (["From: =?utf-8?q?P=D0=B0yPal?= <info@evil.example>"], "FROM_NAME_BRAND"),
        (["From: Ledger <info@evil.example>"], "FROM_NAME_BRAND"),
        (["From: Chase Support <info@evil.example>"], "FROM_NAME_BRAND"),
        (["From: Amazon <info@amazon.top>"], "FROM_NAME_BRAND"),
        (["From: Sparkasse <info@sparkasse-login.xyz>"], "FROM_NAME_BRAND"),
        (["Subject: Your Netflix account"], "SUBJECT_BRAND"),
        (['From: "boss@example.com" <x@evil.example>'], "FROM_NAME_OTHER_ADDR"),
        (["From: bank.com Helpdesk <x@evil.example>"], "FROM_NAME_OTHER_DOMAIN"),
        (["From: Ann <ann@nowhere>"], "FROM_NO_DOMAIN"),
        (["From: Bonus <noreply@project-1.firebaseapp.com>"], "FROM_TENANT"),
        (["From: Bonus <noreply@best.offer.icu>"], "FROM_CHEAP_DOMAIN"),
        (["From: X <a@a.b.c.d.e.example.com>"], "FROM_MANY_LABELS"),
        (["From: X <hk2dcp4a@pa5dpza9wb.example>"], "FROM_RANDOM"),
        (["Reply-To: boss.office@gmail.com"], "REPLYTO_FREEMAIL"),
        (["From: Ann <ann@gmail.com>", "Reply-To: ann7@yahoo.com"], "FREEMAIL_REPLYTO"),
        (["Reply-To: no-reply@example.com", "From: A <a@evil.test>"], "REPLYTO_NOBODY"),
        (["Subject: bob@example.com, please confirm"], "SUBJECT_HAS_RECIPIENT"),
    ],
)
def test_a_sign_and_its_evidence(fields, name):
    found = hits(author_signs, *fields)
    assert name in found
    assert found[name].evidence.endswith(".")


@pytest.mark.parametrize(
    "fields",
    [
        [],
        ["From: PayPal <service@paypal.de>"],
        ["From: Amazon.de <versand@amazon.de>", "Subject: Ihre Amazon Bestellung"],
        ["From: Ann Example via PayPal <ann@service.example>"],
        ["From: Sparkasse Musterstadt <info@sparkasse-musterstadt.de>"],
        ["From: Jordan Chase <jordan@example.org>"],
        ["From: Start Ups Weekly <editor@example.org>"],
        ["From: =?utf-8?q?=C3=9Cber_uns?= <info@example.org>"],
        ["Subject: Re: Netflix tonight?"],
        ['From: "ann@example.org" <ann@example.org>'],
        ['From: "ann@example.org via list" <list@lists.example>'],
        ["From: Booking.com <noreply@booking.com>"],
        ["From: ann@gmail.com", "Reply-To: ann@gmail.com"],
        ["From: Ann <ann@shop.test>", "Reply-To: info@shop.test"],
        ["From: notifications <5f3a9c0d1e2b4a6f@reply.example.org>"],
        ["From: Kristoffer <kristoffersen@schwarzkopf.example>"],
        ["From: Team <no-reply@example.org>"],
    ],
)
def test_honest_authors_show_nothing(fields):
    assert met_by(*fields) == set()


def test_a_brand_that_signed_the_message_itself_may_be_named():
    signature = SignatureResult(result=DkimResult.PASS, domain="paypal.com")
    field = "From: PayPal <news@partner.example>"
    assert "FROM_NAME_BRAND" in met_by(field)
    assert "FROM_NAME_BRAND" not in met_by(field, found=[DkimFinding(signatures=(signature,))])


def test_the_site_adds_brands_of_its_own():
    config = "[author_signs]\nbrands = Musterbank Nord: musterbank.example musterbank.test\n"
    field = "From: Musterbank Nord <x@evil.example>"
    assert "FROM_NAME_BRAND" in met_by(field, config=config)
    assert "FROM_NAME_BRAND" not in met_by(field)
    assert "FROM_NAME_BRAND" not in met_by("From: Musterbank Nord <x@mail.musterbank.test>", config=config)


def test_a_brand_without_domains_is_a_mistake():
    with pytest.raises(SettingsError, match="expected NAME"):
        met_by(config="[author_signs]\nbrands = Musterbank\n")


@pytest.mark.parametrize("label", ["ph7fdaardy4x", "aLaZFLJtQe", "53aaz5cgme", "xkqzwvbd7"])
def test_letters_that_a_program_drew(label):
    assert is_random(label)


@pytest.mark.parametrize("label", ["kristoffersen", "ann.example", "info2026", "McDonald", "schmidt-w", "newsletter"])
def test_letters_that_people_chose(label):
    assert not is_random(label)
