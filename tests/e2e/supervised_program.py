"""A trivial milter under the supervisor, for test_supervisor_e2e: run as `supervised_program.py SOCKET SETTINGS`.

SETTINGS is a JSON file, read again by a reload; `greeting` ends up in a header of every message, `limits` and `plan`
override fields of the supervisor's plan. What a message asks for with its sender:
<hang@...> blocks the whole worker, <stick@...> only the callback, <hold@...> blocks the end of message until
somebody opens the FIFO `hold` beside the settings.
"""

from __future__ import annotations

import ctypes
import json
import logging
import os
import sys
import threading
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import milter
from antispam.net.sockets import SocketSpec
from antispam.service.activity import Activity
from antispam.service.plan import Limits, PrepareFailed, ProcessPlan
from antispam.service.supervisor import Supervisor
from antispam.service.worker import WorkerContext


class TrivialMilter:
    """The callbacks of one worker."""

    def __init__(self, greeting: str, folder: Path) -> None:
        self.greeting = greeting
        self.folder = folder
        self.activity = Activity()

    def connect(self, ctx: Any, *_: object) -> int:
        ctx.setpriv({"held": False})
        self.activity.session_opened(id(ctx))
        return milter.CONTINUE

    def envfrom(self, ctx: Any, sender: str | bytes, *_: object) -> int:
        text = sender.decode() if isinstance(sender, bytes) else sender
        self.activity.message_began(id(ctx))
        with self.activity.callback():
            if text.startswith("<hang@"):
                ctypes.PyDLL(None).sleep(600)  # PyDLL keeps the interpreter lock
            if text.startswith("<stick@"):
                threading.Event().wait(600)
        ctx.getpriv()["held"] = text.startswith("<hold@")
        return milter.CONTINUE

    def eom(self, ctx: Any) -> int:
        with self.activity.callback():
            if ctx.getpriv()["held"]:
                (self.folder / "hold").read_bytes()
            ctx.addheader("X-Greeting", self.greeting)
            ctx.addheader("X-Worker", str(os.getpid()))
        self.activity.message_ended(id(ctx))
        return milter.ACCEPT

    def close(self, ctx: Any) -> int:
        self.activity.session_closed(id(ctx))
        ctx.setpriv(None)
        return milter.CONTINUE

    def serve(self, context: WorkerContext) -> None:
        if self.greeting == "fails":
            raise RuntimeError("this worker cannot be")
        if self.greeting == "sleeps":
            threading.Event().wait(600)
        context.watch(self.activity.load)
        milter.set_connect_callback(self.connect)
        milter.set_envfrom_callback(self.envfrom)
        milter.set_eom_callback(self.eom)
        milter.set_close_callback(self.close)
        milter.set_flags(milter.ADDHDRS)
        milter.register("trivial")
        context.run(milter)
        logging.info("worker %d cleaned up", context.slot)


def prepare(settings: Mapping[str, Any]) -> int:
    """What migrations would be: it fails where the settings want it to."""
    if reason := settings.get("prepare"):
        raise PrepareFailed(reason)
    logging.info("prepared")
    return 0


def load(socket: str, path: Path) -> ProcessPlan:
    """The plan; raises ValueError for what is no JSON."""
    settings = json.loads(path.read_text())
    return ProcessPlan(
        socket=SocketSpec.parse(settings.get("socket", socket)),
        serve=TrivialMilter(settings["greeting"], path.parent).serve,
        prepare=lambda: prepare(settings),
        prepare_lock=path.parent / "lock",
        limits=Limits(**settings.get("limits", {})),
        **settings.get("plan", {}),
    )


def main() -> int:
    """Run until told to stop."""
    socket, path = sys.argv[1], Path(sys.argv[2])
    log_to = logging.FileHandler(path.parent / "log") if (path.parent / "log").exists() else logging.StreamHandler()
    logging.basicConfig(level=logging.INFO, format="%(levelname)s %(message)s", handlers=[log_to])
    return Supervisor(load(socket, path), lambda: load(socket, path)).run()


if __name__ == "__main__":
    sys.exit(main())
