"""The commands `dkim keygen`, `record`, `check` and `rotate`."""

from __future__ import annotations

import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import click

from antispam.checks import dkim_sign
from antispam.checks._shared.dkim_keys import files
from antispam.checks._shared.dkim_keys.configured import configured
from antispam.checks._shared.dkim_keys.files import Algorithm, load_private_key
from antispam.checks._shared.dkim_keys.folder import KeyFolder
from antispam.checks._shared.dkim_keys.published import (
    Published,
    State,
    key_name,
    look_up,
    look_up_everywhere,
    zone_lines,
)
from antispam.checks._shared.dkim_keys.rotation import Key, Pace, RotationError, Stage, Step, advance, begin
from antispam.deadline import Deadline
from antispam.net.addresses import is_hostname, normalize_domain
from antispam.net.resolver import DnsSettings, Resolver
from antispam.protocols.dkim import PrivateKey, Signer, UnusablePrivateKey
from antispam.service.application import ConfigError, Program, load_settings
from antispam.settings import Settings
from antispam.settings.values import duration
from antispam.text import local_time

LOOKUP_SECONDS = 20.0


def _domain(context: click.Context, parameter: click.Parameter, value: str | None) -> str | None:
    if value is None:
        return None
    name = normalize_domain(value)
    if not is_hostname(name):
        raise click.BadParameter(f"{value!r} is not a name that DKIM can use")
    return name


def _seconds(context: click.Context, parameter: click.Parameter, value: str) -> float:
    try:
        return float(duration("s")(value))
    except ValueError as error:
        raise click.BadParameter(str(error)) from None


_ALGORITHM = click.Choice([algorithm.value for algorithm in Algorithm])
_bits = click.option("--bits", default=files.RSA_BITS, show_default=True, help="size of an RSA key")


def dkim_command(program: Program) -> click.Group:
    """`dkim` and its commands, for the commands of a program."""

    @click.group("dkim")
    def group() -> None:
        """Create, publish, check and rotate signing keys."""

    for make in (_keygen, _record, _check, _rotate):
        group.add_command(make(program))
    return group


def _keygen(program: Program) -> click.Command:
    @click.command("keygen")
    @click.argument("domain", callback=_domain)
    @click.argument("selector", callback=_domain)
    @click.argument("file", type=click.Path(dir_okay=False, path_type=Path))
    @click.option("--algorithm", type=_ALGORITHM, default="rsa", show_default=True)
    @_bits
    def command(domain: str, selector: str, file: Path, algorithm: str, bits: int) -> None:
        """Create a key in FILE, readable for its owner only, and print the record to publish. Nothing is ever overwritten."""
        try:
            files.write_new(file, files.make_private_key(Algorithm(algorithm), bits))
            key = load_private_key(file)
        except FileExistsError:
            raise click.ClickException(f"{file} exists already; a key is never overwritten") from None
        except OSError as error:
            raise click.ClickException(f"{file.parent} cannot be written to: {error.strerror}") from error
        except ValueError as error:
            raise click.ClickException(str(error)) from error
        click.echo(f"The private key is in {file}. Publish this record:\n")
        click.echo(zone_lines(key_name(selector, domain), key.dns_record))
        click.echo(
            "\n"
            f"Once `dkim check {domain} {selector} {file}` says that it is right, let the key sign: add this line to "
            "[dkim_sign] keys, and reload the filter:\n"
        )
        click.echo(f"{domain} {selector} {file.absolute()}")
        if file.stat().st_uid == 0:
            click.echo(
                "\n"
                "The key belongs to root, so a filter that runs as another user cannot read it: run `chgrp` with that "
                f"user's group, and `chmod 640 {file}`."
            )

    return command


def _record(program: Program) -> click.Command:
    @click.command("record")
    @click.argument("domain", callback=_domain)
    @click.argument("selector", callback=_domain)
    @click.argument("file", type=click.Path(dir_okay=False, path_type=Path), required=False)
    @click.option("--plain", is_flag=True, help="the bare text in one line, as web forms want it")
    @click.pass_obj
    def command(config: Path | None, domain: str, selector: str, file: Path | None, plain: bool) -> None:
        """Print the TXT record of a key: of FILE, or of the configured key of that DOMAIN and SELECTOR."""
        key = _key_in(file) if file is not None else _configured(program, config, domain, selector)
        click.echo(key.dns_record if plain else zone_lines(key_name(selector, domain), key.dns_record))

    return command


