"""Who may be named in From."""

from __future__ import annotations

import dataclasses
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from antispam.checks import author_domain
from antispam.checks._shared.author_directories import DirectoryError
from antispam.checks.author_domain import Settings, act, collect, decide, display_name
from antispam.mail.access_map import EMPTY, parse_text
from antispam.mail.connection import Connection
from antispam.mail.draft import Draft
from antispam.mail.evidence import AuthFinding, AuthorFinding, ClientClass, ConnectionFinding, DkimFinding, SpfFinding
from antispam.mail.findings import Findings
from antispam.mail.message import Body, Header, Message
from antispam.mail.verdicts import Action, Verdict
from antispam.protocols.dkim import DkimResult, SignatureResult
from antispam.protocols.spf import Result, SpfResult
from antispam.settings import SettingsError
from support.checking import services_of

OURS = "domains = example.com, *.example.net, guest@elsewhere.example"
INSIDE = (ConnectionFinding(client=ClientClass.INTERNAL),)
OUTSIDE = (ConnectionFinding(client=ClientClass.EXTERNAL),)


class Case:
    """A message, and what the check makes of it."""

    def __init__(
        self,
        *from_: bytes,
        config: str = OURS,
        sender: str = "www@example.com",
        known: tuple[Any, ...] = INSIDE,
        headers: tuple[Header, ...] = (),
        access: str = "",
        ip: str = "192.168.0.7",
    ) -> None:
        self.access = parse_text(access) if access else EMPTY
        self.services = services_of(Settings, "author_domain", config, access=self.access)
        self.message = Message("m", sender, 0.0, Body(1000), findings=Findings(None, known))
        self.message.headers += [*(Header(b"From", b" " + value) for value in from_), *headers]
        self.connection = Connection("c", ip=ip)

    def finding(self) -> AuthorFinding | None:
        found = collect(self.connection, self.message, None, self.services)
        if found is not None:
            assert AuthorFinding.from_json(found.to_json()) == found, "what is stored can be decided again"
        return found

    def verdict(self) -> Verdict | None:
        found = self.finding()
        if found is None:
            return None
        return decide(found, self.message.findings, self.services.settings[Settings], self.access)

    def leaves(self) -> list[tuple[str, str]]:
        found, verdict = self.finding(), self.verdict()
        assert found is not None
        assert verdict is not None
        draft = Draft(self.message)
        act(found, verdict, draft, self.services)
        return [(header.name.decode(), header.value.decode().strip()) for header in draft.headers]


def action(case: Case) -> Action | None:
    verdict = case.verdict()
    return None if verdict is None else verdict.action


@pytest.mark.parametrize(
    ("from_", "expected"),
    [
        (b"Ann <ann@example.com>", Action.CONTINUE),
        (b"ann@EXAMPLE.com", Action.CONTINUE),
        (b"ann@mail.example.net", Action.CONTINUE),
        (b"Guest@elsewhere.example", Action.CONTINUE),
        (b"ann@example.com, bob@example.com", Action.CONTINUE),
        (b"ann@example.net", Action.REJECT),
        (b"other@elsewhere.example", Action.REJECT),
        (b"jo@visitor.example", Action.REJECT),
        (b'"ann@example.com" <jo@visitor.example>', Action.REJECT),
        (b"ann@example.com, jo@visitor.example", Action.REJECT),
        (b"ann@example.com <jo@visitor.example>", Action.REJECT),
        (b"ann@example.com,<jo@visitor.example>", Action.REJECT),
        (b"ann@example.com)jo@visitor.example>", Action.REJECT),
        (b"ann@example.com (jo@visitor.example", Action.REJECT),
        (b"ann@visitor.example@example.com", Action.REJECT),
        (b"<@visitor.example:ann@example.com>", Action.CONTINUE),
        (b"=?utf-8?q?ann=40example.com?=", Action.REJECT),
        (b"undisclosed sender:;", Action.REJECT),
        (b"root", Action.REJECT),
        (b"", Action.REJECT),
        (b", ".join(b"a%d@example.com" % number for number in range(9)), Action.CONTINUE),
        (b", ".join(b"a%d@example.com" % number for number in range(11)), Action.REJECT),
        (b", ".join(b"a%d@example.com" % number for number in range(5000)), Action.REJECT),
    ],
)
def test_every_author_must_be_one_of_ours(from_: bytes, expected: Action) -> None:
    assert action(Case(from_)) is expected


