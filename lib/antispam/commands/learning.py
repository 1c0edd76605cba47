"""The commands `train` and `evaluate`."""

from __future__ import annotations

import contextlib
import dataclasses
import importlib.util
import json
import math
import shutil
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import click
import sqlalchemy as sa
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TaskProgressColumn, TextColumn, TimeRemainingColumn
from rich.table import Table

from antispam.learning import evaluation, robustness, training
from antispam.learning.figures import Figures, Judged, figures
from antispam.learning.fingerprinting import ADMINISTRATOR, Fingerprinter, FingerprintSettings, date_of
from antispam.learning.readers import readers_for
from antispam.learning.robustness import DELAY, Condition
from antispam.learning.settings import DEFAULT_USER, DspamSettings
from antispam.learning.teacher import Teacher
from antispam.protocols.mailboxes import MailboxError, Stored, files
from antispam.service.application import Program, load_settings
from antispam.settings import Mode, Settings
from antispam.store import Store, StoreError, migrate
from antispam.store.connecting import url_from
from antispam.text import for_log
from dspam.learner import SPAM_AT

_STDIN = Path("-")
INTERRUPTED = 130  # as in shells


def _progress(console: Console) -> Progress:
    return Progress(
        TextColumn("{task.description}"),
        BarColumn(),
        MofNCompleteColumn(),
        TaskProgressColumn(show_speed=True),
        TimeRemainingColumn(),
        console=console,
    )


def train_command(program: Program) -> click.Command:
    """`train`, for the commands of a program."""

    @click.command("train")
    @click.argument("verdict", type=click.Choice(["spam", "ham"]))
    @click.argument("paths", nargs=-1, required=True, type=click.Path(path_type=Path))
    @click.option("--user", default=DEFAULT_USER, show_default=True, help="whose dictionary learns")
    @click.option("--undo", is_flag=True, help="undo exactly what these messages taught")
    @click.pass_obj
    def command(config: Path | None, verdict: str, paths: tuple[Path, ...], user: str, undo: bool) -> None:
        """Teach the filter that the mail in PATHS (mbox files, maildirs, folders, files; - is standard input) is VERDICT.

        A hundred messages at a time are committed. Ctrl-C loses nothing: the messages read so far are learned first, and the
        same command continues where it stopped, because no message is taught twice. A message that was taught as the opposite
        is corrected."""
        settings = load_settings(program, config)
        _warn_if_unknown(settings[DspamSettings], user)
        result = training.Result()
        console = Console(stderr=True)
        stack = contextlib.ExitStack()
        try:
            found = files([stack.enter_context(_standard_input()) if path == _STDIN else path for path in paths])
            readers = stack.enter_context(readers_for(() if undo else found))  # no thread has been started yet
            migrate(url_from(settings))
            with contextlib.closing(Store.from_settings(settings)) as store, _progress(console) as progress:
                teacher = Teacher(store, user, make=not undo)
                task = progress.add_task("teaching", total=None)
                reached: set[Path] = set()

                def done(stored: Any) -> None:
                    reached.add(stored.path)
                    # Files not yet read count as one message each: the exact total is known only at the end.
                    progress.update(task, total=result.seen + len(found) - len(reached), completed=result.seen)

                fingerprint = _fingerprint(store, settings, verdict == "spam", undo)
                means = training.Means(done, fingerprint, training.by_signature(store, user, teacher))
                training.train(
                    teacher, found, verdict == "spam", undo=undo, result=result, means=means, readers=readers
                )
                spam, ham = teacher.totals()
        except KeyboardInterrupt:
            where = f" after {for_log(result.last)}" if result.last else ""
            click.echo(f"stopped{where}; {_summary(result)}. The same command goes on from here.", err=True)
            sys.exit(INTERRUPTED)
        except (MailboxError, LookupError, ValueError) as error:
            raise click.ClickException(for_log(str(error))) from error
        except (StoreError, OSError, sa.exc.SQLAlchemyError) as error:
            raise click.ClickException(
                f"the database: {for_log(str(error))}; {_summary(result)} before that"
            ) from error
        finally:
            stack.close()
        for problem in result.unreadable:
            click.echo(for_log(problem), err=True)
        click.echo(f"{_summary(result)}; {for_log(user)} has learned {spam} spam and {ham} ham messages")
        sys.exit(1 if result.unreadable else 0)

    return command


