"""Every test that the program knows, in one table: its name, its points, the check that finds it, and the reason for these.

One block a check. docs/score.md shows it; `[score]` of milter.cfg changes points by name. Points were chosen beside those of
SpamAssassin and rspamd, where they have the test: what honest mail shows now and then gets little, and no single sign of that
kind reaches `mark`.
"""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType

from antispam.mail.score import Test

TESTS: tuple[Test, ...] = (
    # connection
    Test("RDNS_NONE", 1.2, "connection", "Mail servers have a name; computers that were taken over often have none."),
    Test("RDNS_DYNAMIC", 0.8, "connection", "Lines of homes and offices rarely send mail to strangers directly."),
    # spf
    Test("SPF_FAIL", 1.5, "spf", "The owner of the sender's domain says that this client may not use it."),
    Test("SPF_SOFTFAIL", 0.8, "spf", "The owner of the sender's domain thinks that this client should not use it."),
    Test("SPF_NONE", 0.3, "spf", "Nearly all domains that send mail publish a record today."),
    Test("SPF_PERMERROR", 0.3, "spf", "A record with an error protects nobody, and its owner has not noticed."),
    Test("SPF_HELO_FAIL", 1.0, "spf", "The client uses the name of a host that it is not."),
)

TABLE: Mapping[str, Test] = MappingProxyType({test.name: test for test in TESTS})
"""The same by name."""
