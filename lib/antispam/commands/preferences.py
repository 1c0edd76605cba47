"""The command `preferences`: preferences of users, groups and the site that differ from milter.cfg."""

from __future__ import annotations

import difflib
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import click
from rich.console import Console

from antispam.commands.tables import table_of
from antispam.learning.digest_settings import DigestSettings
from antispam.learning.language_settings import LanguageSettings
from antispam.learning.people import People
from antispam.learning.preferences import PREFERENCES, read_preference, resolved, spelling
from antispam.learning.settings import DspamSettings
from antispam.service.application import Program, load_settings, opened_store
from antispam.settings import Settings
from antispam.settings.values import show
from antispam.store import preferences
from antispam.store.preferences import Preference, Scope
from antispam.store.quarantine_settings import QuarantineSettings
from antispam.text import for_log


def _whose(command: Callable[..., Any]) -> Callable[..., Any]:
    """The options that select a user, a group or the site."""
    command = click.option("--site", is_flag=True, help="for everybody")(command)
    command = click.option("--group", metavar="GROUP", help="for the users of a group")(command)
    return click.option("--user", metavar="USER", help="for one user")(command)


def _scope(settings: Settings, user: str | None, group: str | None, site: bool) -> tuple[Scope, str]:
    given = [name for name, value in (("--user", user), ("--group", group), ("--site", site)) if value]
    if len(given) != 1:
        raise click.UsageError("say whose: one of --user USER, --group GROUP and --site")
    if site:
        return Scope.SITE, ""
    return (Scope.GROUP, _group(group)) if group else (Scope.USER, _user(settings, user or ""))


def _group(name: str | None) -> str:
    if not name or len(name) > 255 or not name.isprintable():
        raise click.ClickException(f"{for_log(name or '', 60)!r} cannot be the name of a group")
    return name.lower()


def _user(settings: Settings, name: str) -> str:
    """The user in dspam_users. A preference for a misspelt name would never apply."""
    users = settings[DspamSettings].users
    if name.lower() in users:
        return name.lower()
    near = next(iter(difflib.get_close_matches(name.lower(), users, n=1)), "")
    hint = f"; did you mean {near}?" if near else ""
    raise click.ClickException(f"[dspam] dspam_users has no user {for_log(name, 60)}{hint}")


def preferences_command(program: Program) -> click.Group:
    """`preferences`, for the commands of a program."""
    known = "\n\n".join(f"{name}  {preferable.option.help}" for name, preferable in PREFERENCES.items())

    @click.group(
        "preferences",
        help="Preferences of users, groups and the site that differ from [dspam] in milter.cfg. A user's own preference "
        "takes precedence over the group's, the group's over the site's, and the site's over the file. Changes take "
        "effect within seconds.\n"
        "\n"
        f"{known}",
    )
    def group() -> None:
        pass

    group.add_command(_list_command(program))
    group.add_command(_show_command(program))
    group.add_command(_set_command(program))
    group.add_command(_unset_command(program))
    group.add_command(_join_command(program))
    return group


def _list_command(program: Program) -> click.Command:
    @click.command("list")
    @click.option("--json", "as_json", is_flag=True, help="one JSON object per preference")
    @click.pass_obj
    def list_command(config: Path | None, as_json: bool) -> None:
        """List all preferences that are set."""
        settings = load_settings(program, config)
        with opened_store(settings) as store:
            found, groups = preferences.everything(store), preferences.groups(store)
        if as_json:
            for one in found:
                click.echo(json.dumps(one._asdict()))
            return
        if not found and not groups:
            click.echo("No preferences are set: milter.cfg applies to everybody.")
            return
        table = table_of("for", "preference", "value")
        for one in found:
            table.add_row(*(for_log(text) for text in (f"{one.scope} {one.owner}".strip(), one.name, one.value)))
        for user, name in sorted(groups.items()):
            table.add_row(for_log(f"user {user}"), "is in group", for_log(name))
        Console().print(table)

    return list_command


def _show_command(program: Program) -> click.Command:
    @click.command("show")
    @click.argument("user")
    @click.pass_obj
    def show_command(config: Path | None, user: str) -> None:
        """Show the preferences in effect for USER, and where each comes from."""
        settings = load_settings(program, config)
        name = _user(settings, user)
        with opened_store(settings) as store:
            found = preferences.of_user(store, name)
            effective: dict[type, object] = {
                DspamSettings: People(settings[DspamSettings], store).settings_for(name),
                QuarantineSettings: resolved(settings[QuarantineSettings], found),
                DigestSettings: resolved(settings[DigestSettings], found),
                LanguageSettings: resolved(settings[LanguageSettings], found),
            }
        where = {one.name: f"{one.scope} {one.owner}".strip() for one in found}
        table = table_of("preference", "value", "from")
        for preference, (cls, option) in PREFERENCES.items():
            value = show(getattr(effective[cls], option.field), option.read)
            table.add_row(preference, for_log(value), for_log(where.get(preference, "milter.cfg")))
        Console().print(table)

    return show_command


def _set_command(program: Program) -> click.Command:
    @click.command("set")
    @click.argument("name")
    @click.argument("value")
    @_whose
    @click.pass_obj
    def set_command(
        config: Path | None, name: str, value: str, user: str | None, group: str | None, site: bool
    ) -> None:
        """Set preference NAME to VALUE.

        \b
            bms preferences set spamAction quarantine --user ann
            bms preferences set spamSubject "[SPAM]" --site
        """
        settings = load_settings(program, config)
        scope, owner = _scope(settings, user, group, site)
        try:
            read_preference(name, value)
        except ValueError as error:
            raise click.ClickException(f"{for_log(name, 60)} = {for_log(value, 60)}: {error}") from error
        with opened_store(settings) as store:
            preferences.put(store, Preference(scope, owner, spelling(name), value))

    return set_command


def _unset_command(program: Program) -> click.Command:
    @click.command("unset")
    @click.argument("name")
    @_whose
    @click.pass_obj
    def unset_command(config: Path | None, name: str, user: str | None, group: str | None, site: bool) -> None:
        """Remove preference NAME, so that the next level applies again."""
        settings = load_settings(program, config)
        scope, owner = _scope(settings, user, group, site)
        with opened_store(settings) as store:
            if not preferences.remove(store, scope, owner, _spelt(name)):
                raise click.ClickException(f"{for_log(name, 60)} was not set there")

    return unset_command


def _join_command(program: Program) -> click.Command:
    @click.command("join")
    @click.argument("user")
    @click.argument("group", required=False)
    @click.pass_obj
    def join_command(config: Path | None, user: str, group: str | None) -> None:
        """Move USER into GROUP, out of the previous group; without GROUP, only out of that."""
        settings = load_settings(program, config)
        with opened_store(settings) as store:
            preferences.join(store, _user(settings, user), _group(group) if group else None)

    return join_command


def _spelt(name: str) -> str:
    try:
        return spelling(name)
    except ValueError as error:
        raise click.ClickException(str(error)) from error