@contextlib.contextmanager
def _standard_input() -> Iterator[Path]:
    """The content of standard input as a temporary file."""
    with tempfile.NamedTemporaryFile(prefix="standard-input-") as file:
        shutil.copyfileobj(sys.stdin.buffer, file)
        file.flush()
        yield Path(file.name)


def _fingerprint(store: Store, settings: Settings, is_spam: bool, undo: bool) -> Callable[[Stored], object]:
    """The action for each message for [fingerprints]. Old spam is skipped, because its copies no longer come."""
    own = settings[FingerprintSettings]
    if own.mode is Mode.OFF:
        return lambda stored: None
    now = time.time()
    said, oldest = Fingerprinter(store, own, ADMINISTRATOR, now), now - own.keep
    if undo:
        return lambda stored: said.forget(stored.raw)
    if is_spam:
        return lambda stored: date_of(stored.raw, now) >= oldest and said.spam(stored.raw)
    return lambda stored: said.ham(stored.raw)


def _warn_if_unknown(settings: DspamSettings, user: str) -> None:
    """Warn about an unknown user. A dictionary may be taught before the configuration names it, but it may also be a
    typo.
    """
    named = {*settings.users, *(name.lower() for name in (DEFAULT_USER, *settings.dspam_screener, settings.dspam_dict))}
    if user.lower() not in named:
        click.echo(
            f"[dspam] dspam_users, dspam_screener and dspam_dict do not name {for_log(user, 60)}, so nothing uses this "
            "dictionary yet. If the name is a typo, the same command with --undo takes the training back.",
            err=True,
        )


def _summary(result: training.Result) -> str:
    counts = {
        "learned": result.learned,
        "corrected": result.corrected,
        "taken back": result.taken_back,
        "unchanged": result.known,
        "files not readable": len(result.unreadable),
    }
    return ", ".join(f"{count} {what}" for what, count in counts.items() if count) or "no messages"


def evaluate_command(program: Program) -> click.Command:
    """`evaluate`, for the commands of a program."""

    @click.command("evaluate")
    @click.argument("index", type=click.Path(path_type=Path))
    @click.option("--json", "as_json", is_flag=True, help="one JSON object instead of the table")
    @click.option(
        "--scores", type=click.Path(path_type=Path), help="write path, label, score and verdict of each message here"
    )
    @click.option("--plot", type=click.Path(path_type=Path), help="write a ROC curve and a learning curve here, as PNG")
    @click.option(
        "--noise", type=click.FloatRange(0, 50), default=0.0, help="run again with this percentage of wrong labels"
    )
    @click.option("--delay", is_flag=True, help=f"run again, each message taught {DELAY} messages after it came")
    @click.option(
        "--drift", is_flag=True, help="run again in the order of the messages' dates: kinds of mail come and go"
    )
    @click.option("--errors", is_flag=True, help="run again, taught only by reports of wrong decisions")
    def command(
        index: Path,
        as_json: bool,
        scores: Path | None,
        plot: Path | None,
        noise: float,
        delay: bool,
        drift: bool,
        errors: bool,
    ) -> None:
        """Measure the filter's accuracy on labelled mail.

        INDEX has a line for each message, `spam path` or `ham path`, in the order of arrival; paths are relative to it. Each
        message is classified first and taught afterwards, in a separate, empty dictionary; yours is not changed. --noise,
        --delay, --drift and --errors print a table of the loss under such conditions."""
        if plot is not None:
            _demand_matplotlib()  # checked before the work, not after
        console, run, interrupted = Console(stderr=True), evaluation.Run(), False
        try:
            entries = evaluation.read_index(index)
            with tempfile.TemporaryDirectory(prefix="bms-evaluate-") as scratch, _progress(console) as progress:
                url = f"sqlite:///{scratch}/evaluate.sqlite"
                migrate(url)
                task = progress.add_task("classify, then teach", total=len(entries))
                try:
                    with contextlib.closing(Store(url)) as store:
                        evaluation.evaluate(
                            Teacher(store), entries, run=run, done=lambda judged: progress.advance(task)
                        )
                except KeyboardInterrupt:
                    interrupted = True
        except (evaluation.IndexMistake, StoreError, OSError) as error:
            raise click.ClickException(for_log(str(error))) from error
        if interrupted:
            click.echo(
                f"stopped after {len(run.judged)} of {len(entries)} messages; the figures are of those", err=True
            )
        _report(run, as_json, [] if interrupted else _tried(entries, _conditions(noise, delay, drift, errors), console))
        if scores is not None:
            write_scores(scores, run.judged)
        if plot is not None:
            _plot(plot, run.judged)
        sys.exit(INTERRUPTED if interrupted else 0)

    return command


