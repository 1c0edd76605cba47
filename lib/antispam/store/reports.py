"""Reports on the mail of recent days: the sums of the history, and the lessons learned."""

from __future__ import annotations

import itertools

import sqlalchemy as sa

from antispam.store import history_sums
from antispam.store.engine import Store
from antispam.store.schema import history
from antispam.store.tally import Day, Offender, Report, add, midnights, rows_of
from dspam.schema import State, dspam_training

MAX_DAYS = 3660
MOST_SHOWN = 1000  # offenders of each kind for which details are looked up
_TOGETHER = 500  # references per query


def report(store: Store, now: float, days: int) -> Report:
    """A report on the last days, including today up to the quarter of an hour of `now`. Raises StoreError."""
    made = Report([Day(begins) for begins in midnights(now, days)])
    history_sums.fill(store, made, now)
    uncounted = history_sums.older(store)
    if uncounted is not None:
        after, until = uncounted
        within = sa.and_(history.c.id > after, history.c.id <= until)
        for row in rows_of(store, made.days[0].begins, now, within):
            add(made, row)
    _tell_reasons(store, made)
    _add_learned(store, made, now)
    return made


def _tell_reasons(store: Store, made: Report) -> None:
    """Add the reason for which the last message of each of the worst offenders was stopped, if the history still has
    it.
    """
    worst = [one for kind in (made.clients, made.domains, made.helos) for one in kind.top(MOST_SHOWN)]
    asked: dict[str, list[Offender]] = {}
    for one in worst:
        if one.ref and not one.reason:
            asked.setdefault(one.ref, []).append(one)
    by_address = {id(one) for one in made.clients.top(MOST_SHOWN)}
    refs = list(asked)
    for some in (refs[at : at + _TOGETHER] for at in range(0, len(refs), _TOGETHER)):
        query = sa.select(history.c.ref, history.c.reason, history.c.client_name).where(history.c.ref.in_(some))
        with store.read() as connection:
            for row in connection.execute(query):
                for one in asked[row.ref]:
                    one.reason, one.called = row.reason, row.client_name if id(one) in by_address else ""


def _add_learned(store: Store, made: Report, now: float) -> None:
    """Add the lessons learned, without those undone."""
    table = dspam_training
    bounds = [*(day.begins for day in made.days), now]
    for day, (begins, ends) in zip(made.days, itertools.pairwise(bounds), strict=True):
        within = [table.c.trained_at >= begins, table.c.trained_at < ends if ends < now else table.c.trained_at <= now]
        query = sa.select(table.c.is_spam, sa.func.count()).where(
            table.c.state.in_([int(state) for state in State]), *within, table.c.sign == 1, table.c.message.is_not(None)
        )
        with store.read() as connection:
            for is_spam, number in connection.execute(query.group_by(table.c.is_spam)):
                if is_spam:
                    day.spam += number
                else:
                    day.ham += number