def test_two_from_fields_are_two_authors_however_they_are_spelled() -> None:
    case = Case(b"ann@example.com", headers=(Header(b"fROM ", b" jo@visitor.example"),))
    assert action(case) is Action.REJECT


def test_one_from_field_of_two_that_cannot_be_understood_is_enough() -> None:
    assert action(Case(b"ann@example.com", b"nobody")) is Action.REJECT


@pytest.mark.parametrize(("sender", "expected"), [("ann@example.com", 0), ("jo@visitor.example", 550), ("", 0)])
def test_without_from_the_envelope_sender_counts_which_mtas_put_there(sender: str, expected: int) -> None:
    verdict = Case(sender=sender).verdict()
    assert verdict is not None
    assert verdict.code == expected


@pytest.mark.parametrize(
    ("known", "judged"),
    [
        (INSIDE, True),
        ((AuthFinding(login="jo"), *OUTSIDE), True),
        (OUTSIDE, False),
        ((ConnectionFinding(client=ClientClass.TRUSTED_RELAY),), False),
        ((), False),
    ],
)
def test_our_own_senders_are_judged_by_the_list(known: tuple[Any, ...], judged: bool) -> None:
    assert (Case(b"jo@visitor.example", known=known).finding() is not None) is judged


def test_nothing_is_asked_where_nothing_is_configured() -> None:
    assert Case(b"jo@visitor.example", config="").finding() is None


def test_mail_servers_inside_pass_on_what_others_wrote() -> None:
    config = f"{OURS}\nexempt_clients = 192.168.0.7"
    assert Case(b"jo@visitor.example", config=config).finding() is None


@pytest.mark.parametrize(
    ("remedy", "expected"),
    [("reject", Action.REJECT), ("quarantine", Action.QUARANTINE), ("hold", Action.HOLD), ("fix", Action.CONTINUE)],
)
def test_the_remedy_is_the_administrators(remedy: str, expected: Action) -> None:
    assert action(Case(b"jo@visitor.example", config=f"{OURS}\nremedy = {remedy}")) is expected


FIX = f"{OURS}\nremedy = fix"


@pytest.mark.parametrize(
    ("from_", "headers", "left"),
    [
        (
            b"Jo Visitor <jo@visitor.example>",
            (),
            [("From", '"Jo Visitor" <www@example.com>'), ("Reply-To", '"Jo Visitor" <jo@visitor.example>')],
        ),
        (b"jo@visitor.example", (), [("From", "www@example.com"), ("Reply-To", "jo@visitor.example")]),
        (
            b"jo@visitor.example",
            (Header(b"Reply-To", b" x@y.example"),),
            [("From", "www@example.com"), ("Reply-To", "x@y.example")],
        ),
        (b"root (Cron)", (), [("From", '"Cron" <www@example.com>')]),
        (b"ann@example.com", (), [("From", "ann@example.com")]),
    ],
)
def test_from_is_put_right_and_answers_still_reach_the_author(
    from_: bytes, headers: tuple[Header, ...], left: list[tuple[str, str]]
) -> None:
    assert Case(from_, config=FIX, headers=headers).leaves() == left


def test_a_missing_from_becomes_the_envelope_sender_only_if_that_is_ours() -> None:
    case = Case(config=FIX, sender="jo@visitor.example")
    assert action(case) is Action.REJECT


@pytest.mark.parametrize(
    ("from_", "sender"),
    [
        (b"jo@visitor.example", "jo@visitor.example"),
        (b"jo@visitor.example", ""),
        (b"jo@visitor.example", "a b@example.com"),
        (b"jo@visitor.example", "x>\r\nBcc: y@example.com"),
        (b"ann@example.com, jo@visitor.example", "www@example.com"),
        (b"ann@example.com <jo@visitor.example>", "www@example.com"),
    ],
)
def test_what_cannot_be_put_right_is_refused(from_: bytes, sender: str) -> None:
    assert action(Case(from_, config=FIX, sender=sender)) is Action.REJECT


