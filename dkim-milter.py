#!/usr/bin/env python3
"""DKIM alone: verify what comes in, sign what our own users send, and write Authentication-Results. The rest is bms.py's.

`dkim-milter.py` runs the filter, with /etc/mail/dkim-milter.cfg; `dkim-milter.py --help` tells what else it does.
"""

import sys
from pathlib import Path

if (Path(__file__).resolve().parent / "lib" / "antispam").is_dir():  # in a checkout the packages stand beside us
    sys.path.insert(0, str(Path(__file__).resolve().parent / "lib"))

from antispam.checks import auth, authentication_results, connection, dkim, dkim_sign
from antispam.commands.program import Command, make_group
from antispam.journey.table import Accepted, Journey, Row, Scope, Stage
from antispam.mail.remedies import Remedy
from antispam.settings.dialects import DKIM_MILTER
from antispam.settings.program import RejectAt

# fmt: off
JOURNEY = Journey([
    Row(Stage.CONNECT, Scope.CONNECTION, connection,
        asks="which class of client is this, and is its host name valid?"),
    Row(Stage.MAIL, Scope.MESSAGE, auth, needs=("connection",), accepted=Accepted.DECIDE,
        asks="is it authenticated, and may that login use this sender?"),
    Row(Stage.END, Scope.MESSAGE, dkim, needs=("connection", "auth"),
        asks="is the message signed, and unchanged since?"),
    Row(Stage.END, Scope.MESSAGE, authentication_results, needs=("connection", "auth", "dkim"),
        asks="which results are written, and which claim falsely to be ours?"),
    Row(Stage.END, Scope.MESSAGE, dkim_sign, needs=("connection", "auth"),
        asks="is it our own mail, to be signed as it leaves?"),
])
# fmt: on

main = make_group(
    JOURNEY, "dkim-milter", "DKIM for sendmail and Postfix. Without a command it runs in the foreground.",
    config="/etc/mail/dkim-milter.cfg", dialect=DKIM_MILTER,
    commands=(Command("dkim", "dkim:dkim_command", "Make, publish, check and rotate the keys that sign."),),
    defaults={
        ("store", "history"): False,
        ("milter", "reject_at"): RejectAt.END,
        ("connection", "localhost_ptr"): Remedy.IGNORE,
    },
)  # fmt: skip

if __name__ == "__main__":
    main()
