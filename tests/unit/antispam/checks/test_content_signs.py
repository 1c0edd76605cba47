"""What a message shows, hides and carries: fraud, and honest mail that talks of the same things."""

from __future__ import annotations

import pytest

from antispam.checks import content_signs
from antispam.mail.evidence import ReputationFinding, SenderListFinding
from antispam.mail.learned_evidence import Opinion, OpinionFinding
from antispam.mail.score_table import TABLE
from antispam.protocols.signs.content import GTUBE
from support.effort import in_proportion
from support.signs import hits

HTML = "Content-Type: text/html"


def met_by(text: str, *fields: str, **more) -> set[str]:
    return set(hits(content_signs, *fields, body=text.encode(), **more))


_TEXTS = """
FRAUD_ADVANCE_FEE: I am barrister John Doe, attorney to a late client. A sum of 12 million US dollars has no next of kin.
  I need your assistance, strictly confidential business, to transfer the fund.
FRAUD_LOTTERY: You have won a prize of the Google lottery. Contact our claims agent with your winning number.
FRAUD_EXTORTION: I hacked your device and recorded you while you visited an adult site. Send $900 in bitcoin.
  You have 48 hours.
FRAUD_ACCOUNT: Your account has been suspended after unusual activity. Verify your account within 24 hours
  to avoid termination.
FRAUD_ACCOUNT: Ihr Konto wurde gesperrt. Bitte best\u00e4tigen Sie Ihre Daten innerhalb von 24 Stunden.
FRAUD_ACCOUNT: Votre compte est suspendu. Veuillez confirmer vos informations sous 24 heures.
FRAUD_ACCOUNT: Sua conta foi bloqueada. Atualize seus dados para evitar o bloqueio do cart\u00e3o.
FRAUD_PARCEL: Your parcel could not be delivered: incomplete address. Pay the delivery fee of 1.99 to
  reschedule delivery.
FRAUD_INVOICE: Your subscription has been renewed and 399 USD has been charged to your account. Norton protection plan.
  To cancel call our toll free number.
FRAUD_PRIZE: Congratulations! You have been selected to receive a reward. Answer a short survey to claim your gift.
FRAUD_PRIZE: Herzlichen Gl\u00fcckwunsch, Sie haben gewonnen! Ihr Bonus steht bereit: 200 Freispiele ohne Einzahlung.
FRAUD_CRYPTO: Verify your wallet now. Enter your recovery phrase, or your assets are lost. KYC required.
FRAUD_MIRACLE: Lose weight fast! Burn belly fat without prescription, doctors hate this trick.
FRAUD_GAIN: Make money from home! Be your own boss, no experience required, residual income.
FRAUD_DATING: Hot women are waiting for you tonight. Lonely girl wants to chat, my photo is here.
FRAUD_SELLING: This is not spam. One time mailing, no removal necessary. To be removed reply with remove in the subject.
"""
FRAUD = [tuple(line.split(": ", 1)) for line in _TEXTS.replace("\n  ", " ").strip().splitlines()]


@pytest.mark.parametrize(("name", "text"), FRAUD)
def test_a_known_kind_of_fraud(name, text):
    found = hits(content_signs, body=text.encode())
    assert found[name].points is None or found[name].points >= 0.6 * TABLE[name].points


@pytest.mark.parametrize(("name", "text"), FRAUD)
def test_letters_that_only_look_like_others_change_nothing(name, text):
    disguised = text.replace("a", "\u0430").replace("o", "\u043e").replace("e", "\u0435")
    assert name in met_by(disguised, "Content-Type: text/plain; charset=utf-8")


HONEST = [
    "Hi Bob, please find attached the minutes of our meeting. Could you send me your comments by Friday? Thanks, Ann",
    "Your mortgage statement is ready. Sign in to your account as usual to see it.",
    "Your order has been shipped and will be delivered on Friday. Thank you for your order.",
    "My grandfather was an attorney. He left us a house and some pictures.",
    "We discussed bitcoin and the new webcam at lunch.",
    "Anbei erhalten Sie Ihre Rechnung. Der Betrag wird von Ihrem Konto abgebucht.",
    "The museum has free entry on Sundays. The tombola's first prize is a bicycle.",
]


@pytest.mark.parametrize("text", HONEST)
def test_honest_mail_that_talks_of_the_same_things(text):
    found = hits(content_signs, body=text.encode())
    assert sum(TABLE[hit.test].points if hit.points is None else hit.points for hit in found.values()) <= 0.8


def test_one_phrase_is_worth_a_fifth():
    assert hits(content_signs, body=b"Your password expires soon.")["FRAUD_ACCOUNT"].points == 0.6


def test_a_message_is_of_one_kind_and_others_are_hints():
    text = FRAUD[0][1] + " " + FRAUD[9][1]
    found = hits(content_signs, body=text.encode())
    assert found["FRAUD_ADVANCE_FEE"].points is None
    assert found["FRAUD_PRIZE"].points == round(0.2 * TABLE["FRAUD_PRIZE"].points, 2)


def test_anybody_can_try_whether_it_works():
    assert "GTUBE" in met_by(f"Hello\n{GTUBE}\n")
    assert "GTUBE" not in met_by(GTUBE[:-1])