def test_two_from_fields_cannot_be_put_right() -> None:
    assert action(Case(b"jo@visitor.example", b"jo@visitor.example", config=FIX)) is Action.REJECT


def test_in_mode_log_nobody_signs_for_a_from_that_will_not_be_changed() -> None:
    found = Case(b"jo@visitor.example", config=f"{FIX}\nmode = log").finding()
    assert found is not None
    assert found.becomes == ""


@pytest.mark.parametrize(
    ("align", "from_", "sender", "expected"),
    [
        ("relaxed", b"ann@example.org", "x@example.org", Action.CONTINUE),
        ("relaxed", b"ann@example.org", "x@bounce.example.org", Action.CONTINUE),
        ("relaxed", b"ann@mail.example.org", "x@example.org", Action.CONTINUE),
        ("relaxed", b"ann@example.org", "x@notexample.org", Action.REJECT),
        ("relaxed", b"ann@example.org", "x@org", Action.REJECT),
        ("strict", b"ann@example.org", "x@EXAMPLE.org", Action.CONTINUE),
        ("strict", b"ann@mail.example.org", "x@example.org", Action.REJECT),
        ("address", b"Ann@example.org", "ann@example.org", Action.CONTINUE),
        ("address", b"bob@example.org", "ann@example.org", Action.REJECT),
        ("address", b"ann@example.org, bob@example.org", "ann@example.org", Action.REJECT),
        ("strict", b"ann@example.org", "", Action.CONTINUE),
        ("off", b"ann@example.org", "x@example.com", None),
    ],
)
def test_from_must_go_with_the_envelope_sender(align: str, from_: bytes, sender: str, expected: Action | None) -> None:
    assert action(Case(from_, config=f"align = {align}", sender=sender)) is expected


@pytest.mark.parametrize(
    ("senders", "expected"),
    [
        ((b"www@example.com",), Action.CONTINUE),
        ((b"jo@visitor.example",), Action.REJECT),
        ((b"www@example.com", b"www@example.com"), Action.REJECT),
        ((b"www@example.com, jo@visitor.example",), Action.REJECT),
        ((), Action.REJECT),
    ],
)
def test_a_sender_field_of_ours_can_make_up_for_the_author(senders: tuple[bytes, ...], expected: Action) -> None:
    headers = tuple(Header(b"Sender", b" " + value) for value in senders)
    config = f"{OURS}\nhonour_sender = yes"
    assert action(Case(b"jo@visitor.example", config=config, headers=headers)) is expected


def test_a_sender_field_makes_up_for_nothing_by_default() -> None:
    headers = (Header(b"Sender", b" www@example.com"),)
    assert action(Case(b"jo@visitor.example", headers=headers)) is Action.REJECT


@pytest.mark.parametrize(
    ("entry", "config", "from_", "expected"),
    [
        ("Author:visitor.example OK", OURS, b"jo@visitor.example", Action.CONTINUE),
        ("Author:jo@visitor.example WHITELIST", OURS, b"jo@visitor.example", Action.CONTINUE),
        ("Author:jo@visitor.example OK", OURS, b"al@visitor.example", Action.REJECT),
        ("Author:visitor.example OK", OURS, b"jo@visitor.example, x@other.example", Action.REJECT),
        ("Author:visitor.example OK", FIX, b"jo@visitor.example", Action.CONTINUE),
        ("Author:example.com REJECT", OURS, b"ann@example.com", Action.REJECT),
        ("Author:example.com QUARANTINE", OURS, b"ann@example.com", Action.QUARANTINE),
        ("Author:example.com CBV", OURS, b"ann@example.com", Action.REJECT),
        ("Author: REJECT\nAuthor:example.com OK", "", b"ann@example.com", Action.CONTINUE),
        ("Author: REJECT\nAuthor:example.com OK", "", b"jo@visitor.example", Action.REJECT),
    ],
)
def test_the_access_map_goes_first(entry: str, config: str, from_: bytes, expected: Action) -> None:
    assert action(Case(from_, config=config, access=entry)) is expected


