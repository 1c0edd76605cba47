"""Serving: the work of a worker from start to end, and the supervisor's plan."""

from __future__ import annotations

import dataclasses
import time

import sqlalchemy as sa

import Milter
import milter
from antispam.chores import Chore
from antispam.journey.table import Stage
from antispam.net.sockets import SocketSpec
from antispam.service import families, gossip_server, logs
from antispam.service.activity import Activity, Load
from antispam.service.application import UNTRAPPED, Application, Program
from antispam.service.board import Board
from antispam.service.counting import Counts
from antispam.service.housekeeping import Housekeeper
from antispam.service.libmilter_session import ACTIONS, milter_class
from antispam.service.plan import Limits, PrepareFailed, ProcessPlan, SideServer
from antispam.service.worker import WorkerContext
from antispam.settings import Settings
from antispam.settings.logs import LogSettings
from antispam.settings.metrics import MetricsSettings
from antispam.settings.program import ProgramSettings
from antispam.store import Store, migrate
from antispam.store.connecting import url_from
from antispam.store.engine import StoreError


def board_of(program: Program) -> Board:
    """The board of a program's counters, made at its start and kept by every reload's plan."""
    board = Board(families.families(program.journey))
    board.own.set("bms_start_time_seconds", to=time.time())
    return board


def serve(program: Program, settings: Settings, board: Board, worker: WorkerContext) -> None:
    """Run libmilter in a worker until the supervisor stops it."""
    options = settings[ProgramSettings]
    counts = Counts(worker.page)
    application = Application(program.journey, settings, counts=counts)
    activity = Activity(pulse=worker.pulse, answered=counts.answered)

    def note(load: Load) -> None:
        counts.beat(load, *application.rows_of_history())

    worker.watch(activity.load, note)
    Milter.factory = milter_class(
        application.session, activity, options.reject_at, asks_recipients=application.asks(Stage.RCPT)
    )
    chores = [*application.chores(), *_metrics_chores(settings, application.store, board)]
    housekeeper = Housekeeper(chores, done=lambda: counts.kept_house(time.time()))
    courier = application.courier()
    if worker.slot == 0:
        housekeeper.start()
        if courier is not None:
            courier.start()
    Milter.set_flags(ACTIONS)
    Milter.set_exception_policy(UNTRAPPED[options.untrapped_exception])
    Milter.register_callbacks(options.name or program.name)
    milter.settimeout(int(options.timeout))
    try:
        worker.run(milter)
    finally:
        if courier is not None:
            courier.close()
        housekeeper.close()
        application.close()


# Without metrics, no process needs to load what writes them.


def _metrics_chores(settings: Settings, store: Store, board: Board) -> list[Chore]:
    if MetricsSettings not in settings or settings[MetricsSettings].file is None:
        return []
    from antispam.service import metrics

    return metrics.chores(settings, store, board)


def _metrics_servers(settings: Settings, board: Board) -> tuple[SideServer, ...]:
    if MetricsSettings not in settings or not settings[MetricsSettings].listen:
        return ()
    from antispam.service import metrics_server

    return metrics_server.side_servers(settings, board)


def process_plan(program: Program, settings: Settings, board: Board | None = None) -> ProcessPlan:
    """The supervisor's plan. `board` is that of the previous plan, if there was one."""
    board = board or board_of(program)
    options = settings[ProgramSettings]

    def prepare() -> None:
        try:
            options.datadir.mkdir(mode=0o750, parents=True, exist_ok=True)
            migrate(url_from(settings))
        except (StoreError, OSError, ImportError, sa.exc.SQLAlchemyError) as error:
            raise PrepareFailed(f"the store or the data folder cannot be used: {error}") from error

    plan = ProcessPlan(
        name=program.name,
        socket=SocketSpec.parse(options.socket),
        serve=lambda worker: serve(program, settings, board, worker),
        prepare=prepare,
        open_logs=lambda: logs.configure(settings[LogSettings], program.name),
        socket_mode=options.socket_mode,
        socket_group=options.socket_group or None,
        user=options.user or None,
        limits=Limits(messages=options.drain_timeout),
        side_servers=(*gossip_server.side_servers(settings), *_metrics_servers(settings, board)),
        board=board,
    )
    return dataclasses.replace(plan, workers=options.workers) if options.workers else plan
