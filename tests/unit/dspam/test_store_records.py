"""The token store's arrays: what is packed comes back, and a table counts as a dictionary would."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from dspam.store import table as table_module
from dspam.store.records import TOKEN, Deltas, Totals, as_tokens, counts_of, merge, pack_keys, unpack_keys, usable
from dspam.store.table import Table, table_bytes

INT32 = st.integers(-(2**31), 2**31 - 1)
KEY = st.integers(-(2**63), 2**63 - 1)
SMALL = st.integers(-3, 3)
lessons = st.dictionaries(KEY.filter(bool), st.tuples(SMALL, SMALL, SMALL), max_size=40)


def arrays(lesson):
    keys = np.array(list(lesson), dtype=np.int64)
    return keys, np.array(list(lesson.values()), dtype=np.int32).reshape(-1, 3)


@given(st.dictionaries(KEY, st.tuples(INT32, st.integers(-200, 200), st.just(1)), max_size=50), INT32, INT32)
def test_packed_deltas_come_back(lesson, spam, classified):
    keys, counts = arrays(lesson)
    back = Deltas.unpack(Deltas(keys, counts, Totals(spam_learned=spam, ham_classified=classified)).pack())
    assert (back.keys == keys).all()
    assert (back.counts == counts).all()
    assert back.totals == Totals(spam_learned=spam, ham_classified=classified)


def test_deltas_of_a_usual_message_take_little_more_than_their_keys():
    counts = np.zeros((1000, 3), dtype=np.int32)
    counts[:, 0] = 1
    counts[:, 2] = np.arange(1000) - 500
    assert len(Deltas(np.arange(1000), counts, Totals()).pack()) < 10_100


@given(st.integers(0, 200), st.integers(0, 200), st.binary(max_size=4))
def test_what_was_cut_off_or_overwritten_is_a_value_error_or_some_deltas(end, at, garbage):
    packed = Deltas(np.arange(5), np.arange(15, dtype=np.int32).reshape(5, 3) * 100, Totals()).pack()[:end]
    content = packed[:at] + garbage + packed[at + len(garbage) :]
    try:
        deltas = Deltas.unpack(content)
    except ValueError:
        return
    assert deltas.counts.shape == (len(deltas.keys), 3)


def test_deltas_of_a_later_version_are_refused():
    with pytest.raises(ValueError, match="version 9"):
        Deltas.unpack(b"\x09" + Deltas(np.arange(2), np.ones((2, 3), dtype=np.int32), Totals()).pack()[1:])


@given(st.lists(KEY, max_size=20))
def test_packed_keys_come_back(keys):
    assert unpack_keys(pack_keys(keys)).tolist() == keys


@given(st.lists(KEY, max_size=20))
def test_no_key_is_zero(keys):
    assert usable(keys).tolist() == [key or 1 for key in keys]


@given(st.lists(lessons, max_size=8), lessons)
def test_a_table_counts_as_a_dictionary_would(taught, asked):
    table, expected = Table(), {}
    for number, lesson in enumerate(taught):
        sign = -1 if number % 3 == 2 else 1
        table.add(*arrays(lesson), sign)
        for key, counts in lesson.items():
            expected[key] = [a + sign * b for a, b in zip(expected.get(key, (0, 0, 0)), counts, strict=True)]
    for keys in (expected, asked):
        found = table.get(np.array(list(keys), dtype=np.int64))
        assert found.tolist() == [list(expected.get(key, (0, 0, 0))) for key in keys]
    assert table.size == len(expected)


def test_a_key_that_a_message_has_twice_counts_twice():
    table = Table()
    table.add(np.array([7, 7, 8]), np.ones((3, 3), dtype=np.int32))
    assert table.get(np.array([8, 7, 7]))[:, 0].tolist() == [1, 2, 2]


def test_a_table_grows_to_a_million_keys_and_forgets_none():
    rng = np.random.default_rng(1)
    table = Table()
    keys = np.unique(rng.integers(1, 2**63 - 1, 1_000_000))
    for part in np.array_split(rng.permutation(keys), 10):
        table.add(part, np.full((len(part), 3), 5, dtype=np.int32))
    assert table.size == len(keys)
    assert (table.get(keys) == 5).all()
    assert not table.get(keys + 1)[~np.isin(keys + 1, keys)].any()
    assert table.nbytes == table_bytes(len(keys)) < 50e6


@pytest.mark.parametrize("compiled", [True, False])
def test_keys_that_prefer_one_bucket_all_find_a_place(compiled, monkeypatch):
    if not compiled:
        monkeypatch.setattr(table_module, "_cutting", None)
    table = Table(2_000)
    table._factor = np.uint64(2**64 - 1)  # small keys all prefer the last one
    keys = np.arange(1, 1_001, dtype=np.int64)
    table.add(keys, np.column_stack([keys, keys, keys]).astype(np.int32))
    assert table.get(np.arange(1, 1_101, dtype=np.int64))[:, 0].tolist() == [*range(1, 1_001), *[0] * 100]


@given(lessons, lessons, st.integers(0, 9), st.integers(0, 9))
def test_merged_pages_hold_the_sums_sorted_and_without_what_is_nothing(old, new, old_day, new_day):
    tokens = merge(np.empty(0, dtype=TOKEN), *_sorted(old, old_day))
    merged = merge(tokens, *_sorted(new, new_day))
    expected = {}
    for key in sorted(old.keys() | new.keys()):
        counts = [a + b for a, b in zip(old.get(key, (0, 0, 0)), new.get(key, (0, 0, 0)), strict=True)]
        if any(counts):
            kept = key in old and any(old[key])
            expected[key] = [*counts, max([old_day] * kept + [new_day] * (key in new))]
    back = as_tokens(merged.tobytes())
    assert back["key"].tolist() == list(expected)
    assert np.column_stack([counts_of(back), back["day"]]).tolist() == list(expected.values())


def _sorted(lesson, day):
    keys, counts = arrays(dict(sorted(lesson.items())))
    return keys, counts.astype(np.int64), np.full(len(keys), day, dtype=np.uint16)


def test_sums_stop_at_the_largest_number():
    big = {5: (2**31 - 1, -(2**31), 0)}
    tokens = merge(np.empty(0, dtype=TOKEN), *_sorted(big, 1))
    assert counts_of(merge(tokens, *_sorted(big, 1))).tolist() == [[2**31 - 1, -(2**31), 0]]
