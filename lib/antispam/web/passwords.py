"""Passwords of the console: hashed by Argon2id (RFC 9106), checked in equal time whether or not there is such an account."""

from __future__ import annotations

import contextlib
import functools
import threading

import argon2

MIN_LENGTH = 10
MAX_LENGTH = 1024
_AT_ONCE = threading.Semaphore(2)  # each takes 64 MiB for a moment


class BadPassword(ValueError):
    """An unacceptable password; the text says why."""


@functools.cache
def _hasher() -> argon2.PasswordHasher:
    return argon2.PasswordHasher()


@functools.cache
def _nobodys() -> str:
    return _hasher().hash("the password of an account that does not exist")


def hashed(password: str) -> str:
    """The hash to store. Raises BadPassword."""
    if not MIN_LENGTH <= len(password) <= MAX_LENGTH:
        raise BadPassword(f"a password has {MIN_LENGTH} to {MAX_LENGTH} characters")
    with _AT_ONCE:
        return _hasher().hash(password)


def fits(stored: str, password: str) -> bool:
    """Whether the password is right; `stored` is "" if there is no such account, or it has no password."""
    with _AT_ONCE, contextlib.suppress(argon2.exceptions.VerificationError, argon2.exceptions.InvalidHashError):
        return _hasher().verify(stored or _nobodys(), password[:MAX_LENGTH]) and stored != ""
    return False
