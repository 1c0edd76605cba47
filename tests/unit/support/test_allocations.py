"""support.allocations: the peak of a block, and no tracing after it."""

from __future__ import annotations

import tracemalloc

import pytest

from support.allocations import peak_of


def test_the_peak_counts_what_was_freed_again() -> None:
    with peak_of() as peak:
        bytes(10 << 20)
    assert 10 << 20 <= peak.octets < 11 << 20


def test_tracing_ends_with_a_block_that_fails() -> None:
    with pytest.raises(AssertionError), peak_of():
        raise AssertionError
    assert not tracemalloc.is_tracing()
