"""The constant part of envelope senders that vary from message to message."""

from __future__ import annotations

import re

# BATV (draft-levine-smtp-batv-01: prvs=TAG=local), its older prvs=local/TAG, and Barracuda's btv1==TAG==local.
_BATV = re.compile(r"(?:prvs=[^=/]*=(?P<local>.+)|prvs=(?P<older>[^/]+)/[^/]*|btv1==[^=]*==(?P<btv1>.+))", re.ASCII)
# SRS0=HASH=TIMESTAMP=domain=local and SRS1=HASH=forwarder==HASH=TIMESTAMP=domain=local; + and - may follow SRS0 or
# SRS1.
_SRS0 = re.compile(r"srs0[=+-][^=]+=[^=]+=(?P<domain>[^=]*)=(?P<local>.+)")
_SRS1 = re.compile(r"srs1[=+-][^=]+=[^=]+=(?P<srs0>[=+-][^=]+=[^=]+=.+)")
_SES = re.compile(r"ses=(?:[^=]*=)+(?P<local>.+)")
_WORD = re.compile(r"[a-z0-9]+")
# Text between two numbered words, or after one, that may be part of the same hexadecimal number.
_SERIES = re.compile(r"#(?:[^a-z0-9#]+(?:#|[a-f]+(?![a-z0-9])))+")
_MOST_LAYERS = 4


def stable_sender(address: str) -> str:
    """The address in lower case, without the parts that a sender changes from message to message.

    BATV, SRS and SES are unwrapped; a "+" and the text after it are removed; words with digits (VERP, serial numbers)
    become "#". The null sender stays "". The result is only for comparison and is not a valid address.
    """
    local, at, domain = address.lower().rpartition("@")
    if not at:
        local, domain = domain, ""
    local = local.strip('"')
    for _ in range(_MOST_LAYERS):
        inner = _taken_off(local)
        if inner == local:
            break
        local = inner
    plain = local.partition("+")[0] or local
    return f"{_SERIES.sub('#', _WORD.sub(_unnumbered, plain))}{at}{domain}"


def _unnumbered(word: re.Match[str]) -> str:
    return word[0] if word[0].isalpha() else "#"


def _taken_off(local: str) -> str:
    """The local part without its outermost wrapping."""
    if found := _BATV.fullmatch(local):
        return found["local"] or found["older"] or found["btv1"]
    if found := _SRS0.fullmatch(local):
        return f"{found['local']}/{found['domain']}" if found["domain"] else found["local"]
    if found := _SRS1.fullmatch(local):
        return f"srs0{found['srs0']}"
    if found := _SES.fullmatch(local):
        return found["local"]
    return local
