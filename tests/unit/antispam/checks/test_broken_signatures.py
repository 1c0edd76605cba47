"""Signatures of others that our own changes break: the log tells, and Authentication-Results stay true."""

from __future__ import annotations

import logging

import pytest

from antispam.checks import authentication_results
from antispam.checks import dkim as dkim_check
from antispam.deadline import Deadline
from antispam.journey.services import Services
from antispam.mail.access_map import parse_text
from antispam.mail.connection import Connection
from antispam.mail.draft import Draft
from antispam.mail.findings import Findings
from antispam.mail.message import Body, Header, Message
from antispam.mail.verdicts import CONTINUE
from antispam.settings import default_settings
from support.dkim_mail import BODY, NOW, RSA, signed
from support.dns import ScriptedResolver

SERVICES = Services(
    settings=default_settings([dkim_check.Settings, authentication_results.Settings]),
    resolver=ScriptedResolver({"s._domainkey.example.com": {"TXT": [RSA.dns_record]}}),
    store=None,
    access=parse_text(""),
    clock=lambda: float(NOW),
    deadline=Deadline(1.0, clock=lambda: 0.0),  # never over, however long the run lasts
)


def drafted(body=BODY):
    """A signed message that was verified."""
    content = Body(100_000)
    content.write(body)
    message = Message("m", "joe@example.com", float(NOW), content, findings=Findings())
    message.headers.extend(Header(*field) for field in signed())
    message.findings.add(dkim_check.collect(Connection("c"), message, None, SERVICES))
    return Draft(message)


def result_after(draft):
    connection = Connection("c", ip="192.0.2.1", receiver="mx.example.net")
    finding = authentication_results.collect(connection, draft.message, None, SERVICES)
    authentication_results.act(finding, CONTINUE, draft, SERVICES)
    (field,) = [header for header in draft.headers if header.key == b"authentication-results"]
    return field.value.decode()


def replaced(draft):
    draft.replace_body(BODY + b"A footer\r\n")


def tagged(draft):
    (subject,) = draft.message.fields(b"subject")
    draft.change_header(subject, "[SPAM] Is dinner ready?")


def second_from(draft):
    draft.append_header("From", "eve@example.org")


@pytest.mark.parametrize("change", [replaced, tagged, second_from])
def test_a_change_that_breaks_a_signature_is_told_in_the_log_and_beside_the_result(caplog, change):
    draft = drafted()
    change(draft)
    with caplog.at_level(logging.WARNING):
        assert "dkim=pass (before this server changed the message)" in result_after(draft)
    assert "[m] our changes break the DKIM signature of example.com" in caplog.text


def another_field(draft):
    draft.append_header("X-DSPAM-Result", "Innocent")
    draft.insert_header("Received-SPF", "pass")


def nothing(draft):
    pass


@pytest.mark.parametrize("change", [another_field, nothing])
def test_a_change_that_breaks_none_is_not_talked_of(caplog, change):
    draft = drafted()
    change(draft)
    assert "dkim=pass header.d=example.com" in result_after(draft)
    assert "our changes" not in caplog.text


def test_a_signature_that_never_passed_was_not_broken_by_us(caplog):
    draft = drafted(BODY + b"changed on the way\r\n")
    replaced(draft)
    assert "dkim=fail" in result_after(draft)
    assert "our changes" not in caplog.text
