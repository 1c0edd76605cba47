#!/usr/bin/env python3
"""The anti-spam filter for sendmail and Postfix. JOURNEY, read from top to bottom, is what happens to a message.

`bms.py` runs the filter; `bms.py --help` tells what else it does.
"""

import sys
from pathlib import Path

if (Path(__file__).resolve().parent / "lib" / "antispam").is_dir():  # in a checkout the packages stand beside us
    sys.path.insert(0, str(Path(__file__).resolve().parent / "lib"))

from antispam.checks import authentication_results, dkim_sign, dkim_verify, greylist, spf
from antispam.cli import make_group
from antispam.journey import Accepted, Journey, Row, Scope, Stage

CONNECTION, MESSAGE, RECIPIENT = Scope.CONNECTION, Scope.MESSAGE, Scope.RECIPIENT

# fmt: off
JOURNEY = Journey([
    Row(Stage.MAIL, MESSAGE, spf,
        asks="may this client use the domains of MAIL FROM and HELO?"),
    Row(Stage.RCPT, RECIPIENT, greylist, needs=("spf",), accepted=Accepted.SKIP,
        asks="have we seen this client, sender and recipient together before?"),
    Row(Stage.END, MESSAGE, dkim_verify,
        asks="is the message signed, and as it was when it was signed?"),
    Row(Stage.END, MESSAGE, authentication_results, needs=("spf", "dkim"),
        asks="what shall readers know of SPF and DKIM, and who pretends to be us telling it?"),
    Row(Stage.END, MESSAGE, dkim_sign,
        asks="is this mail of our own, to be signed as it leaves?"),
])
# fmt: on

main = make_group(
    JOURNEY, "bms", "The anti-spam filter for sendmail and Postfix. Without a command it runs in the foreground."
)

if __name__ == "__main__":
    main()
