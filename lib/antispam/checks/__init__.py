"""One module per check; they never import each other. The JOURNEY table of bms.py gives their order.

A module has NAME, Settings, Finding, collect(), decide() and perhaps act(): journey.Check is the contract. A finding that other
checks read is declared in antispam.mail.evidence (ConnectionFinding, AuthFinding, SpfFinding, DkimFinding ...), and the module
that collects it says `Finding = evidence.SpfFinding`; extend those there as needed.
"""

import importlib.util
import sys
from types import ModuleType


def __getattr__(name: str) -> ModuleType:
    """A check as `from antispam.checks import NAME` gets it: its module is read when something is first asked of it.

    `bms --help` asks nothing, and to read them all, and SQLAlchemy and numpy with them, takes a second.
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
