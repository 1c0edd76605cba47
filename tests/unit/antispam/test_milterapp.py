"""Between libmilter and a session; the rest of it is in the dialogues and in tests/e2e/test_bms_run.py."""

from __future__ import annotations

import pytest

from antispam.milterapp import milter_class
from antispam.program import RejectAt
from antispam.worker import Activity


class _Context:
    """An MTA that tells no macros and takes no answers."""

    def setpriv(self, value):
        pass

    def getsymval(self, name):
        return None


class _FailingSession:
    def mail(self, *arguments):
        raise OSError("broken")

    def end(self, *arguments, **named):
        raise OSError("broken")


def test_a_stop_does_not_wait_for_a_message_that_ended_in_an_exception():
    activity = Activity()
    milter = milter_class(_FailingSession, activity, RejectAt.RCPT)()
    milter._setctx(_Context())
    with pytest.raises(OSError, match="broken"):
        milter.envfrom("<ann@example.org>")
    assert activity.load().messages == 1  # nobody answered it: the MTA goes on with it or gives it up
    with pytest.raises(OSError, match="broken"):
        milter.eom()
    assert activity.load()[:2] == (1, 0)
