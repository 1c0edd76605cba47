"""The dictionaries: how much each has learned, recent lessons and their teachers, and undoing a lesson."""

from __future__ import annotations

from urllib.parse import urlencode

from starlette.concurrency import run_in_threadpool
from starlette.requests import Request
from starlette.responses import Response

from antispam.store import Store
from antispam.store.history_search import Named, newest
from antispam.web.answers import console_of, shown, text_of
from antispam.web.roles import acted, administrators_form, back_to, helpdesk
from dspam.store import Lesson, TokenStore, latest, learned, name_of

USERS = 50
LESSONS = 50
NEWEST = 5000  # newest messages that are searched for a lesson's message


def dictionaries_page(request: Request) -> Response:
    helpdesk(request)
    store, asked = console_of(request).store, request.query_params
    users = learned(store, USERS + 1, asked.get("user", "")[:255])
    before = asked.get("before", "")
    number, of = int(before) if before.isdecimal() and len(before) < 18 else None, asked.get("of", "")[:255]
    lessons = latest(store, LESSONS + 1, before=number, user=of)
    more_users = urlencode({"user": users[USERS - 1].user}) if len(users) > USERS else ""
    mine = {"of": of} if of else {}
    older = urlencode({**mine, "before": lessons[LESSONS - 1].number}) if len(lessons) > LESSONS else ""
    return shown(
        request, "dictionaries.html", users=users[:USERS], more_users=more_users, older=older, of=of,
        lessons=_with_messages(store, lessons[:LESSONS]), done=asked.get("done", ""),
    )  # fmt: skip


def _with_messages(store: Store, lessons: list[Lesson]) -> list[tuple[Lesson, Named | None]]:
    """The lessons, each with its message if that is among the newest of the history: the log has only a digest of it."""
    wanted = {one.message for one in lessons}
    known = {name: one for one in newest(store, NEWEST) if (name := name_of(one.ref)) in wanted} if wanted else {}
    return [(one, known.get(one.message)) for one in lessons]


async def undo_lesson(request: Request) -> Response:
    session, form = await administrators_form(request)
    console, number = console_of(request), text_of(form, "lesson")
    store = console.store

    def undo() -> bool:
        if not number.isdecimal() or len(number) >= 18:
            return False
        found = latest(store, 1, before=int(number) + 1)
        if not found or found[0].number != int(number):
            return False
        (lesson,) = found
        if not TokenStore(store).undo_lesson(lesson.user_id, lesson.message):
            return False
        kind = "spam" if lesson.is_spam else "honest mail"
        acted(console, session, f"took back lesson {number} of {lesson.user}: that {lesson.message} is {kind}")
        return True

    done = await run_in_threadpool(undo)
    return back_to(request, "dictionaries", "undone" if done else "gone")
