"""Domains whose users the configuration lists."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from antispam.checks.known_user import Finding, Settings, addresses, collect, decide
from antispam.mail.access_map import EMPTY
from antispam.mail.connection import Connection
from antispam.mail.evidence import ClientClass, ConnectionFinding
from antispam.mail.findings import Findings
from antispam.mail.message import Body, Message, Recipient
from antispam.mail.verdicts import Action
from support.checking import services_of

CONFIG = "check_user = joe@example.com, Mary@example.com, bob@bücher.example"


def found(to: str, *findings: Any, config: str = CONFIG) -> Finding | None:
    message = Message("m", "x@example.org", 0.0, Body(1000), findings=Findings(None, findings))
    return collect(Connection("c"), message, Recipient(to), services_of(Settings, "milter", config))


@pytest.mark.parametrize(
    ("to", "known"),
    [
        ("joe@example.com", True),
        ("JOE@Example.com", True),
        ("mary@example.com", True),
        ("joe+lists@example.com", True),
        ("postmaster@example.com", True),
        ("bob@xn--bcher-kva.example", True),
        ("jo@example.com", False),
        ("+joe@example.com", False),
        ('"joe smith"@example.com', False),
    ],
)
def test_who_is_known(to: str, known: bool) -> None:
    answer = found(to)
    assert answer is not None
    assert answer.known is known


@pytest.mark.parametrize("to", ["ann@example.org", "ann@sub.example.com", "postmaster", ""])
def test_other_domains_are_not_asked_about(to: str) -> None:
    assert found(to) is None


@pytest.mark.parametrize("kind", [ClientClass.INTERNAL, ClientClass.TRUSTED_RELAY])
def test_our_own_clients_may_write_to_anybody(kind: ClientClass) -> None:
    assert found("nobody@example.com", ConnectionFinding(client=kind)) is None


def test_case_counts_where_the_site_wants_it() -> None:
    answer = found("mary@example.com", config=f"{CONFIG}\ncase_sensitive_localpart = yes")
    assert answer is not None
    assert not answer.known


def test_a_file_lists_the_users_of_the_domain_that_it_is_named_for(tmp_path: Path) -> None:
    file = tmp_path / "bigcorp.example"
    file.write_text("# our people\nann bob\nx@other.example, carl\n")
    assert addresses(f"joe@example.com, file:{file}") == (
        "joe@example.com",
        "ann@bigcorp.example",
        "bob@bigcorp.example",
        "x@other.example",
        "carl@bigcorp.example",
    )


def test_a_file_that_is_not_named_for_a_domain_needs_whole_addresses(tmp_path: Path) -> None:
    file = tmp_path / "users"
    file.write_text("ann\n")
    with pytest.raises(ValueError, match="ann has no domain"):
        addresses(f"file:{file}")


@pytest.mark.parametrize(("text", "message"), [("joe", "joe has no domain"), ("file:/nonexistent/x", "cannot be read")])
def test_a_list_that_means_nothing_is_refused(text: str, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        addresses(text)


def test_an_unknown_user_is_refused_and_counted() -> None:
    verdict = decide(Finding(address="jo@example.com", known=False), Findings(), Settings(), EMPTY)
    assert (verdict.action, verdict.enhanced, verdict.demerits) == (Action.REJECT, "5.1.1", 1)


def test_a_known_one_is_not() -> None:
    assert decide(Finding(address="joe@example.com"), Findings(), Settings(), EMPTY).action is Action.CONTINUE


@given(st.text(max_size=400))
def test_no_recipient_raises(to: str) -> None:
    found(to)
    found(f"{to}@example.com")
