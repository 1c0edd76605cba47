"""Programs that are forked are as those that were started from a shell: how they end, where they run, what they see."""

from __future__ import annotations

import json
import os
import signal
from pathlib import Path

import pytest

from support import prestarted
from support.clocked import Offset
from support.network import Network, PrivateNetwork
from support.patience import PATIENCE
from support.prestarted import Prestarted
from support.processes import NotReadyError, end_session


def start(folder: Path, program: str, *arguments: str, network: Network | None = None) -> Prestarted:
    (folder / "program.py").write_text(program)
    return prestarted.start(
        folder / "program.py",
        arguments,
        network=network or Network(),
        output=folder / "output",
        folder=folder,
        offset_file=Offset(folder / "clock").path,
    )


@pytest.mark.parametrize(("program", "status"), [("", 0), ("import sys; sys.exit(7)", 7), ("raise ValueError", 1)])
def test_the_exit_status_is_the_program_s(tmp_path: Path, program: str, status: int) -> None:
    assert start(tmp_path, program).wait(PATIENCE) == status


def test_what_it_registered_for_its_end_is_done(tmp_path: Path) -> None:
    assert start(tmp_path, "import atexit; atexit.register(print, 'good', 'bye')").wait(PATIENCE) == 0
    assert (tmp_path / "output").read_text() == "good bye\n"


def test_an_exception_shows_in_its_output(tmp_path: Path) -> None:
    start(tmp_path, "raise ValueError('of mine')").wait(PATIENCE)
    assert (tmp_path / "output").read_text().endswith("ValueError: of mine\n")


def test_a_warning_is_an_error_as_from_a_shell(tmp_path: Path) -> None:
    assert start(tmp_path, "import warnings; warnings.warn('careful')").wait(PATIENCE) == 1


def test_it_leads_a_session_that_can_be_ended(tmp_path: Path) -> None:
    program = start(tmp_path, "import signal; signal.pause()")
    assert program.poll() is None
    with pytest.raises(NotReadyError):
        program.wait(0.01)
    assert os.getsid(program.pid) == program.pid
    end_session(program.pid, polite=0.0)
    assert program.wait(PATIENCE) == -signal.SIGKILL


def test_a_signal_reaches_it(tmp_path: Path) -> None:
    program = start(tmp_path, "import signal; signal.pause()")
    program.send_signal(signal.SIGTERM)
    assert program.wait(PATIENCE) == -signal.SIGTERM
    program.send_signal(signal.SIGTERM)  # which nobody gets any more


def test_its_arguments_folder_and_descriptors_are_its_own(tmp_path: Path) -> None:
    (tmp_path / "neighbour.py").write_text("NAME = 'neighbour'")
    program = "import json, neighbour, os, sys; print(json.dumps([sys.argv, os.getcwd(), os.listdir('/proc/self/fd')]))"
    assert start(tmp_path, program, "-c", "x y").wait(PATIENCE) == 0
    argv, folder, descriptors = json.loads((tmp_path / "output").read_text())
    assert argv == [str(tmp_path / "program.py"), "-c", "x y"]
    assert folder == str(tmp_path)
    assert len(descriptors) == 5  # standard input and both outputs, the clock's file, and the one that listdir opened


def test_its_clock_is_ahead_even_where_a_default_took_it(tmp_path: Path) -> None:
    clock = Offset(tmp_path / "clock")
    clock.advance(1e9)
    (tmp_path / "program.py").write_text(
        """
import time
from antispam.service.application import Application

print(time.time() > 2e9, Application.__init__.__kwdefaults__["clock"]() > 2e9)
"""
    )
    done = prestarted.start(
        tmp_path / "program.py",
        [],
        network=Network(),
        output=tmp_path / "output",
        folder=tmp_path,
        offset_file=clock.path,
    )
    assert done.wait(PATIENCE) == 0
    assert (tmp_path / "output").read_text() == "True True\n"


@pytest.mark.servers
def test_in_a_private_network_it_sees_what_other_programs_see_there(tmp_path: Path, servers: None) -> None:
    program = """
import os, pathlib, socket
for name in ("resolv.conf", "hosts", "nsswitch.conf"):
    print(pathlib.Path("/etc", name).read_text())
print(socket.gethostname(), os.stat("/proc/self/ns/net").st_ino)
"""
    with PrivateNetwork("mail.example.test") as network:
        assert start(tmp_path, program, network=network).wait(PATIENCE) == 0
        seen = network.run(
            ["cat", "/etc/resolv.conf", "/etc/hosts", "/etc/nsswitch.conf"], hostname="mail.example.test"
        )
        place = os.stat(network.namespace).st_ino
    shown = (tmp_path / "output").read_text().splitlines()
    assert [line for line in shown[:-1] if line] == seen.splitlines()
    assert shown[-1] == f"mail.example.test {place}"