def _check(program: Program) -> click.Command:
    @click.command("check")
    @click.argument("domain", callback=_domain, required=False)
    @click.argument("selector", callback=_domain, required=False)
    @click.argument("file", type=click.Path(dir_okay=False, path_type=Path), required=False)
    @click.option("--every-server", is_flag=True, help="ask each name server of the zone itself")
    @click.pass_obj
    def command(
        config: Path | None, domain: str | None, selector: str | None, file: Path | None, every_server: bool
    ) -> None:
        """Ask the name servers whether keys are published correctly: every configured key, those of a DOMAIN, one SELECTOR,
        or the one in FILE. The exit status is 1 if one is not."""
        settings = load_settings(program, config)
        resolver = Resolver.from_settings(settings[DnsSettings])
        if file is not None and domain and selector:
            signers = [Signer(domain, selector, _key_in(file))]
        else:
            signers = [one for one in signers_of(settings) if domain in (None, one.domain)]
            signers = [one for one in signers if selector in (None, one.selector)]
        if not signers:
            raise click.ClickException(
                "there is no such key in the configuration; name its DOMAIN, SELECTOR and FILE"
                if domain
                else "no key is configured: [dkim_sign] keys, key_table or key_folder, [dkim] privkey"
            )
        good = [_report(signer, resolver, every_server) for signer in signers]
        sys.exit(0 if all(good) else 1)

    return command


def _report(signer: Signer, resolver: Resolver, every_server: bool) -> bool:
    """Print the answers of the name servers about a key. Returns whether all are correct."""
    name = key_name(signer.selector, signer.domain)
    deadline = Deadline.after(LOOKUP_SECONDS)
    answers: Iterator[tuple[str, Published]] = iter([("", look_up(name, signer.key, resolver, deadline))])
    if every_server:
        answers = look_up_everywhere(name, signer.key, resolver, lambda address: Resolver([address]), deadline)
    good = True
    for server, found in answers:
        at = f" at {server}" if server else ""
        click.echo(f"{name}{at}: {found.state}" + (f": {found.detail}" if found.detail else ""))
        good &= found.state is State.RIGHT
    return good


def _rotate(program: Program) -> click.Command:
    @click.command("rotate")
    @click.argument("domain", callback=_domain, required=False)
    @click.option("--start", type=_ALGORITHM, multiple=True, help="make a new key to replace the signing one")
    @_bits
    @click.option(
        "--wait",
        callback=_seconds,
        default="1d",
        show_default=True,
        help="time between a key's appearance in DNS and its first signature",
    )
    @click.option(
        "--keep",
        callback=_seconds,
        default="7d",
        show_default=True,
        help="time between a key's last signature and its withdrawal",
    )
    @click.option(
        "--folder", type=click.Path(file_okay=False, path_type=Path), help="instead of [dkim_sign] key_folder"
    )
    @click.option("--on-change", metavar="COMMAND", help="command to run when other keys sign, to reload the filter")
    @click.pass_obj
    def command(
        config: Path | None,
        domain: str | None,
        start: tuple[str, ...],
        bits: int,
        wait: float,
        keep: float,
        folder: Path | None,
        on_change: str | None,
    ) -> None:
        """Take the next step with the keys of DOMAIN, or of all domains in the folder: publish, wait, sign, retire.

        Run it once a day, by cron or a timer; it says what to change in the zone. No key signs before the name servers have
        shown its record for --wait, and no record is withdrawn before --keep has passed since the last signature."""
        settings = load_settings(program, config)
        keys = KeyFolder(folder) if folder is not None else settings[dkim_sign.Settings].key_folder
        if keys is None:
            raise click.ClickException("no folder of keys is configured: [dkim_sign] key_folder, or --folder")
        if start and domain is None:
            raise click.ClickException("--start needs a DOMAIN")
        resolver = Resolver.from_settings(settings[DnsSettings])
        changed = False
        if not keys.path.is_dir():
            raise click.ClickException(f"{keys}: no such folder; create it, and give it to the filter's user")
        if not start and not (keys.domains() if domain is None else keys.keys(domain)):
            whose = f" of {domain}" if domain is not None else ""
            click.echo(f"No keys{whose} are in rotation in {keys}: `rotate DOMAIN --start rsa` starts one.")
            sys.exit(0 if domain is None else 1)
        try:
            for name in [domain] if domain is not None else keys.domains():
                with keys.locked(name):
                    for algorithm in start:
                        _start(keys, name, Algorithm(algorithm), bits)
                    changed |= _advance(keys, name, resolver, Pace(wait, keep))
        except (OSError, RotationError, UnusablePrivateKey, ValueError) as error:
            raise click.ClickException(str(error)) from error
        if changed:
            click.echo("Other keys sign once the filter has been reloaded.")
            if on_change is not None and subprocess.run(on_change, shell=True, check=False).returncode != 0:
                raise click.ClickException(f"{on_change!r} failed: the filter still signs with the previous keys")

    return command


