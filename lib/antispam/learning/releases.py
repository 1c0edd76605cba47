"""The learning filter's part in the quarantine commands: teaching by releases, and the limits of each user."""

from __future__ import annotations

import time
from collections.abc import Callable

from antispam.learning.fingerprinting import Fingerprinter, FingerprintSettings
from antispam.learning.preferences import resolved
from antispam.learning.settings import DspamSettings
from antispam.learning.teacher import Dictionaries
from antispam.settings import Mode, Settings
from antispam.store import Store, quarantine
from antispam.store.preferences import of_user
from antispam.store.quarantine_settings import QuarantineSettings
from antispam.store.retention import LimitsOf
from dspam.features import extract
from dspam.store import get_signature, unpack_keys
from gossip import HAM, Records


def teaching(settings: Settings, store: Store) -> Callable[[str, str], None]:
    """A function that teaches a released message as ham: to the dictionary of its user, if they are a user of the
    filter; to the screener's; and to the reputation of its sender. It raises StoreError, and LookupError if neither
    dictionary exists.
    """
    dspam = settings[DspamSettings]
    fingerprints = settings[FingerprintSettings] if FingerprintSettings in settings else None  # noqa: SIM401 - not a dict
    dictionaries = Dictionaries(store)

    def teach(user: str, ref: str) -> None:
        owner = user if user in dspam.users else next(iter(dspam.dspam_screener), "")
        if not owner:
            raise LookupError(f"{user} is no user of the filter, and there is no dspam_screener")
        teacher = dictionaries.make(owner)
        signature = get_signature(store, teacher.number, ref)
        keys = unpack_keys(signature.content) if signature is not None else extract(quarantine.content(store, ref))
        for one in (teacher, *map(dictionaries.make, (name for name in dspam.dspam_screener[:1] if name != owner))):
            one.learn(ref, keys, False)
        Records(store).report(ref, HAM, time.time())
        if fingerprints is not None and fingerprints.mode is not Mode.OFF:
            # A release is weaker than a report of ham, because people are curious.
            said = Fingerprinter(store, fingerprints, user, time.time())
            said.ham(quarantine.content(store, ref), weight=1)

    return teach


def limits(settings: Settings, store: Store) -> LimitsOf:
    """The limits of a user's quarantine: [quarantine], overridden by preferences."""
    return lambda user: resolved(settings[QuarantineSettings], of_user(store, user)).limits
