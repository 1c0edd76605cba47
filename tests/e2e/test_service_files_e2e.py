"""The files for systemd, logrotate and cron, checked by the programs that read them, and their commands typed by hand."""

from __future__ import annotations

import re
import subprocess
from pathlib import Path

import pytest

from support.patience import PATIENCE
from support.places import REPOSITORY
from support.processes import RunDirectory

pytestmark = [pytest.mark.servers, pytest.mark.usefixtures("servers")]

SUPERVISED = ("bms.service", "spfmilter.service", "dkim-milter.service")
UNITS = sorted((REPOSITORY / "systemd").glob("*.service"))


def _run(*argv: str | Path) -> subprocess.CompletedProcess[str]:
    return subprocess.run(argv, stdin=subprocess.DEVNULL, capture_output=True, text=True, check=False, timeout=PATIENCE)


@pytest.mark.parametrize("unit", UNITS, ids=lambda unit: unit.name)
def test_systemd_has_nothing_to_say_against_a_unit(unit: Path) -> None:
    """In a mount namespace with something at the place where the program is to be."""
    (program,) = re.findall(r"^ExecStart=(\S+)", unit.read_text(), re.MULTILINE)
    command = 'mount -t tmpfs tmpfs /opt && install -D /bin/true "$1" && systemd-analyze verify --man=no "$2"'
    done = _run("unshare", "--mount", "sh", "-c", command, "sh", program, unit)
    said = [line for line in (done.stdout + done.stderr).splitlines() if unit.name in line or "bms" in line]
    assert (done.returncode, said) == (0, []), done.stdout + done.stderr


@pytest.mark.parametrize("unit", UNITS, ids=lambda unit: unit.name)
def test_a_unit_leaves_its_program_little_to_do_harm_with(unit: Path) -> None:
    """2 of 10 are allowed; what is left is the network, sockets, and chown for the group of a socket."""
    done = _run("systemd-analyze", "security", "--offline=true", "--threshold=20", "--no-pager", unit)
    assert done.returncode == 0, done.stdout[-600:]


def test_logrotate_turns_the_log_over_and_tells_the_filter() -> None:
    """Twice: the newest old log stays as it is, for a process that has not opened the new one yet; the next is compressed."""
    with RunDirectory("logrotate") as run:
        told = run.path / "told"
        text = (REPOSITORY / "logrotate" / "bms").read_text()
        text = text.replace("/var/log/milter", str(run.path)).replace("su milter milter", "su root root")
        text = text.replace("milter milter", "root root").replace("systemctl kill", f"echo >>{told} kill")
        config = run.write("logrotate", text)
        config.chmod(0o644)
        log = run.write("bms.log", "first\n")
        for _ in range(2):
            done = _run("logrotate", "--force", "--state", run.path / "state", config)
            assert (done.returncode, done.stdout + done.stderr) == (0, "")
            assert (log.read_text(), log.stat().st_mode & 0o777) == ("", 0o640)
            log.write_text("second\n")
        assert (run.path / "bms.log.1").read_text() == "second\n"
        assert (run.path / "bms.log.2.gz").exists()
        assert told.read_text() == f"kill --kill-who=main --signal=USR1 {' '.join(SUPERVISED)}\n" * 2


def test_logrotate_understands_the_whole_file() -> None:
    text = (REPOSITORY / "logrotate" / "bms").read_text().replace("milter milter", "root root")
    with RunDirectory("logrotate") as run:
        config = run.write("logrotate", text)
        config.chmod(0o644)
        done = _run("logrotate", "--debug", "--state", run.path / "state", config)
    assert done.returncode == 0
    assert "error" not in done.stderr


def test_crons_line_is_one_command_of_the_filters_user() -> None:
    """Five fields for the time, the user, a command; a percent sign would end it. That it runs, test_fresh_debian.py sees."""
    lines = [line for line in (REPOSITORY / "cron" / "bms-quarantine").read_text().splitlines() if line[:1] != "#"]
    (job,) = (line for line in lines if not re.match(r"[A-Z]+=", line))
    assert re.fullmatch(r"(?:[0-9*/,-]+ ){5}milter [^%]+", job)
