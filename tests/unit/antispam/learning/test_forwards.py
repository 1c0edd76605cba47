"""What a mail to a training address reports, in the shapes that mail programs give it."""

from __future__ import annotations

import base64
import email
import email.policy
import quopri
import sys
from email.message import EmailMessage

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from antispam.learning.forwards import Form, Limits, Report, reported, subject
from antispam.references import new_reference
from support.effort import in_proportion

REF, OTHER = "abcdefghijkl", "mnopqrstuvwx"
HEAD = b"From: Uwe <uwe@example.org>\nTo: spam@example.org\nMessage-ID: <r@example.org>\nMIME-Version: 1.0\n"

SPAM = (
    b"Return-Path: <shop@spam.example>\n"
    b"Received: from spam.example ([192.0.2.1]) by mx.example.org; Mon, 3 Feb 2025 09:11:12 +0000\n"
    b"From: Shop <shop@spam.example>\n"
    b"To: uwe@example.org\n"
    b"Subject: watches\n"
    b"Date: Mon, 3 Feb 2025 09:11:10 +0000\n"
    b"Message-ID: <1@spam.example>\n"
    b"X-DSPAM-Signature: abcdefghijkl\n"
    b"\n"
    b"Buy watches.\n"
    b"\n"
    b"<!DSPAM:abcdefghijkl>\n"
)
OFFER = SPAM.replace(b"watches", b"pills").replace(REF.encode(), OTHER.encode()).replace(b"<1@", b"<2@")


def mail(
    body: str | bytes, *fields: str, subject: str = "Fwd: watches", kind: str = "text/plain; charset=utf-8"
) -> bytes:
    """A mail of the reporter's."""
    octets = body.encode() if isinstance(body, str) else body
    more = "".join(f"{one}\n" for one in fields)
    return HEAD + f"Subject: {subject}\nContent-Type: {kind}\n{more}\n".encode() + octets


def mixed(*parts: bytes, subtype: bytes = b"mixed", subject: bytes = b"Fwd: watches") -> bytes:
    body = b"".join(b"--b\n" + part + b"\n" for part in parts) + b"--b--\n"
    return HEAD + b"Subject: " + subject + b'\nContent-Type: multipart/%b; boundary="b"\n\n' % subtype + body


def alternative(plain: str, html: str) -> bytes:
    return mixed(
        b"Content-Type: text/plain; charset=utf-8\n\n" + plain.encode(),
        b"Content-Type: text/html; charset=utf-8\n\n" + html.encode(),
        subtype=b"alternative",
    )


def attached(message: bytes, *fields: bytes) -> bytes:
    return b"Content-Type: message/rfc822\n" + b"".join(one + b"\n" for one in fields) + b"\n" + message


def one(raw: bytes, limits: Limits | None = None) -> Report:
    reports = reported(raw, limits).reports
    assert len(reports) == 1
    return reports[0]


def rebuilt(raw: bytes) -> EmailMessage:
    report = one(raw)
    assert report.form is Form.REBUILT
    assert report.octets is not None
    return email.message_from_bytes(report.octets, policy=email.policy.default)


def fields_of(message: EmailMessage) -> tuple[str, ...]:
    return tuple(str(message[name]) for name in ("From", "To", "Subject", "Date"))


# --- attachments ---


def test_an_attached_message_is_reported_with_its_own_octets_and_ids():
    assert reported(mixed(b"\nplease learn", attached(SPAM))).reports == (
        Report(Form.ATTACHED, (REF,), SPAM.removesuffix(b"\n") + b"\n"),
    )


def test_several_attached_messages_are_as_many_reports():
    reports = reported(mixed(attached(SPAM), attached(OFFER))).reports
    assert [(report.signatures, report.octets) for report in reports] == [((REF,), SPAM), ((OTHER,), OFFER)]


def test_a_digest_is_as_many_reports():
    reports = reported(mixed(b"\n" + SPAM, b"\n" + OFFER, subtype=b"digest")).reports
    assert [report.octets for report in reports] == [SPAM, OFFER]


def test_a_digest_within_a_mail_is_as_many_reports():
    digest = b'Content-Type: multipart/digest; boundary="d"\n\n--d\n\n' + SPAM + b"\n--d\n\n" + OFFER + b"\n--d--\n"
    assert [report.signatures for report in reported(mixed(b"\nhello", digest)).reports] == [(REF,), (OTHER,)]


def test_a_mail_that_is_nothing_but_an_attached_message():
    assert one(HEAD + b"Content-Type: message/rfc822\n\n" + SPAM).octets == SPAM


def test_an_attached_message_in_base64_is_decoded():
    part = attached(base64.encodebytes(SPAM), b"Content-Transfer-Encoding: base64")
    assert one(mixed(part)) == Report(Form.ATTACHED, (REF,), SPAM)


def test_line_ends_of_an_attached_message_stay():
    crlf = SPAM.replace(b"\n", b"\r\n")
    assert one(mixed(attached(SPAM)).replace(b"\n", b"\r\n")).octets == crlf


@pytest.mark.parametrize(
    "fields",
    [
        b'Content-Type: application/octet-stream; name="watches.eml"',
        b'Content-Type: text/plain; name="watches.EML"',
        b'Content-Type: text/plain\nContent-Disposition: attachment; filename="watches.eml"',
        b"Content-Type: application/octet-stream\nContent-Disposition: attachment; filename*=utf-8''%C3%BC.eml",
        b"Content-Type: application/octet-stream",
        b'Content-Type: text/plain\nContent-Disposition: attachment; filename="mail.txt"',
        b"Content-Type: application/eml",
    ],
)
@pytest.mark.parametrize("encoding", [b"7bit", b"base64", b"quoted-printable"])
def test_a_message_in_a_file_is_reported(fields, encoding):
    content = {b"base64": base64.encodebytes, b"quoted-printable": quopri.encodestring}.get(encoding, bytes)(SPAM)
    part = fields + b"\nContent-Transfer-Encoding: " + encoding + b"\n\n" + content
    report = one(mixed(b"\nsee the file", part))
    assert (report.form, report.signatures) == (Form.ATTACHED, (REF,))
    assert report.octets.rstrip() == SPAM.rstrip()


