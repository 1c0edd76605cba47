"""Checks of names in a configuration: they must exist."""

from __future__ import annotations

from antispam.journey.plan import known_tests
from antispam.journey.table import Journey
from antispam.mail.score_settings import ScoreSettings
from antispam.settings import Settings, SettingsError
from antispam.settings.load import nearest
from antispam.store.quarantine_settings import DANGEROUS, QuarantineSettings


def demand_known_tests(journey: Journey, settings: Settings) -> None:
    """Raises SettingsError if [score] gives points to a test that does not exist: otherwise nobody would notice that
    they have no effect.
    """
    if ScoreSettings not in settings:
        return
    tests = known_tests(journey, settings)
    for name in settings[ScoreSettings].points:
        if name.upper() not in tests:
            stands = [origin for origin in settings.origins if origin.section == ScoreSettings.SECTION]
            where = next(origin.where for origin in stands if origin.option == name)
            near = nearest(name, {*map(str.lower, tests), *(one.option for one in stands if one.option != name)})
            advice = f"; did you mean {near.upper() if near.upper() in tests else near}?" if near else ""
            raise SettingsError(f"{where}: [score] has no test {name.upper()}{advice}")


def demand_known_checks(journey: Journey, settings: Settings) -> None:
    """Raises SettingsError if [quarantine] users_may_not_release names a check that does not exist: otherwise users
    could release what it should keep from them. Programs without the checks of its default quarantine no mail.
    """
    where = next(one for one in settings.origins if one.option == "users_may_not_release")
    names = journey.names
    if not names.issuperset(DANGEROUS):
        return
    for name in settings[QuarantineSettings].users_may_not_release:
        if name not in names:
            near = nearest(name.lower(), names)
            advice = f"; did you mean {near}?" if near else ""
            raise SettingsError(f"{where.where}: [quarantine] users_may_not_release: there is no check {name}{advice}")
