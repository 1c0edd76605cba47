"""`scan`: sends messages through the journey without an MTA, and explains the outcome line by line."""

from __future__ import annotations

import dataclasses
import ipaddress
import json
import math
import sys
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

import click
import msgspec
import rich.console

from antispam.commands import scan_words
from antispam.journey.session import Session
from antispam.journey.table import Journey
from antispam.learning.delivered import as_delivered
from antispam.learning.teacher import Reasons
from antispam.mail.connection import Connection
from antispam.mail.decisions import Decision
from antispam.mail.draft import Edit
from antispam.mail.evidence import ScoreFinding
from antispam.mail.learned_evidence import OpinionFinding
from antispam.mail.message import Message, split_message
from antispam.mail.subject import Subject, all_decisions
from antispam.mail.verdicts import Action, Verdict
from antispam.service.application import Application, Program, load_settings
from antispam.service.rehearsal import rehearsal
from antispam.text import for_log
from dspam.features import facts_of_tests


@dataclasses.dataclass(frozen=True, slots=True)
class Envelope:
    """The envelope that an SMTP client would have sent."""

    ip: str
    name: str
    helo: str
    mail_from: str
    recipients: tuple[str, ...]


@dataclasses.dataclass(frozen=True, slots=True)
class Report:
    """The result for one message; `features` by dictionary, `scores` by recipient."""

    file: str
    verdict: Verdict
    spoken_at: str
    decisions: tuple[Decision, ...]
    findings: dict[str, Any]
    edits: tuple[str, ...]
    outcome: str
    features: dict[str, Reasons]
    scores: dict[str, ScoreFinding]

    @property
    def accepted(self) -> bool:
        return self.verdict.action in (Action.CONTINUE, Action.ACCEPT)


def scan(application: Application, file: str, raw: bytes, envelope: Envelope) -> Report:
    """Send one message through the journey, in its own session."""
    session = application.session()
    headers, body = split_message(raw)
    verdict, spoken_at = _envelope(session, envelope)
    message = session.message
    assert message is not None
    edits: tuple[Edit, ...] = ()
    if verdict is None:
        for header in headers:
            session.header(*header)
        session.body(body)
        outcome = session.end("scan")
        session.taken()
        verdict, spoken_at, edits = outcome.verdict, "end of message", outcome.edits
    findings = _findings(message)
    report = Report(
        file=file,
        verdict=verdict,
        spoken_at=spoken_at,
        decisions=tuple(_decisions(session, message)),
        findings=findings,
        edits=tuple(map(scan_words.told, edits)),
        outcome=scan_words.outcome(verdict.action, edits, findings),
        features=_features(application, session.connection, message),
        scores=_scores(message),
    )
    session.close()
    return report


def _scores(message: Message) -> dict[str, ScoreFinding]:
    found = ((one.address, one.findings.get(ScoreFinding)) for one in message.recipients)
    return {address: score for address, score in found if score is not None and not score.error}


def _features(application: Application, connection: Connection, message: Message) -> dict[str, Reasons]:
    """The reasons by the name of each dictionary that was asked. Raises StoreError."""
    found = message.findings.get(OpinionFinding)
    reasons = {}
    names = [
        name for one in (found.opinions if found is not None else ()) for name in (one.dictionary, one.lent) if name
    ]
    for name in dict.fromkeys(names):
        teacher = application.dictionaries.get(name)
        if teacher is not None:
            reasons[name] = teacher.reasons(as_delivered(connection, message), tests=_known_tests(message))
    return reasons


def _known_tests(message: Message) -> dict[int, str]:
    """The tests passed to the learner, by the keys of these facts: those found by the rows above it."""
    keys, _ = message.memo.get(OpinionFinding.check, ((), ()))
    told = set(map(int, keys))
    facts = facts_of_tests(hit.test for hit in message.findings.hits())
    return {key: name for key, name in facts.items() if key in told}