@pytest.mark.parametrize(
    "part",
    [
        b'Content-Type: application/octet-stream; name="x.bin"\n\nFrom here to there: nothing\n\nhello',
        b'Content-Type: text/plain; name="x.eml"\n\nno header at all',
        b"Content-Type: text/plain\nContent-Disposition: attachment\n\nFrom: me\nTo: you\n\nnotes",
        b"Content-Type: message/rfc822\n\n",
        b'Content-Type: image/png; name="x.png"\n\nFrom: a\nTo: b\nSubject: c\n\nd',
    ],
)
def test_a_file_that_holds_no_message_is_no_report(part):
    assert not reported(mixed(b"\nhello", part))


def test_what_an_attached_message_carries_itself_is_no_report_of_its_own():
    outer = b"From: a@example.org\nSubject: look\nX-DSPAM-Signature: mnopqrstuvwx\n"
    outer += b'Content-Type: multipart/mixed; boundary="i"\n\n--i\n\nsee below\n--i\n' + attached(SPAM) + b"\n--i--\n"
    assert one(mixed(attached(outer))) == Report(Form.ATTACHED, (OTHER,), outer)


def test_the_id_of_its_own_comes_before_those_that_a_message_quotes():
    reply = b"From: a@example.org\nSubject: Re: x\n\n> hello\n> <!DSPAM:quotedquoted>\n\nyes\n<!DSPAM:abcdefghijkl>\n"
    assert one(mixed(attached(reply))).signatures == (REF, "quotedquoted")


def test_the_field_comes_before_any_tag():
    forged = SPAM.replace(b"Buy", b"<!DSPAM:forgedforged>\nBuy") + b"<!DSPAM:behindbehind>\n"
    assert one(mixed(attached(forged))).signatures == (REF, "behindbehind", "forgedforged")


def test_a_tag_in_an_attached_text_file_comes_last():
    message = (
        b"From: a@example.org\nSubject: x\n"
        + b'Content-Type: multipart/mixed; boundary="i"\n\n--i\n\nhi <!DSPAM:abcdefghijkl>'
    )
    message += b"\n--i\nContent-Type: text/plain\nContent-Disposition: attachment\n\n<!DSPAM:mnopqrstuvwx>\n--i--\n"
    assert one(mixed(attached(message))).signatures == (REF, OTHER)


def test_a_message_that_an_mta_returns_is_no_report():
    status = b"Content-Type: message/delivery-status\n\nReporting-MTA: dns; mx.example.org\n"
    assert not reported(mixed(b"\nnot delivered", status, attached(SPAM), subtype=b"report"))


def test_an_abuse_report_reports_the_message_in_it():
    feedback = b"Content-Type: message/feedback-report\n\nFeedback-Type: abuse\n"
    assert one(mixed(b"\nabuse", feedback, attached(SPAM), subtype=b"report")).octets == SPAM


def test_the_same_message_attached_twice_is_one_report():
    assert one(mixed(attached(SPAM), attached(SPAM.replace(b"Return-Path", b"X-Path")))).octets == SPAM


def test_the_same_octets_are_one_report_without_any_id():
    plain = b"From: a@example.org\nSubject: x\n\nhello\n"
    assert one(mixed(attached(plain), attached(plain))).signatures == ()


def test_text_of_the_user_beside_attachments_is_no_report():
    words = b"Content-Type: text/plain\n\nFrom: the boss\nSubject: see\nTo: me\n\nlearn these"
    assert one(mixed(words, attached(SPAM), subject=b"please learn")).octets == SPAM


def test_attachments_that_came_with_an_inline_forward_belong_to_it():
    words = b"Content-Type: text/plain\n\n-------- Forwarded Message --------\nSubject: see this\nFrom: a@example.org\n\nlook"
    report = one(mixed(words, attached(SPAM)))
    assert (report.form, report.subject) == (Form.REBUILT, "see this")


def test_a_client_that_forwards_inline_and_attaches_the_original_reports_the_original():
    words = b"Content-Type: text/plain\n\n-------- Forwarded Message --------\nSubject: watches\nFrom: a@example.org\n\nlook"
    assert one(mixed(words, attached(SPAM))).octets == SPAM


