"""The preferences that users may choose for themselves, in plain words.

Values are read and checked as by `bms preferences set`. Preferences that cost the site memory, or that only
administrators understand, are not offered.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Mapping
from typing import Any
from urllib.parse import urlencode

from starlette.concurrency import run_in_threadpool
from starlette.requests import Request
from starlette.responses import RedirectResponse, Response

from antispam.learning.digest_settings import DigestSettings
from antispam.learning.language_settings import LanguageSettings
from antispam.learning.languages import languages, texts
from antispam.learning.preferences import PREFERENCES, read_preference, resolved
from antispam.learning.settings import DspamSettings
from antispam.settings.values import show
from antispam.store import preferences
from antispam.store.preferences import Preference, Scope
from antispam.web.answers import (
    Forbidden,
    console_of,
    form_of,
    language_of,
    logged_in,
    marked,
    remember_language,
    shown,
    text_of,
)
from antispam.web.console import Console
from antispam.web.mail_pages import changed_mailbox, mailbox_of


@dataclasses.dataclass(frozen=True, slots=True)
class Question:
    """One preference as users see it; all texts are messages of the catalogue.

    choices  values with texts; without any, users write a text
    """

    name: str
    asks: str
    help: str
    choices: tuple[tuple[str, str], ...] = ()


_POINTS = marked("Each message gets points for what looks like spam.")
QUESTIONS = (
    Question(
        "digest", marked("How often should we tell you by mail what is kept?"), marked("Only if there is something new."),
        (("daily", marked("every day")), ("weekly", marked("on Mondays")), ("never", marked("never"))),
    ),
    Question(
        "language", marked("In which language should we write to you?"),
        marked("It is the language of our mail to you, and of these pages."), tuple(languages().items()),
    ),
    Question(
        "spamAction", marked("What should happen to spam?"), marked("What is refused or kept does not reach your mailbox."),
        (
            ("tag", marked("deliver it, marked as spam")),
            ("quarantine", marked("keep it in the quarantine")),
            ("reject", marked("refuse it, so that its sender is told")),
            ("deliver", marked("deliver it like any other mail")),
        ),
    ),
    Question(
        "scoreMark", marked("How strict should the filter be?"), _POINTS,
        (
            ("3", marked("very strict: spam from 3 points on")),
            ("4.5", marked("strict: spam from 4.5 points on")),
            ("6", marked("moderate: spam from 6 points on")),
            ("8", marked("lenient: spam from 8 points on")),
            ("10", marked("very lenient: spam from 10 points on")),
        ),
    ),
    Question(
        "scoreQuarantine", marked("From how many points on should spam be kept, whatever you chose above?"),
        marked("What is kept does not reach your mailbox."),
        (("6", "6"), ("8", "8"), ("10", "10"), ("12", "12"), ("never", marked("never"))),
    ),
    Question(
        "scoreRefuse", marked("From how many points on should spam be refused?"),
        marked("Its sender is told so. You never see it."),
        (("10", "10"), ("15", "15"), ("20", "20"), ("never", marked("never"))),
    ),
    Question(
        "spamSubject", marked("What should stand before the subject of marked spam?"),
        marked("For example [SPAM]. Leave it empty for what is usual here."),
    ),
    Question(
        "trainingMode", marked("What should your filter learn by itself?"),
        marked("It always learns from what you report."),
        (("toe", marked("nothing, only what you report")), ("teft", marked("every message, until you correct it"))),
    ),
    Question(
        "signatureLocation", marked("Does your mail program forward the text alone?"),
        marked("Then reports are recognised by a mark in the text. It breaks the signatures of senders."),
        (("headers", marked("no, it forwards whole messages")), ("message", marked("yes, put the mark into the text"))),
    ),
    Question(
        "optOut", marked("Should your mail be filtered?"), marked("Viruses and forged mail are stopped in any case."),
        (("no", marked("yes")), ("yes", marked("no, deliver all mail unfiltered"))),
    ),
)  # fmt: skip
_FOR_EVERYBODY = ("digest", "language")  # the others are for users with a profile


def offered(console: Console, user: str) -> tuple[Question, ...]:
    """The questions that apply to this user."""
    profile, digest = user in console.settings[DspamSettings].users, console.settings[DigestSettings].send
    return tuple(
        question
        for question in QUESTIONS
        if (question.name in _FOR_EVERYBODY or profile) and (question.name != "digest" or digest)
    )


@dataclasses.dataclass(frozen=True, slots=True)
class Shown:
    """A question with its possible answers.

    chosen   what the user chose, "" for nothing
    usual    the value without a choice, as text
    choices  values with translated texts, including a value that somebody else set
    """

    question: Question
    chosen: str
    usual: str
    choices: tuple[tuple[str, str], ...]


def questions_of(console: Console, user: str, translate: Callable[[str], str] = str) -> list[Shown]:
    """The questions with the user's answers. Raises StoreError."""
    found = preferences.of_user(console.store, user)
    own = {one.name: one.value for one in found if one.scope is Scope.USER}
    others = [one for one in found if one.scope is not Scope.USER]
    usual: dict[type, Any] = {
        DspamSettings: resolved(console.settings[DspamSettings], others),
        DigestSettings: resolved(console.settings[DigestSettings], others),
        LanguageSettings: resolved(console.settings[LanguageSettings], others),
    }
    made = []
    for question in offered(console, user):
        settings, option = PREFERENCES[question.name]
        value, chosen = show(getattr(usual[settings], option.field), option.read), own.get(question.name, "")
        texts_of = {one: translate(text) for one, text in question.choices}
        if chosen and question.choices:
            texts_of.setdefault(chosen, chosen)
        made.append(Shown(question, chosen, texts_of.get(value, value), tuple(texts_of.items())))
    return made