def _start(folder: KeyFolder, domain: str, algorithm: Algorithm, bits: int) -> None:
    now = time.time()
    selector = folder.new_selector(domain, algorithm, now)
    states = begin(folder.keys(domain), algorithm, selector, now)
    folder.make(domain, selector, algorithm, bits)  # first, so that every state has its file
    folder.save(domain, states)


def _advance(folder: KeyFolder, domain: str, resolver: Resolver, pace: Pace) -> bool:
    """Take one step for a domain, and print what happens and what to do. Returns whether the signing keys have changed."""
    before = folder.keys(domain)
    seen = {key.selector: _seen(folder, domain, key, resolver) for key in before}
    after, steps = advance(before, {selector: found.state for selector, found in seen.items()}, time.time(), pace)
    if after != before:
        folder.save(domain, after)
    for step in steps:
        if step.now is None:
            folder.file(domain, step.before.selector).unlink(missing_ok=True)
    for key in after:
        click.echo(
            f"{key_name(key.selector, domain)}: {key.stage}; {_state(folder, domain, key, seen[key.selector], pace)}"
        )
    for step in steps:
        if step.now is None:
            click.echo(f"{key_name(step.before.selector, domain)}: gone; its private key is deleted")
    return any(Stage.SIGNING in _stages(step) for step in steps)


def _stages(step: Step) -> tuple[Stage | None, ...]:
    return (step.before.stage, step.now.stage if step.now is not None else None)


def _seen(folder: KeyFolder, domain: str, key: Key, resolver: Resolver) -> Published:
    private = folder.private_key(domain, key.selector)
    return look_up(key_name(key.selector, domain), private, resolver, Deadline.after(LOOKUP_SECONDS))


def _state(folder: KeyFolder, domain: str, key: Key, seen: Published, pace: Pace) -> str:
    """The state of a key for the administrator, and what to do about it."""
    trouble = f"DNS: {seen.state}, {seen.detail}" if seen.state is not State.RIGHT else "DNS: right"
    match key.stage:
        case Stage.NEW:
            record = folder.private_key(domain, key.selector).dns_record
            return f"{trouble}; publish this record:\n{zone_lines(seen.name, record)}"
        case Stage.PUBLISHED:
            return f"{trouble}; it signs from {local_time(key.since + pace.wait)} on"
        case Stage.SIGNING:
            return f"{trouble}; signing since {local_time(key.since)}"
        case Stage.RETIRED:
            return f"{trouble}; leave its record in the zone until {local_time(key.since + pace.keep)}"
        case _:
            return f"{trouble}; delete its record from the zone"


def _key_in(file: Path) -> PrivateKey:
    try:
        return load_private_key(file)
    except UnusablePrivateKey as error:
        raise click.ClickException(str(error)) from error


def _configured(program: Program, config: Path | None, domain: str, selector: str) -> PrivateKey:
    for signer in signers_of(load_settings(program, config)):
        if (signer.domain, signer.selector) == (domain, selector):
            return signer.key
    raise click.ClickException(f"no key {key_name(selector, domain)} is configured; name its FILE")


def signers_of(settings: Settings) -> list[Signer]:
    """All configured keys that can be determined without an author. Raises ConfigError."""
    try:
        return [one.signer for one in configured(settings[dkim_sign.Settings])]
    except (OSError, ValueError) as error:
        raise ConfigError(str(error)) from error
