#!/usr/bin/env python3
"""The anti-spam filter for sendmail and Postfix. JOURNEY, read from top to bottom, is what happens to a message.

`bms.py` runs the filter; `bms.py --help` tells what else it does.
"""

import sys
from pathlib import Path

if (Path(__file__).resolve().parent / "lib" / "antispam").is_dir():  # in a checkout the packages stand beside us
    sys.path.insert(0, str(Path(__file__).resolve().parent / "lib"))

from antispam.cli import make_group
from antispam.journey import Journey

JOURNEY = Journey([])

main = make_group(
    JOURNEY, "bms", "The anti-spam filter for sendmail and Postfix. Without a command it runs in the foreground."
)

if __name__ == "__main__":
    main()
