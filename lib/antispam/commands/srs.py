"""The command `srs`: rewriting of single addresses, and the socket map for MTAs that rewrite forwarded mail."""

from __future__ import annotations

import asyncio
import contextlib
import logging
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path

import click

import SRS
from antispam.checks._shared.srs import Signature, SrsSettings, State, signature_of
from antispam.net.socket_map import Access, Lookup, SocketMapServer
from antispam.net.sockets import SocketUnavailable
from antispam.service.application import Program, load_settings
from antispam.settings import SettingsError
from antispam.settings.program import ProgramSettings
from antispam.text import for_log

log = logging.getLogger(__name__)


@contextlib.contextmanager
def _signature(program: Program, config: Path | None) -> Iterator[Signature]:
    """The configured signature. Problems with signing or verifying are errors of the command."""
    try:
        signature = signature_of(load_settings(program, config)[SrsSettings])
        if signature is None:
            raise click.ClickException("[srs] has no secret: docs/srs.md says how to make one")
        yield signature
    except SettingsError as error:
        raise click.ClickException(str(error)) from error
    except SRS.Unavailable as error:
        raise click.ClickException(f"[srs] database: {error}") from error


def srs_command(program: Program) -> click.Group:
    """`srs`, for the commands of a program."""

    @click.group("srs")
    def group() -> None:
        """Signed and rewritten envelope senders ([srs], docs/srs.md)."""

    group.add_command(_sign_command(program))
    group.add_command(_forward_command(program))
    group.add_command(_reverse_command(program))
    group.add_command(_verify_command(program))
    group.add_command(_serve_command(program))
    return group


def _sign_command(program: Program) -> click.Command:
    @click.command("sign")
    @click.argument("address")
    @click.pass_obj
    def sign_command(config: Path | None, address: str) -> None:
        """Sign ADDRESS, one of our senders, as it would leave."""
        with _signature(program, config) as signature:
            signed = signature.signed(address)
        if not signed:
            raise click.ClickException(f"{for_log(address)} is not rewritten: its domain is not in [srs] ses or sign")
        click.echo(signed)

    return sign_command


def _forward_command(program: Program) -> click.Command:
    @click.command("forward")
    @click.argument("address")
    @click.pass_obj
    def forward_command(config: Path | None, address: str) -> None:
        """Rewrite ADDRESS, a foreign sender, for mail that we forward."""
        with _signature(program, config) as signature:
            rewritten = signature.rewritten(address)
        if not rewritten:
            raise click.ClickException(f"{for_log(address)} is not rewritten, or [srs] fwdomain is not set")
        click.echo(rewritten)

    return forward_command


def _reverse_command(program: Program) -> click.Command:
    @click.command("reverse")
    @click.argument("address")
    @click.pass_obj
    def reverse_command(config: Path | None, address: str) -> None:
        """Verify ADDRESS, which we signed or rewrote, and print the original."""
        with _signature(program, config) as signature:
            state, plain = signature.verified(address)
        if state is not State.VALID:
            raise click.ClickException(f"{for_log(address)} is {state}")
        click.echo(plain)

    return reverse_command


def _verify_command(program: Program) -> click.Command:
    @click.command("verify")
    @click.argument("address")
    @click.pass_obj
    def verify_command(config: Path | None, address: str) -> None:
        """Say whether ADDRESS, the recipient of a bounce, is valid, unsigned, forged or expired."""
        with _signature(program, config) as signature:
            state, plain = signature.verified(address)
        click.echo(f"{state}: {plain}" if plain else state)
        if state is not State.VALID:
            raise SystemExit(1)

    return verify_command


def _serve_command(program: Program) -> click.Command:
    @click.command("serve")
    @click.option("--socket", type=click.Path(path_type=Path), help="where to listen, if not at [srs] socket")
    @click.option("--mode", help="permissions of the socket, if not those of [milter] socket_mode")
    @click.option("--group", help="group of the socket, if not that of [milter] socket_group")
    @click.pass_obj
    def serve_command(config: Path | None, socket: Path | None, mode: str | None, group: str | None) -> None:
        """Answer MTAs as a socket map: `forward` rewrites senders, `reverse` maps recipients back. Runs until TERM; HUP
        reloads the settings.

        Every program that can write to the socket gets signatures for any sender."""
        try:
            bits = None if mode is None else int(mode, 8)
        except ValueError:
            raise click.BadParameter("expected permissions in octal, such as 0660", param_hint="--mode") from None
        logging.basicConfig(level=logging.INFO, format="%(levelname)s %(message)s")
        with _signature(program, config) as signature:
            path = socket or signature.settings.socket
            server = SocketMapServer(maps_of(signature))
            ours = load_settings(program, config)[ProgramSettings]
            access = Access(
                ours.socket_mode if bits is None else bits, (ours.socket_group if group is None else group) or -1
            )

        def reload() -> Mapping[str, Lookup] | None:
            signature_of.cache_clear()  # its files may have changed
            try:
                with _signature(program, config) as renewed:
                    maps = maps_of(renewed)
            except click.ClickException as error:
                log.error("not reloaded, the old settings stay in force: %s", error.message)
                return None
            log.info("reloaded")
            return maps

        try:
            asyncio.run(server.serve(path, access, lambda: click.echo(f"srs listens on {path}", err=True), reload))
        except SocketUnavailable as error:
            raise click.ClickException(error.strerror or str(error)) from error

    return serve_command


_DIVIDER = b"\x9b".decode(
    "utf-8", "surrogateescape"
)  # sendmail's encoding of $| in a map key: the next host, then the sender


def maps_of(signature: Signature) -> dict[str, Lookup]:
    """The maps by name: ours, and those of pysrs's m4 files, which expect an unchanged sender as the answer, too."""

    def forward(key: str) -> str:
        host, divided, sender = key.rpartition(_DIVIDER)
        if divided and not host.strip("."):
            return ""  # delivered here
        return _as_mta_writes(lambda plain: signature.rewritten(plain, host), sender)

    def reverse(key: str) -> str:
        return _as_mta_writes(signature.plain, key)

    return {
        "forward": forward,
        "make_srs": lambda key: forward(key) or key.rpartition(_DIVIDER)[2],
        "reverse": reverse,
        "reverse_srs": reverse,
        "srs_up": lambda key: "",  # sendmail/srs.m4 uses it to test for an answer
    }


def _as_mta_writes(rewrite: Callable[[str], str], address: str) -> str:
    """The rewritten address in sendmail's internal form, ann<@example.org.>, if it was passed in that form."""
    marked = "<@" in address
    plain = address.replace("<", "").replace(">", "").rstrip(".") if marked else address.strip("<>")
    found = rewrite(plain)
    if not found or not marked:
        return found
    local, _, domain = found.rpartition("@")
    return f"{local}<@{domain}.>"