def _envelope(session: Session, envelope: Envelope) -> tuple[Verdict | None, str]:
    """Do the steps before DATA. The verdict is the one that ended the transaction there, if any."""
    steps: list[tuple[str, Callable[[], Verdict]]] = [
        ("connect", lambda: session.connect(envelope.ip, name=envelope.name, ptr=envelope.name, receiver="localhost")),
        ("HELO", lambda: session.helo(envelope.helo)),
        ("MAIL FROM", lambda: session.mail(envelope.mail_from)),
    ]
    for step, speak in steps:
        verdict = speak()
        if verdict.action.refuses:
            if session.message is None:
                session.mail(envelope.mail_from)
            return verdict, step
    refusals = [verdict for verdict in map(session.rcpt, envelope.recipients) if verdict.action.refuses]
    if len(refusals) == len(envelope.recipients):
        return refusals[0], "RCPT TO"
    verdict = session.data()
    return (verdict, "DATA") if verdict.action.refuses else (None, "")


def _decisions(session: Session, message: Message) -> Iterator[Decision]:
    yield from all_decisions(Subject(session.connection, message))
    for recipient in message.recipients:
        yield from recipient.decisions


def _findings(message: Message) -> dict[str, Any]:
    found = message.findings.to_builtins()
    for recipient in message.recipients:
        found |= {finding.check: msgspec.to_builtins(finding) for finding in recipient.findings.own()}
    return found


def explain(report: Report, journey: Journey, console: rich.console.Console) -> None:
    """Print the outcome in sentences, in the order of the journey."""
    verdict = report.verdict
    asks = {row.check.NAME: row.asks for row in journey.rows}
    say = console.print
    say(
        f"[bold]{rich.markup.escape(report.file)}[/]: [bold]{report.outcome}[/]"
        + (f" (decided at {report.spoken_at})" if report.spoken_at else "")
    )
    if verdict.action.refuses:
        say(rich.markup.escape(f"    {verdict.code} {verdict.enhanced} " + " / ".join(verdict.reply_lines())))
    for name, finding in sorted(report.findings.items(), key=lambda item: list(asks).index(item[0])):
        if name == ScoreFinding.check:
            continue  # shown in a table below
        decision = next((d for d in report.decisions if d.check == name), None)
        say(rich.markup.escape(f"  {name}: {asks.get(name, '')}"))
        say(rich.markup.escape(f"    found    {_short(finding)[1:-1] or 'nothing'}"))
        if decision is not None:
            mode = "" if decision.counts else " (mode log: has no effect)"
            reason = f": {for_log(decision.verdict.reason)}" if decision.verdict.reason else ""
            say(rich.markup.escape(f"    decided  {decision.verdict.action}{reason}{mode}"))
    for line in _scored(report.scores):
        say(rich.markup.escape(line))
    for name, reasons in report.features.items():
        for line in _reason_lines(name, reasons):
            say(rich.markup.escape(line))
    for line in _joined(report):
        say(rich.markup.escape(line))
    for edit in report.edits:
        say(rich.markup.escape(f"  change: {edit}"))


def _scored(scores: dict[str, ScoreFinding]) -> Iterator[str]:
    """A table of the tests for each distinct total, with its recipients."""
    for score in dict.fromkeys(scores.values()):
        whose = ", ".join(for_log(address) for address, one in scores.items() if one == score)
        yield f"  score of the message for {whose}: {score.total:.1f}"
        width = max((len(one.test) for one in score.tests), default=0)
        for one in score.tests:
            yield f"    {one.points:+6.2f}  {one.test:{width}}  {for_log(one.evidence, 300)}"


def _reason_lines(name: str, reasons: Reasons) -> Iterator[str]:
    """The strongest reasons on both sides, and the sum of all weights, which gives the probability."""
    for kind, features in (("spam", reasons.spam), ("honest mail", reasons.ham)):
        listed = "; ".join(f"{for_log(feature, 80)} {value:+.2f}" for feature, value in features)
        yield f"  for {kind}, by the dictionary of {name}: {listed or 'nothing'}"
    spam, ham = (sum(value for _, value in features) for features in (reasons.spam, reasons.ham))
    logit = min(max(reasons.logit, -700.0), 700.0)
    yield (
        f"  together {spam:+.2f} {ham:+.2f}, everything else {reasons.others:+.2f}, how much was taught of each kind "
        f"{reasons.habit:+.2f}, how much honest mail is known and how high it scored lately {reasons.excess:+.2f}:"
        f" {logit:+.2f} is probability {1 / (1 + math.exp(-logit)):.4f}"
    )


