"""The file for Prometheus: numbers of the store, in the form that its collector reads."""

from __future__ import annotations

import pytest
import sqlalchemy as sa
from prometheus_client.parser import text_string_to_metric_families

from antispam import metrics
from antispam.outcome import Decision
from antispam.store import Store, StoreError, migrate, quarantine
from antispam.store.outbox import Kind, Letter, post
from antispam.store.quarantine import Kept
from antispam.store.schema import outbox
from antispam.verdicts import quarantine as quarantined
from dspam.store import compact
from support.learning import SPAM, message, teach

NOW = 1_700_000_000.0


@pytest.fixture
def store(database_url):
    migrate(database_url)
    store = Store(database_url)
    yield store
    store.close()


def read(path):
    families = text_string_to_metric_families(path.read_text())
    return {(sample.name, *sample.labels.values()): sample.value for family in families for sample in family.samples}


def test_an_empty_store_has_its_numbers_too(store, tmp_path):
    metrics.write(tmp_path / "bms.prom", store, NOW)
    found = read(tmp_path / "bms.prom")
    assert found["bms_metrics_timestamp_seconds",] == NOW
    assert found["bms_last_training_timestamp_seconds",] == 0
    assert found["bms_outbox_letters", "waiting"] == 0


def test_dictionaries_quarantine_and_outbox_are_counted(store, tmp_path):
    teach(store, "ann", 3)
    compact(store)
    teach(store, "bob", 2)
    with store.write() as connection:
        kept = [Kept("ann", ("ann@example.com",), Decision("spam_action", quarantined("0.99")))]
        quarantine.insert(connection, message(SPAM), kept)
        for number in range(3):
            post(store, connection, Letter(Kind.ANSWER, f"r{number}", "", ("ann@example.com",), b"x"), NOW)
        connection.execute(sa.update(outbox).where(outbox.c.ref == "r0").values(next_at=None, failed_at=NOW))
    metrics.write(tmp_path / "bms.prom", store, NOW)
    found = read(tmp_path / "bms.prom")
    assert found["bms_dictionary_messages", "ann", "spam"] == 3
    assert found["bms_dictionary_tokens", "ann"] > 10
    assert found["bms_trainings_pending",] == 4
    assert found["bms_quarantine_messages", "kept"] == 1
    assert (found["bms_outbox_letters", "waiting"], found["bms_outbox_letters", "failed"]) == (2, 1)
    assert found["bms_last_training_timestamp_seconds",] > NOW


def test_a_name_can_not_forge_a_number(store, tmp_path):
    teach(store, 'x"} 1 bms_outbox_letters{state="failed', 1)
    metrics.write(tmp_path / "bms.prom", store, NOW)
    assert read(tmp_path / "bms.prom")["bms_outbox_letters", "failed"] == 0


def test_a_store_that_is_gone_leaves_the_old_file(store, tmp_path, monkeypatch):
    (tmp_path / "bms.prom").write_text("old")
    monkeypatch.setattr(store, "read", lambda *_: (_ for _ in ()).throw(StoreError("gone")))
    with pytest.raises(StoreError):
        metrics.write(tmp_path / "bms.prom", store, NOW)
    assert (tmp_path / "bms.prom").read_text() == "old"
