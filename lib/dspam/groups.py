"""Groups of users, as DSPAM's file "group" describes them (README of DSPAM, 2.1 CONFIGURING GROUPS).

    sales:shared:ann,bob             one dictionary, a quarantine each
    help:shared,managed:eve,dan      one dictionary and one quarantine
    friends:inoculation:mary,joe     a spam report by one member inoculates the others
    office:classification:mary,joe   a member who is uncertain asks the others
    any:classification:*site         everybody asks the user "site" while new or uncertain (a global group)
    base:merged:*                    everybody reads the dictionary "base" together with their own

pydspam's older form "sales: ann,bob" means a shared group.
"""

from __future__ import annotations

import os
from collections.abc import Collection, Iterable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

TYPES: Final = frozenset({"shared", "managed", "inoculation", "classification", "merged"})
EVERYBODY: Final = "*"
UNCERTAIN: Final = 0.65
"""Whose result has less confidence than this asks the group."""
MATURE_INNOCENT: Final = 1000
MATURE_SPAM: Final = 250
"""Who learned fewer messages of either kind is new, and asks the global group."""


class GroupError(ValueError):
    """An invalid line in a group file. The message names it."""


@dataclass(frozen=True, slots=True)
class Group:
    """One line: its name, its types, its members in order."""

    name: str
    types: frozenset[str]
    members: tuple[str, ...]

    def has(self, user: str) -> bool:
        """Whether the user is a member."""
        return user in self.members or EVERYBODY in self.members


@dataclass(frozen=True, slots=True)
class Groups:
    """All groups, and the look-ups that a filter makes for a user."""

    groups: tuple[Group, ...] = ()
    _shared: dict[str, Group] = field(default_factory=dict, init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        """Raises GroupError for a user who is in groups that exclude each other."""
        for group in self._of("shared"):
            for user in group.members:
                if user in self._shared:
                    raise GroupError(f"{user} is in two shared groups: {self._shared[user].name} and {group.name}")
                self._shared[user] = group
        for group in (*self._of("inoculation"), *self._of("classification")):
            for user in group.members:
                if user in self._shared:
                    kind = "inoculation" if "inoculation" in group.types else "classification"
                    raise GroupError(
                        f"{user} can't be in the shared group {self._shared[user].name} and the {kind} group {group.name}"
                    )

    def _of(self, kind: str) -> Iterator[Group]:
        return (group for group in self.groups if kind in group.types)

    def _shared_of(self, user: str) -> Group | None:
        return self._shared.get(user) or self._shared.get(EVERYBODY)

    def dictionary(self, user: str) -> str:
        """The owner of the tokens that the user reads and trains."""
        group = self._shared_of(user)
        return group.name if group else user

    def quarantine(self, user: str) -> str:
        """The owner of the quarantine that holds the user's spam."""
        group = self._shared_of(user)
        return group.name if group and "managed" in group.types else user

    def merged(self, user: str) -> str | None:
        """The owner of the dictionary that is merged with the user's own when reading, if that is another user."""
        return next((group.name for group in self._of("merged") if group.has(user) and group.name != user), None)

    def peers(self, user: str) -> list[str]:
        """The users that are asked when this user is uncertain, in the order of the file."""
        asked = [
            member
            for group in self._of("classification")
            if user in group.members
            for member in group.members
            if not member.startswith(EVERYBODY)
        ]
        return _others(asked, user)

    def globals(self, user: str) -> list[str]:
        """The users ("*name" in a classification group) that are asked for everybody who is new or uncertain."""
        members = (member for group in self._of("classification") for member in group.members)
        return _others((member[1:] for member in members if member.startswith(EVERYBODY) and len(member) > 1), user)

    def inoculates(self, user: str) -> list[str]:
        """The users that learn from reports of this user."""
        return _others(
            (one for group in self._of("inoculation") if user in group.members for one in group.members), user
        )


def _others(users: Iterable[str], user: str) -> list[str]:
    return [other for other in dict.fromkeys(users) if other != user]


def parse(lines: Iterable[str], file: str = "group") -> Groups:
    """Read the lines of a group file.  Raises GroupError, which names file and line."""
    groups = []
    for number, line in enumerate(lines, 1):
        text = line.partition("#")[0].strip()
        if text:
            try:
                groups.append(_group(text))
            except GroupError as problem:
                raise GroupError(f"{file}, line {number}: {problem}") from None
    try:
        return Groups(tuple(groups))
    except GroupError as problem:
        raise GroupError(f"{file}: {problem}") from None


def _group(text: str) -> Group:
    name, *rest = (piece.strip() for piece in text.split(":"))
    if not name or not 1 <= len(rest) <= 2:
        raise GroupError("expected name:type:user,user")
    types = frozenset(_list(rest[0].lower())) if len(rest) == 2 else frozenset({"shared"})
    if unknown := types - TYPES:
        raise GroupError(f"no such type of group: {', '.join(sorted(unknown))}")
    if not types or types == {"managed"}:
        raise GroupError("a managed group is shared,managed" if types else "the type is missing")
    return Group(name, types, tuple(_list(rest[-1])))


def _list(text: str) -> Collection[str]:
    return [item for item in (piece.strip() for piece in text.split(",")) if item]


def parse_groups(groupfile: str | os.PathLike[str], dups: bool = False) -> dict[str, Any]:
    """A map from user to group, with `dups` to the list of all groups, of a file of lines "group:user,user".

    A line may name a type, as in DSPAM 3: "group:shared:user,user". A missing file has no groups. Invalid lines are ignored
    (`parse` reports them).
    """
    found: dict[str, Any] = {}
    for line in read_lines(groupfile):
        name, colon, users = line.partition("#")[0].strip().partition(":")
        if not colon:
            continue
        for user in filter(None, (piece.strip() for piece in users.rpartition(":")[2].split(","))):
            if dups:
                found.setdefault(user, []).append(name.strip())
            else:
                found[user] = name.strip()
    return found


def read_lines(file: str | os.PathLike[str]) -> list[str]:
    """The lines of a group file; a missing one has none."""
    try:
        return Path(file).read_text("utf-8", "replace").splitlines()
    except FileNotFoundError:
        return []
