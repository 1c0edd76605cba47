"""Training the screener with mail refused for its sender, if [bans] learn is on."""

from __future__ import annotations

import numpy as np

from antispam.checks._shared.bans import BanSettings
from antispam.journey.services import Services
from antispam.learning.delivered import as_delivered
from antispam.learning.feedback import PERIOD
from antispam.learning.settings import DspamSettings
from antispam.mail.connection import Connection
from antispam.mail.message import Message
from antispam.store import rates
from dspam.features import extract, facts_of_tests
from dspam.hashing import merged


def learn_refused(connection: Connection, message: Message, services: Services) -> bool:
    """Learn a refused message as spam in the first screener's dictionary, within the hourly limit for one user's
    reports: anybody can pretend to be a refused sender. False if that is off, not possible, or over the limit. Raises
    StoreError.
    """
    settings = services.settings[DspamSettings]
    if not services.settings[BanSettings].learn or services.store is None or services.dictionaries is None:
        return False
    if not settings.dspam_screener or not message.headers or not message.body.complete:
        return False
    name = settings.dspam_screener[0]
    used = rates.use(services.store, f"refused {name}"[:255], 1, services.clock(), PERIOD, services.deadline)
    if used > settings.report_rate:
        return False
    tests = list(facts_of_tests(hit.test for hit in message.findings.hits()))
    keys = merged(extract(as_delivered(connection, message)), np.array(tests, dtype=np.int64))
    services.dictionaries.make(name).learn(message.ref, keys, True, services.deadline)
    return True
