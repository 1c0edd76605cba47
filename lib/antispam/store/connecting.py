"""Connecting to a database: addresses as people write them, and a password that is read from a file."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import sqlalchemy as sa
from sqlalchemy import event

from antispam.settings import Settings
from antispam.settings.program import ProgramSettings, StoreSettings
from antispam.settings.secret_files import password_in, secret_in

PASSWORD_FILE = "password_file"  # a query parameter of the address

# Schemes as other programs write them, with the driver that our extras install.
_DRIVERS = {
    "postgres": "postgresql+psycopg",
    "postgresql": "postgresql+psycopg",
    "mysql": "mysql+pymysql",
    "mariadb": "mariadb+pymysql",
}


class NoPasswordError(OSError):
    """The file with the database's password cannot be used. The text is a sentence for the administrator."""


def url_from(settings: Settings) -> str:
    """The address of the configured database, or of the SQLite file in the data folder. If the password is in a file,
    the address names that file: addresses appear in logs and error messages, passwords never do.
    """
    path = settings[ProgramSettings].datadir / "bms.sqlite"
    store = settings[StoreSettings]
    url = with_driver(store.url) if store.url else sa.engine.URL.create("sqlite", database=str(path)).render_as_string()
    if store.password_file is None:
        return url
    parsed = sa.engine.make_url(url).update_query_dict({PASSWORD_FILE: str(store.password_file)})
    return parsed.render_as_string(hide_password=False)


def with_driver(url: str) -> str:
    """The address of a database. If it names no driver, the one that our extras install is added."""
    scheme, colon, rest = url.partition("://")
    return f"{_DRIVERS.get(scheme.lower(), scheme)}{colon}{rest}"


def demand_driver(url: str) -> None:
    """Raises ValueError for an invalid address or a driver that is not installed; the text says what to do. It repeats
    no part of the address: in a mistyped one the password may be anywhere.
    """
    try:
        dialect = sa.engine.make_url(url).get_dialect()
        dialect.import_dbapi()
    except (sa.exc.ArgumentError, ValueError):
        raise ValueError(
            "expected sqlite:///FILE, postgresql://USER:PASSWORD@HOST/NAME or mariadb://USER:PASSWORD@HOST/NAME; "
            "write @, :, / and % of a password as %40, %3A, %2F and %25"
        ) from None
    except ImportError as error:
        extra = next((name for name in ("postgresql", "mariadb", "mysql") if url.startswith(name)), "")
        advice = f"; please type: pip install 'bms-antispam[{extra.replace('mysql', 'mariadb')}]'" if extra else ""
        raise ValueError(f"the driver is missing{advice} ({error})") from error


def demand_one_password(settings: Settings) -> None:
    """Raises ValueError if [store] password_file contradicts url, which is a valid address (demand_driver())."""
    if settings[StoreSettings].password_file is None:
        return
    url = sa.engine.make_url(url_from(settings))
    if url.get_backend_name() == "sqlite":
        raise ValueError("SQLite has no password; remove password_file, or set url to a database server")
    if url.password is not None:
        raise ValueError("url has a password, too; remove it there")


def engine_of(url: sa.URL, **options: Any) -> sa.Engine:
    """An engine for the address. If the address names a password file, each connection reads it anew, so a change of
    the password needs no restart. Connecting raises NoPasswordError if the file cannot be read.
    """
    named = url.query.get(PASSWORD_FILE)
    if url.get_driver_name() == "psycopg":
        # psycopg would prepare statements that it has executed five times. Behind a pool (PgBouncer in transaction
        # mode) the server connection may belong to another client by then. Without a pool, the ROLLBACK after each read
        # makes psycopg forget them anyway.
        options["connect_args"] = {"prepare_threshold": None, **options.get("connect_args", {})}
    engine = sa.create_engine(url.difference_update_query([PASSWORD_FILE]), **options)
    if named:
        file = Path(named if isinstance(named, str) else named[-1])

        def fill_in(_dialect: Any, _record: Any, _arguments: Any, parameters: dict[str, Any]) -> None:
            try:
                parameters["password"] = password_in(file)
            except OSError as error:
                raise NoPasswordError(f"the password of the database: {error}") from error

        event.listen(engine, "do_connect", fill_in)
    if "ssl_key" in url.query:  # libpq checks its sslkey by itself
        _guard_key(engine, str(url.query["ssl_key"]))
    return engine


def _guard_key(engine: sa.Engine, file: str) -> None:
    def look(_dialect: Any, _record: Any, _arguments: Any, _parameters: Any) -> None:
        try:
            secret_in(file, 1)
        except OSError as error:
            raise NoPasswordError(f"the key for the database: {error}") from error

    event.listen(engine, "do_connect", look)
