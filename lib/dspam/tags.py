"""The tag that identifies a message's signature when the message is forwarded: <!DSPAM:4F2A...>.

Mail clients drop headers when they forward, and change bodies: they wrap and quote lines, escape HTML, and re-encode. The tag
is found despite all of this.
"""

from __future__ import annotations

import contextlib
import re
import secrets
import time
from collections.abc import Iterator, Sequence
from typing import TypeVar
from urllib.parse import quote

import _charsets
import _mimetree
import mime

from .tokenizers import Limits

Text = TypeVar("Text", str, bytes)

LONGEST_ID = 64
_FIELD = "X-DSPAM-Signature"
_MOST_IDS = 1_000

# A line may end within a tag: a soft line break of quoted-printable, or a client's own with a quoting prefix, before which
# format=flowed (RFC 3676) leaves a blank.
_LINE_END = r"=\r?\n|[ \t]{0,2}+\r?\n[>|: \t]{0,16}+"
_BREAK = rf"(?:{_LINE_END})?+"
_NAME = _BREAK.join("DSPAM:")
_TAG = re.compile(
    rf"(?:<|&lt;|=3C)?+(?:!|=21)(?:--)?+[ ]?+{_BREAK}{_NAME}"
    rf"((?:[0-9A-Za-z,._]|{_LINE_END}){{1,160}}+)[ ]?+(?:--)?+{_BREAK}(?:>|&gt;|=3E|!)"
)
_TAG_BYTES = re.compile(_TAG.pattern.encode("ascii"))
_NOT_ID = re.compile(_LINE_END)
_BODY_END = re.compile(rb"</body\b", re.IGNORECASE)
_SEALED = frozenset({"multipart/signed", "multipart/encrypted", "application/pkcs7-mime", "application/x-pkcs7-mime"})


def create_signature_id() -> str:
    """A new id for a signature: letters and digits, unique across processes and nodes, and unpredictable."""
    return f"{time.time_ns() // 1_000_000:X}{secrets.token_hex(10).upper()}"


def extract_signature_tags(txt: Text) -> tuple[Text, list[str]]:
    """The text without its tags, and their ids in order; at most 1,000 are looked at.

    In a message tags are also found in text parts that are encoded in base64. What only looks like a tag (an id longer than
    64 characters) stays.
    """
    ids: list[str] = []
    if isinstance(txt, bytes):
        return _cut_message(txt, ids), ids
    if "base64" in txt.lower():
        # Text that is no message was no bytes either, and need not be encodable.
        with contextlib.suppress(UnicodeEncodeError):
            message = txt.encode("utf-8", "surrogateescape")
            return _cut_message(message, ids).decode("utf-8", "surrogateescape"), ids
    return _TAG.sub(lambda found: "" if _take(found[1], ids) else found[0], txt), ids


def _cut_message(message: bytes, ids: list[str]) -> bytes:
    pieces = []
    at = 0
    for part in _base64_texts(message):
        pieces.append(_cut(message[at : part.body], ids))
        before = len(ids)
        text = _cut(_mimetree.decode_transfer(part.content, "base64"), ids)
        if len(ids) == before:
            pieces.append(part.content)
        else:
            encoded = _mimetree.encode_transfer(text, "base64", part.line_end())
            pieces.append(encoded if part.content.endswith(b"\n") else encoded.rstrip(b"\r\n"))
        at = part.end
    return b"".join([*pieces, _cut(message[at:], ids)])


def _base64_texts(message: bytes) -> Iterator[_mimetree.Part]:
    if b"base64" not in message.lower():
        return
    for part in _mimetree.parse(message).walk():
        # What lies inside of an encoded message has a source of its own.
        is_text = not part.children and part.media_type.startswith("text/") and part.source is message
        if is_text and part.transfer_encoding == "base64":
            yield part


def _cut(text: bytes, ids: list[str]) -> bytes:
    return _TAG_BYTES.sub(lambda found: b"" if _take(found[1].decode("ascii"), ids) else found[0], text)


def without_tags(message: bytes) -> bytes:
    """The message without its tags and the field X-DSPAM-Signature; every other octet is as it was."""
    msg = mime.message_from_bytes(extract_signature_tags(message)[0])
    if _FIELD in msg:
        del msg[_FIELD]
    return msg.as_bytes()


def _take(found: str, ids: list[str]) -> bool:
    identifier = _NOT_ID.sub("", found)
    if not 0 < len(identifier) <= LONGEST_ID or len(ids) >= _MOST_IDS:
        return False
    ids.append(identifier)
    return True


def signature_ids(message: bytes, limits: Limits | None = None) -> list[str]:
    """The ids of all signatures in a message and in what is forwarded with it, each once, in order.

    Headers (X-DSPAM-Signature) and tags count; every part is decoded first, and read up to the limit.
    """
    ids: dict[str, None] = {}
    for text in _places(message, limits or Limits()):
        ids.update(dict.fromkeys(extract_signature_tags(text)[1]))
        if len(ids) >= _MOST_IDS:
            break
    return list(ids)[:_MOST_IDS]


_FORWARDED_FIELD = re.compile(
    rb"^[>| \t]*+X-DSPAM-Signature:[ \t]*+([0-9A-Za-z,._]{1,64})\s", re.IGNORECASE | re.MULTILINE
)


