"""A user's own mail: the messages, their outcomes, and the user's corrections (spam or not spam)."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from urllib.parse import parse_qsl, urlencode

from starlette.concurrency import run_in_threadpool
from starlette.requests import Request
from starlette.responses import RedirectResponse, Response

from antispam.deadline import Deadline
from antispam.journey.account import Part
from antispam.learning.corrections import Corrected
from antispam.mail.kept_because import why
from antispam.store import own_history
from antispam.store.accounts import Account
from antispam.store.hidden import is_hidden
from antispam.store.history_search import Became, Cursor, Search, Transaction, search
from antispam.store.quarantine import NoEntry, State
from antispam.web.answers import (
    MAX_CHOSEN,
    Forbidden,
    console_of,
    form_of,
    language_of,
    logged_in,
    marked,
    shown,
    text_of,
)
from antispam.web.console import Console
from antispam.web.own_mail import own_part
from antispam.web.reasons import evidence_of

PAGE = 50  # messages
_TIMEOUT = 10.0  # seconds for one correction
_MAX_TEXT = 200
BECAME: Mapping[Became, str] = {
    Became.DELIVERED: marked("delivered"),
    Became.MARKED: marked("delivered, marked as spam"),
    Became.KEPT: marked("kept in the quarantine"),
    Became.HELD: marked("held in the mail server's queue"),
    Became.REFUSED: marked("refused, and its sender was told"),
    Became.LATER: marked("asked to come again later"),
    Became.DROPPED: marked("dropped"),
    Became.UNFINISHED: marked("given up by its sender"),
}
# For quarantined messages: the later outcome. None if the quarantine no longer has the message.
_KEPT: Mapping[State | None, str] = {
    State.KEPT: BECAME[Became.KEPT],
    State.FAILED: BECAME[Became.KEPT],
    State.UNDER_WAY: marked("kept, and delivered later"),
    State.RELEASED: marked("kept, and delivered later"),
    None: marked("kept, and deleted later"),
}


def _became(became: Became | None, state: State | None) -> str:
    """The outcome of a message, as a message of the catalogue; "" if unknown."""
    if became is None:
        return ""
    return _KEPT[state] if became is Became.KEPT else BECAME[became]


def mailbox_of(account: Account, wanted: str) -> str:
    """One of the account's own mailboxes: the requested one, by default the first. Raises Forbidden."""
    if wanted and wanted not in account.mailboxes:
        raise Forbidden(marked("That mailbox is not yours."))
    return wanted or next(iter(account.mailboxes), "")


def changed_mailbox(account: Account, wanted: str) -> str:
    """The mailbox that a form changes. Raises Forbidden if the account has none."""
    if user := mailbox_of(account, wanted):
        return user
    raise Forbidden(marked("Your account has no mailbox."))


@dataclasses.dataclass(frozen=True, slots=True)
class Asked:
    """The part of the list to show, from the page's address; invalid values are ignored."""

    text: str = ""
    user: str = ""
    became: Became | None = None
    after: Cursor | None = None

    @classmethod
    def of(cls, query: Mapping[str, str]) -> Asked:
        became, (at, _, ref) = query.get("became", ""), query.get("after", "").partition(" ")
        after = Cursor(float(at), ref) if at.replace(".", "", 1).isdecimal() and at.isascii() and len(at) < 30 else None
        return cls(
            text=query.get("q", "").strip()[:_MAX_TEXT], user=query.get("user", ""),
            became=Became(became) if became in set(Became) else None, after=after,
        )  # fmt: skip

    def query(self, **changes: str) -> str:
        """The query of another part; of this one without changes."""
        after = "" if self.after is None else f"{self.after.received_at!r} {self.after.ref}"
        said = {"q": self.text, "user": self.user, "became": str(self.became or ""), "after": after}
        return urlencode({name: value for name, value in (said | changes).items() if value})


