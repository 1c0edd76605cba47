"""Dropping root privileges permanently."""

from __future__ import annotations

import errno
import grp
import logging
import os
import pwd

log = logging.getLogger(__name__)


class UserError(Exception):
    """The user or group to run as cannot be used."""


def find_user(name: str) -> pwd.struct_passwd:
    """The user's entry. Raises UserError."""
    try:
        return pwd.getpwnam(name)
    except KeyError:
        raise UserError(f"there is no user {name!r} to run as") from None


def become(user: str | None, group: str | None) -> None:
    """Drop root permanently and become `user` (and `group`, by default the user's own). Does nothing if we are not
    root, or if neither is given. Raises UserError.
    """
    if os.geteuid() != 0:
        return
    if not user and not group:
        log.warning("running as root; set a user to run as")
        return
    entry = find_user(user) if user else None
    try:
        gid = grp.getgrnam(group).gr_gid if group else entry.pw_gid if entry else 0
    except KeyError:
        raise UserError(f"there is no group {group!r} to run as") from None
    try:
        if entry is not None:
            os.initgroups(entry.pw_name, gid)
        else:
            os.setgroups([gid])
        os.setresgid(gid, gid, gid)
        if entry is not None:
            os.setresuid(entry.pw_uid, entry.pw_uid, entry.pw_uid)
    except OSError as error:
        raise UserError(f"cannot become {user or group}: {os.strerror(error.errno or errno.EPERM)}") from error
