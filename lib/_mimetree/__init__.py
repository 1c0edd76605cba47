"""MIME messages as mail programs read them: structure as slices of the bytes, values, names and transfer encodings."""

from __future__ import annotations

from _mimetree.names import decode_words, name_readings
from _mimetree.structure import (
    LIMIT_DEPTH,
    LIMIT_PARTS,
    NO_BOUNDARY,
    NO_END,
    NO_SEPARATOR,
    NO_START,
    Field,
    Part,
    TreeLimits,
    parse,
    read_header,
    splice,
)
from _mimetree.transfer import decode_transfer, encode_transfer, transfer_readings
from _mimetree.values import (
    header_text,
    media_type,
    parameter,
    parameters,
    split_parameters,
    transfer_encoding,
    unquote,
)

__all__ = [
    "LIMIT_DEPTH",
    "LIMIT_PARTS",
    "NO_BOUNDARY",
    "NO_END",
    "NO_SEPARATOR",
    "NO_START",
    "Field",
    "Part",
    "TreeLimits",
    "decode_transfer",
    "decode_words",
    "encode_transfer",
    "header_text",
    "media_type",
    "name_readings",
    "parameter",
    "parameters",
    "parse",
    "read_header",
    "splice",
    "split_parameters",
    "transfer_encoding",
    "transfer_readings",
    "unquote",
]
