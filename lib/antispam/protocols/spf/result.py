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
"""The same for clients whose PTR record is missing or dynamic and proves nothing."""
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
    """The administrator's options.

    receiver    our host name, for the macro %{r}
    explain     on fail, fetch the domain owner's explanation
    lax         on permerror, also give the result of a lenient reading of the record
    voids       the maximum number of terms with void look-ups (RFC 7208 section 4.6.4); unlimited in the lenient
                reading
    best_guess  the record to assume if none is published, such as BEST_GUESS; "" assumes none
    delegate    the domain with records for other domains, as DOMAIN._spf.DELEGATE; "" for none
    """

    receiver: str = "unknown"
    explain: bool = False
    lax: bool = False
    voids: int = 2
    best_guess: str = ""
    delegate: str = ""


@dataclass(frozen=True, slots=True)
class SpfResult:
    """The result for one identity. All text is printable and bounded, whatever DNS or the client sent, and US-ASCII
    except for the local part of `mailfrom`.

    result       the result by RFC 7208; a guess or a lax reading never changes it
    identity     the identity that was checked
    domain       its domain in A-labels; "" if there was none to check
    ip           the client's address
    mailfrom     the reverse path, with its domain in A-labels; "" for the null one
    helo         the HELO name
    mechanism    the term of the domain's record that matched; "" if none did
    problem      what is wrong, for permerror and temperror
    explanation  the domain owner's text, for fail, if requested
    lookups      the number of terms that needed the DNS
    lax          for permerror: the result of the lenient reading
    guess        for none: pass or neutral by the assumed record
    sends_nothing  for fail: the record permits no client at all, like `v=spf1 -all`
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
        """The result for local policy: that of the lax reading, or pass if it was guessed."""
        return self.lax or (Result.PASS if self.guess is Result.PASS else self.result)


def plain(text: str, limit: int) -> str:
    """`text` in printable US-ASCII: other characters become escapes, control characters question marks."""
    text = from_wire(text, limit).encode("ascii", "backslashreplace").decode("ascii")
    return re.sub(r"[^\x20-\x7e]", "?", text)[:limit]
