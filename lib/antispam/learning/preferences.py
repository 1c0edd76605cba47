"""The preferences of users, groups and the site: the options that they override, and their order."""

from __future__ import annotations

import dataclasses
import logging
from collections.abc import Iterable, Mapping
from typing import Any, NamedTuple, TypeVar

from antispam.learning.digest_settings import DigestSettings
from antispam.learning.language_settings import LanguageSettings
from antispam.learning.settings import DspamSettings
from antispam.settings.declare import Option, options_of
from antispam.store import Store
from antispam.store.preferences import Preference, of_user
from antispam.store.quarantine_settings import QuarantineSettings
from antispam.text import for_log

log = logging.getLogger(__name__)

S = TypeVar("S", DspamSettings, QuarantineSettings, DigestSettings, LanguageSettings)


class Preferable(NamedTuple):
    """An option that a preference overrides: the settings class, and the option there."""

    settings: type
    option: Option


def _option(settings: type, field: str) -> Preferable:
    return Preferable(settings, next(option for option in options_of(settings) if option.field == field))


PREFERENCES: Mapping[str, Preferable] = {
    "spamAction": _option(DspamSettings, "spam_action"),
    "scoreMark": _option(DspamSettings, "mark"),
    "scoreGreylist": _option(DspamSettings, "greylist"),
    "scoreQuarantine": _option(DspamSettings, "quarantine"),
    "scoreRefuse": _option(DspamSettings, "refuse"),
    "scoreDiscard": _option(DspamSettings, "discard"),
    "spamSubject": _option(DspamSettings, "spam_subject"),
    "signatureLocation": _option(DspamSettings, "signature_location"),
    "optOut": _option(DspamSettings, "opt_out"),
    "whitelistThreshold": _option(DspamSettings, "whitelist_threshold"),
    "trainingMode": _option(DspamSettings, "training_mode"),
    "quarantineKeep": _option(QuarantineSettings, "keep"),
    "quarantineSize": _option(QuarantineSettings, "user_size"),
    "quarantineMessages": _option(QuarantineSettings, "user_messages"),
    "digest": _option(DigestSettings, "often"),
    "language": _option(LanguageSettings, "language"),
}
"""The options by the names of preferences; those from DSPAM keep their names."""

_SPELLING = {name.lower(): name for name in PREFERENCES}


def spelling(name: str) -> str:
    """The canonical spelling of a preference's name, given in any case. Raises ValueError, with a sentence for people,
    for an unknown name.
    """
    spelt = _SPELLING.get(name.lower())
    if spelt is None:
        raise ValueError(f"there is no preference {name[:40]!a}; there are {', '.join(PREFERENCES)}")
    return spelt


def read_preference(name: str, text: str) -> tuple[Preferable, Any]:
    """The option that a preference overrides, and its value. Raises ValueError for an unknown name or an invalid value."""
    preferable = PREFERENCES[spelling(name)]
    value = preferable.option.read(text)
    if preferable.option.check is not None:
        preferable.option.check(value)
    return preferable, value


def resolved(settings: S, preferences: Iterable[Preference]) -> S:
    """The settings, overridden by the preferences that apply to them; later ones win.

    An unreadable preference, from another version or written by hand, is logged and ignored.
    """
    changes: dict[str, Any] = {}
    for one in preferences:
        try:
            preferable, value = read_preference(one.name, one.value)
        except ValueError as error:
            log.warning("preference %s of %s %s: %s", for_log(one.name), one.scope, for_log(one.owner), error)
            continue
        if isinstance(settings, preferable.settings):
            changes[preferable.option.field] = value
    return dataclasses.replace(settings, **changes) if changes else settings


def language_of(site: LanguageSettings, store: Store, user: str | None, deadline: Any = None) -> str:
    """The language of mail to a user; None stands for a person who is not a user. Raises StoreError."""
    return resolved(site, of_user(store, user, deadline)).language
