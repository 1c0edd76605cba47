#!/usr/bin/env python3
"""SPF alone: refuse mail from clients that may not use the domains of MAIL FROM or HELO. The rest is bms.py's.

`spfmilter.py` runs the filter, with /etc/mail/spfmilter.cfg; `spfmilter.py --help` tells what else it does.
"""

import sys
from pathlib import Path

if (Path(__file__).resolve().parent / "lib" / "antispam").is_dir():  # in a checkout the packages stand beside us
    sys.path.insert(0, str(Path(__file__).resolve().parent / "lib"))

from antispam.checks import auth, authentication_results, connection, forged_marks, spf, spf_fail
from antispam.checks._shared.spf.settings import Refuse
from antispam.commands.program import make_group
from antispam.journey.table import Accepted, Journey, Row, Scope, Stage
from antispam.mail.remedies import Remedy
from antispam.settings.dialects import SPFMILTER

# fmt: off
JOURNEY = Journey([
    Row(Stage.CONNECT, Scope.CONNECTION, connection,
        asks="which class of client is this, and is its host name valid?"),
    Row(Stage.MAIL, Scope.MESSAGE, auth, needs=("connection",), accepted=Accepted.DECIDE,
        asks="is it authenticated, and may that login use this sender?"),
    Row(Stage.MAIL, Scope.MESSAGE, spf, needs=("connection", "auth"),
        asks="may this client use the domains of MAIL FROM and HELO?"),
    Row(Stage.END, Scope.MESSAGE, spf_fail, needs=("connection", "auth", "spf"), accepted=Accepted.SKIP,
        asks="was the refusal of an SPF fail deferred to the end of the message?"),
    Row(Stage.END, Scope.MESSAGE, forged_marks, needs=("connection", "auth"), accepted=Accepted.PROTECT,
        asks="does it have a foreign Received-SPF?"),
    Row(Stage.END, Scope.MESSAGE, authentication_results, needs=("connection", "auth", "spf"),
        asks="which results are written, and which claim falsely to be ours?"),
])
# fmt: on

main = make_group(
    JOURNEY, "spfmilter", "SPF for sendmail and Postfix. Without a command it runs in the foreground.",
    config="/etc/mail/spfmilter.cfg", dialect=SPFMILTER,
    defaults={
        ("store", "history"): False,
        ("spf", "refuse"): Refuse.AT_ONCE,
        ("connection", "localhost_ptr"): Remedy.IGNORE,
        ("forged_marks", "fields"): ("Received-SPF",),
    },
)  # fmt: skip

if __name__ == "__main__":
    main()