def mail_page(request: Request) -> Response:
    session, console, asked = logged_in(request), console_of(request), Asked.of(request.query_params)
    user = mailbox_of(session.account, asked.user)
    found = own_history.find(
        console.store, console.addresses.whose(user), PAGE + 1, after=asked.after, text=asked.text,
        became=[asked.became] if asked.became else [],
    )  # fmt: skip
    messages, more = found[:PAGE], len(found) > PAGE
    last = messages[-1].cursor if more else None
    kept = [one.ref for one in messages if one.became is Became.KEPT]
    states = own_history.states(console.store, user, kept)
    return shown(
        request, "mail.html", messages=[(one, _became(one.became, states.get(one.ref))) for one in messages],
        asked=asked, user=user, names=BECAME,
        following=dataclasses.replace(asked, after=last).query() if last else "", back=asked.query(),
        said=console.corrections.said(user, [one.ref for one in messages]),
        teaches=console.corrections.has_profile(user), done=request.query_params.get("done", ""),
    )  # fmt: skip


def own_message(console: Console, user: str, ref: str) -> tuple[Transaction, Part]:
    """Their part of a message of the history. Raises NoEntry if there is none, whether or not others have one."""
    found = next((one for one in search(console.store, Search(name=ref), 2) if one.ref == ref), None)
    part = None if found is None else own_part(console, user, found)
    if found is None or part is None:
        raise NoEntry("no such message")
    return found, part


def message_page(request: Request) -> Response:
    session, console, ref = logged_in(request), console_of(request), request.path_params["ref"]
    user = mailbox_of(session.account, request.query_params.get("user", ""))
    found, part = own_message(console, user, ref)
    whose = console.addresses.whose(user)
    listed = own_history.of_ref(console.store, whose, found.ref, found.received_at)
    state = own_history.states(console.store, user, [found.ref]).get(found.ref)
    against, in_favour = evidence_of(part.scores, language_of(request))
    return shown(
        request, "mail_message.html", found=found, user=user, kept=state is not None,
        to=", ".join(one for one in part.recipients if not is_hidden(one)) or user,
        became=_became(listed.became if listed else None, state), why=why(part.decided.check) if part.decided else "",
        against=against, in_favour=in_favour,
        said=console.corrections.said(user, [found.ref]), teaches=console.corrections.has_profile(user),
    )  # fmt: skip


async def act(request: Request) -> Response:
    """Train the filter with the user's corrections of the chosen messages, or undo them."""
    session, form = await form_of(request)
    word, user = text_of(form, "do"), changed_mailbox(session.account, text_of(form, "user"))
    if word not in ("spam", "ham", "undo"):
        raise Forbidden(marked("There is no such action."))
    refs = dict.fromkeys(ref for ref in form.getlist("ref") if isinstance(ref, str))
    console, chosen = console_of(request), list(refs)[:MAX_CHOSEN]
    done = await run_in_threadpool(lambda: [say(console, user, ref, word) for ref in chosen])
    number = sum(one in (Corrected.TAUGHT, Corrected.KNOWN) for one in done)
    why_not = next((one.name.lower() for one in done if one not in (Corrected.TAUGHT, Corrected.KNOWN)), "")
    asked = Asked.of(dict(parse_qsl(text_of(form, "back")[:2000])))
    where = asked.query(user=text_of(form, "user"), done=f"{word}-{number}-{len(chosen)}-{why_not}")
    return RedirectResponse(f"{request.app.url_path_for('mail')}?{where}", 303)


def say(console: Console, user: str, ref: str, word: str) -> Corrected:
    """Correct one of the user's own messages. For others' messages the answer is that the message is gone. Raises
    StoreError.
    """
    try:
        _, part = own_message(console, user, ref)
    except NoEntry:
        return Corrected.FORGOTTEN
    deadline = Deadline.after(_TIMEOUT)
    if word == "undo":
        undone = console.corrections.take_back(user, ref, part.called_spam, deadline)
        return Corrected.TAUGHT if undone else Corrected.FORGOTTEN
    return console.corrections.correct(user, ref, word == "spam", deadline)
