"""Addresses of the history as keyed hashes. Readers of the database cannot see whose they are, but a query for a given
address still finds it.

Only the local part is hashed: reports are made from the domains. The key is also in the database, for all nodes, so
this is pseudonymisation (GDPR article 4). A copy of the history alone reveals nobody; with the whole database, one
address after another can be tested.
"""

from __future__ import annotations

import hashlib
import re
import weakref
from collections.abc import Mapping
from typing import Any

import msgspec
import sqlalchemy as sa

from antispam.net.addresses import Mailbox, parse_mailbox
from antispam.store import callbacks
from antispam.store.engine import Store

SECRET = "history"
_LENGTH = 20  # characters of a hash
_HIDDEN = re.compile(r"~[0-9a-f]{20}\+?")
# A mailbox in text: a quoted local part, or a plain one.
_MAILBOX = re.compile(r'("(?:[^"\\]|\\.){1,64}"|[^\s"\'<>()\[\],;:\\@|]{1,256})@((?:[\w-]+\.)+[\w-]+)')
_TEXT = ("mail_from", "author", "subject", "reason")
_JSON = ("recipients", "findings", "decisions")
_LOGIN = "login"  # the key of a login in findings
_keys: weakref.WeakKeyDictionary[Store, bytes] = weakref.WeakKeyDictionary()


def key_of(store: Store, now: float) -> bytes:
    """The site's key, created by the first call. Raises StoreError."""
    key = _keys.get(store)
    if key is None:
        key = _keys[store] = callbacks.secret(store, SECRET, now)
    return key


def is_local(store: Store, column: sa.ColumnElement[str], mailbox: Mailbox) -> sa.ColumnElement[bool]:
    """The condition that a column of the history holds the local part of this mailbox, plain or hashed. Raises
    StoreError.
    """
    plain, hashed = mailbox.local.lower()[:255], hidden_local(store, mailbox)
    return column.in_([plain, hashed]) if hashed else column == plain


def hidden_local(store: Store, mailbox: Mailbox) -> str:
    """The hash of the mailbox's local part; "" if nothing was ever hashed. Raises StoreError."""
    key = _keys.get(store) or callbacks.known_secret(store, SECRET)
    if key is None:
        return ""
    _keys[store] = key
    return _hashed(key, mailbox.local, mailbox.domain)


def hide_row(key: bytes, row: Mapping[str, Any]) -> dict[str, Any]:
    """A row of the history or of history_address with hashes instead of local parts, also inside its JSON."""
    if "local" in row:
        return {**row, "local": _hashed(key, str(row["local"]), str(row["domain"]))}
    texts = {name: hide_text(key, str(row[name])) for name in _TEXT if name in row}
    return {**row, **texts, **{name: hide_json(key, str(row[name])) for name in _JSON if name in row}}


def hide_json(key: bytes, text: str) -> str:
    """The same JSON with a hash instead of the local part of each address in it, and of each login."""
    try:
        return msgspec.json.encode(_hide(key, msgspec.json.decode(text))).decode()
    except (msgspec.DecodeError, RecursionError):
        return hide_text(key, text)


def _hide(key: bytes, value: Any) -> Any:
    match value:
        case str():
            return hide_text(key, value)
        case list():
            return [_hide(key, one) for one in value]
        case dict():
            return {
                name: _hashed(key, one, "") if name == _LOGIN and one and isinstance(one, str) else _hide(key, one)
                for name, one in value.items()
            }
    return value


def hide_text(key: bytes, text: str) -> str:
    """The text with a hash instead of the local part of each address in it."""

    def address(found: re.Match[str]) -> str:
        mailbox = parse_mailbox(found[0])
        return f"{_hashed(key, mailbox.local, mailbox.domain)}@{found[2]}"

    return _MAILBOX.sub(address, text) if "@" in text else text


def is_hidden(address: str) -> bool:
    """Whether it is a hash, not an address that can receive mail."""
    return _HIDDEN.fullmatch(address.partition("@")[0]) is not None


def _hashed(key: bytes, local: str, domain: str) -> str:
    """The hash of a local part, ignoring its case; a hash is returned unchanged. A +detail stays visible as such: it
    decides whose mail the message is.
    """
    if _HIDDEN.fullmatch(local):
        return local
    name = f"{local.lower()}@{domain.lower()}".encode("utf-8", "surrogatepass")
    digest = hashlib.blake2b(name, key=key, digest_size=_LENGTH // 2).hexdigest()
    return f"~{digest}{'+' if '+' in local[1:] else ''}"
