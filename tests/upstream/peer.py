"""One side of the comparison with pymilter: it runs on whichever `milter`, `Milter` and `mime` come first on sys.path.

    python peer.py functions                    what each expression of peer_expressions.FUNCTIONS gives, as JSON
    python peer.py serve KIND POLICY SOCKET     a milter of peer_milters.MILTERS; what it hears goes to standard output

Only the standard library, peer_expressions.py, peer_milters.py and the modules that are compared are imported here.
"""

from __future__ import annotations

import contextlib
import io
import json
import os
import sys
import warnings
from typing import Any

import peer_expressions
import peer_milters


def outcome(expression: str, names: dict[str, Any]) -> str:
    """The repr of what an expression gives, or the kind of exception that it raises."""
    try:
        return repr(eval(expression, names))
    except Exception as failure:  # noqa: BLE001  # what is raised is what is compared
        return f"raises {type(failure).__name__}"


def functions() -> None:
    """Print [[expression, outcome], ...]; what the modules themselves print is dropped."""
    names = peer_expressions.namespace()
    with contextlib.redirect_stdout(io.StringIO()):
        results = [[expression, outcome(expression, dict(names))] for expression in peer_expressions.FUNCTIONS]
    print(json.dumps(results))


def record(*event: object) -> None:
    """Tell the test what happened here."""
    os.write(1, repr(event).encode("utf-8", "backslashreplace") + b"\n")


def serve(kind: str, policy: str, path: str) -> None:
    """Run a milter until it is killed."""
    import milter

    milter.set_exception_policy(getattr(milter, policy))
    peer_milters.MILTERS[kind](record, path)


if __name__ == "__main__":
    warnings.simplefilter("ignore")
    if sys.argv[1] == "functions":
        functions()
    else:
        serve(*sys.argv[2:])
