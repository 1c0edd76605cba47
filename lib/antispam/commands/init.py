"""`init`: asks five questions and writes a short configuration."""

from __future__ import annotations

import dataclasses
import enum
import os
import re
import shutil
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any, TypeVar

import click

from antispam.commands.running import postfix_lines, sendmail_lines
from antispam.commands.site_dns import Advice, Server, State, addresses_of, examine
from antispam.deadline import Deadline
from antispam.net.addresses import is_hostname, normalize_domain, parse_ip, parse_mailbox
from antispam.net.host_name import own_host_name
from antispam.net.resolver import DnsSettings, Lookup, Resolver
from antispam.service.application import Program, settings_classes
from antispam.settings import Settings, load_text
from antispam.settings.values import names
from antispam.store.connecting import demand_driver, url_from
from antispam.text import for_log, local_time

T = TypeVar("T")

POSTFIX_ROOT = "/var/spool/postfix"  # Debian runs smtpd in it
_SOCKET = f"{POSTFIX_ROOT}/bms/bms.sock"
_DATABASE = re.compile(r"(?:sqlite|postgres|postgresql|mysql|mariadb)(?:\+\w+)?://")
_LOOKUP_SECONDS = 30.0
_SIGNS = {State.RIGHT: "ok", State.BETTER: "better", State.WRONG: "WRONG", State.UNKNOWN: "?"}


class Mta(enum.StrEnum):
    """The mail server that passes us the mail."""

    POSTFIX = "postfix"
    SENDMAIL = "sendmail"


class Strictness(enum.StrEnum):
    """How strict the filter is."""

    OBSERVE = "observe"
    CAREFUL = "careful"
    STRICT = "strict"


MAILBOX, STORE = "mailbox", "store"

_QUARANTINE = """3. Where does doubtful mail go?
     mailbox   to its recipient, marked
     store     kept here until it is released
     or the address of a database that keeps it, such as postgresql://bms@db.example.com/bms
  Your choice"""
_STRICTNESS = """5. How strict?
     observe   nothing is done, the log says what would be
     careful   refuse what is proved forged or dangerous, mark what is doubtful
     strict    refuse more
  Your choice"""

# The differences of strict from the defaults: (section, option, value, reason).
STRICT = (
    ("score", "refuse", "10", "Two strong signs of spam are enough."),
    ("helo", "literal_mismatch", "reject", "A server knows its own address."),
    ("helo", "unqualified", "reject", "A server has a name with a domain."),
    ("defang", "macros", "ban", "Documents with macros are taken out."),
    ("defang", "unreadable_archives", "yes", "What can't be looked into is taken out."),
)


@dataclasses.dataclass(frozen=True, slots=True)
class Answers:
    """The administrator's answers.

    quarantine  MAILBOX (doubtful mail is marked and delivered), STORE (kept in a file of ours), or the address of a database,
                where it is kept
    """

    domains: tuple[str, ...]
    mta: Mta
    quarantine: str
    postmaster: str
    strictness: Strictness


def init_command(
    program: Program, resolver_of: Callable[[DnsSettings], Lookup] = Resolver.from_settings
) -> click.Command:
    """`init`, for the commands of a program."""

    @click.command("init")
    @click.option("--domains", help="your own mail domains, separated by commas")
    @click.option("--mta", type=click.Choice([str(one) for one in Mta]), help="who hands mail to the filter")
    @click.option(
        "--quarantine",
        help=f"where doubtful mail goes: {MAILBOX} (marked, to its recipient), {STORE} (kept here), or a database's address",
    )
    @click.option("--postmaster", help="the address of the person responsible for this site's mail")
    @click.option("--strictness", type=click.Choice([str(one) for one in Strictness]), help="how much is refused")
    @click.option(
        "--output", type=click.Path(dir_okay=False, path_type=Path), help=f"the file  [default: {program.config}]"
    )
    @click.option("--host", help="the name of your mail server, for the look at the DNS  [default: this machine's]")
    @click.option(
        "--address", "addresses", multiple=True, help="its public address  [default: what the DNS has for --host]"
    )
    @click.option(
        "--selector", default="mail", show_default=True, help="of the DKIM key that the site has, or will have"
    )
    @click.option(
        "--dns/--no-dns", default=True, show_default=True, help="look at PTR, MX, SPF, DMARC and DKIM of the site"
    )
    @click.pass_obj
    def command(
        config: Path | None,
        /,
        output: Path | None,
        host: str | None,
        addresses: tuple[str, ...],
        selector: str,
        dns: bool,
        **given: Any,
    ) -> None:
        """Ask five questions, and write a configuration that says only what differs from the defaults.

        Each answer can be given as an option; the other questions are asked. An existing file is never overwritten.
        docs/defaults.md explains the defaults."""
        file = output or config or program.config
        if file.exists():  # checked before the questions, not after
            raise click.ClickException(f"{file} exists already, and is not overwritten; name another one by --output")
        answers = _answers(given)
        text = configuration(answers, time.time())
        settings = _checked(program, text)
        _write(file, text)
        click.echo(f"\n{file}:\n\n{_indented(text)}")
        for line in next_steps(answers, settings, program.name, file, selector):
            click.echo(line)
        if dns:
            server = Server(_server_name(host, answers.domains[0]), addresses, selector)
            _advise(answers, server, resolver_of(settings[DnsSettings]))

    return command


