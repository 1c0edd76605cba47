"""Settings for all contexts: the store to use, and the other module-level functions of pydspam."""

from __future__ import annotations

import errno
import sys
from pathlib import Path
from typing import Final

from .memory import Storage

CONFIGURE_ARGS: Final = f" '--libdir={Path(__file__).resolve().parents[1]}'"
"""How libdspam was configured, as pydspam gives it: programs look for drivers below --libdir."""


class error(OSError):
    """An operation that a context cannot perform: wrong arguments, no storage, an unreadable signature.

    `strerror` says what is wrong. `errno` is EINVAL unless given.
    """

    def __init__(self, *args: object) -> None:
        super().__init__(*((errno.EINVAL, *args) if len(args) == 1 else args))

    def __str__(self) -> str:
        return str(self.strerror or "")


_default: Storage | None = None


def libdspam_init(driver: Storage | str | None = None) -> None:
    """Set the default store of attach().

    libdspam loads a storage driver here. If given the path of such a driver, or None, each context uses the store in its home
    directory: the SQLite file dspam.sqlite.
    """
    global _default
    _default = None if driver is None or isinstance(driver, str) else driver


def libdspam_shutdown() -> None:
    """Unset the default store, and close those in home directories."""
    global _default
    _default = None
    if "dspam.local" in sys.modules:
        from .local import close_all

        close_all()


def open_default(home: str | None) -> Storage:
    """The default store of libdspam_init, else the store in the home directory. Raises error if there is neither."""
    if _default is not None:
        return _default
    if home is None:
        raise error("no storage: attach(store), libdspam_init(store), or a home directory")
    from .local import storage  # SQL is loaded only where it is used

    return storage(home)


def set_debug(mode: int) -> None:
    """Set libdspam's debugging level, 0 to 2. It has no effect. Other numbers raise error."""
    if not 0 <= mode <= 2:
        raise error("set_debug: value out of range")


def set_verified_user(flag: int) -> None:
    """For compatibility: tells libdspam that a user exists. It has no effect, because a store knows its users."""
