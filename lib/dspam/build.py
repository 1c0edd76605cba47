"""How _cutting.c and what goes with it are compiled: as setuptools compiles any extension module."""

from __future__ import annotations

from pathlib import Path

from setuptools import Distribution, Extension
from setuptools.command.build_ext import build_ext

SOURCES = [
    str(Path(__file__).parent / name)
    for name in (
        "_cutting.c",
        "_walking.c",
        "_matching.c",
        "_counting.c",
        "_learning.c",
        "_merging.c",
        "_reading.c",
        "_facts.c",
        "_heading.c",
        "_tracing.c",
    )
]


def compile_cutting(folder: Path, flags: tuple[str, ...] = ()) -> Path:
    """Compile below `folder`, with more flags for compiler and linker, and return the shared object.

    Raises what setuptools raises if there is no compiler, or no Python.h.
    """
    # Where it is compiled stays out of the result: the same sources give the same wheel.
    compiled = ["-O2", "-std=c11", f"-ffile-prefix-map={Path(__file__).resolve().parents[2]}=.", *flags]
    module = Extension("dspam._cutting", SOURCES, extra_compile_args=compiled, extra_link_args=list(flags))
    command = build_ext(Distribution({"name": "dspam", "ext_modules": [module]}))
    command.build_lib = str(folder / "built")
    command.build_temp = str(folder / "temporary")
    command.ensure_finalized()
    command.run()
    return Path(command.get_ext_fullpath("dspam._cutting"))


if __name__ == "__main__":
    print(compile_cutting(Path(__file__).parent))
