"""How long housekeeping holds the lock that mail wants, with a million rows in each table.

python tests/bench/housekeeping_bench.py [--rows N] [--table NAME]: SQLite, whose writers take turns. For each table the longest
transaction of a whole round and how many there were, in the order in which they hurt.
"""

from __future__ import annotations

import argparse
import collections
import contextlib
import gc
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import sqlalchemy as sa
from bms import JOURNEY

from antispam.service.application import Application, settings_classes
from antispam.service.housekeeping import Housekeeper
from antispam.settings import load_text
from antispam.store import Store, migrate
from support.outdated import NOW, fill


class Watched:
    """A store whose transactions are timed, by the table that they wrote to last."""

    def __init__(self, store: Store) -> None:
        self.spent: dict[str, list[tuple[float, float]]] = collections.defaultdict(list)
        self._table = ""
        self._write = store.write
        store.write = self.write  # type: ignore[method-assign]
        sa.event.listen(store._engine, "before_cursor_execute", self._note)

    def _note(self, _connection: Any, _cursor: Any, statement: str, *_: Any) -> None:
        words = statement.replace("INTO", "FROM").split()
        if words[0] in ("DELETE", "INSERT", "UPDATE"):
            self._table = words[2] if words[0] != "UPDATE" else words[1]

    @contextlib.contextmanager
    def write(self, *arguments: Any, **named: Any) -> Iterator[sa.Connection]:
        transaction = self._write(*arguments, **named)
        connection = transaction.__enter__()
        began, worked = time.perf_counter(), time.thread_time()
        try:
            yield connection
        except BaseException as error:
            transaction.__exit__(type(error), error, None)
            raise
        transaction.__exit__(None, None, None)
        self.spent[self._table].append((time.perf_counter() - began, time.thread_time() - worked))


def run(rows: int, tables: tuple[str, ...], folder: Path) -> None:
    """Fill a database, keep house once, and print the figures."""
    url = f"sqlite:///{folder / 'bench.sqlite'}"
    migrate(url)
    engine = sa.create_engine(url)
    fill(engine, rows, tables)
    engine.dispose()
    text = f"[milter]\ndatadir = {folder}\n[store]\nurl = {url}\n[gossip]\nmode = enforce\n[dspam]\nmode = enforce\n"
    application = Application(JOURNEY, load_text(text, settings_classes(JOURNEY)), clock=lambda: NOW, record=False)
    watched = Watched(application.store)
    gc.collect()
    gc.freeze()  # as the processes of the filter do: a collection of all that the bench has loaded is not what mail waits for
    began = time.perf_counter()
    Housekeeper(application.chores(), first=0, pause=0).round()
    print(f"{rows} rows a table, a round of {time.perf_counter() - began:.1f} s without pauses")
    for table, spent in sorted(watched.spent.items(), key=lambda one: -max(one[1])[0]):
        late, busy = sum(held > 0.05 for held, _ in spent), max(worked for _, worked in spent)
        print(
            f"{table:20} longest {1000 * max(spent)[0]:6.1f} ms (of the processor {1000 * busy:.1f} ms), "
            f"{len(spent)} transactions, {late} above 50 ms"
        )
    application.close()


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rows", type=int, default=1_000_000)
    parser.add_argument("--table", action="append", default=[])
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        run(arguments.rows, tuple(arguments.table), Path(folder))


if __name__ == "__main__":
    main()
