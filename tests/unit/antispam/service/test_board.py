"""The board: what several processes count is summed, and what a process counted outlives it."""

from __future__ import annotations

import os
import threading

import pytest

from antispam.service.board import Board, Family

FAMILIES = (
    Family("mail", "counter", "", ("action",), (("pass",), ("stop",))),
    Family("busy", "gauge", ""),
    Family("round", "newest", ""),
    Family("took", "histogram", "", ("check",), (("spf",),), (0.1, 1.0)),
)


def figures(board):
    return {(figure.family.name, *figure.values): figure.numbers for figure in board.figures()}


@pytest.fixture
def board():
    return Board(FAMILIES, processes=3)


def test_what_several_processes_count_is_summed(board):
    for number in (1, 2):
        board.page(board.claim()).count("mail", "pass", by=number)
    board.own.count("mail", "pass")
    assert figures(board)["mail", "pass"] == (4,)
    assert figures(board)["mail", "stop"] == (0,)


def test_what_a_forked_process_counts_is_seen_by_its_parent(board):
    number = board.claim()
    if (child := os.fork()) == 0:
        board.page(number).count("mail", "stop")
        os._exit(0)
    os.waitpid(child, 0)
    assert figures(board)["mail", "stop"] == (1,)


def test_counts_outlive_their_process_and_gauges_do_not(board):
    number = board.claim()
    page = board.page(number)
    page.count("mail", "pass")
    page.observe("took", "spf", value=0.5)
    page.set("busy", to=7)
    board.release(number)
    found = figures(board)
    assert found["mail", "pass"] == (1,)
    assert found["took", "spf"] == (0, 1, 0, 0.5)
    assert found["busy",] == (0,)


def test_a_page_is_empty_for_its_next_owner(board):
    number = board.claim()
    board.page(number).count("mail", "pass")
    board.release(number)
    assert board.claim() == number
    board.page(number).count("mail", "pass")
    assert figures(board)["mail", "pass"] == (2,)


def test_of_a_time_the_newest_counts_also_once_its_process_has_ended(board):
    old, new = board.claim(), board.claim()
    board.page(old).set("round", to=2000)
    board.page(new).set("round", to=1000)
    assert figures(board)["round",] == (2000,)
    board.release(old)
    assert figures(board)["round",] == (2000,)


@pytest.mark.parametrize(
    ("value", "counted"),
    [(0.0, (1, 0, 0)), (0.1, (1, 0, 0)), (0.11, (0, 1, 0)), (1.0, (0, 1, 0)), (1.1, (0, 0, 1)), (1e9, (0, 0, 1))],
)
def test_a_value_goes_into_the_bucket_whose_bound_it_does_not_exceed(board, value, counted):
    board.own.observe("took", "spf", value=value)
    assert figures(board)["took", "spf"] == (*counted, value)


def test_where_no_page_is_left_a_process_still_works(board):
    pages = [board.claim() for _ in range(4)]
    assert pages[-1] is None
    board.page(None).count("mail", "pass")
    board.release(None)
    assert figures(board)["mail", "pass"] == (0,)


def test_a_series_that_was_not_declared_is_not_counted(board):
    board.own.count("mail", "' } evil")
    board.own.observe("unknown", value=1)
    assert ("mail", "' } evil") not in figures(board)


def test_threads_of_a_process_lose_nothing(board):
    page = board.page(board.claim())
    threads = [threading.Thread(target=lambda: [page.count("mail", "pass") for _ in range(2000)]) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert figures(board)["mail", "pass"] == (8000,)


def test_who_reads_while_a_page_is_added_to_the_past_sees_nothing_twice(board):
    number = board.claim()
    board.page(number).count("mail", "pass", by=5)
    seen = set()
    stop = threading.Event()

    def read():
        while not stop.is_set():
            seen.add(figures(board)["mail", "pass"])

    reader = threading.Thread(target=read)
    reader.start()
    for _ in range(300):
        board.release(number)
        number = board.claim()
    stop.set()
    reader.join()
    assert seen == {(5,)}