def _answers(given: dict[str, Any]) -> Answers:
    """The answers from options; for the others the administrator is asked."""
    domains = _asked(given["domains"], "1. Your own mail domains, separated by commas", _likely_domain(), _domains)
    mta = _asked(given["mta"], "2. Who hands mail to the filter: postfix or sendmail", _likely_mta(), Mta, *Mta)
    quarantine = _asked(given["quarantine"], _QUARANTINE, MAILBOX, _quarantine)
    postmaster = _asked(given["postmaster"], "4. Who is the postmaster", f"postmaster@{domains[0]}", _postmaster)
    strictness = _asked(given["strictness"], _STRICTNESS, Strictness.OBSERVE, Strictness, *Strictness)
    return Answers(domains, mta, quarantine, postmaster, strictness)


def _asked(given: str | None, question: str, usual: str, read: Callable[[str], T], *choices: str) -> T:
    """The answer to a question. Raises ClickException for an invalid option; an invalid typed answer is asked for
    again.
    """
    if given is not None:
        try:
            return read(given)
        except ValueError as error:
            raise click.ClickException(str(error)) from None

    def answer(text: str) -> T:
        try:
            return read(text.strip())
        except ValueError as error:
            said = f"one of {', '.join(choices)} is expected" if choices else str(error)
            raise click.UsageError(said) from None

    found: T = click.prompt(question, default=usual, value_proc=answer)
    return found


def _domains(text: str) -> tuple[str, ...]:
    found = tuple(dict.fromkeys(map(normalize_domain, names(text.replace(" ", ",")))))
    for one in found:
        if not is_hostname(one) or "." not in one:
            raise ValueError(f"{for_log(one, 60)} is no domain such as example.com")
    if not found:
        raise ValueError("name at least one domain")
    return found


def _postmaster(text: str) -> str:
    mailbox = parse_mailbox(text.strip())
    if not mailbox.local or not is_hostname(mailbox.domain) or any(char in text for char in "\r\n,;#"):
        raise ValueError(f"{for_log(text, 60)} is no address such as postmaster@example.com")
    return text.strip()


def _quarantine(text: str) -> str:
    if text in (MAILBOX, STORE):
        return text
    if not _DATABASE.match(text) or not text.isprintable():
        raise ValueError(f"expected {MAILBOX}, {STORE} or an address such as postgresql://bms@db.example.com/bms")
    return text


def _likely_domain() -> str:
    name = own_host_name()
    return name.partition(".")[2] if name.count(".") > 1 else name if "." in name else "example.com"


def _likely_mta() -> Mta:
    return Mta.SENDMAIL if shutil.which("sendmail") and not shutil.which("postconf") else Mta.POSTFIX


def configuration(answers: Answers, now: float) -> str:
    """The text of the file. `now` in seconds since the epoch."""
    sections: dict[str, list[str]] = {"milter": [f"internal_domains = {', '.join(answers.domains)}"]}
    if answers.mta is Mta.POSTFIX:
        sections["milter"] += ["# Debian runs Postfix's smtpd below its queue directory.", f"socket = local:{_SOCKET}"]
    if answers.strictness is Strictness.OBSERVE:
        sections["milter"] += ["# Nothing is refused, delayed or changed: the log says what would be.", "observe = yes"]
    sections["dsn"] = [f"sender = {answers.postmaster}"]
    sections["impersonation"] = [f"domains = {', '.join(answers.domains)}"]
    sections["rates"] = ["# Who hears of a login that was stopped.", f"postmaster = {answers.postmaster}"]
    if answers.quarantine != MAILBOX:
        sections["dspam"] = ["spam_action = quarantine"]
    if answers.quarantine not in (MAILBOX, STORE):
        sections["store"] = [f"url = {answers.quarantine}"]
    if answers.strictness is Strictness.STRICT:
        for section, name, value, why in STRICT:
            sections.setdefault(section, []).extend((f"# {why}", f"{name} = {value}"))
    blocks = ["\n".join((f"[{name}]", *lines)) for name, lines in sections.items()]
    head = (
        f"# Made by `bms init` on {local_time(now)[:10]}. Only what differs from the defaults stands here: `bms check-config`\n"
        "# shows every option, milter.cfg of the sources explains each, and docs/defaults.md tells what the defaults do.\n"
    )
    return head + "\n" + "\n\n".join(blocks) + "\n"


