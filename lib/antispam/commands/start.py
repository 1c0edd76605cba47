"""The program `bms` as it is installed. What it imports, everybody waits for: `learn` needs nothing else."""

from __future__ import annotations

import sys

from antispam.commands import learn_client


def quick() -> None:
    """Do at once, and exit, what needs nothing heavy."""
    lesson = learn_client.understood(sys.argv[1:])
    if lesson is not None:
        sys.exit(learn_client.teach(lesson))


def main() -> None:
    """The program."""
    quick()
    from bms import main as whole

    whole()
