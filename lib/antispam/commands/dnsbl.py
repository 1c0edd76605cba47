"""`dnsbl`: shows the lists, and whether they answer as RFC 5782 requires."""

from __future__ import annotations

import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import NamedTuple

import click
from rich.console import Console
from rich.markup import escape

from antispam.checks._shared.dnsbl.settings import About, DnsblSettings, DnsList
from antispam.commands.tables import table_of
from antispam.deadline import Deadline
from antispam.net.addresses import parse_ip
from antispam.net.dns_answers import Answer, Lookup, Question, lookup_all
from antispam.net.resolver import DnsSettings, Resolver
from antispam.protocols.dnsbl import address_label, read_answer
from antispam.service.application import Program, load_settings

_ADDRESSES = frozenset({About.CLIENT, About.HOPS})
# RFC 5782 section 5: an entry that each list must have, and one that none may have.
_LISTED, _UNLISTED = "127.0.0.2", "127.0.0.1"
_LISTED_DOMAIN, _UNLISTED_DOMAIN = "test", "invalid"
_NOBODY = "0" * 40  # the hash of no mailbox


class Tried(NamedTuple):
    """A list, whether it is reliable, and why."""

    list: DnsList
    works: bool
    told: str


def dnsbl_command(program: Program) -> click.Command:
    """`dnsbl`, for the commands of a program."""

    @click.group("dnsbl")
    def group() -> None:
        """The lists in the DNS that are asked about mail ([dnsbl], docs/dnsbl.md)."""

    @group.command("check")
    @click.argument("names", nargs=-1, metavar="[NAME]...")
    @click.pass_obj
    def check(config: Path | None, names: Sequence[str]) -> None:
        """Ask each list about its test entries, and say which work.

        Without NAMEs: all that [dnsbl] zones names. Exit status 1: one does not work.
        """
        settings = load_settings(program, config)
        known = settings[DnsblSettings]
        unknown = [name for name in names if name not in known.known]
        if unknown:
            raise click.UsageError(f"there is no list {unknown[0]}; there are {', '.join(known.known)}")
        lists = known.asked(tuple(names)) if names else known.lists
        tried = try_all(lists, Resolver.from_settings(settings[DnsSettings]), Deadline.after(2 * known.timeout))
        _show(tried)
        sys.exit(0 if all(one.works for one in tried) else 1)

    return group


def try_all(lists: Sequence[DnsList], resolver: Lookup, deadline: Deadline) -> list[Tried]:
    """The results for the test entries of these lists."""
    asked: list[Question] = [(f"{label}.{one.domain}", "A") for one in lists for label in _labels(one)]
    found = lookup_all(resolver, asked, deadline)
    return [Tried(one, *_judged(one, found)) for one in lists]


def _labels(one: DnsList) -> tuple[str, str]:
    """The label that the list must have, and the one that it must not have."""
    if _ADDRESSES & set(one.zone.about):
        listed, unlisted = (address_label(parse_ip(text)) for text in (_LISTED, _UNLISTED))  # type: ignore[arg-type]
    elif About.EMAILS in one.zone.about:
        listed, unlisted = "", _NOBODY
    else:
        listed, unlisted = _LISTED_DOMAIN, _UNLISTED_DOMAIN
    return one.zone.listed or listed or unlisted, unlisted


def _judged(one: DnsList, found: Mapping[Question, Answer]) -> tuple[bool, str]:
    listed, unlisted = (found.get((f"{label}.{one.domain}", "A")) for label in _labels(one))
    if listed is None or unlisted is None:
        return False, "does not answer"
    answers = (*listed.addresses, *unlisted.addresses)
    if read_answer(listed.addresses, (), one.zone.refusals).blocked:
        return False, f"does not serve us ({', '.join(listed.addresses)}): read its terms in docs/dnsbl.md"
    if any(not address.startswith("127.") for address in answers):
        return False, f"another server answers in its place ({', '.join(answers)}): ask a name server of your own"
    if unlisted.found:
        return False, "lists everything: it has been shut down, or is not a list"
    if _labels(one)[0] == _labels(one)[1]:
        return True, "answers; it has no test entry"
    if not listed.found:
        return False, "does not have the test entry that it should have: a misspelt zone, or a key that is not valid"
    return True, "works"


def _show(tried: Sequence[Tried]) -> None:
    table = table_of("list", "zone", "asked about", "")
    for one in tried:
        about = ", ".join(one.list.zone.about)
        told = escape(one.told)
        table.add_row(escape(one.list.name), escape(one.list.domain), about, told if one.works else f"[red]{told}[/]")
    Console(soft_wrap=True).print(table)
