"""The configuration in effect, for display: values without secrets, and warnings about probable mistakes."""

from __future__ import annotations

import contextlib
import os
import re
import stat
from collections.abc import Iterator

import sqlalchemy as sa

from antispam.checks._shared.callback.settings import CallbackSettings, warnings
from antispam.mail.access_map import AccessMap, AccessSettings
from antispam.mail.access_map import Action as Wanted
from antispam.settings import Settings
from antispam.settings.load import Origin

_SQL_URLS = {("store", "url"), ("web", "replica"), ("author_domain", "sql_url")}
_SECRETS = {("gossip", "key"), ("srs", "secret")}
# The password of a URL in any value: user:password@, or the value of a parameter with such a name.
_IN_URL = re.compile(r"(?P<before>\b[a-z][a-z0-9+.-]*://[^\s/?#:@]*:)[^\s/]*(?=@)", re.IGNORECASE)
_PARAMETER = re.compile(r"(?P<before>[?&;](?:password|passwd|pwd|secret|token|key)=)[^\s&;#]+", re.IGNORECASE)


_WORDS = ("password", "passwd", "secret", "token")


def shown(origin: Origin) -> str:
    """An option's value as written in the file, without secrets."""
    is_secret = (origin.section, origin.option) in _SECRETS or origin.option.rpartition("_")[2] in _WORDS
    if is_secret and origin.value:
        return "***"
    if (origin.section, origin.option) in _SQL_URLS and origin.value:
        return sa.engine.make_url(origin.value).render_as_string(hide_password=True)
    return _PARAMETER.sub(r"\g<before>***", _IN_URL.sub(r"\g<before>***", origin.shown))


def warnings_of(settings: Settings, name: str) -> Iterator[str]:
    """Warnings, as sentences, about settings that are valid but probably mistakes. `name` is the program's name."""
    yield from settings.warnings
    yield from _secrets_for_all(settings)
    yield from _callback_warnings(settings, name)


def _secrets_for_all(settings: Settings) -> Iterator[str]:
    """Files of the configuration that have secrets and that others can read."""
    holders: dict[str, list[str]] = {}
    for origin in settings.origins:
        if origin.where != "default" and shown(origin) != origin.shown:
            holders.setdefault(origin.where.rpartition(":")[0], []).append(f"[{origin.section}] {origin.option}")
    for file, options in holders.items():
        with contextlib.suppress(OSError):  # it was read a moment ago
            if os.stat(file).st_mode & stat.S_IRWXO:
                yield f"others can read {', '.join(options)} in {file}; give it mode 0640"


def _callback_warnings(settings: Settings, name: str) -> Iterator[str]:
    """Warnings about access map entries whose action is not available."""
    table = AccessMap.from_settings(settings[AccessSettings]).table
    if CallbackSettings in settings:
        yield from warnings(table, settings[CallbackSettings])
        return
    asked = [f"{entry.key} {entry.action}" for entry in table.entries() if entry.action in (Wanted.CBV, Wanted.DSN)]
    if asked:
        more = ", ..." if len(asked) > 3 else ""
        yield f"{name} makes no callbacks, and accepts mail where the access map asks for one: {', '.join(asked[:3])}{more}"
