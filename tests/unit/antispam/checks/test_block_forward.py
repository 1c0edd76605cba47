"""Forwarded mail for those who hate it."""

from __future__ import annotations

import pytest

from antispam.checks import block_forward
from antispam.mail.access_map import EMPTY
from antispam.mail.connection import Connection
from antispam.mail.findings import Findings
from antispam.mail.verdicts import Action
from support.checking import message, services

CONFIG = "[defang]\nblock_forward = egghead@example.com, @busy.example\n"


def judge(it, config=CONFIG):
    given = services(block_forward, config)
    finding = block_forward.collect(Connection("c"), it, it.recipients[0], given)
    if finding is None:
        return None
    assert block_forward.Finding.from_json(finding.to_json()) == finding
    return block_forward.decide(finding, Findings(), given.settings[block_forward.Settings], EMPTY)


@pytest.mark.parametrize(
    "subject",
    [
        "Fwd: a joke",
        "FW: a joke",
        "[Fwd: a joke]",
        "[fw] x",
        "WG: x",
        "TR : x",
        "=?utf-8?q?Fwd=3A?= x",
        "转发: x",
        " fwd: x",
    ],
)
def test_forwarded_mail_is_refused_for_who_hates_it(subject):
    assert judge(message(f"Subject: {subject}", to=["EggHead@example.com"])).action is Action.REJECT
    assert judge(message(f"Subject: {subject}", to=["any@busy.example"])).action is Action.REJECT
    assert judge(message(f"Subject: {subject}", to=["other@example.com"])) is None


@pytest.mark.parametrize("subject", ["Re: Fwd: a joke", "forward", "Fwdx: y", "", "news of the fw: group"])
def test_other_mail_is_not(subject):
    assert judge(message(f"Subject: {subject}", to=["egghead@example.com"])) is None


def test_a_colleague_may_forward_and_another_answer_may_be_given():
    assert judge(message("Subject: Fwd: x", to=["egghead@example.com"], login="bob")) is None
    config = f"{CONFIG}[block_forward]\nanswer = quarantine\n"
    assert judge(message("Subject: Fwd: x", to=["egghead@example.com"]), config).action is Action.QUARANTINE