def test_a_threat_with_an_address_to_pay_to():
    text = FRAUD[2][1] + " Pay to 1BoatSLRHtKNngkdXEeobR76b53LETtpyT now."
    assert "BITCOIN_THREAT" in met_by(text)
    assert "BITCOIN_THREAT" not in met_by("Donate to 1BoatSLRHtKNngkdXEeobR76b53LETtpyT, thank you.")


@pytest.mark.parametrize(
    ("body", "name"),
    [
        ('<a href="https://x.example/"><img src="https://x.example/a.png"></a> click', "HTML_IMAGE_ONLY"),
        ("<p>Hello there</p>" + '<div style="display:none">' + "news of the day " * 100 + "</div>", "HTML_HIDDEN_TEXT"),
        ('Pay<i style="font-size:0">q</i>Pal, V<i style="font-size:0">q</i>isa', "HTML_SEVERED_WORDS"),
        ("<p>hello</p>", "MIME_HTML_ONLY"),
    ],
)
def test_pages_that_hide_text(body, name):
    assert name in met_by(body, HTML)


def test_a_newsletter_with_a_preheader_hides_little():
    body = '<div style="display:none">Our news of June, and more &nbsp;&zwnj;</div><img src="https://x.example/a.png">'
    body += (
        "<p>"
        + "Dear members, we meet on Tuesday at seven in the hall. " * 5
        + '</p><a href="https://x.example/">more</a>'
    )
    assert met_by(body, HTML) == {"MIME_HTML_ONLY"}


@pytest.mark.parametrize(
    ("fields", "name"),
    [
        (["Subject: \U0001d413\U0001d428\U0001d42d\U0001d41a\U0001d425 win"], "FANCY_LETTERS"),
        (["Subject: your P\u0430yPal"], "LOOKALIKE_WORD"),
        (["Subject: A\u034fm\u034fa\u034fzon"], "HIDDEN_IN_WORDS"),
    ],
)
def test_letters_that_get_past_filters(fields, name):
    assert name in met_by("hello", *fields)


@pytest.mark.parametrize(
    "subject", ["\u041f\u0440\u0438\u0432\u0435\u0442", "caf\u00e9 cre\u0300me", "Over\u00adlap", "\u4f1a\u8b70"]
)
def test_letters_of_other_languages_are_honest(subject):
    assert met_by("hello", f"Subject: {subject}") == set()


def zip_mail(flags: int, text: str) -> bytes:
    part = b"PK\x03\x04\x14\x00" + bytes([flags, 0]) + b"\x00" * 40
    return (
        f"--b\r\nContent-Type: text/plain\r\n\r\n{text}\r\n--b\r\nContent-Type: application/zip; name=a.zip\r\n\r\n".encode()
        + part
        + b"\r\n--b--\r\n"
    )


MIXED = "Content-Type: multipart/mixed; boundary=b"


def test_an_encrypted_archive_with_its_password():
    assert "ARCHIVE_PASSWORD" in hits(content_signs, MIXED, body=zip_mail(1, "The password: x4711"))


def test_an_archive_without_a_password_is_usual():
    assert "ARCHIVE_PASSWORD" not in hits(content_signs, MIXED, body=zip_mail(0, "The password: x4711"))
    assert "ARCHIVE_PASSWORD" not in hits(content_signs, MIXED, body=zip_mail(1, "I will call you about it"))


def test_a_page_that_is_attached():
    body = b"--b\r\nContent-Type: text/html; name=invoice.html\r\nContent-Disposition: attachment\r\n\r\n<p>x</p>\r\n--b--\r\n"
    assert "PAGE_ATTACHED" in hits(content_signs, MIXED, body=body)


def opinion(**more) -> OpinionFinding:
    return OpinionFinding(opinions=(Opinion(dictionary="site", users=(), ham=200, spam=200, **more),))


URGENT = "Your account has been suspended. Verify your account within 24 hours."


def test_a_stranger_who_presses():
    assert "STRANGER_URGENT" in met_by(URGENT, found=[opinion()])


@pytest.mark.parametrize(
    "found",
    [
        [],  # nobody can know
        [OpinionFinding(opinions=(Opinion(dictionary="site", users=(), ham=3, spam=9),))],
        [opinion(author_ham=1)],
        [opinion(), SenderListFinding(whitelisted="ann wrote to it")],
        [opinion(), ReputationFinding(ham=1)],
    ],
)
def test_an_author_who_is_known_or_of_whom_nobody_could_know(found):
    assert "STRANGER_URGENT" not in met_by(URGENT, found=found)


def test_an_invitation_of_a_stranger():
    calendar = b"BEGIN:VCALENDAR\r\nSUMMARY:lunch\r\nEND:VCALENDAR\r\n"
    field = "Content-Type: text/calendar"
    assert "STRANGER_INVITES" in hits(content_signs, field, body=calendar, found=[opinion()])
    assert "STRANGER_INVITES" not in hits(content_signs, field, body=calendar, found=[opinion(author_ham=1)])


def test_a_text_made_of_beginnings_of_phrases_takes_no_time():
    text = b"you have been to be no we your account "
    assert in_proportion(lambda body: hits(content_signs, body=body), lambda count: text * count, 20_000)
