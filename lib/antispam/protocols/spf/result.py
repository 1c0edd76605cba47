"""The options and results of SPF."""

from __future__ import annotations

import enum
import re
from dataclasses import dataclass
from typing import Literal

from antispam.text import from_wire

Identity = Literal["mailfrom", "helo"]

BEST_GUESS = "v=spf1 a/24 mx/24 ptr"
"""The record assumed for domains that publish none."""
BEST_GUESS_DYNAMIC = "v=spf1 a/24 mx/24"
"""The same for clients whose PTR record is missing or dynamic, and proves nothing."""
BEST_GUESS_HELO = "v=spf1 a mx"
"""The same for HELO names; a provider's PTR record must not vouch for its customers' zombies."""


class Result(enum.StrEnum):
    """The results of check_host(), RFC 7208 section 2.6."""

    NONE = "none"
    NEUTRAL = "neutral"
    PASS = "pass"
    FAIL = "fail"
    SOFTFAIL = "softfail"
    TEMPERROR = "temperror"
    PERMERROR = "permerror"


@dataclass(frozen=True, slots=True)
class SpfOptions:
    """What the administrator may choose.

    receiver    our host name, for the macro %{r}
    explain     on fail, fetch the explanation that the domain owner publishes
    lax         on permerror, also tell what a forgiving reading of the record gives
    voids       how many terms of a record may ask for what does not exist (RFC 7208 section 4.6.4); the forgiving reading
                counts none
    best_guess  the record to assume where none is published, such as BEST_GUESS; "" assumes none
    delegate    the domain under which others' records are kept, as DOMAIN._spf.DELEGATE; "" for none
    """

    receiver: str = "unknown"
    explain: bool = False
    lax: bool = False
    voids: int = 2
    best_guess: str = ""
    delegate: str = ""


@dataclass(frozen=True, slots=True)
class SpfResult:
    """The outcome for one identity. All text is printable and of bounded length, whatever DNS or the client sent, and all but
    the local part of `mailfrom` is US-ASCII.

    result       what RFC 7208 says; a guess or a lax reading never changes it
    identity     which identity was checked
    domain       its domain in A-labels; "" if there was none to check
    ip           the client's address
    mailfrom     the reverse path, its domain in A-labels; "" for the null one
    helo         the HELO name
    mechanism    the term of the domain's record that matched; "" if none did
    problem      what is wrong, with permerror and temperror
    explanation  the domain owner's words, with fail, if asked for
    lookups      terms that asked the DNS
    lax          with permerror: the result of the forgiving reading
    guess        with none: pass or neutral by the record that was assumed
    sends_nothing  with fail: the record permits no client at all, as `v=spf1 -all` does
    """

    result: Result
    identity: Identity
    domain: str
    ip: str
    mailfrom: str
    helo: str
    mechanism: str = ""
    problem: str = ""
    explanation: str = ""
    lookups: int = 0
    lax: Result | None = None
    guess: Result | None = None
    sends_nothing: bool = False

    @property
    def effective(self) -> Result:
        """The result that local policy may go by: that of the lax reading, or pass where it was guessed."""
        return self.lax or (Result.PASS if self.guess is Result.PASS else self.result)


def plain(text: str, limit: int) -> str:
    """`text` in printable US-ASCII; other characters become escapes, control characters a question mark."""
    text = from_wire(text, limit).encode("ascii", "backslashreplace").decode("ascii")
    return re.sub(r"[^\x20-\x7e]", "?", text)[:limit]
