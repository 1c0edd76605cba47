"""Many logins at once: they wait for one another, not pages for them, and not without end."""

from __future__ import annotations

import asyncio
import threading

import pytest

from antispam.web.turns import Busy, Turns
from support.console import PASSWORD, token
from support.patience import PATIENCE


def test_so_many_work_at_once_and_so_many_wait():
    async def play():
        turns, go = Turns(2, 1), threading.Event()
        started = [threading.Event(), threading.Event()]

        def work(number):
            if number < 2:
                started[number].set()
            go.wait(PATIENCE)
            return number

        tasks = [asyncio.create_task(turns.take(lambda number=number: work(number))) for number in range(3)]
        for one in started:
            assert await asyncio.to_thread(one.wait, PATIENCE)
        with pytest.raises(Busy):
            await turns.take(lambda: None)
        go.set()
        return await asyncio.gather(*tasks)

    assert asyncio.run(play()) == [0, 1, 2]


def test_who_would_wait_too_long_is_told_to_come_again(place):
    place.console.__dict__["login_turns"] = Turns(1, 0)
    answer = place.client().post("/login", data={"name": "bob", "password": PASSWORD})
    assert (answer.status_code, answer.headers["retry-after"]) == (503, "10")
    assert "Try again soon" in answer.text


def test_so_is_who_changes_a_password(place):
    place.console.__dict__["login_turns"] = Turns(1, 0)
    bob = place.client("bob")
    form = {
        "token": token(bob, "/account"),
        "current": PASSWORD,
        "new": "another long one",
        "again": "another long one",
    }
    answer = bob.post("/account/password", data=form)
    assert (answer.status_code, "Try again soon" in answer.text) == (503, True)
