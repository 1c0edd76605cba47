"""The form of an API operation: the parsed request, the work, and the refusal."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple

from antispam.store.accounts import Account
from antispam.web.console import Console, Session


class Refused(Exception):
    """The request is refused, with this status and a sentence."""

    def __init__(self, status: int, detail: str) -> None:
        super().__init__(detail)
        self.status = status


class Asked(NamedTuple):
    """A parsed request: its session, path parameters, query and body."""

    console: Console
    session: Session
    path: dict[str, str]
    query: Any
    body: Any

    @property
    def account(self) -> Account:
        return self.session.account


class Operation(NamedTuple):
    """One operation: method and path, a one-line summary, input and output, and the required role."""

    method: str
    path: str
    summary: str
    work: Callable[[Asked], Any]
    gives: type
    query: type | None = None
    body: type | None = None
    role: str = "user"  # or helpdesk, administrator
