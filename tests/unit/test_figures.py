"""No module and no function of lib/ is longer than the house allows (tests/figures.py)."""

from __future__ import annotations

import figures


def test_modules_fit() -> None:
    assert figures.too_long(figures.modules(figures.TOP / "lib"), figures.MODULE_LINES) == []


def test_functions_fit_on_a_screen() -> None:
    assert figures.too_long(figures.functions(figures.TOP / "lib"), figures.FUNCTION_LINES) == []


def test_what_is_longer_is_named() -> None:
    lengths = iter([figures.Length(5, "short.py"), figures.Length(7, "long.py:1 f"), figures.Length(9, "longer.py")])
    assert [one.place for one in figures.too_long(lengths, 6)] == ["longer.py", "long.py:1 f"]
