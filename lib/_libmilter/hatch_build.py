"""hatchling's build hook: compile the binding, and put it into the wheel (or beside its sources when editable)."""

from __future__ import annotations

import importlib.util
import shutil
import tempfile
from pathlib import Path
from types import ModuleType
from typing import Any

from hatchling.builders.hooks.plugin.interface import BuildHookInterface


def _build_module(path: Path) -> ModuleType:
    specification = importlib.util.spec_from_file_location("_libmilter_build", path)
    assert specification is not None
    assert specification.loader is not None
    module = importlib.util.module_from_spec(specification)
    specification.loader.exec_module(module)
    return module


class LibmilterBuildHook(BuildHookInterface[Any]):
    """Compiles lib/_libmilter/trampolines.c before a wheel is packed."""

    def dependencies(self) -> list[str]:
        """What compiling needs beside cffi: distutils left the standard library with Python 3.12."""
        return ["setuptools"]

    def initialize(self, version: str, build_data: dict[str, Any]) -> None:
        """Compile and name the result in build_data; ends the build with a plain message where headers miss."""
        if self.target_name != "wheel":
            return
        package = Path(self.root) / "lib" / "_libmilter"
        build = _build_module(package / "build.py")
        self._folder = tempfile.TemporaryDirectory()
        compiled = build.compile_binding(Path(self._folder.name))
        build_data["pure_python"] = False
        build_data["infer_tag"] = True
        if version == "editable":
            place = package / compiled.name
            # A new file, not new content: a process that runs on the old one must keep it.
            place.unlink(missing_ok=True)
            shutil.copyfile(compiled, place)
            # hatchling would copy pyproject's force-include, stale from the first edit on, unless it has this to copy.
            build_data["force_include_editable"]["LICENSE"] = "bms_antispam_development/LICENSE"
        else:
            build_data["force_include"][str(compiled)] = f"_libmilter/{compiled.name}"

    def finalize(self, version: str, build_data: dict[str, Any], artifact_path: str) -> None:
        """The wheel is packed: drop what was compiled for it."""
        if self.target_name == "wheel":
            self._folder.cleanup()