def _checked(program: Program, text: str) -> Settings:
    """The settings in the new file. Raises ClickException for a database that cannot be used here."""
    settings = load_text(text, settings_classes(program.journey), translate=program.dialect)
    try:
        demand_driver(url_from(settings))
    except ValueError as error:
        raise click.ClickException(f"--quarantine: {error}") from error
    return settings


def _write(file: Path, text: str) -> None:
    """Write the file. Raises ClickException if that fails or the file exists."""
    try:
        with open(file, "x", encoding="utf-8", opener=lambda path, flags: os.open(path, flags, 0o640)) as stream:
            stream.write(text)
    except FileExistsError:
        raise click.ClickException(f"{file} exists already, and is not overwritten") from None
    except OSError as error:
        raise click.ClickException(f"{file} can't be written: {error.strerror}") from error


def _indented(text: str) -> str:
    return "".join(f"    {line}\n" if line else "\n" for line in text.splitlines())


def next_steps(answers: Answers, settings: Settings, name: str, file: Path, selector: str) -> list[str]:
    """What to type next, and what to paste into the MTA's configuration."""
    steps = ["Let the filter read it:", f"    chgrp milter {file}", ""]
    if answers.mta is Mta.POSTFIX:
        folder = os.path.dirname(_SOCKET)
        steps += [
            "Give it a folder where Postfix sees its socket:",
            f"    install -d -o milter -g postfix -m 2710 {folder}",
            f"    systemctl edit {name}     # [Service] ReadWritePaths={folder}     (two lines)",
            "",
        ]
    lines = sendmail_lines(settings, name) if answers.mta is Mta.SENDMAIL else postfix_lines(settings, POSTFIX_ROOT)
    steps += [
        f"Start it, and paste this into the configuration of {answers.mta}:",
        f"    systemctl enable --now {name}",
        "",
    ]
    return [*steps, *lines, "", *_about_keys(answers, selector)]


def _about_keys(answers: Answers, selector: str) -> list[str]:
    return [
        "Sign your own mail: make a key for each domain, publish the record that is printed, and let the key sign:",
        *(f"    bms dkim keygen {domain} {selector} /var/lib/milter/{domain}.key" for domain in answers.domains),
        "",
    ]


def _server_name(given: str | None, domain: str) -> str:
    """The name of the mail server: the given one, this machine's full name, or a guess, which is printed."""
    name = normalize_domain(given or own_host_name())
    if "." in name or given:
        return name
    click.echo(f"This machine has no full name; --host names your mail server. mail.{domain} is assumed.")
    return f"mail.{domain}"


def _advise(answers: Answers, server: Server, resolver: Lookup) -> None:
    deadline = Deadline.after(_LOOKUP_SECONDS)
    for address in server.addresses:
        if parse_ip(address) is None:
            raise click.ClickException(f"--address: {for_log(address, 60)} is no IP address")
    if not server.addresses:
        server = dataclasses.replace(server, addresses=addresses_of(server.name, resolver, deadline))
    known = ", ".join(server.addresses) or "it has no public address"
    click.echo(f"What the DNS says of {for_log(server.name, 100)} ({known}):")
    for advice in examine(answers.domains, server, answers.postmaster, resolver, deadline):
        click.echo(f"    {told(advice)}")
    if not server.addresses:
        click.echo("    PTR and SPF could not be looked at: name the public address of your mail server by --address")


def told(advice: Advice) -> str:
    """The advice in one line, or two if there is something to do."""
    line = f"{_SIGNS[advice.state]:7} {advice.about}: {advice.found}"
    return f"{line}\n            -> {advice.do}" if advice.do else line
