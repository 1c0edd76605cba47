"""Which pages a refusal links to."""

from __future__ import annotations

import pytest
from bms import JOURNEY

from antispam.journey.spoken import errors_url
from antispam.mail.decisions import Decision
from antispam.mail.verdicts import reject
from antispam.service.application import settings_classes
from antispam.settings import load_text

CONFIG = """\
[milter]
errors_url = https://all.example
[spf]
errors_url = https://spf.example
[gossip]
errors_url = https://reputation.example
"""


@pytest.mark.parametrize(
    ("check", "pages"),
    [
        ("spf", "https://spf.example"),
        ("spf_fail", "https://spf.example"),
        ("reputation", "https://reputation.example"),
        ("reputation_signed", "https://reputation.example"),
        ("helo", "https://all.example"),
        ("limits", "https://all.example"),  # no check
    ],
)
def test_spf_and_reputation_may_have_pages_of_their_own(check, pages):
    """Options of these names were read, and had no effect."""
    settings = load_text(CONFIG, settings_classes(JOURNEY))
    assert errors_url(Decision(check, reject("No.", "test")), JOURNEY, settings) == pages


def test_without_pages_of_their_own_they_link_to_those_of_all():
    settings = load_text("[milter]\nerrors_url = https://all.example\n", settings_classes(JOURNEY))
    assert errors_url(Decision("spf", reject("No.", "test")), JOURNEY, settings) == "https://all.example"