def _conditions(noise: float, delay: bool, drift: bool, errors: bool) -> list[Condition]:
    asked = {
        Condition(f"{noise:g} % wrong labels", noise=noise): bool(noise),
        Condition(f"taught {DELAY} messages late", delay=DELAY): delay,
        Condition("by date", by_date=True): drift,
        Condition("only errors reported", errors=True): errors,
    }
    return [condition for condition, wanted in asked.items() if wanted]


def _tried(
    entries: Sequence[evaluation.Entry], conditions: Sequence[Condition], console: Console
) -> list[tuple[str, Figures]]:
    """The figures under each condition, by name."""
    if not conditions:
        return []
    found = []
    with _progress(console) as progress:
        task = progress.add_task("read", total=len(entries))
        try:
            messages = robustness.read_all(entries, lambda: progress.advance(task))
        except evaluation.IndexMistake as error:
            raise click.ClickException(for_log(str(error))) from error
        for condition in conditions:
            progress.reset(task, description=condition.name)
            judged = robustness.judge(condition, messages, lambda: progress.advance(task))
            found.append((condition.name, figures(judged)))
    return found


def summary(run: evaluation.Run) -> dict[str, Any]:
    """The figures of a run as JSON-able values; None if a class was missing."""
    return _plain(figures(run.judged)) | {
        "classify_per_s": run.classify_per_s,
        "train_per_s": run.train_per_s,
        "settings": {"spam_at": SPAM_AT, "train": "every message", "store": "sqlite"},
    }


def _plain(found: Figures) -> dict[str, Any]:
    values = dataclasses.asdict(found)
    return {key: None if isinstance(value, float) and math.isnan(value) else value for key, value in values.items()}


def _report(run: evaluation.Run, as_json: bool, tried: Sequence[tuple[str, Figures]]) -> None:
    values = summary(run)
    if as_json:
        more = {"conditions": {name: _plain(found) for name, found in tried}} if tried else {}
        click.echo(json.dumps(values | more))
        return
    table = Table("figure", "value", show_header=False)
    rows = [
        ("messages", f"{values['n']:,} ({values['ham']:,} ham, {values['spam']:,} spam)"),
        *(
            (what, "-" if values[key] is None else f"{values[key]:.3f} %")
            for what, key in (
                ("ham misclassified", "ham_misclassified_pct"),
                ("spam misclassified", "spam_misclassified_pct"),
                ("lam", "lam_pct"),
                ("1 - ROCA", "one_minus_roca_pct"),
                ("spam missed at 0.1 % ham lost", "spam_missed_at_0_1_pct_fp"),
            )
        ),
        ("classified", f"{values['classify_per_s']:,.0f} messages/s"),
        ("taught", f"{values['train_per_s']:,.0f} messages/s"),
    ]
    for row in rows:
        table.add_row(*row)
    Console().print(table)
    if tried:
        _print_conditions([("as the index says", figures(run.judged)), *tried])


def _print_conditions(found: Sequence[tuple[str, Figures]]) -> None:
    table = Table(title="Under less favourable conditions")
    table.add_column("", no_wrap=True)
    for heading in ("ham lost %", "spam missed %", "missed at 0.1 %", "1 - ROCA %"):
        table.add_column(heading, justify="right")
    for name, of in found:
        values = (
            of.ham_misclassified_pct,
            of.spam_misclassified_pct,
            of.spam_missed_at_0_1_pct_fp,
            of.one_minus_roca_pct,
        )
        table.add_row(name, *("-" if math.isnan(value) else f"{value:.3f}" for value in values))
    Console().print(table)


def write_scores(path: Path, judged: list[Judged]) -> None:
    """Write one line per message: path, label, score and verdict, separated by tabs. Raises OSError."""
    with path.open("w", encoding="utf-8", errors="surrogateescape") as file:
        for one in judged:
            label, verdict = ("spam" if what else "ham" for what in (one.is_spam, one.called_spam))
            file.write(f"{one.path}\t{label}\t{one.score:.6f}\t{verdict}\n")


def _plot(path: Path, judged: list[Judged]) -> None:
    from antispam.learning.plot import draw

    draw(path, judged)


def _demand_matplotlib() -> None:
    if importlib.util.find_spec("matplotlib") is None:
        raise click.ClickException(f"--plot needs matplotlib: {sys.executable} -m pip install matplotlib")
