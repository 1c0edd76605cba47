"""Run one of pydspam's own test modules, and print the counts as JSON on the last line.

    python run_pydspam.py testdspam

Those tests remove libdspam's dictionaries before each test. Ours lie in another file of the same directory, which goes as well.
"""

from __future__ import annotations

import importlib
import shutil
import sys
import unittest
from pathlib import Path

from run_suite import counts_of, restore_old_names

import dspam

HOME = Path("testdir")


def with_a_fresh_home(case: type[unittest.TestCase]) -> None:
    set_up = case.setUp

    def fresh(self: unittest.TestCase) -> None:
        dspam.libdspam_shutdown()
        shutil.rmtree(HOME, ignore_errors=True)
        (HOME / "data").mkdir(parents=True)
        set_up(self)

    case.setUp = fresh  # type: ignore[method-assign]


def main(name: str) -> int:
    restore_old_names()
    module = importlib.import_module(name)
    for case in vars(module).values():
        if isinstance(case, type) and issubclass(case, unittest.TestCase):
            with_a_fresh_home(case)
    result = unittest.TextTestRunner(stream=sys.stderr, verbosity=2).run(module.suite())
    print("\n" + counts_of(result))
    return 0 if result.wasSuccessful() else 1


if __name__ == "__main__":
    sys.exit(main(sys.argv[1]))
