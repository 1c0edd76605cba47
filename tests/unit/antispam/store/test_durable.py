"""What housekeeping deletes may come back after a power cut, and is not waited for; everything else is on the disk."""

from __future__ import annotations

import pytest

from antispam.store import Store, migrate
from antispam.store.prepared import execute

NORMAL, FULL = 1, 2


@pytest.mark.parametrize("write", [Store.write, Store.write_once])
@pytest.mark.parametrize(("durable", "expected"), [(True, FULL), (False, NORMAL)])
def test_only_what_may_be_lost_does_not_wait_for_the_disk(tmp_path, durable, expected, write):
    url = f"sqlite:///{tmp_path}/bms.sqlite"
    migrate(url)
    store = Store(url, pool=1)
    for _ in range(2):  # the one connection was used the other way in between
        with store.write(durable=not durable):
            pass
        with write(store, durable=durable) as connection:
            assert execute(connection, "PRAGMA synchronous") == ([(expected,)], -1)
    store.close()
