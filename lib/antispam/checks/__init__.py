"""One module per check; they never import each other. The JOURNEY table in bms.py defines their order.

A module has NAME, Settings, Finding, collect(), decide() and perhaps act(): journey.Check is the contract. A finding
that other checks read is declared in antispam.mail.evidence (ConnectionFinding, AuthFinding, SpfFinding, DkimFinding
...), and the module that collects it has `Finding = evidence.SpfFinding`.
"""

import importlib.util
import sys
from types import ModuleType


def __getattr__(name: str) -> ModuleType:
    """Load a check when it is first used, as `from antispam.checks import NAME`.

    `bms --help` uses none of them, and loading them all, with SQLAlchemy and numpy, takes a second.
    """
    full = f"{__name__}.{name}"
    spec = None if name.startswith("__") else importlib.util.find_spec(full)
    if spec is None or spec.loader is None:
        raise AttributeError(f"there is no check {name}")
    spec.loader = importlib.util.LazyLoader(spec.loader)
    module = sys.modules[full] = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    globals()[name] = module
    return module
