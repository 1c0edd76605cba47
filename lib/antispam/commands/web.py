"""The commands `web serve` and `web account`."""

from __future__ import annotations

import sys
import time
from pathlib import Path

import click

from antispam.commands.durations import parsed_duration
from antispam.learning.login_settings import login_name
from antispam.service.application import ConfigError, Program, load_settings, opened_store
from antispam.settings import Settings
from antispam.settings.web import WebSettings
from antispam.store import Store, accounts, sessions
from antispam.store.accounts import Account, BadAccount, Login, Role
from antispam.text import for_log

LINK_LASTS = 24 * 3600.0  # seconds
_NO_PLACE = "[web] listen is empty: write an address and a port there, 127.0.0.1:8025"
_NEEDS = "The console needs more packages: pip install 'bms-antispam[web]'"


def web_command(program: Program) -> click.Command:
    """`web`, for the commands of a program."""

    @click.group("web")
    def group() -> None:
        """The console: the quarantine in a browser. [web] listen is its address; docs/web.md says how to put it behind TLS.

        \b
            bms web account add ann --role administrator
            bms web serve
        """

    @group.command("serve")
    @click.pass_obj
    def serve_command(config: Path | None) -> None:
        """Serve the console in the foreground until TERM or Ctrl-C. `bms run` serves it beside the filter if [web] listen is
        set."""
        settings = load_settings(program, config)
        if not settings[WebSettings].listen:
            raise ConfigError(_NO_PLACE)
        try:
            from antispam.web.server import serve
        except ImportError as error:
            raise click.ClickException(f"{_NEEDS} ({error})") from error
        with opened_store(settings):
            pass  # the tables are up to date
        serve(program.journey, settings)

    group.add_command(_account_group(program))
    return group


def _account_group(program: Program) -> click.Group:
    @click.group("account")
    def group() -> None:
        """The accounts that may log in."""

    group.add_command(_add_command(program))
    group.add_command(_link_command(program))
    group.add_command(_token_command(program))
    group.add_command(_password_command(program))
    group.add_command(_remove_command(program))
    group.add_command(_list_command(program))
    return group


def _add_command(program: Program) -> click.Command:
    @click.command("add")
    @click.argument("name")
    @click.option("--role", type=click.Choice([str(role) for role in Role]), default=str(Role.USER), show_default=True)
    @click.option(
        "--mailbox",
        "mailboxes",
        multiple=True,
        help="a user of the filter whose quarantine it sees; default: NAME itself",
    )
    @click.option("--link", is_flag=True, help="ask for no password; print a link that lets them in once")
    @click.option(
        "--site",
        is_flag=True,
        help="they log in by [web] login_by, with the site's password; gives them a role or mailboxes",
    )
    @click.pass_obj
    def add(config: Path | None, name: str, role: str, mailboxes: tuple[str, ...], link: bool, site: bool) -> None:
        """Create an account. The password is asked for, or read from standard input if that is not a terminal."""
        settings = load_settings(program, config)
        if link:
            _address(settings)
        if site:
            account = Account(_site_name(name), Role(role), "", mailboxes, Login.SITE)
        else:
            account = Account(name, Role(role), "" if link else _hashed(), mailboxes or (name,))
        with opened_store(settings) as store:
            try:
                accounts.add(store, account, time.time())
            except BadAccount as error:
                raise click.ClickException(for_log(str(error))) from error
            click.echo(
                _offered(settings, store, account.name) if link else f"{for_log(account.name)} may log in as {role}."
            )

    return add


def _link_command(program: Program) -> click.Command:
    @click.command("link")
    @click.argument("name")
    @click.pass_obj
    def link_command(config: Path | None, name: str) -> None:
        """Print a link that lets NAME in once, within a day: for a first login, or when a password is forgotten. It ends an
        older one; it lets in whoever opens it, so give it to nobody else."""
        settings = load_settings(program, config)
        _address(settings)
        with opened_store(settings) as store:
            _demand(accounts.get(store, name) is not None, name)
            click.echo(_offered(settings, store, name))

    return link_command


