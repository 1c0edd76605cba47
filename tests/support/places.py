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
CLAMAV = SERVERS / "clamav"
DOVECOT = SERVERS / "dovecot"
INSTALLER = REPOSITORY / "scripts" / "install-test-servers"
MEMORY = Path("/dev/shm")
ENOUGH_MEMORY = 4 << 30  # what the tests leave there until their end, and what the servers under test need


def room_in_memory(folder: Path) -> int:
    """Octets that are free in a folder that is in memory; 0 where it is not there, not ours, or no program may run from it."""
    try:
        about = os.statvfs(folder)
    except OSError:
        return 0
    usable = os.access(folder, os.W_OK) and not about.f_flag & (os.ST_NOEXEC | os.ST_RDONLY)
    return about.f_bavail * about.f_frsize if usable else 0


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
