"""Charsets as mail programs read them: labels mean what the WHATWG Encoding Standard says.

Senders write "gb2312" and mean GBK, "iso-8859-1" and mean windows-1252, "shift_jis" and mean Microsoft's; mail programs read
them so.  Two groups of labels go beyond the standard, because mail programs read them too: those that it calls "replacement"
(iso-2022-kr, hz-gb-2312) and those that only Python has (utf-7, cp437).

Nothing raises.  Only known names are ever looked up: for any other, Python would search its folders, and remember for ever that
there was nothing.
"""

from __future__ import annotations

import codecs
import re
from encodings.aliases import aliases
from functools import lru_cache

import webencodings
from webencodings.labels import LABELS

# Python lists these among its charsets, and they are none, or belong to another system.
_NO_CHARSETS = {
    *("base64_codec", "bz2_codec", "hex_codec", "quopri_codec", "rot_13", "uu_codec", "zlib_codec"),
    *("mbcs", "oem", "x_mac_japanese", "x_mac_korean", "x_mac_simp_chinese", "x_mac_trad_chinese"),
}
_OF_PYTHON = {alias: name for alias, name in aliases.items() if name not in _NO_CHARSETS} | {
    name: name for name in aliases.values() if name not in _NO_CHARSETS
}
# What Python's stricter codecs mean in mail (WHATWG Encoding Standard, section 4.2: their names are labels of wider ones).
_WIDER = {
    "ascii": "cp1252",
    "latin_1": "cp1252",
    "iso8859_9": "cp1254",
    "iso8859_11": "cp874",
    "tis_620": "cp874",
    "gb2312": "gb18030",
    "gbk": "gb18030",
    "shift_jis": "cp932",
    "euc_kr": "cp949",
    "big5": "big5hkscs",
}
# Where the first codec lacks what the standard's has (NEC's circled numbers, half-width katakana), the second has it.
_NEXT = {"euc_jp": "euc_jis_2004", "big5hkscs": "cp950"}
_MARKS = ((codecs.BOM_UTF8, "utf_8"), (codecs.BOM_UTF16_BE, "utf_16_be"), (codecs.BOM_UTF16_LE, "utf_16_le"))
# Who writes one of these says only that he did not think about charsets: his mail may well be UTF-8.
_NO_CLAIM = re.compile(r"(?:us-?)?ascii|ansi_x3\.4-19(?:68|86)|unknown-?8bit|x-unknown|7bit|8bit|binary", re.IGNORECASE)
# Charsets in which octets below 128 may mean something else than ASCII, as `known` names them.
_SHIFTED = re.compile(r"utf_7|utf_16|utf_32|iso2022|hz|cp037|cp1026|cp1140|cp273|cp424|cp500")


@lru_cache(maxsize=1024)
def known(label: str) -> str | None:
    """The name of the Python codec that reads what mail calls `label`; None for what is no charset."""
    if len(label) > 80 or not label.isascii():
        return None
    label = label.strip("\t\n\f\r \"'").lower()
    if LABELS.get(label, "replacement") != "replacement":
        found = webencodings.lookup(label)
        name = found.codec_info.name if found is not None else ""
    else:
        name = re.sub(r"[^a-z0-9]+", "_", label)
    name = re.sub(r"[^a-z0-9]+", "_", name.lower())
    name = _OF_PYTHON.get(name, name)
    name = _WIDER.get(name, name)
    return name if name in _KNOWN else None


_KNOWN = frozenset(_OF_PYTHON.values()) | {
    "koi8_u",
    "cp874",
    "mac_cyrillic",
    "iso8859_8",
    "cp720",
    "cp737",
    "cp856",
    "cp1006",
}


def shifted(label: str | None) -> bool:
    """Whether octets below 128 may mean something else than ASCII under this label."""
    return _SHIFTED.match(known(label or "") or "") is not None


