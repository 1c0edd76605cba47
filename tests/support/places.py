"""Where things are in this checkout, and whether this machine can run the real servers."""

from __future__ import annotations

import os
import subprocess
from functools import cache
from pathlib import Path

REPOSITORY = Path(__file__).resolve().parents[2]
CACHE = REPOSITORY / ".cache"
SERVERS = CACHE / "servers"
SENDMAIL = SERVERS / "sendmail"
POSTFIX = SERVERS / "postfix"
INSTALLER = REPOSITORY / "scripts" / "install-test-servers"


@cache
def missing_servers() -> str:
    """What is missing before real servers can run here, as one line for a person; "" where nothing is."""
    if os.geteuid() != 0:
        return "real servers need root; as root on Debian 12, run: scripts/install-test-servers, then the tests"
    if subprocess.run([INSTALLER, "--check"], check=False).returncode != 0:
        return "the test servers are not installed; as root on Debian 12, run: scripts/install-test-servers"
    trial = ["unshare", "--net", "--mount", "--uts", "true"]
    if subprocess.run(trial, stderr=subprocess.DEVNULL, check=False).returncode != 0:
        return "real servers need private namespaces (CAP_SYS_ADMIN), which this container does not allow"
    return ""
