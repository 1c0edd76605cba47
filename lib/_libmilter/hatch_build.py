"""hatchling's build hook: compile libmilter's binding and dspam's _cutting, and put them into the wheel (or beside their
sources when editable)."""

from __future__ import annotations

import importlib.util
import shutil
import tempfile
from pathlib import Path
from types import ModuleType
from typing import Any

from hatchling.builders.hooks.plugin.interface import BuildHookInterface


def _build_module(path: Path) -> ModuleType:
    specification = importlib.util.spec_from_file_location(f"{path.parent.name}_build", path)
    assert specification is not None
    assert specification.loader is not None
    module = importlib.util.module_from_spec(specification)
    specification.loader.exec_module(module)
    return module


class CompilingBuildHook(BuildHookInterface[Any]):
    """Compiles lib/_libmilter/trampolines.c and lib/dspam/_cutting.c before a wheel is packed."""

    def dependencies(self) -> list[str]:
        """What compiling needs beside cffi: setuptools; distutils left the standard library with Python 3.12."""
        return ["setuptools"]

    def initialize(self, version: str, build_data: dict[str, Any]) -> None:
        """Compile and name the result in build_data; ends the build with a plain message where headers miss."""
        if self.target_name != "wheel":
            return
        lib = Path(self.root) / "lib"
        self._folder = tempfile.TemporaryDirectory()
        compiled = {
            "_libmilter": _build_module(lib / "_libmilter" / "build.py").compile_binding(Path(self._folder.name))
        }
        if (cutting := self._cutting(lib / "dspam" / "build.py")) is not None:
            compiled["dspam"] = cutting
        build_data["pure_python"] = False
        build_data["infer_tag"] = True
        for package, path in compiled.items():
            if version != "editable":
                build_data["force_include"][str(path)] = f"{package}/{path.name}"
                continue
            place = lib / package / path.name
            # A new file, not new content: a process that runs on the old one must keep it.
            place.unlink(missing_ok=True)
            shutil.copyfile(path, place)
        if version == "editable":
            # hatchling would copy pyproject's force-include, stale from the first edit on, unless it has this to copy.
            build_data["force_include_editable"]["LICENSE"] = "bms_antispam_development/LICENSE"

    def _cutting(self, build: Path) -> Path | None:
        """The learner works without what is compiled here, more slowly."""
        try:
            compiled: Path = _build_module(build).compile_cutting(Path(self._folder.name))
        except Exception as failure:  # noqa: BLE001 - setuptools has no one exception for what a compiler may lack
            self.app.display_warning(f"dspam's _cutting.c could not be compiled, so that learning is slower: {failure}")
            return None
        return compiled

    def finalize(self, version: str, build_data: dict[str, Any], artifact_path: str) -> None:
        """The wheel is packed: drop what was compiled for it."""
        if self.target_name == "wheel":
            self._folder.cleanup()
