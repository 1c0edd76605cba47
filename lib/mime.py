"""MIME messages that can be inspected and changed part by part, with the names that pymilter's mime module has.

A `MimeMessage` is an `email.message.Message` that remembers the bytes it was read from.  `dump` writes those bytes; only
fields and bodies that were changed are written anew.  So line ends, folding, 8-bit text, broken boundaries, preambles
and missing line ends of everything else leave as they came.

Where this differs from pymilter 1.0.5 on purpose:
- `dump` and `as_bytes` keep line ends; text from `get_payload` has LF, as there.
- `check_html` leaves the transfer encoding as it is, works in every charset and never raises.
- `get_submsg` of a message/rfc822 is the message, not a list; one that is hidden in a base64 or quoted-printable body is
  found, and changes to it are written back in that encoding.
- `getnames` adds the names that other readers would see (RFC 2231 pieces, RFC 2047 words, duplicate parameters).
- Structure is read up to a limit; `defang` replaces what lies beyond it.
- `headerchange` hears of `replace_header` too.
- Nothing is printed.
"""

from __future__ import annotations

import email.errors
import socket
import zipfile
from collections.abc import Callable
from email.utils import quote
from io import BytesIO
from typing import Any, ClassVar

import _mimetree
from _filenames import opened_as
from _mimemessage import MimeGenerator, MimeMessage, StructureLimitDefect, message_from_bytes, message_from_file
from _mimemessage.names import zipnames
from _mimemessage.text import octets
from _mimetree import split_parameters as _parseparam  # noqa: F401  # pymilter's own tests call it
from _mimetree import unquote
from _sgmlfilter import HTMLScriptFilter, SGMLFilter, strip_scripts

__all__ = [
    "BytesIO",
    "HTMLScriptFilter",
    "MimeGenerator",
    "MimeMessage",
    "SGMLFilter",
    "StructureLimitDefect",
    "bad_extensions",
    "check_attachments",
    "check_ext",
    "check_html",
    "check_name",
    "defang",
    "extlist",
    "message_from_bytes",
    "message_from_file",
    "quote",
    "unquote",
    "virus_msg",
    "zipnames",
]

CONTINUE = 0  # SMFIS_CONTINUE, without loading libmilter for it

extlist = (
    "ade,adp,asd,asx,asp,bas,bat,chm,cmd,com,cpl,crt,dll,exe,hlp,hta,inf,ins,isp,js,jse,lnk,mdb,mde,msc,msi,msp,mst,ocx,"
    "pcd,pif,reg,scr,sct,shs,url,vb,vbe,vbs,wsc,wsf,wsh"
)
bad_extensions = ["." + extension for extension in extlist.split(",")]

# Other people's milters and tests compare with this text, so its words are part of the interface.
virus_msg = (
    "This message appeared to contain a virus.\n"
    "It was originally named '%s', and has been removed.\n"
    "A copy of your original message was saved as '%s:%s'.\n"
    "See your administrator.\n"
)


def check_ext(name: str | None) -> str | None:
    """The name if it, or what it is opened as, ends in one of `bad_extensions`, else None (a false value as it came)."""
    if not name:
        return name
    banned = tuple(bad_extensions)
    return name if any(form.lower().endswith(banned) for form in opened_as(name)) else None


def check_name(
    msg: MimeMessage,
    savname: str | None = None,
    ckname: Callable[[str], object] = check_ext,
    scan_zip: bool = False,
) -> int:
    """Replace this part by a warning if one of its names is dangerous.

    `ckname` returns a true value, the name to report, for a dangerous name; `savname` says where the original is kept.
    Returns the milter code CONTINUE.
    """
    if msg._name_readings()[1]:  # more names than are looked at
        _warn(msg, msg.getfilename(), savname)
        return CONTINUE
    try:
        for attribute, name in msg.getnames(scan_zip):
            if name and (bad := ckname(name)):
                _warn(msg, msg.getfilename() if attribute == "zipname" else bad, savname)
                break
    except zipfile.BadZipFile:
        _warn(msg, msg.getfilename(), savname)
    return CONTINUE


def _warn(msg: MimeMessage, name: object, savname: str | None) -> None:
    msg.set_payload(virus_msg % (name, socket.gethostname(), savname))
    for header in ("content-type", "content-disposition", "content-transfer-encoding"):
        del msg[header]
    msg["Content-Type"] = "text/plain; name=WARNING.TXT"


def check_html(msg: MimeMessage, savname: str | None = None) -> int:
    """Remove scripts from a text/html part; every other byte stays.  Returns the milter code CONTINUE."""
    if msg.get_content_type() != "text/html" or msg.is_multipart():
        return CONTINUE
    encoding = msg.getencoding() or "7bit"
    part = msg._part
    raw = part.content if part is not None and not msg._body_set else octets(str(msg._payload or ""))
    # Latin-1 gives each byte a character, and tags are in ASCII: nothing else can change.
    text = _mimetree.decode_transfer(raw, encoding).decode("latin-1")
    clean = strip_scripts(text)
    if clean != text:
        end = part.line_end() if part is not None else b"\n"
        encoded = _mimetree.encode_transfer(clean.encode("latin-1"), encoding, end)
        msg.set_payload(encoded.decode("ascii", "surrogateescape"))
    return CONTINUE


def check_attachments(msg: MimeMessage, check: Callable[[MimeMessage], int], lev: list[int] | None = None) -> int:
    """Call `check` for each part that has no parts itself, in order, until one returns something other than CONTINUE.

    `lev` is the number of `msg` among its siblings, for each level; it only serves callers that pass it.
    """
    pending: list[Any] = [msg]
    while pending:
        part = pending.pop()
        if part.is_multipart():
            pending.extend(reversed(part.get_payload()))
        elif (code := check(part)) != CONTINUE:
            return code
    return CONTINUE


class _defang:
    """Replace all attachments with dangerous names, and remove scripts."""

    unchecked: ClassVar[tuple[type[email.errors.MessageDefect], ...]] = (StructureLimitDefect,)

    def __init__(self, scan_html: bool = True) -> None:
        self.scan_html = scan_html

    def __call__(
        self,
        msg: MimeMessage,
        savname: str | None = None,
        check: Callable[[str], object] = check_ext,
        scan_rfc822: bool = True,
        scan_zip: bool = False,
    ) -> bool:
        """Returns whether the message was modified.

        `check` names what is dangerous, as in `check_name`; `scan_rfc822` goes into forwarded messages, `scan_zip` into
        archives.
        """
        pending = [msg]
        while pending:
            part = pending.pop()
            if any(isinstance(defect, self.unchecked) for defect in part.defects):
                _warn(part, part.getfilename(), savname)
            elif self._named_dangerously(part, check) or not part.is_multipart():
                check_name(part, savname, check, scan_zip)
                if self.scan_html:
                    check_html(part, savname)
            if part.get_content_maintype() != "message" or scan_rfc822:
                pending.extend(reversed(part.get_payload() if part.is_multipart() else ()))
            if scan_rfc822 and not part.is_multipart() and isinstance(inner := part.get_submsg(), MimeMessage):
                pending.append(inner)
        return msg.ismodified()

    @staticmethod
    def _named_dangerously(part: MimeMessage, check: Callable[[str], object]) -> bool:
        names, too_many = part._name_readings()
        return too_many or any(check(name) for name in names)


defang = _defang()