def _places(message: bytes, limits: Limits) -> Iterator[bytes]:
    """Texts that may hold tags; a header field is given as if it were one."""
    left = limits.max_text
    for part in _mimetree.parse(message).walk():
        yield _as_tags(part.values(b"x-dspam-signature")[:_MOST_IDS])
        if part.children or left <= 0 or not part.media_type.startswith(("text/", "message/")):
            continue
        content = _mimetree.decode_transfer(part.content[: left * 4], part.transfer_encoding)[:left]
        left -= len(content)
        yield content
        yield _as_tags(found[1] for found in _FORWARDED_FIELD.finditer(content))
        if b"\0" in content:  # UTF-16: tags are ASCII, so what is left without the zeros can be read
            yield content.replace(b"\0", b"")


def _as_tags(values: Sequence[bytes] | Iterator[bytes]) -> bytes:
    return b"".join(b"<!DSPAM:%b>" % value.strip() for value in values)


def add_signature_tag(
    msg: mime.MimeMessage, sigkey: str, prob: float | None = None, factors: Sequence[tuple[str, float]] | None = None
) -> None:
    """Tag a message: the field X-DSPAM-Signature, X-DSpam-Score and X-DSpam-Factors if given, and a tag in the body.

    Existing fields of these names are removed: the sender wrote them.

    The body's tag goes into the first HTML part, or the first text part if there is none, or behind the parts; what is
    signed or encrypted is left as it is. A base64 part stays one.
    """
    for forged in (_FIELD, "X-DSpam-Score", "X-DSpam-Factors"):
        if forged in msg:
            del msg[forged]
    msg[_FIELD] = sigkey
    if prob is not None:
        msg["X-DSpam-Score"] = f"{prob:.5f}"
    if factors is not None:
        lines = [f"{len(factors)}", *(f"{quote(name)[:200]},{value:.5f}" for name, value in factors)]
        msg["X-DSpam-Factors"] = "\n\t".join(lines)
    parts = list(_leaves(msg))
    if any(part.get_content_type() in _SEALED for part in [msg, *msg.walk()]):
        return
    by_type = [part.get_content_type() for part in parts]
    for wanted in ("text/html", "text/"):
        for part, kind in zip(parts, by_type, strict=True):
            if kind.startswith(wanted) and _tag_part(part, sigkey):
                return
    if msg.is_multipart():
        msg.epilogue = f"{msg.epilogue or ''}\n<!DSPAM:{sigkey}>\n"


def with_tag(message: bytes, sigkey: str) -> bytes:
    """The body of a message with the tag in its text, as add_signature_tag() puts it there; every other octet is as it was."""
    msg = mime.message_from_bytes(message)
    add_signature_tag(msg, sigkey)
    tagged = msg.as_bytes()
    return tagged[_mimetree.parse(tagged).body :]


def _leaves(msg: mime.MimeMessage) -> Iterator[mime.MimeMessage]:
    """The text parts of the message itself, without those of attached messages."""
    pending = [msg]
    while pending:
        part = pending.pop()
        if part.get_content_maintype() == "message":
            continue
        if not part.is_multipart():
            yield part
        else:
            pending.extend(reversed(part.get_payload()))


def _tag_part(part: mime.MimeMessage, sigkey: str) -> bool:
    """Insert the tag into one text part. Returns False if it would not be readable there."""
    charset = _charsets.known(part.get_content_charset("us-ascii")) or ""
    if charset.startswith(("utf_16", "utf16", "utf_32", "utf32", "ucs", "utf_7")) or "attachment" in str(
        part.get("Content-Disposition", "")
    ):
        return False
    encoding = str(part.get("Content-Transfer-Encoding", "7bit")).strip().lower()
    if encoding not in {"base64", "7bit", "8bit", "binary", "quoted-printable"}:
        return False
    content = part.get_payload(decode=True)
    raw = part.get_payload() if encoding == "quoted-printable" else None
    if isinstance(raw, str) and raw.isascii():
        content, encoding = raw.encode(), "7bit"  # the tag needs no encoding, and every other line stays as it came
    tagged = _insert(content if isinstance(content, bytes) else b"", sigkey, part.get_content_type() == "text/html")
    if encoding in {"base64", "quoted-printable"}:
        tagged = _mimetree.encode_transfer(tagged, encoding, b"\n")
    part.set_payload(tagged.decode("ascii", "surrogateescape"))
    return True


def _insert(content: bytes, sigkey: str, is_html: bool) -> bytes:
    """The tag on a line of its own at the end, in HTML within the body: clients drop what follows it."""
    end = b"\r\n" if b"\r\n" in content else b"\n"
    tag = end + b"<!DSPAM:%b>" % sigkey.encode("ascii", "replace") + end
    if is_html and (places := list(_BODY_END.finditer(content))):
        at = places[-1].start()
        return content[:at] + tag + content[at:]
    return content + (b"" if content.endswith(b"\n") else end) + tag


def convert_eol(txt: Text) -> Text:
    """The text with LF as line end, also of the last line, and without NUL."""
    if isinstance(txt, str):
        lines = txt.replace("\r\n", "\n").replace("\r", "\n").replace("\0", "")
        return lines if lines.endswith("\n") else lines + "\n"
    octets = txt.replace(b"\r\n", b"\n").replace(b"\r", b"\n").replace(b"\0", b"")
    return octets if octets.endswith(b"\n") else octets + b"\n"