def test_an_author_whom_the_access_map_permits_is_not_put_right() -> None:
    case = Case(b"jo@visitor.example", config=FIX, access="Author:visitor.example OK")
    assert case.leaves() == [("From", "jo@visitor.example")]


# From outside


PROTECTED = "protected = example.com"
SPF_PASS = SpfFinding(
    mailfrom=SpfResult(Result.PASS, "mailfrom", "example.com", "192.0.2.1", "a@example.com", "mx.example.com")
)


def dkim(domain: str, result: DkimResult = DkimResult.PASS) -> DkimFinding:
    return DkimFinding(signatures=(SignatureResult(result=result, domain=domain, selector="s1"),))


@pytest.mark.parametrize(
    ("from_", "known", "config", "expected"),
    [
        (b"ann@example.com", (), PROTECTED, Action.REJECT),
        (b'"ann" <x@evil.example>, ann@example.com', (), PROTECTED, Action.REJECT),
        (b"x@evil.example", (), PROTECTED, None),
        (b"=?utf-8?q?ann=40example.com?=", (), PROTECTED, Action.REJECT),
        (b"=?utf-8?q?ann@example.com?=", (), PROTECTED, Action.REJECT),
        (b"=?utf-8?q?ann=40example.com_via_list?= <x@list.example>", (), PROTECTED, None),
        (b"ann@example.com)", (), PROTECTED, Action.REJECT),
        (b"(ann@example.com", (), PROTECTED, Action.REJECT),
        (b'"ann@example.com', (), PROTECTED, Action.REJECT),
        (b"ann@EXAMPLE.com.", (), PROTECTED, Action.REJECT),
        (
            b", ".join([*[b"a%d@evil.example" % number for number in range(20)], b"ann@example.com"]),
            (),
            PROTECTED,
            Action.REJECT,
        ),
        (
            b", ".join([*[b"a%d@evil.example" % number for number in range(60)], b"ann@example.com"]),
            (),
            PROTECTED,
            Action.REJECT,
        ),
        (b"ann@example.com", (SPF_PASS,), PROTECTED, Action.CONTINUE),
        (b"ann@example.com", (dkim("example.com"),), PROTECTED, Action.CONTINUE),
        (b"ann@example.com", (dkim("example.com", DkimResult.FAIL),), PROTECTED, Action.REJECT),
        (b"ann@example.com", (dkim("evil.example"),), PROTECTED, Action.REJECT),
        (b"ann@example.com", (dkim("lists.example"),), f"{PROTECTED}\nmailing_lists = lists.example", None),
        (b"ann@example.com", (SpfFinding(forwarder="alumni.example"),), PROTECTED, None),
        (b"ann@example.com", (), f"{PROTECTED}\nforged = quarantine", Action.QUARANTINE),
        (b"ann@example.com", (), f"{PROTECTED}\nforged = hold", Action.HOLD),
        (b"ann@example.com", (), "", None),
    ],
)
def test_nobody_outside_is_one_of_ours_without_a_proof(
    from_: bytes, known: tuple[Any, ...], config: str, expected: Action | None
) -> None:
    case = Case(from_, config=config, known=(*OUTSIDE, *known), sender="x@evil.example", ip="203.0.113.9")
    assert action(case) is expected


def test_a_forged_author_is_no_offence_since_mailing_lists_bring_back_what_our_users_wrote() -> None:
    verdict = Case(b"ann@example.com", config=PROTECTED, known=OUTSIDE).verdict()
    assert verdict is not None
    assert (verdict.action, verdict.demerits) == (Action.REJECT, 0)


def test_an_author_after_many_others_is_found_and_what_is_too_long_is_refused() -> None:
    many = b", ".join([*[b"a%d@evil.example" % number for number in range(100)], b"ann@example.com"])
    endless = b", ".join([*[b"a%d@evil.example" % number for number in range(3000)], b"ann@example.com"])
    for value in (many, endless, b"\xff" * 2600 + b", ann@example.com"):
        assert action(Case(value, config=PROTECTED, known=OUTSIDE)) is Action.REJECT
    assert action(Case(endless, config=OURS)) is Action.REJECT
    assert action(Case(b"ann@example.com" + b" " * 20_000 + b"<x@evil.example>", config=OURS)) is Action.REJECT


