"""The documentation as one searchable site, out of the same Markdown that people read in the repository (make docs)."""

from __future__ import annotations

import re
import sys
import tomllib
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[1]
sys.path[:0] = [str(ROOT / "lib"), str(ROOT)]

_PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
_VERSION = re.search(r'__version__ = "([^"]+)"', (ROOT / "lib/antispam/__init__.py").read_text())

project = "bms"
author = "the bms maintainers"
release = version = _VERSION[1] if _VERSION else ""
extensions = ["myst_parser", "sphinx.ext.autodoc"]
root_doc = "site/index"
include_patterns = ["*.md", "docs/*.md", "site/**.md"]
exclude_patterns = ["**/node_modules"]
myst_heading_anchors = 3
html_theme = "furo"
html_title = f"bms {release}"
html_show_copyright = False
html_copy_source = False
autodoc_member_order = "bysource"
autodoc_typehints = "signature"
autodoc_default_options = {"members": True, "undoc-members": False, "show-inheritance": True}
# Links into the repository, to folders and programs, lead nowhere on the site.
suppress_warnings = ["myst.xref_missing", "ref.python", "misc.highlighting_failure"]

_COLUMNS = re.compile(r"^ *\S+(?: \S+)?  +\S")


def _readable(_app: Any, _what: str, _name: str, _object: Any, _options: Any, lines: list[str]) -> None:
    """Our docstrings are plain text: paragraphs, and tables of two columns. Both as they stand, for reStructuredText."""
    text = "\n".join(line for line in lines if line.strip() != "::")
    paragraphs = text.strip("\n").split("\n\n")
    lines[:] = []
    for paragraph in paragraphs:
        rows = paragraph.split("\n")
        if any(_COLUMNS.match(row) or row.startswith("  ") for row in rows):
            lines += ["::", "", *(f"    {row}" for row in rows), ""]
        else:
            text = re.sub(r"([*|\\_])", r"\\\1", "\n".join(rows))
            text = re.sub(r"`+([^`\n]+)`+", lambda match: "``" + re.sub(r"\\(.)", r"\1", match[1]) + "``", text)
            lines += [*(row.strip() for row in text.split("\n")), ""]


def setup(app: Any) -> None:
    app.connect("autodoc-process-docstring", _readable)