def _joined(report: Report) -> Iterator[str]:
    """The combination of the logits of a user's own dictionary and the lending one into the probability."""
    for one in report.findings.get(OpinionFinding.check, {}).get("opinions", ()):
        own, lent = report.features.get(one["dictionary"]), report.features.get(one["lent"])
        if own is None or lent is None:
            continue
        part = one["own_part"]
        parts = part * (own.logit - own.given), (1 - part**2) * lent.logit
        yield (
            f"  joined for {for_log(', '.join(one['users']), 300)}: {part:.2f} of the dictionary of "
            f"{for_log(one['dictionary'])}, without {own.given:.2f} for being young, {parts[0]:+.2f}; {1 - part**2:.2f} of "
            f"that of {for_log(one['lent'])} {parts[1]:+.2f}: {sum(parts):+.2f} is probability {one['probability']:.4f}"
        )


def _short(finding: Any) -> str:
    """Evidence on one line, without empty, false and zero values."""
    if isinstance(finding, Mapping):
        parts = (f"{for_log(str(key))}={_short(value)}" for key, value in finding.items() if value)
        return "(" + ", ".join(parts) + ")"
    if isinstance(finding, (list, tuple, set, frozenset)):
        return "[" + ", ".join(_short(item) for item in finding) + "]"
    if isinstance(finding, bool):
        return "yes" if finding else "no"
    return f'"{for_log(finding, 2000)}"' if isinstance(finding, str) else str(finding)


def _verdict(verdict: Verdict) -> dict[str, Any]:
    callback = verdict.callback
    return verdict._asdict() | {"callback": None if callback is None else dataclasses.asdict(callback)}


def as_json(report: Report) -> str:
    """The report as one JSON object on a line, for programs."""
    value = dataclasses.asdict(report)
    value["features"] = {name: reasons._asdict() for name, reasons in report.features.items()}
    value["decisions"] = [one._asdict() | {"verdict": _verdict(one.verdict)} for one in report.decisions]
    reply = list(report.verdict.reply_lines()) if report.verdict.action.refuses else []
    value["verdict"] = _verdict(report.verdict) | {"reply": reply}
    return json.dumps(value, default=str)


def _address(context: click.Context, parameter: click.Parameter, value: str) -> str:
    try:
        return str(ipaddress.ip_address(value))
    except ValueError:
        raise click.BadParameter(f"{value!r} is not an IP address") from None


def scan_command(program: Program) -> click.Command:
    """`scan`, for the commands of a program."""
    journey = program.journey

    @click.command("scan")
    @click.argument("files", nargs=-1, required=True, type=click.File("rb"))
    @click.option("--ip", required=True, callback=_address, help="the client's address")
    @click.option("--name", default="", help="the client's verified host name, if any")
    @click.option("--helo", default="localhost.localdomain", show_default=True, help="the name it sends at HELO")
    @click.option("--from", "mail_from", default="", help="the envelope sender; empty is the null reverse path")
    @click.option(
        "--rcpt", "recipients", multiple=True, default=["postmaster@localhost"], help="a recipient; may be repeated"
    )
    @click.option("--json", "json_output", is_flag=True, help="one JSON object per message")
    @click.option(
        "--live",
        is_flag=True,
        help="use the configured database instead of an empty one; its greylist records the attempt",
    )
    @click.pass_obj
    def command(
        config: Path | None,
        files: tuple[Any, ...],
        ip: str,
        name: str,
        helo: str,
        mail_from: str,
        recipients: tuple[str, ...],
        json_output: bool,
        live: bool,
    ) -> None:
        """Send message FILES ('-' is standard input) through the same checks as the filter does, without an MTA, and explain
        the outcome. Nothing is delivered, learned or recorded; what the filter has learned about spam is used. The exit
        status is 1 if a message is not accepted."""
        console = rich.console.Console(soft_wrap=True, highlight=False, emoji=False)  # :date: must not become one
        envelope = Envelope(ip, name, helo, mail_from, recipients)
        refused = False
        with rehearsal(journey, load_settings(program, config), live=live) as application:
            for file in files:
                report = scan(application, getattr(file, "name", "-"), file.read(), envelope)
                refused = refused or not report.accepted
                if json_output:
                    click.echo(as_json(report))
                else:
                    explain(report, journey, console)
        sys.exit(1 if refused else 0)

    return command
