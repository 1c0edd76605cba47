"""Evidence is stored without what is at its default, and read back whole."""

from __future__ import annotations

import msgspec
import pytest

from antispam.mail.evidence import DmarcFinding, ScoreFinding
from antispam.mail.findings import Finding, Findings
from antispam.mail.score import Counted


def test_what_is_at_its_default_is_not_stored():
    assert Findings(None, [ScoreFinding()]).essentials() == {"score": {}}


def test_parts_of_evidence_are_stored_without_their_defaults_too():
    finding = ScoreFinding(total=0.3, tests=(Counted("SPF_NONE", 0.3, ""),))
    stored = {"total": 0.3, "tests": [{"test": "SPF_NONE", "points": 0.3}]}
    assert msgspec.json.decode(finding.to_json()) == stored


@pytest.mark.parametrize(
    "finding", [ScoreFinding(total=0.0), ScoreFinding(tests=(Counted("A", 0.0, ""),)), DmarcFinding(error="no answer")]
)
def test_what_is_stored_is_read_back_whole(finding: Finding):
    assert type(finding).from_json(finding.to_json()) == finding


def test_a_row_that_has_the_defaults_is_read_as_one_that_leaves_them_out():
    """Rows of older versions have them."""
    finding = ScoreFinding(total=1.5)
    assert ScoreFinding.from_json(msgspec.json.encode(finding)) == ScoreFinding.from_json(finding.to_json()) == finding