@pytest.mark.parametrize("magic", [b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1", b"\x78\x9f\x3e\x22"])
def test_files_of_outlooks_own_are_searched_for_ids(magic):
    header = "Subject: x\r\nX-DSPAM-Signature: abcdefghijkl\r\n".encode("utf-16le")
    content = magic + b"\x01\x02" + header + "text <!DSPAM:mnopqrstuvwx>".encode("utf-16le")
    part = b'Content-Type: application/vnd.ms-outlook; name="watches.msg"\nContent-Transfer-Encoding: base64\n\n'
    raw = mixed(part + base64.encodebytes(content), attached(OFFER.replace(OTHER.encode(), b"qrstuvwxyz23")))
    found = reported(raw).reports
    assert [(one.form, one.signatures) for one in found] == [
        (Form.TAG, (REF, OTHER)),
        (Form.ATTACHED, ("qrstuvwxyz23",)),
    ]


# --- resent ---


def test_a_bounce_is_the_message_without_resent_fields_and_new_trace():
    resent = (
        b"Return-Path: <uwe@example.org>\nReceived: from client by mx.example.org; Tue, 4 Feb 2025 10:00:00 +0000\n"
        b"Resent-From: uwe@example.org\nResent-Date: Tue, 4 Feb 2025 10:00:00 +0000\n"
        b"Resent-Message-ID: <z@example.org>\nResent-To: spam@example.org\n"
    )
    assert reported(resent + SPAM).reports == (Report(Form.RESENT, (REF,), SPAM),)


def test_an_earlier_resending_belongs_to_the_message():
    earlier = b"Resent-From: list@example.org\nResent-To: uwe@example.org\n"
    message = earlier + SPAM
    assert one(b"Resent-From: uwe@example.org\nResent-To: spam@example.org\n" + message).octets == message


def test_a_client_that_writes_its_resent_fields_below_the_header():
    report = one(
        b"Received: from client by mx.example.org; Tue, 4 Feb 2025 10:00:00 +0000\nFrom: Shop <shop@spam.example>\n"
        b"Subject: watches\nX-DSPAM-Signature: abcdefghijkl\nResent-From: uwe@example.org\nResent-To: spam@example.org\n"
        b"To: uwe@example.org\n\nBuy.\n"
    )
    assert report == Report(
        Form.RESENT,
        (REF,),
        b"From: Shop <shop@spam.example>\nSubject: watches\nX-DSPAM-Signature: abcdefghijkl\nTo: uwe@example.org\n\nBuy.\n",
    )


def test_a_resent_message_that_forwards_another_is_reported_itself():
    assert one(b"Resent-From: uwe@example.org\n" + mixed(attached(SPAM))).form is Form.RESENT


def test_resent_fields_alone_are_no_message():
    assert not reported(b"Resent-From: uwe@example.org\nTo: spam@example.org\n\nhello\n")


# --- in the text: clients ---

THUNDERBIRD = """My own words.


-------- Forwarded Message --------
Subject: \twatches
Date: \tMon, 3 Feb 2025 09:11:10 +0000
From: \tShop <shop@spam.example>
To: \tuwe@example.org



Buy watches.

<!DSPAM:abcdefghijkl>
"""
THUNDERBIRD_HTML = """<html><head><meta http-equiv="content-type" content="text/html; charset=UTF-8"><title>x</title></head>
<body><p>My own words.<br></p><div class="moz-forward-container"><br><br>-------- Forwarded Message --------
<table class="moz-email-headers-table" cellspacing="0"><tbody>
<tr><th nowrap="nowrap" valign="BASELINE" align="RIGHT">Subject: </th><td>watches</td></tr>
<tr><th align="RIGHT">Date: </th><td>Mon, 3 Feb 2025 09:11:10 +0000</td></tr>
<tr><th align="RIGHT">From: </th><td>Shop <a class="moz-txt-link-rfc2396E"
 href="mailto:shop@spam.example">&lt;shop@spam.example&gt;</a></td></tr>
<tr><th align="RIGHT">To: </th><td><a href="mailto:uwe@example.org">uwe@example.org</a></td></tr>
</tbody></table><br><br><p>Buy <a href="http://spam.example/">watches</a>.</p><!--DSPAM:abcdefghijkl--></div></body></html>
"""
GMAIL = """My own words.

---------- Forwarded message ---------
From: Shop <shop@spam.example>
Date: Mon, 3 Feb 2025 at 10:11
Subject: watches
To: <uwe@example.org>


Buy watches.
<!DSPAM:abcdefghijkl>
"""
GMAIL_HTML = """<div dir="ltr">My own words.<br><br><div class="gmail_quote"><div dir="ltr" class="gmail_attr">----------
Forwarded message ---------<br>From: <strong class="gmail_sendername" dir="auto">Shop</strong> <span dir="auto">&lt;<a
href="mailto:shop@spam.example">shop@spam.example</a>&gt;</span><br>Date: Mon, 3 Feb 2025 at 10:11<br>Subject: watches<br>To:
 &lt;<a href="mailto:uwe@example.org">uwe@example.org</a>&gt;<br></div><br><br><div>Buy <b>watches</b>.</div></div></div>
"""
OUTLOOK = """My own words.

From: Shop <shop@spam.example>
Sent: Monday, February 3, 2025 10:11 AM
To: Uwe <uwe@example.org>
Subject: watches

Buy watches.
<!DSPAM:abcdefghijkl>
"""
OUTLOOK_2003 = OUTLOOK.replace(
    "From: Shop <shop@spam.example>", "-----Original Message-----\nFrom: Shop [mailto:shop@spam.example] "
)
OUTLOOK_HTML = """<html xmlns:o="urn:schemas-microsoft-com:office:office"><head><style><!-- p {margin:0} --></style>
<!--[if gte mso 9]><xml><o:shapedefaults/></xml><![endif]--></head><body lang="EN-US"><div class="WordSection1">
<p class="MsoNormal">My own words.<o:p></o:p></p><p class="MsoNormal"><o:p>&nbsp;</o:p></p>
<div style="border:none;border-top:solid #E1E1E1 1.0pt"><p class="MsoNormal"><b>From:</b> Shop &lt;shop@spam.example&gt; <br>
<b>Sent:</b> Monday, February 3, 2025 10:11 AM<br><b>To:</b> Uwe &lt;uwe@example.org&gt;<br>
<b>Subject:</b> watches<o:p></o:p></p></div>
<p class="MsoNormal"><o:p>&nbsp;</o:p></p><p class="MsoNormal">Buy watches.<o:p></o:p></p></div></body></html>
"""
OWA_HTML = """<html><body><div style="font-family:Calibri">My own words.</div><div id="appendonsend"></div>
<hr style="display:inline-block;width:98%" tabindex="-1"><div id="divRplyFwdMsg" dir="ltr"><font face="Calibri, sans-serif"
 style="font-size:11pt"><b>From:</b> Shop &lt;shop@spam.example&gt;<br><b>Sent:</b> Monday, February 3, 2025 10:11 AM<br>
<b>To:</b> Uwe &lt;uwe@example.org&gt;<br><b>Subject:</b> watches</font><div>&nbsp;</div></div>
<div>Buy watches.</div></body></html>
"""
APPLE = """My own words.

Begin forwarded message:

> From: Shop <shop@spam.example>
> Subject: watches
> Date: 3 February 2025 at 10:11:10 CET
> To: uwe@example.org
>
> Buy watches.
> <!DSPAM:abcdefghijkl>
"""
APPLE_HTML = """<html><head></head><body style="word-wrap: break-word;">My own words.<div><br><blockquote type="cite">
<div>Begin forwarded message:</div><br class="Apple-interchange-newline"><div style="margin-top: 0px;"><span
style="color:rgb(0,0,0);"><b>From: </b></span><span>Shop &lt;<a href="mailto:shop@spam.example">shop@spam.example</a>&gt;
<br></span></div><div><span><b>Subject: </b></span><span><b>watches</b><br></span></div><div><span><b>Date:
</b></span><span>3 February 2025 at 10:11:10 CET<br></span></div><div><span><b>To: </b></span><span>uwe@example.org<br></span>
</div><br><div>Buy watches.</div></blockquote></div></body></html>
"""
MUTT = """My own words.

----- Forwarded message from Shop <shop@spam.example> -----

Date: Mon, 3 Feb 2025 09:11:10 +0000
From: Shop <shop@spam.example>
To: uwe@example.org
Subject: watches
User-Agent: Mass 1.0

Buy watches.

<!DSPAM:abcdefghijkl>

----- End forwarded message -----

My own signature.
"""
K9 = """My own words.

-------- Original Message --------
From: Shop <shop@spam.example>
Sent: 3 February 2025 10:11:10 CET
To: uwe@example.org
Subject: watches

Buy watches.
<!DSPAM:abcdefghijkl>
"""
ROUNDCUBE = """My own words.

-------- Original Message --------
Subject: watches
Date: 2025-02-03 10:11
From: Shop <shop@spam.example>
To: uwe@example.org

Buy watches.
<!DSPAM:abcdefghijkl>
"""
EVOLUTION = """My own words.

-------- Forwarded Message --------
From: Shop <shop@spam.example>
To: uwe@example.org
Subject: watches
Date: Mon, 03 Feb 2025 09:11:10 +0000

> Buy watches.
> <!DSPAM:abcdefghijkl>
"""
YAHOO = GMAIL.replace("---------- Forwarded message ---------", "   ----- Forwarded Message ----- ").replace(
    "Date:", "Sent:"
)
PLAIN = {
    "thunderbird": THUNDERBIRD,
    "gmail": GMAIL,
    "outlook": OUTLOOK,
    "outlook 2003": OUTLOOK_2003,
    "apple mail": APPLE,
    "ios": APPLE.replace("My own words.", "Sent from my phone"),
    "mutt": MUTT,
    "k-9": K9,
    "roundcube": ROUNDCUBE,
    "evolution": EVOLUTION,
    "yahoo": YAHOO,
}
HTML = {
    "thunderbird": THUNDERBIRD_HTML,
    "gmail": GMAIL_HTML,
    "outlook": OUTLOOK_HTML,
    "owa": OWA_HTML,
    "apple mail": APPLE_HTML,
}


@pytest.mark.parametrize("client", PLAIN)
def test_a_plain_text_forward_is_rebuilt(client):
    message = rebuilt(mail(PLAIN[client]))
    assert (message["From"].addresses[0].addr_spec, message["From"].addresses[0].display_name) == (
        "shop@spam.example",
        "Shop",
    )
    assert message["To"].addresses[0].addr_spec == "uwe@example.org"
    assert message["Subject"] == "watches"
    assert "2025" in message["Date"]
    assert message.get_content().rstrip() == "Buy watches."


@pytest.mark.parametrize("client", PLAIN)
def test_a_plain_text_forward_has_its_id(client):
    assert one(mail(PLAIN[client])).signatures == (REF,)


@pytest.mark.parametrize("client", HTML)
def test_an_html_forward_is_rebuilt(client):
    message = rebuilt(mail(HTML[client], kind="text/html; charset=utf-8"))
    assert message["From"].addresses[0].addr_spec == "shop@spam.example"
    assert message["From"].addresses[0].display_name == "Shop"
    assert message["To"].addresses[0].addr_spec == "uwe@example.org"
    assert message["Subject"] == "watches"
    assert "2025" in message["Date"]
    assert message.get_content_type() == "text/html"
    assert "Buy" in message.get_content()


@pytest.mark.parametrize("client", [*PLAIN, *HTML])
@pytest.mark.parametrize("encoding", ["8bit", "base64", "quoted-printable"])
def test_line_ends_and_transfer_encoding_make_no_difference(client, encoding):
    for samples, kind in ((PLAIN, "text/plain"), (HTML, "text/html")):
        if client in samples:
            body = samples[client].replace("\n", "\r\n").encode()
            encoded = {"base64": base64.encodebytes, "quoted-printable": quopri.encodestring}.get(encoding, bytes)(body)
            report = one(mail(encoded, f"Content-Transfer-Encoding: {encoding}", kind=f"{kind}; charset=utf-8"))
            assert report == one(mail(samples[client], kind=f"{kind}; charset=utf-8"))
            assert (report.form, report.subject) == (Form.REBUILT, "watches")


@pytest.mark.parametrize("client", [*PLAIN, *HTML])
def test_the_users_own_words_are_no_part_of_the_report(client):
    texts = [mail(PLAIN[client])] if client in PLAIN else []
    texts += [mail(HTML[client], kind="text/html")] if client in HTML else []
    for raw in texts:
        assert b"own" not in one(raw).octets
        assert b"Forwarded" not in one(raw).octets


@pytest.mark.parametrize("client", sorted(set(PLAIN) & set(HTML)))
def test_of_text_and_html_the_html_is_taken_with_the_ids_of_both(client):
    report = one(alternative(PLAIN[client], HTML[client]))
    assert report.signatures == (REF,)
    assert b"Content-Type: text/html" in report.octets


def test_html_that_is_not_understood_leaves_the_plain_text_and_its_own_id():
    report = one(alternative(GMAIL.replace(REF, OTHER), "<p>hello</p><!--DSPAM:abcdefghijkl-->"))
    assert set(report.signatures) == {REF, OTHER}
    assert b"Content-Type: text/plain" in report.octets


def test_parts_of_a_mail_are_read_as_one_text():
    first = b"Content-Type: text/plain\n\n" + GMAIL.partition("Buy")[0].encode()
    picture = b"Content-Type: image/png\n\nxxxx"
    last = b"Content-Type: text/plain\n\nBuy watches.\n<!DSPAM:abcdefghijkl>\n"
    report = one(mixed(first, picture, last))
    assert (report.signatures, b"Buy watches" in report.octets) == ((REF,), True)


# --- in the text: languages ---

LANGUAGES = {
    "de": ("Von: ", "Gesendet: ", "An: ", "Betreff: "),
    "de thunderbird": ("Von: ", "Datum: ", "An: ", "Betreff: "),
    "fr": ("De : ", "Envoyé : ", "À : ", "Objet : "),
    "fr apple": ("De\xa0: ", "Date\xa0: ", "À\xa0: ", "Objet\xa0: "),
    "es": ("De: ", "Enviado el: ", "Para: ", "Asunto: "),
    "es gmail": ("De: ", "Fecha: ", "Para: ", "Asunto: "),
    "it": ("Da: ", "Inviato: ", "A: ", "Oggetto: "),
    "nl": ("Van: ", "Verzonden: ", "Aan: ", "Onderwerp: "),
    "pt": ("De: ", "Enviada em: ", "Para: ", "Assunto: "),
    "pl": ("Od: ", "Wysłano: ", "Do: ", "Temat: "),
    "sv": ("Från: ", "Skickat: ", "Till: ", "Ämne: "),
    "da": ("Fra: ", "Sendt: ", "Til: ", "Emne: "),
    "no": ("Fra: ", "Dato: ", "Til: ", "Emne: "),
    "fi": ("Lähettäjä: ", "Lähetetty: ", "Vastaanottaja: ", "Aihe: "),
    "ru": ("От: ", "Отправлено: ", "Кому: ", "Тема: "),
    "ja": ("差出人: ", "送信日時: ", "宛先: ", "件名: "),
    "zh": ("发件人：", "发送时间：", "收件人：", "主题："),
    "zh-tw": ("寄件者: ", "寄件日期: ", "收件者: ", "主旨: "),
}


def block(language: str) -> str:
    values = ("Shop <shop@spam.example>", "2025-02-03 10:11", "uwe@example.org", "watches")
    return "\n".join(label + value for label, value in zip(LANGUAGES[language], values, strict=True)) + "\n\nBuy.\n"


@pytest.mark.parametrize("language", LANGUAGES)
def test_a_block_without_a_marker_is_understood_in_the_language_of_the_client(language):
    assert fields_of(rebuilt(mail("mine\n\n" + block(language)))) == (
        "Shop <shop@spam.example>",
        "uwe@example.org",
        "watches",
        "2025-02-03 10:11",
    )


@pytest.mark.parametrize(
    ("language", "charset"),
    [("de", "latin-1"), ("fr", "windows-1252"), ("pl", "iso-8859-2"), ("ru", "koi8-r"), ("ja", "iso-2022-jp"),
     ("zh", "gb18030"), ("zh-tw", "big5"), ("da", "utf-16")],
)  # fmt: skip
def test_a_block_is_understood_in_the_charset_of_the_client(language, charset):
    body = base64.encodebytes(block(language).encode(charset))
    raw = mail(body, "Content-Transfer-Encoding: base64", kind=f"text/plain; charset={charset}")
    assert rebuilt(raw)["Subject"] == "watches"


@pytest.mark.parametrize(
    "marker",
    [
        "-----Ursprüngliche Nachricht-----",
        "-------- Weitergeleitete Nachricht --------",
        "---------- Message transféré ---------",
        "-------- Message original --------",
        "---------- Mensaje reenviado ---------",
        "-----Messaggio originale-----",
        "---------- Doorgestuurd bericht ----------",
        "---------- Mensagem encaminhada ---------",
        "Anfang der weitergeleiteten Nachricht:",
        "Début du message réexpédié :",
        "Inizio messaggio inoltrato:",
        "Начало переадресованного сообщения:",
        "----- 転送メッセージ -----",
        "以下是转发的邮件：",
    ],
)
def test_after_a_marker_two_labels_are_enough(marker):
    assert (
        rebuilt(mail(f"mine\n\n{marker}\n\nFrom: shop@spam.example\nSubject: watches\n\nBuy.\n"))["Subject"]
        == "watches"
    )


@pytest.mark.parametrize(
    "body",
    [
        "hello\n",
        "From: me\nTo: you\n\nnot enough without a marker\n",
        "Subject: a\nTo: b\nDate: c\n\nwithout an author\n",
        "-------- Forwarded Message --------\n\nnothing below\n",
        "-------- Forwarded Message --------\na\nb\nc\nd\ne\nFrom: x\nSubject: y\n",
        "On Monday Shop wrote:\n> Buy watches.\n",
        "",
    ],
)
@pytest.mark.parametrize("kind", ["text/plain", "text/html"])
def test_where_nothing_is_recognised_nothing_is_reported(body, kind):
    assert reported(mail(body.replace("\n", "<br>\n") if kind == "text/html" else body, kind=kind)).reports == ()


# --- in the text: how it is cut ---


def test_a_quoted_forward_loses_one_level_of_quoting():
    text = "mine\n\n> From: a@example.org\n> Date: now\n> Subject: x\n>\n> hello\n>> older\n> bye\n"
    assert rebuilt(mail(text)).get_content() == "hello\r\n> older\r\nbye\r\n"


def test_a_quoted_forward_ends_where_the_user_speaks_again():
    text = "> From: a@example.org\n> Date: now\n> Subject: x\n>\n> hello\n> <!DSPAM:abcdefghijkl>\n\nThis is mine.\n"
    report = one(mail(text))
    assert b"mine" not in report.octets
    assert report.signatures == (REF,)


def test_a_line_that_a_client_wrapped_does_not_end_a_quoted_forward():
    text = "> From: a@example.org\n> Date: now\n> Subject: x\n>\n> hello this is\nwrapped\n> and goes on\n"
    assert "goes on" in rebuilt(mail(text)).get_content()


def test_a_forward_of_a_forward_is_the_outer_one():
    inner = GMAIL.replace("watches", "pills").replace(REF, OTHER).replace("My own words.", "Words of the shop.")
    report = one(mail(GMAIL.replace("Buy watches.", inner)))
    assert (report.subject, report.signatures) == ("watches", (REF, OTHER))
    assert b"Subject: pills" in report.octets


def test_several_forwards_with_end_markers_are_as_many_reports():
    second = MUTT.replace("watches", "pills").replace(REF, OTHER)
    reports = reported(mail(MUTT + second)).reports
    assert [(report.subject, report.signatures) for report in reports] == [("watches", (REF,)), ("pills", (OTHER,))]
    assert b"signature" not in reports[0].octets


def test_a_forward_within_one_that_has_an_end_marker_does_not_end_it():
    inner = MUTT.replace("watches", "pills").replace(REF, OTHER)
    report = one(mail(MUTT.replace("Buy watches.", inner)))
    assert report.signatures == (REF, OTHER)
    assert b"pills" in report.octets


def test_several_quoted_forwards_are_as_many_reports():
    quoted = "".join(f"> {line}\n" for line in OUTLOOK_2003.splitlines()[2:])
    second = quoted.replace("watches", "pills").replace(REF, OTHER)
    reports = reported(mail(f"one:\n\n{quoted}\nand another:\n\n{second}")).reports
    assert [(report.subject, report.signatures) for report in reports] == [("watches", (REF,)), ("pills", (OTHER,))]


@pytest.mark.parametrize("kind", ["text/plain", "text/html"])
def test_our_tag_ends_a_message_so_that_another_may_follow(kind):
    text = GMAIL + "\nAnd another.\n\n" + GMAIL.replace("watches", "pills").replace(REF, OTHER)
    if kind == "text/html":
        text = text.replace("<uwe@example.org>", "").replace("\n", "<br>\n")
    reports = reported(mail(text, kind=kind)).reports
    assert [(report.subject, report.signatures) for report in reports] == [("watches", (REF,)), ("pills", (OTHER,))]
    assert b"another" not in reports[0].octets


def test_a_tag_of_a_message_within_does_not_end_the_outer_one():
    inner = GMAIL.replace("watches", "pills").replace(REF, OTHER)
    third = GMAIL.replace("watches", "cars").replace(REF, "zzzzzzzzzzzz")
    report = one(mail(GMAIL.replace("Buy watches.", inner + third)))
    assert report.signatures[0] == REF
    assert b"Subject: cars" in report.octets


def test_a_subject_that_a_client_wrapped_is_joined():
    subject = "a very long subject that goes on and on until the client breaks its line here"
    text = GMAIL.replace("Subject: watches", f"Subject: {subject}\nand goes on")
    assert rebuilt(mail(text))["Subject"] == f"{subject} and goes on"


def test_recipients_on_several_lines_are_joined():
    text = GMAIL.replace("To: <uwe@example.org>", "To: <uwe@example.org>,\n    Ann <ann@example.org>")
    assert [one.addr_spec for one in rebuilt(mail(text))["To"].addresses] == ["uwe@example.org", "ann@example.org"]


def test_text_right_below_the_block_is_not_taken_for_a_subject():
    message = rebuilt(mail(GMAIL.replace("To: <uwe@example.org>\n\n\n", "To: <uwe@example.org>\n")))
    assert message["To"] == "uwe@example.org"
    assert message.get_content().strip() == "Buy watches."


def test_a_block_with_empty_lines_between_its_labels():
    text = OUTLOOK.replace("\nSent", "\n\nSent").replace("\nTo", "\n\nTo").replace("\nSubject", "\n\nSubject")
    assert fields_of(rebuilt(mail(text)))[2] == "watches"


def test_labels_in_bold_as_plain_text_has_them():
    text = "*From:* Shop <shop@spam.example>\n*Sent:* Monday\n*To:* uwe@example.org\n*Subject:* watches\n\nBuy.\n"
    assert fields_of(rebuilt(mail(text)))[:3] == ("Shop <shop@spam.example>", "uwe@example.org", "watches")


def test_all_fields_of_the_original_above_its_text_are_no_text():
    full = MUTT.replace(
        "\nDate:", "\nReceived: from spam.example\n\tby mx.example.org\nX-DSPAM-Signature: mnopqrstuvwx\nDate:"
    )
    report = one(mail(full))
    assert report.signatures == (OTHER, REF)
    assert b"by mx.example.org" not in report.octets


def test_what_looks_like_an_end_in_a_forward_that_has_none_ends_nothing():
    text = GMAIL.replace("Buy watches.", "Buy\n\n----- End forwarded message -----\n\nwatches.")
    assert b"watches." in one(mail(text)).octets


def test_a_tag_behind_a_forged_end_is_found_all_the_same():
    text = MUTT.replace("Buy watches.", "Buy\n\n----- End forwarded message -----\n\nwatches.")
    assert one(mail(text)).signatures == (REF,)


def test_what_a_reply_quotes_is_no_report():
    assert not reported(mail(OUTLOOK.replace(f"<!DSPAM:{REF}>", ""), subject="RE: watches"))


def test_a_reply_that_quotes_a_tag_is_a_report_of_its_id():
    assert one(mail(OUTLOOK, subject="AW: watches")) == Report(Form.TAG, (REF,))


def test_a_forward_that_says_so_is_one_whatever_the_subject():
    assert one(mail(GMAIL, subject="Re: watches")).form is Form.REBUILT


# --- in the text: the message that is made of it ---


def test_a_rebuilt_message_has_crlf_and_a_seven_bit_header():
    octets = one(mail(GMAIL.replace("watches", "Uhren für Sie: 時計").replace("Shop", "Geschäft"))).octets
    assert octets.count(b"\n") == octets.count(b"\r\n") == octets.count(b"\r")
    assert octets.partition(b"\r\n\r\n")[0].isascii()
    assert subject(octets) == "Uhren für Sie: 時計"


def test_a_long_subject_is_encoded_in_words_of_legal_length():
    long = "Überraschung " * 40
    octets = one(mail(GMAIL.replace("Subject: watches", f"Subject: {long}"))).octets
    assert all(len(line) <= 78 for line in octets.partition(b"\r\n\r\n")[0].split(b"\r\n"))
    assert email.message_from_bytes(octets, policy=email.policy.default)["Subject"].strip() == long.strip()


def test_a_name_without_an_address_stays_a_name():
    message = rebuilt(mail(OUTLOOK.replace("Shop <shop@spam.example>", "Doe, Jane")))
    assert message["From"] == '"Doe, Jane"'


def test_an_address_that_a_client_repeats_counts_once():
    message = rebuilt(mail(OUTLOOK.replace("<shop@spam.example>", "<shop@spam.example<mailto:shop@spam.example>>")))
    assert message["From"] == "Shop <shop@spam.example>"


def test_tags_are_no_part_of_a_rebuilt_message():
    assert b"DSPAM" not in one(mail(GMAIL)).octets


def test_no_value_of_a_block_adds_a_field():
    text = GMAIL.replace("watches", "x\rBcc: a@example.org\x00\x0b\x85y")
    message = rebuilt(mail(text))
    assert set(message.keys()) == {
        "From",
        "To",
        "Subject",
        "Date",
        "MIME-Version",
        "Content-Type",
        "Content-Transfer-Encoding",
    }


# --- tags ---


@pytest.mark.parametrize(
    "tag",
    [
        "<!DSPAM:abcdefghijkl>",
        "<!--DSPAM:abcdefghijkl-->",
        "&lt;!DSPAM:abcdefghijkl&gt;",
        "!DSPAM:abcdefghijkl!",
        "> <!DSPAM:abcdefghijkl>",
        "> > <!DSPAM:abcdef\n> > ghijkl>",
        "<!DSPAM:\nabcdefghijkl>",
        "<!DSPAM:abcdefg\r\n  hijkl>",
        "<!DSPAM:abcdefg \n> hijkl>",
        "> X-DSPAM-Signature: abcdefghijkl",
        "*X-DSPAM-Signature:* abcdefghijkl",
    ],
)
def test_a_tag_is_found_in_a_text_of_no_known_form(tag):
    assert reported(mail(f"look at this\n\n{tag}\n")).reports == (Report(Form.TAG, (REF,)),)


@pytest.mark.parametrize(
    "tag",
    [
        "<!DSPAM:abcdefghijkl>",
        "<!--DSPAM:abcdefghijkl-->",
        "&lt;!DSPAM:abcdefghijkl&gt;",
        "&#60;!DSPAM:abcdefghijkl&#62;",
        "&amp;lt;!DSPAM:abcdefghijkl&amp;gt;",
        "<b>X-DSPAM-Signature:</b> abcdefghijkl<br>",
    ],
)
def test_a_tag_is_found_in_html_of_no_known_form(tag):
    raw = mail(f"<html><body><p>look</p><div>{tag}</div></body></html>", kind="text/html")
    assert one(raw) == Report(Form.TAG, (REF,))


@pytest.mark.parametrize(
    ("encoding", "encode"), [("base64", base64.encodebytes), ("quoted-printable", quopri.encodestring)]
)
@pytest.mark.parametrize("charset", ["us-ascii", "utf-8", "utf-16", "utf-16le", "latin-1"])
def test_a_tag_is_found_in_every_encoding(encoding, encode, charset):
    body = encode(GMAIL.encode(charset))
    raw = mail(body, f"Content-Transfer-Encoding: {encoding}", kind=f"text/plain; charset={charset}")
    assert one(raw).signatures == (REF,)


def test_a_tag_is_found_in_utf_16_that_does_not_say_so():
    raw = mail(base64.encodebytes("<!DSPAM:abcdefghijkl>".encode("utf-16le")), "Content-Transfer-Encoding: base64")
    assert one(raw).signatures == (REF,)


def test_a_tag_is_found_in_an_attached_file_that_holds_no_message():
    part = b"Content-Type: text/html\nContent-Disposition: attachment\n\n<p>x</p><!--DSPAM:abcdefghijkl-->"
    assert one(mixed(b"\nsee the page", part)) == Report(Form.TAG, (REF,))


def test_tags_of_one_text_are_one_report_the_last_first():
    assert one(mail(f"a <!DSPAM:{OTHER}>\nb <!DSPAM:{REF}>\nc <!DSPAM:{OTHER}>")).signatures == (OTHER, REF)


def test_what_an_older_system_wrote_behind_our_reference_is_kept_apart():
    assert one(mail("<!DSPAM:abcdefghijkl,4F2A0012>")).signatures == (REF, "abcdefghijkl,4F2A0012")


def test_an_id_of_an_older_system_is_an_id():
    assert one(mail("<!DSPAM:1,4B0A7C2221031234567890>")).signatures == ("1,4B0A7C2221031234567890",)


def test_every_reference_of_ours_is_found():
    for reference in [new_reference() for _ in range(50)]:
        assert one(mail(f"<!DSPAM:{reference}>")).signatures == (reference,)


# --- the reporter's own signature ---


def test_the_signature_of_the_reporters_own_mail_is_no_report():
    assert not reported(mail("hello <!DSPAM:abcdefghijkl>\n", "X-DSPAM-Signature: abcdefghijkl"))


def test_the_signature_of_the_reporters_own_mail_is_none_of_an_inline_forward():
    raw = mail(GMAIL + "\n<!DSPAM:ownownownown>\n", "X-DSPAM-Signature: ownownownown")
    assert one(raw).signatures == (REF,)


def test_the_signature_of_the_reporters_own_mail_does_not_hide_an_attachment():
    raw = b"X-DSPAM-Signature: ownownownown\n" + mixed(b"\nhello <!DSPAM:ownownownown>", attached(SPAM))
    assert one(raw).signatures == (REF,)


# --- limits, and what is hostile ---


def test_no_more_reports_than_allowed():
    parts = [attached(SPAM.replace(b"abcdefghijkl", b"ref%09d" % n).replace(b"watches", b"%d" % n)) for n in range(120)]
    found = reported(mixed(*parts))
    assert (len(found.reports), found.more) == (100, True)
    assert (len(reported(mixed(*parts[:100])).reports), reported(mixed(*parts[:100])).more) == (100, False)


def test_no_more_ids_than_allowed():
    flood = SPAM + b"".join(b"<!DSPAM:%d>\n" % n for n in range(5_000))
    ids = one(mixed(attached(flood))).signatures
    assert len(ids) == Limits().signatures
    assert ids[0] == REF


def test_a_mail_that_is_too_long_is_cut_and_says_so():
    found = reported(mixed(attached(SPAM), attached(OFFER)), Limits(octets=len(SPAM) + 400))
    assert found.reports[0].octets == SPAM
    assert found.more


def test_a_message_a_thousand_deep_is_one_report():
    raw = b"From: a@example.org\nSubject: x\nContent-Type: message/rfc822\n\n" * 1_000 + SPAM
    found = reported(raw)
    assert len(found.reports) == 1
    assert found.more


def test_multiparts_a_thousand_deep_are_given_up():
    raw = b"".join(b'Content-Type: multipart/mixed; boundary="b%d"\n\n--b%d\n' % (n, n) for n in range(1_000))
    assert reported(raw + attached(SPAM)).more


BLOCK = "From: a\nTo: b\nSubject: c\n\n"
PIECES = [
    "!", "<", "<a ", "&lt;", "&#", "<!--", "<style>", "<p>", "<br>", "<p>x", "> ", "\n", ">\n", "----- a -----\n", "a: b\n",
    "From: x\n", "To: x\n", "Date: x\nTo: y\na: b\n", BLOCK, "-- F --\na: b\n", "a@", "a.", "*_ ", "<!DSPAM:A=\n",
    "hello world ", "--b\n", "--b\nContent-Type: message/rfc822\n\n", "--b\n\nFrom: a\n",
]  # fmt: skip


@pytest.mark.parametrize("piece", PIECES)
@pytest.mark.parametrize(
    "kind", ["text/plain", "text/html", "multipart/mixed; boundary=b", "multipart/digest; boundary=b"]
)
def test_hostile_mail_takes_time_in_proportion(piece, kind):
    assert in_proportion(reported, lambda count: mail(BLOCK + piece * count, kind=kind), 400_000 // len(piece))


@pytest.mark.parametrize("piece", PIECES)
@pytest.mark.parametrize("kind", ["text/plain", "text/html", "multipart/mixed; boundary=b"])
def test_hostile_mail_takes_steps_in_proportion(piece, kind):
    def steps(size: int) -> int:
        raw = mail(BLOCK + piece * (size // len(piece)), kind=kind)
        taken = 0

        def count(frame, event, argument):
            nonlocal taken
            taken += 1

        sys.setprofile(count)
        try:
            reported(raw)
        finally:
            sys.setprofile(None)
        return taken

    assert steps(16_000) < 5 * steps(4_000) + 500


@settings(max_examples=200)
@given(
    st.lists(
        st.sampled_from(
            [
                *PIECES,
                GMAIL,
                MUTT,
                OUTLOOK_HTML,
                "Resent-From: a\n",
                "From: a\n",
                "\n",
                "\n\n",
                "Content-Type: text/html\n",
            ]
        )
        | st.text(max_size=20),
        max_size=12,
    ).map("".join)
)
def test_no_text_makes_it_raise_or_grow(text):
    for raw in (
        text.encode("utf-8", "surrogatepass"),
        mail(text.encode("utf-8", "surrogatepass")),
        mail(text, kind="text/html"),
    ):
        found = reported(raw)
        assert len(found.reports) <= 100
        for report in found.reports:
            assert report.octets is not None or report.signatures
            assert len(report.signatures) <= Limits().signatures
            assert len(report.octets or b"") <= 6 * len(raw) + 1_000
            assert isinstance(report.subject, str)


@settings(max_examples=200)
@given(st.binary(max_size=300), st.sampled_from(["utf-8", "utf-16", "utf-7", "hz", "iso-2022-jp", "none", "rot13"]))
def test_no_octets_make_it_raise(octets, charset):
    reported(octets)
    for encoding in ("base64", "quoted-printable", "8bit"):
        reported(mail(octets, f"Content-Transfer-Encoding: {encoding}", kind=f"text/plain; charset={charset}"))


@given(st.binary(max_size=200).filter(lambda body: b"--b" not in body and body[-1:] != b"\r"))
def test_an_attached_message_comes_back_octet_by_octet(body):
    message = b"From: a@example.org\nSubject: x\n\n" + body
    assert one(mixed(attached(message))).octets == message


# --- the subject of a report ---


@pytest.mark.parametrize(
    ("field", "text"),
    [
        (b"hello", "hello"),
        (b"=?utf-8?B?Z3LDvMOfZQ==?=", "grüße"),
        (b"folded\n  subject", "folded subject"),
        (b"\xff\xfe", "\\xff\\xfe"),
        (b"x" * 10_000, "x" * 500),
    ],
)
def test_the_subject_is_decoded_text(field, text):
    assert subject(b"From: a\nSubject: " + field + b"\n\nx") == text


def test_a_message_without_a_subject_has_an_empty_one():
    assert subject(b"From: a\n\nSubject: x\n") == ""
    assert Report(Form.TAG, (REF,)).subject == ""
