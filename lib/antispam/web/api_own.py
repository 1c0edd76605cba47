"""The API's operations on a user's own mail, lists and preferences, in one of their mailboxes."""

from __future__ import annotations

from antispam.learning.corrections import Corrected
from antispam.store import own_history, own_lists
from antispam.store.history_search import Cursor
from antispam.web import api_own_values as values
from antispam.web.api_operations import Asked, Operation, Refused
from antispam.web.api_values import Done, MailboxQuery
from antispam.web.mail_pages import changed_mailbox, mailbox_of, own_message, say
from antispam.web.preferences_pages import change, questions_of


def _me(asked: Asked) -> values.Me:
    account = asked.account
    return values.Me(account.name, account.role.value, list(account.mailboxes))


def _mail(asked: Asked) -> values.OwnMail:
    query: values.OwnMailQuery = asked.query
    console, user = asked.console, mailbox_of(asked.account, query.user)
    found = own_history.find(
        console.store, console.addresses.whose(user), query.limit + 1, after=_cursor(query.after), text=query.text,
        became=[query.became] if query.became else [],
    )  # fmt: skip
    messages = found[: query.limit]
    said = console.corrections.said(user, [one.ref for one in messages])
    listed = [
        values.OwnMessage(one.ref, one.received_at, one.sender, one.subject, one.became, said.get(one.ref))
        for one in messages
    ]
    last = messages[-1].cursor if len(found) > query.limit else None
    return values.OwnMail(listed, f"{last.received_at!r} {last.ref}" if last else None)


def _cursor(text: str) -> Cursor | None:
    """Raises Refused."""
    if not text:
        return None
    at, _, ref = text.partition(" ")
    if not (at.replace(".", "", 1).isdecimal() and at.isascii()):
        raise Refused(422, "after is what the page before gave.")
    return Cursor(float(at), ref)


def _part(asked: Asked) -> values.OwnPart:
    user = mailbox_of(asked.account, asked.query.user)
    found, part = own_message(asked.console, user, asked.path["ref"])
    said = asked.console.corrections.said(user, [found.ref]).get(found.ref)
    decided = part.decided.check if part.decided else ""
    scores = [values.Score(one.test, one.points, one.evidence) for score in part.scores for one in score.tests]
    return values.OwnPart(found.ref, found.received_at, found.mail_from, found.subject, decided, scores, said)


def _say(asked: Asked) -> Done:
    """Raises NoEntry, Refused."""
    body: values.Said = asked.body
    user = changed_mailbox(asked.account, body.user)
    own_message(asked.console, user, asked.path["ref"])
    done = say(asked.console, user, asked.path["ref"], body.do.value)
    if done is Corrected.TOO_MANY:
        raise Refused(429, "These are too many reports within an hour.")
    return Done(done in (Corrected.TAUGHT, Corrected.KNOWN))


def _own_lists(asked: Asked) -> values.OwnLists:
    user = mailbox_of(asked.account, asked.query.user)
    found = own_lists.of_user(asked.console.store, user)
    return values.OwnLists([values.OwnListed(one.kind, one.name, one.added_at) for one in found])


def _put(asked: Asked) -> values.OwnListed:
    new: values.NewOwnListed = asked.body
    user, now = changed_mailbox(asked.account, new.user), asked.console.clock()
    try:
        name = own_lists.put(asked.console.store, user, new.kind, new.name, now)
    except own_lists.Full as error:
        raise Refused(422, f"{error}.") from None
    return values.OwnListed(new.kind, name, now)


def _remove(asked: Asked) -> Done:
    old: values.OldOwnListed = asked.body
    return Done(own_lists.remove(asked.console.store, changed_mailbox(asked.account, old.user), old.name))


def _preferences(asked: Asked) -> values.Preferences:
    user = mailbox_of(asked.account, asked.query.user)
    found = questions_of(asked.console, user)
    return values.Preferences(
        [
            values.OwnPreference(one.question.name, one.chosen, one.usual, [value for value, _ in one.choices])
            for one in found
        ]
    )


def _choose(asked: Asked) -> values.Preferences:
    body: values.Chosen = asked.body
    user = changed_mailbox(asked.account, body.user)
    if body.name not in {one.question.name for one in questions_of(asked.console, user)}:
        raise Refused(422, "This mailbox has no such preference.")
    if change(asked.console, user, {body.name: body.value}):
        raise Refused(422, "The preference can't have that value.")
    return _preferences(asked._replace(query=MailboxQuery(user)))


OPERATIONS = (
    Operation("GET", "/api/me", "Your account and its mailboxes", _me, values.Me),
    Operation("GET", "/api/mail", "What came for you", _mail, values.OwnMail, query=values.OwnMailQuery),
    Operation("GET", "/api/mail/{ref}", "Your part of a message", _part, values.OwnPart, query=MailboxQuery),
    Operation("POST", "/api/mail/{ref}", "Say that a message was spam, or was not", _say, Done, body=values.Said),
    Operation("GET", "/api/own-lists", "Senders you allow and block", _own_lists, values.OwnLists, query=MailboxQuery),
    Operation("POST", "/api/own-lists", "Allow or block a sender", _put, values.OwnListed, body=values.NewOwnListed),
    Operation("POST", "/api/own-lists/remove", "Remove a sender", _remove, Done, body=values.OldOwnListed),
    Operation("GET", "/api/preferences", "Your preferences", _preferences, values.Preferences, query=MailboxQuery),
    Operation("POST", "/api/preferences", "Choose a preference", _choose, values.Preferences, body=values.Chosen),
)