def preferences_page(request: Request) -> Response:
    session = logged_in(request)
    return _page(request, mailbox_of(session.account, request.query_params.get("user", "")))


def _page(request: Request, user: str, *, wrong: str = "", problem: str = "", status: int = 200) -> Response:
    questions = questions_of(console_of(request), user, texts(language_of(request)).gettext)
    return shown(
        request, "preferences.html", status=status, user=user, questions=questions, wrong=wrong, problem=problem,
        done=request.query_params.get("done", ""),
    )  # fmt: skip


async def change_preferences(request: Request) -> Response:
    """Apply the whole form, or nothing of it."""
    session, form = await form_of(request)
    user = changed_mailbox(session.account, text_of(form, "user"))
    wrong = await run_in_threadpool(change, console_of(request), user, {name: text_of(form, name) for name in form})
    if wrong:
        problem = texts(language_of(request)).gettext(
            marked("That is too long, or has characters that are not possible.")
        )
        return await run_in_threadpool(_page, request, user, wrong=wrong, problem=problem, status=422)
    answer = RedirectResponse(
        f"{request.app.url_path_for('preferences')}?{urlencode({'user': user, 'done': 'set'})}", 303
    )
    if (language := text_of(form, "language")) in languages():
        remember_language(request, answer, language)
    return answer


def change(console: Console, user: str, given: Mapping[str, str]) -> str:
    """Change preferences. Returns the name of the first invalid one, and then changes nothing; "" if all are valid.
    Raises Forbidden for a value that the page does not offer, and StoreError.
    """
    wanted: dict[str, str] = {}
    for shown_now in questions_of(console, user):
        question = shown_now.question
        if question.name not in given:
            continue
        value = given[question.name].strip()
        if value and question.choices and value not in {one for one, _ in shown_now.choices}:
            raise Forbidden(marked("There is no such choice."))
        try:
            if value:
                read_preference(question.name, value)
        except ValueError:
            return question.name
        if value != shown_now.chosen:
            wanted[question.name] = value
    for name, value in wanted.items():
        if value:
            preferences.put(console.store, Preference(Scope.USER, user, name, value))
        else:
            preferences.remove(console.store, Scope.USER, user, name)
    return ""