def _token_command(program: Program) -> click.Command:
    @click.command("token")
    @click.argument("name")
    @click.option(
        "--lasts", callback=parsed_duration, default="365d", show_default=True, metavar="AGE", help="for so long"
    )
    @click.pass_obj
    def token_command(config: Path | None, name: str, lasts: float) -> None:
        """Print a token by which a program may do what the account NAME may, by the API (docs/api.md).

        It is not stored, and not shown again. A new password of the account, or "log out everywhere" on its page, ends all its
        tokens."""
        with opened_store(load_settings(program, config)) as store:
            _demand(accounts.get(store, name) is not None, name)
            click.echo(sessions.begin(store, name, sessions.How.TOKEN, time.time(), lasts))

    return token_command


def _password_command(program: Program) -> click.Command:
    @click.command("password")
    @click.argument("name")
    @click.pass_obj
    def password_command(config: Path | None, name: str) -> None:
        """Change the password of an account; its sessions are logged out."""
        hashed = _hashed()
        with opened_store(load_settings(program, config)) as store:
            found = accounts.get(store, name)
            _demand(found is not None, name)
            if found is not None and found.login is Login.SITE:
                raise click.ClickException(f"{for_log(name)} logs in with the site's password, which is not here")
            _demand(accounts.set_password(store, name, hashed), name)
        click.echo(f"{for_log(name)} has another password.")

    return password_command


def _remove_command(program: Program) -> click.Command:
    @click.command("remove")
    @click.argument("name")
    @click.pass_obj
    def remove(config: Path | None, name: str) -> None:
        """Delete an account; its sessions are logged out."""
        with opened_store(load_settings(program, config)) as store:
            _demand(accounts.remove(store, name), name)
        click.echo(f"{for_log(name)} may no longer log in.")

    return remove


def _list_command(program: Program) -> click.Command:
    @click.command("list")
    @click.pass_obj
    def list_command(config: Path | None) -> None:
        """List the accounts: name, role, mailboxes."""
        with opened_store(load_settings(program, config)) as store:
            for one in accounts.every(store):
                click.echo(f"{for_log(one.name)}\t{one.role}\t{', '.join(map(for_log, one.mailboxes))}")

    return list_command


def _site_name(name: str) -> str:
    known = login_name(name)
    if not known:
        raise click.ClickException(f"{for_log(name)} can't be a login of the site")
    return known


def _address(settings: Settings) -> str:
    """The address of the console. Raises ConfigError if it is not configured."""
    address = settings[WebSettings].address
    if not address:
        raise ConfigError(_NO_PLACE)
    return address


def _offered(settings: Settings, store: Store, name: str) -> str:
    """The address of a one-time login link for an account."""
    return f"{_address(settings)}/enter/{sessions.offer(store, name, time.time(), LINK_LASTS)}"


def first_login_lines(settings: Settings, name: str) -> list[str]:
    """The address of the console, and a login link for the administrator `name` while they have no password. The
    account is created if there are no accounts. Raises ConfigError if the console is off.
    """
    address = _address(settings)
    lines = ["  console       (open it in a browser)", f"    {address}/", ""]
    with opened_store(settings) as store:
        if not accounts.every(store):
            accounts.add(store, Account(name, Role.ADMINISTRATOR, "", (name,)), time.time())
        found = accounts.get(store, name)
        if found is not None and found.login is Login.OWN and not found.password:
            offered = _offered(settings, store, found.name)
            lines += [f"  first login   (lets {for_log(name)} in once, within a day)", f"    {offered}", ""]
    return lines


def _read() -> str:
    """Read the password: typed twice, or from the first line of standard input if that is not a terminal."""
    if sys.stdin.isatty():
        return str(click.prompt("Password", hide_input=True, confirmation_prompt=True))
    return sys.stdin.readline().rstrip("\n")


def _hashed() -> str:
    """Ask for a password and return its hash."""
    try:
        from antispam.web.passwords import BadPassword, hashed
    except ImportError as error:
        raise click.ClickException(f"{_NEEDS} ({error})") from error
    try:
        return hashed(_read())
    except BadPassword as error:
        raise click.ClickException(str(error)) from error


def _demand(done: bool, name: str) -> None:
    if not done:
        raise click.ClickException(f"there is no account {for_log(name)}")
