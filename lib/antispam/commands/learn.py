"""The command `learn`: its help, its errors, and --direct. Hooks call learn_client.py."""

from __future__ import annotations

import sys
import time
from pathlib import Path

import click

from antispam.commands import learn_client
from antispam.commands.learn_client import CannotTeachError, Lesson
from antispam.deadline import Deadline
from antispam.protocols.lesson_wire import DEFAULT_SOCKET
from antispam.service.application import Program, load_settings, opened_store
from antispam.service.teaching import lessons
from antispam.settings import Settings
from antispam.settings.learn import LearnSettings


def learn_command(program: Program) -> click.Command:
    """`learn`, for the commands of a program."""

    @click.command("learn")
    @click.option("--spam/--ham", "is_spam", required=True, default=None, help="what the message is")
    @click.option("--user", default="", help="in whose name: a user of the filter, or their address; default: yourself")
    @click.option("--socket", "place", default="", help="where the filter listens, if not at [learn] socket")
    @click.option("--direct", is_flag=True, help="without the running filter: open its database here")
    @click.argument("file", default="-")
    @click.pass_obj
    def command(config: Path | None, is_spam: bool, user: str, place: str, direct: bool, file: str) -> None:
        """Teach the running filter that a message (FILE, or standard input) is spam or ham, in the name of a user.

        It is made for hooks of mail servers (docs/dovecot.md). A message that was taught before teaches nothing; the opposite
        corrects it. Exit status: 0 done, 65 no mail, 67 no such user, 75 try again later, 77 not allowed."""
        settings = load_settings(program, config)
        place = place or settings[LearnSettings].socket or DEFAULT_SOCKET
        lesson = Lesson(is_spam, user or learn_client.own_name(), file, place)
        sys.exit(_direct(program, settings, lesson) if direct else learn_client.teach(lesson))

    return command


def _direct(program: Program, settings: Settings, lesson: Lesson) -> int:
    """Teach without the running filter. Everybody who may write to the store may teach for any user."""
    try:
        raw = learn_client.read(lesson.file)
    except CannotTeachError as error:
        click.echo(f"bms learn: {error}", err=True)
        return error.status
    with opened_store(settings) as store:
        deadline = Deadline.after(settings[LearnSettings].timeout)
        answer = lessons(program.journey, settings, store, time.time).teach(lesson.user, lesson.is_spam, raw, deadline)
    click.echo(answer.text if not answer.outcome else f"bms learn: {answer.text}", err=bool(answer.outcome))
    return answer.outcome
