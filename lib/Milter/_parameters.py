"""ESMTP parameters of MAIL and RCPT, and masks of bits in words."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from typing import Any

import milter


def dictfromlist(args: Iterable[str]) -> dict[str, str]:
    """Return the ESMTP parameters that have a value, by upper-case name.

    >>> dictfromlist(['SIZE=1000', 'body=8BITMIME', 'SMTPUTF8'])
    {'SIZE': '1000', 'BODY': '8BITMIME'}
    """
    return {key: value for key, value in map(_parameter, args) if key and value is not None}


def param2dict(str: str | Iterable[str]) -> dict[str, str | None]:
    """Return the ESMTP parameters by upper-case name; those without a value give None.

    >>> param2dict(['SIZE=1000', 'SMTPUTF8'])
    {'SIZE': '1000', 'SMTPUTF8': None}
    """
    words = str.split() if hasattr(str, "split") else str
    return dict(_parameter(word) for word in words)


def envcallback(c: Callable[..., Any], args: Sequence[str]) -> Any:
    """Call ``c`` with the ESMTP parameters that have a value as keyword arguments, the others as they are.

    >>> envcallback(lambda *pos, **named: (pos, named), ['<joe@example.com>', 'SIZE=1000', 'SMTPUTF8'])
    (('<joe@example.com>', 'SMTPUTF8'), {'SIZE': '1000'})
    """
    positional: list[str] = list(args[:1])  # the address may itself contain "="
    named: dict[str, Any] = {}
    for word in args[1:]:
        key, value = _parameter(word)
        if value is None or not key:  # "=x" names nothing
            positional.append(word)
        else:
            named[key] = value
    return c(*positional, **named)


def decode_mask(bits: int, names: Iterable[str]) -> list[str]:
    """Return those ``names`` of constants of :mod:`milter` whose bits are set in ``bits``, and the rest as hex.

    >>> decode_mask(0x43, ['ADDHDRS', 'CHGBODY', 'ADDRCPT'])
    ['ADDHDRS', 'CHGBODY', '0x40']
    """
    found = []
    rest = bits
    for name in names:
        value = getattr(milter, name)
        if bits & value:
            found.append(name)
            rest &= ~value
    if rest:
        found.append(hex(rest))
    return found


def _parameter(word: Any) -> tuple[str, Any]:
    """Split one ESMTP parameter; a milter that asked for bytes gets its value as bytes, under a str name."""
    if isinstance(word, bytes):
        key, equals, value = word.partition(b"=")
        return key.decode("utf-8", "surrogateescape").upper(), value if equals else None
    key, equals, value = word.partition("=")
    return key.upper(), value if equals else None
