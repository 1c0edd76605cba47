"""Of 200 spam messages under each trick of tests/support/tricks.py, how many are caught; all have neutral headers.

python -m tests.bench.tricks [MESSAGES]
"""

from __future__ import annotations

import sys
from pathlib import Path

from rich.console import Console
from rich.table import Table

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from support.tricks import TRICKS, Trained, diluted


def main() -> None:
    messages = int(sys.argv[1]) if len(sys.argv) > 1 else 200
    trained = Trained()
    table = Table("trick", "caught", title=f"of {messages} spam messages each; wanted: 95 %")
    table.add_row("without a trick", str(trained.caught(None, messages)), style="bold")
    for name, trick in TRICKS.items():
        table.add_row(name, str(trained.caught(trick, messages)))
    table.add_row("2,000 octets of words that both kinds have, in sight", str(trained.caught(diluted, messages)))
    Console(width=100).print(table)


if __name__ == "__main__":
    main()
