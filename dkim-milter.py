#!/usr/bin/env python3
"""DKIM alone: verify what comes in, sign what our own users send, and write Authentication-Results. The rest is bms.py's.

`dkim-milter.py` runs the filter, with /etc/mail/dkim-milter.cfg; `dkim-milter.py --help` tells what else it does.
"""

import sys
from pathlib import Path

if (Path(__file__).resolve().parent / "lib" / "antispam").is_dir():  # in a checkout the packages stand beside us
    sys.path.insert(0, str(Path(__file__).resolve().parent / "lib"))

from antispam.answers import Answer
from antispam.checks import access, authentication_results, connection_class, dkim_sign, dkim_verify
from antispam.cli import make_group
from antispam.dkim_keys.commands import dkim_command
from antispam.journey import Accepted, Journey, Row, Scope, Stage
from antispam.program import RejectAt
from antispam.settings.dialects import DKIM_MILTER

# fmt: off
JOURNEY = Journey([
    Row(Stage.CONNECT, Scope.CONNECTION, connection_class,
        asks="who is this client to us, and does its host name hold?"),
    Row(Stage.MAIL, Scope.MESSAGE, access, needs=("connection",), accepted=Accepted.DECIDE,
        asks="did it authenticate, and may that login use this sender?"),
    Row(Stage.END, Scope.MESSAGE, dkim_verify, needs=("connection", "auth"),
        asks="is the message signed, and as it was when it was signed?"),
    Row(Stage.END, Scope.MESSAGE, authentication_results, needs=("connection", "auth", "dkim"),
        asks="what shall readers know of DKIM, and who pretends to be us telling it?"),
    Row(Stage.END, Scope.MESSAGE, dkim_sign, needs=("connection", "auth"),
        asks="is this mail of our own, to be signed as it leaves?"),
])
# fmt: on

main = make_group(
    JOURNEY, "dkim-milter", "DKIM for sendmail and Postfix. Without a command it runs in the foreground.",
    config="/etc/mail/dkim-milter.cfg", dialect=DKIM_MILTER, commands=(dkim_command,),
    defaults={
        ("store", "history"): False,
        ("milter", "reject_at"): RejectAt.END,
        ("connection", "localhost_ptr"): Answer.IGNORE,
    },
)  # fmt: skip

if __name__ == "__main__":
    main()
