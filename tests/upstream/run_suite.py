"""Run one of pymilter's own test modules as it is, and print the counts as JSON on the last line.

    python run_suite.py testutils

What unittest has lost since those tests were written comes back under its old name first, so that they run unchanged
on every Python that we support.
"""

from __future__ import annotations

import importlib
import json
import sys
import unittest


def restore_old_names() -> None:
    """Put back ``assertEquals`` (gone in Python 3.12) and ``makeSuite`` (gone in 3.13)."""
    if not hasattr(unittest.TestCase, "assertEquals"):
        unittest.TestCase.assertEquals = unittest.TestCase.assertEqual  # type: ignore[attr-defined]
    if not hasattr(unittest, "makeSuite"):
        unittest.makeSuite = _make_suite  # type: ignore[attr-defined]


def _make_suite(case: type[unittest.TestCase], prefix: str = "test") -> unittest.TestSuite:
    loader = unittest.TestLoader()
    loader.testMethodPrefix = prefix
    return loader.loadTestsFromTestCase(case)


def counts_of(result: unittest.TestResult) -> str:
    """How many tests were run, failed and were skipped, as JSON."""
    failed = len(result.failures) + len(result.errors) + len(result.unexpectedSuccesses)
    return json.dumps({"run": result.testsRun, "failed": failed, "skipped": len(result.skipped)})


def main(module: str) -> int:
    restore_old_names()
    suite = importlib.import_module(module).suite()
    result = unittest.TextTestRunner(stream=sys.stderr, verbosity=2).run(suite)
    print("\n" + counts_of(result))
    return 0 if result.wasSuccessful() else 1


if __name__ == "__main__":
    sys.exit(main(sys.argv[1]))
