"""The installed program `bms`. Every call waits for its imports, so it has only those of `learn`."""

from __future__ import annotations

import sys

from antispam.commands import learn_client


def quick() -> None:
    """Handle commands without heavy imports at once, and exit."""
    lesson = learn_client.understood(sys.argv[1:])
    if lesson is not None:
        sys.exit(learn_client.teach(lesson))


def main() -> None:
    """The program."""
    quick()
    from bms import main as whole

    whole()
