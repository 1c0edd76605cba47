"""What an operation of the API is: the request as it was understood, what is done, and how it is refused."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple

from antispam.store.accounts import Account
from antispam.web.console import Console, Session


class Refused(Exception):
    """The request is not done: with this status, and a sentence."""

    def __init__(self, status: int, detail: str) -> None:
        super().__init__(detail)
        self.status = status


class Asked(NamedTuple):
    """A request that was understood: who asks, the parts of its path, its query, its body."""

    console: Console
    session: Session
    path: dict[str, str]
    query: Any
    body: Any

    @property
    def account(self) -> Account:
        return self.session.account


class Operation(NamedTuple):
    """One request: its method and path, what it does in a line, what it takes and gives, who may."""

    method: str
    path: str
    summary: str
    work: Callable[[Asked], Any]
    gives: type
    query: type | None = None
    body: type | None = None
    role: str = "user"  # or helpdesk, administrator