def decode(raw: bytes, label: str | None) -> str:
    """The text as a mail program shows it.

    A byte order mark decides before the label does.  A label that fits is believed.  Where it does not fit, the text is read as
    UTF-8 if it is that; otherwise octets for which the label has no character become U+FFFD.  Without a label (or with one that
    is unknown, or only says "ascii") text is UTF-8, else windows-1252.
    """
    for mark, marked in _MARKS:
        if raw.startswith(mark):
            return raw[len(mark) :].decode(marked, "replace")
    name = known(label) if label and not _NO_CLAIM.fullmatch(label.strip()) else None
    if raw.isascii() and not (name and _SHIFTED.match(name)):
        return raw.decode("ascii")
    if name == "iso2022_jp":
        raw, name = _without_escapes(raw), "euc_jp"
    for codec in (name, _NEXT.get(name or ""), "utf_8"):
        text = _strictly(raw, codec) if codec else None
        if text is not None:
            return text
    return _leniently(raw, name or "cp1252")


_ESCAPE = re.compile(rb"\x1b([$(](?:\(D|[@BJI]))")
_HIGH_PAIR, _KATAKANA = re.compile(rb"[\xa1-\xfe]{2}"), re.compile(rb"[!-_]")
_HIGH = bytes(octet | 0x80 if 0x21 <= octet <= 0x7E else octet for octet in range(256))


def _without_escapes(raw: bytes) -> bytes:
    """ISO-2022-JP as EUC-JP, whose codecs know more characters: the standard decodes both with the same tables."""
    first, *pieces = _ESCAPE.split(raw)
    out = [first]
    for escape, piece in zip(pieces[::2], pieces[1::2], strict=True):
        if escape.startswith(b"$"):
            piece = piece.translate(_HIGH)
            out.append(_HIGH_PAIR.sub(lambda pair: b"\x8f" + pair[0], piece) if escape == b"$(D" else piece)
        elif escape == b"(I":
            out.append(_KATAKANA.sub(lambda one: b"\x8e" + one[0].translate(_HIGH), piece))
        else:
            out.append(piece)
    return b"".join(out)


def _strictly(raw: bytes, codec: str) -> str | None:
    """None if the octets are not of this charset."""
    table = _table(codec)
    try:
        if table is not None:
            return codecs.charmap_decode(raw, "strict", table)[0]
        if codec == "utf_8":  # who reads only the beginning may have cut the last character
            text, end = codecs.utf_8_decode(raw, "strict", False)
            return text if end == len(raw) else text + "\ufffd"
        text = raw.decode(codec)
    except (UnicodeError, LookupError, ValueError):
        return None
    # UTF-7 can spell lone surrogates, which nobody could write out again.
    return text.encode("utf-8", "surrogatepass").decode("utf-8", "replace") if codec == "utf_7" else text


def _leniently(raw: bytes, codec: str) -> str:
    """With U+FFFD for what is not of this charset."""
    table = _table(codec)
    if table is not None:
        return codecs.charmap_decode(raw, "replace", table)[0]
    try:
        return raw.decode(codec, "replace").encode("utf-8", "surrogatepass").decode("utf-8", "replace")
    except (UnicodeError, LookupError, ValueError):
        return raw.decode("utf-8", "replace")


_SINGLE = re.compile(r"cp(?!932|949|950)\d+|iso8859_\d+|koi8_[ru]|mac_[a-z0-9]+|latin_1|kz1048|ptcp154|hp_roman8")


@lru_cache(maxsize=128)
def _table(codec: str) -> str | None:
    """The characters of a charset of single octets, None for others.

    The standard has no gaps between 0x80 and 0x9F: octets that Microsoft left free there are control characters.
    """
    if not _SINGLE.fullmatch(codec):
        return None
    characters = []
    for octet in range(256):
        try:
            characters.append(bytes([octet]).decode(codec))
        except UnicodeError:
            characters.append(chr(octet) if 0x80 <= octet <= 0x9F else "\ufffe")
    return "".join(characters)
