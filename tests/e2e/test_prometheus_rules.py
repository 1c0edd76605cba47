"""The alerts in contrib/prometheus, tried by Prometheus itself."""

from __future__ import annotations

import subprocess

import pytest

from support import peers
from support.places import REPOSITORY

pytestmark = pytest.mark.servers


@pytest.mark.parametrize("order", ["check rules bms.rules.yml", "test rules bms.rules.test.yml"])
def test_promtool_accepts_the_alerts_and_their_tests(order: str) -> None:
    try:
        promtool = peers.promtool()
    except peers.UnavailableError as error:
        pytest.skip(str(error))
    done = subprocess.run(
        [promtool, *order.split()], cwd=REPOSITORY / "contrib" / "prometheus", capture_output=True, text=True
    )
    assert done.returncode == 0, done.stdout + done.stderr
    assert "SUCCESS" in done.stdout
