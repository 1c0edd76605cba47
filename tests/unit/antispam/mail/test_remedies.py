"""Remedies: one vocabulary for all settings, each of which offers some of it."""

from __future__ import annotations

import pytest
from bms import JOURNEY

from antispam.mail.remedies import USUAL, Remedy, verdict_for
from antispam.mail.verdicts import Action
from antispam.service.application import settings_classes
from antispam.settings import SettingsError, load_text
from antispam.settings.declare import Option, options_of

CLASSES = settings_classes(JOURNEY)
# What a setting offers that has not the usual choice.
OFFERED = {
    "[defang] remedy": {Remedy.REPLACE, Remedy.REJECT, Remedy.QUARANTINE, Remedy.HOLD},
    "[author_domain] remedy": {Remedy.REJECT, Remedy.QUARANTINE, Remedy.HOLD, Remedy.FIX},
    "[author_domain] forged": {Remedy.REJECT, Remedy.QUARANTINE, Remedy.HOLD},
    "[dspam] spam_action": {Remedy.DELIVER, Remedy.TAG, Remedy.QUARANTINE, Remedy.REJECT, Remedy.HOLD},
}
OPTIONS = [one for cls in CLASSES for one in options_of(cls) if isinstance(one.default, Remedy)]


@pytest.mark.parametrize(
    ("remedy", "action", "enhanced"),
    [
        (Remedy.IGNORE, Action.CONTINUE, ""),
        (Remedy.DELIVER, Action.CONTINUE, ""),
        (Remedy.TAG, Action.CONTINUE, ""),
        (Remedy.REPLACE, Action.CONTINUE, ""),
        (Remedy.FIX, Action.CONTINUE, ""),
        (Remedy.TEMPFAIL, Action.TEMPFAIL, "4.7.26"),
        (Remedy.QUARANTINE, Action.QUARANTINE, ""),
        (Remedy.HOLD, Action.HOLD, ""),
        (Remedy.REJECT, Action.REJECT, "5.7.26"),
    ],
)
def test_each_remedy_has_one_verdict(remedy: Remedy, action: Action, enhanced: str) -> None:
    verdict = verdict_for(remedy, "text", "reason", status="7.26")
    assert (verdict.action, verdict.enhanced, verdict.reason) == (action, enhanced, "reason")


@pytest.mark.parametrize("option", OPTIONS, ids=lambda option: f"{option.section} {option.name}")
def test_a_setting_takes_the_remedies_that_it_offers_and_no_other(option: Option) -> None:
    offered = OFFERED.get(f"[{option.section}] {option.name}", set(USUAL))
    assert {remedy for remedy in Remedy if _takes(option, remedy)} == offered


def _takes(option: Option, remedy: Remedy) -> bool:
    try:
        return option.read(str(remedy)) is remedy
    except ValueError:
        return False


def test_the_settings_with_a_choice_of_their_own_are_there() -> None:
    assert set(OFFERED) <= {f"[{one.section}] {one.name}" for one in OPTIONS}


def test_the_error_names_what_is_allowed() -> None:
    with pytest.raises(SettingsError, match=r"expected one of reject, quarantine, hold$"):
        load_text("[author_domain]\nforged = fix\n", CLASSES)