# Directories, settings, names


def test_a_directory_is_asked_about_what_the_list_does_not_have(monkeypatch: pytest.MonkeyPatch) -> None:
    asked = []

    class Directory:
        def known(self, questions: Any, deadline: Any) -> list[bool]:
            asked.extend((str(one.author), one.sender, one.login) for one in questions)
            return [one.author.domain == "sql.example" for one in questions]

    monkeypatch.setattr(author_domain, "directory", lambda place: Directory())
    config = f"{OURS}\nsql_url = sqlite://"
    known = (*INSIDE, AuthFinding(login="joe"))
    assert action(Case(b"a@sql.example, ann@example.com", config=config, known=known)) is Action.CONTINUE
    assert asked == [("a@sql.example", "www@example.com", "joe")]
    assert action(Case(b"a@sql.example, b@visitor.example", config=config)) is Action.REJECT


def test_a_real_database_is_asked(tmp_path: Path) -> None:
    import sqlite3

    with closing(sqlite3.connect(tmp_path / "d.sqlite")) as connection, connection:
        connection.execute("CREATE TABLE domains (name TEXT)")
        connection.execute("INSERT INTO domains VALUES ('sql.example')")
    connection.close()
    config = f"sql_url = sqlite:///{tmp_path}/d.sqlite"
    assert action(Case(b"a@sql.example", config=config)) is Action.CONTINUE
    assert action(Case(b"a@example.com", config=config)) is Action.REJECT


def test_a_directory_that_is_down_is_an_error_for_on_error(monkeypatch: pytest.MonkeyPatch) -> None:
    class Down:
        def known(self, questions: Any, deadline: Any) -> list[bool]:
            raise DirectoryError("SQL: gone")

    monkeypatch.setattr(author_domain, "directory", lambda place: Down())
    found = Case(b"a@sql.example", config="sql_url = sqlite://").finding()
    assert found is not None
    assert found.error == "SQL: gone"


@pytest.mark.parametrize(
    "config",
    [
        "domains = a@b@",
        "forged = fix",
        "align = maybe",
        "sql_url = nonsense",
        "sql_url = sqlite://\nsql_query = SELECT 1",
        "ldap_url = http://x",
        "exempt_clients = 300.1.1.1",
    ],
)
def test_settings_that_cannot_be_meant_are_refused(config: str) -> None:
    with pytest.raises((SettingsError, ValueError)):
        Case(config=config)


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        (b" Jo <j@x.example>", '"Jo"'),
        (b' "Visitor, Jo" <j@x.example>', '"Visitor, Jo"'),
        (b' "Jo \\"the\\" V" <j@x.example>', r'"Jo \"the\" V"'),
        (b" =?utf-8?q?J=C3=B6?= <j@x.example>", "=?utf-8?b?SsO2?="),
        (b" j@x.example (Jo)", '"Jo"'),
        (b" j@x.example", ""),
        (b" <j@x.example>", ""),
        (b" =?utf-8?q?a=0D=0ABcc:_b?= <j@x.example>", '"aBcc: b"'),
    ],
)
def test_the_name_is_kept_and_can_be_written(value: bytes, expected: str) -> None:
    assert display_name(Header(b"From", value)) == expected


@given(st.binary(max_size=400), st.text(max_size=60))
def test_hostile_authors_raise_nothing_and_break_no_header(value: bytes, sender: str) -> None:
    case = Case(value, config=FIX, sender=sender)
    found, verdict = case.finding(), case.verdict()
    assert found is not None
    assert verdict is not None
    draft = Draft(case.message)
    act(found, verdict, draft, case.services)
    if found.becomes and verdict.action is Action.CONTINUE:
        for header in draft.headers:
            lines = header.value.split(b"\n")
            assert all(line[:1] in (b" ", b"\t") for line in lines)
            assert b"\r" not in header.value
            assert b"\0" not in header.value


def test_findings_are_values() -> None:
    assert dataclasses.is_dataclass(AuthorFinding)
