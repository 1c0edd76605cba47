"""The programs, by the names of their commands."""

from __future__ import annotations

import importlib.util
from pathlib import Path

from antispam.commands.program import Group

_TOP = Path(__file__).resolve().parents[1]


def _program(file: str) -> Group:
    """Of a file: dkim-milter.py can't be imported by its name."""
    specification = importlib.util.spec_from_file_location(file.removesuffix(".py").replace("-", "_"), _TOP / file)
    assert specification is not None
    assert specification.loader is not None
    module = importlib.util.module_from_spec(specification)
    specification.loader.exec_module(module)
    main = module.main
    assert isinstance(main, Group)
    return main


PROGRAMS = {name: _program(f"{name}.py") for name in ("bms", "spfmilter", "dkim-milter")}
