"""Mail that a client put into the text of another mail to forward it: found, and made a message again.

    ---------- Forwarded message ---------        a marker, in many wordings, or none (Outlook)
    From: Ann <ann@example.org>                   the block: labels in the language of the client
    Date: Mon, 3 Feb 2025 at 10:11
    Subject: hello

    Hello,                                        the body, up to the end of the text

All of it may be quoted with "> ", or be HTML. What the user wrote above is his and no part of it. Everything after a block
belongs to what is forwarded, other blocks too (a forward of a forward), unless it can be seen where it ends: at an end marker,
as mutt writes it, where quoting ends, or at our own tag.

Linear in the length of the text, never raises.
"""

from __future__ import annotations

import base64
import re
import unicodedata
from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from typing import NamedTuple

from dspam import html
from dspam.tags import LONGEST_ID, extract_signature_tags

MAX_LINES = 50_000  # of a text: nobody forwards below more
_MAX_BLOCK = 200  # lines of a block: "all headers" are some eighty
_SHORT = 12
_MAX_VALUE = 1_000
_MAX_ADDRESSES = 50
_MAX_MARKER = 200
_WRAPS_AT = 60  # a shorter line was not wrapped by a client
_BLANKS_ALLOWED = 3  # between a marker and its block

_FROM, _DATE, _TO, _CC, _SUBJECT, _REPLY = "From", "Date", "To", "Cc", "Subject", "Reply-To"
# The labels of clients, a row a language, in small letters; "_" stands for a blank.
_LANGUAGES = (
    # From, Date, To, Cc, Subject, Reply-To
    ("from", "sent date sent_on", "to", "cc", "subject", "reply-to"),
    ("von absender", "gesendet gesendet_am datum", "an empfänger", "cc kopie", "betreff", "antwort_an"),
    ("de expéditeur", "envoyé envoyé_le date", "à a destinataire", "cc copie copie_à", "objet sujet", "répondre_à"),
    ("de remitente", "enviado enviado_el fecha", "para destinatario", "cc copia", "asunto", "responder_a"),
    ("da mittente", "inviato data_invio data", "a per destinatario", "cc copia", "oggetto", "rispondi_a"),
    ("van afzender", "verzonden verzonden_op datum", "aan ontvanger", "cc kopie", "onderwerp", "antwoord_aan"),
    ("de remetente", "enviada enviado enviada_em enviado_em data", "para", "cc", "assunto", "responder_para"),
    ("od nadawca", "wysłano wysłane data", "do adresat", "dw kopia", "temat", "odpowiedź_do"),
    ("från avsändare", "skickat datum", "till mottagare", "kopia", "ämne", "svara_till"),
    ("fra afsender", "sendt dato", "til modtager", "cc kopi", "emne", "svar_til"),
    ("fra avsender", "sendt dato", "til mottaker", "kopi", "emne", "svar_til"),
    ("lähettäjä", "lähetetty päivämäärä päiväys pvm", "vastaanottaja", "kopio", "aihe", "vastausosoite"),
    ("от от_кого отправитель", "отправлено дата дата_отправки", "кому", "копия", "тема", "ответить"),
    ("від", "надіслано дата", "кому", "копія", "тема", "відповісти"),
    ("od", "odesláno datum", "komu", "kopie", "předmět", "odpověď_komu"),
    ("feladó", "elküldve dátum", "címzett", "másolatot_kap", "tárgy", "válaszcím"),
    ("kimden gönderen", "gönderildi tarih", "kime", "bilgi", "konu", "yanıt"),
    ("差出人 送信者 送信元", "送信日時 送信日 日時 日付", "宛先", "cc", "件名 題名", "返信先"),
    ("发件人 发信人", "发送时间 发送日期 发件时间 时间 日期", "收件人", "抄送", "主题", "回复"),
    ("寄件者 寄件人", "寄件日期 傳送時間 傳送日期 日期", "收件者 收件人", "副本", "主旨 主題", "回覆"),
    ("보낸_사람 보낸사람", "보낸_날짜 보낸날짜 날짜", "받는_사람 받는사람", "참조", "제목", "회신"),
)
_LABELS = {
    label.replace("_", " "): name
    for row in _LANGUAGES
    for name, labels in zip((_FROM, _DATE, _TO, _CC, _SUBJECT, _REPLY), row, strict=True)
    for label in labels.split()
}
_FORWARD_WORDS = re.compile(
    r"forward|weitergeleitet|transfér|réexpédi|reenvia|inoltrat|doorgestuurd|encaminhad|reencaminhad|przekaz"
    r"|przesłan|vidarebefordra|videresend|välitet|edelleen|пересл|пересыл|переадрес|перенаправ|転送|转发|轉寄|轉發|přeposlan"
    r"|iletilen|전달",
    re.IGNORECASE,
)
_MESSAGE_WORDS = re.compile(
    r"message|nachricht|mensaje|messaggio|bericht|mensagem|wiadomo|meddel|melding|besked|viesti|сообщени|письм|メッセージ|邮件|郵件|mail",
    re.IGNORECASE,
)
_END_WORDS = re.compile(r"(?:end|ende|fin|fine|final|einde|fim|koniec|slut|slutt|loppu|конец)\b", re.IGNORECASE)
_NAMES_AUTHOR = re.compile(r"@|\b(?:from|von|de|da|van|od|från|fra|от)\b", re.IGNORECASE)
_FORWARD_PREFIX = re.compile(r"\s*(?:fwd?|wg|tr|rv|enc|i|vb|pd|vl|転送|转发|轉寄)\s*[:：]", re.IGNORECASE)
_REPLY_PREFIX = re.compile(
    r"\s*(?:re|aw|antw?|sv|odp|rif|res|ynt|回复|答复|返信)\s*(?:\[\d{1,3}\])?\s*[:：]", re.IGNORECASE
)

_QUOTE = re.compile(r"(?:[ \t\xa0]{0,3}+>)*+[ \t\xa0]?+")
_LABEL = re.compile(r"[*_ \t\xa0]{0,8}+([^\W\d_][^:：*<>@]{0,30}?)[*_ \t\xa0]{0,4}[:：][*_ \t\xa0]*+(.*)", re.DOTALL)
_FIELD = re.compile(r"[A-Za-z][A-Za-z0-9-]{0,60}+:(?:[ \t]|\Z)")
_ID = re.compile(rf"[0-9A-Za-z,._]{{1,{LONGEST_ID}}}+(?![0-9A-Za-z,._])")
_SIGNATURE_FIELD = "x-dspam-signature"

_MARKUP = re.compile(r"<(?:!--|(/?)([A-Za-z][A-Za-z0-9:]*+)[^<>]*+>|[!?/][^<>]*+>)")
_BLOCKS = (
    "address article blockquote body center dd div dl dt fieldset footer form h1 h2 h3 h4 h5 h6 header hr html li ol p pre"
    " section table tbody thead tr ul"
)
_BREAKING = frozenset(_BLOCKS.split())
_UNREAD = frozenset({"style", "script", "title"})


class Line(NamedTuple):
    """One line as a reader sees it: its text without quoting marks, how deep it is quoted, where in the source it stands."""

    text: str
    level: int
    start: int
    end: int

    @property
    def blank(self) -> bool:
        return not self.text or self.text.isspace()


@dataclass(frozen=True, slots=True)
class Inline:
    """One forwarded message.

    fields      From, To, Cc, Reply-To, Subject, Date as far as the block has them, as text
    body        the text or the HTML after the block
    signatures  ids that came with it, the likeliest first: of a field in the block, then those of tags from the last to the
                first, because the tag of a message stands behind all that the message quotes
    explicit    whether the client wrote that this is forwarded, and not only what a reply has too
    """

    fields: dict[str, str]
    body: str
    is_html: bool
    signatures: tuple[str, ...]
    explicit: bool


@dataclass(slots=True)
class _Block:
    """Where a forward begins (its marker or its first label), where its body begins, and what stands between."""

    start: int
    body: int
    level: int
    fields: dict[str, str] = field(default_factory=dict)
    named: list[str] = field(default_factory=list)
    explicit: bool = False
    enough: bool = False  # labels to be one
    has_end: bool = False  # mutt writes an end marker after this one
    end: int | None = None


def lines_of(source: str, is_html: bool) -> list[Line]:
    """The lines of a text, or of an HTML document as it is shown; at most MAX_LINES, the rest of the source in the last."""
    return list(_html_lines(source) if is_html else _plain_lines(source))


def _line(text: str, start: int, end: int) -> Line:
    quoted = _QUOTE.match(text)
    marks = quoted[0] if quoted else ""
    return Line(text[len(marks) :] if ">" in marks else text, marks.count(">"), start, end)


def _plain_lines(source: str) -> Iterator[Line]:
    at = 0
    for piece in source.split("\n", MAX_LINES - 1):
        end = at + len(piece) + 1
        yield _line(piece.rstrip("\r"), at, min(end, len(source)))
        at = end


def _html_lines(source: str) -> Iterator[Line]:
    """A line ends at <br> and where a block element begins or ends; two of those in a row make no empty line."""
    pieces: list[str] = []
    start = at = count = 0
    while count < MAX_LINES - 1 and (found := _MARKUP.search(source, at)):
        pieces.append(source[at : found.start()])
        name = (found[2] or "").lower()
        at = _after(source, found, name)
        if name == "br" or (name in _BREAKING and any(piece and not piece.isspace() for piece in pieces)):
            yield _line(_shown(pieces), start, at)
            pieces, start, count = [], at, count + 1
        elif name in {"td", "th"}:
            pieces.append(" ")
        elif name in _BREAKING:
            pieces = []  # nothing but blanks; a later block must not look at them again
    pieces.append(source[at:])
    yield _line(_shown(pieces), start, len(source))


def _after(source: str, found: re.Match[str], name: str) -> int:
    """Where reading goes on after this markup. What has no end reaches to the end, so that it is looked for once."""
    if found[0] == "<!--":
        end = source.find("-->", found.end())
        return end + 3 if end >= 0 else len(source)
    if name in _UNREAD and not found[1]:
        close = re.compile(f"</{name}", re.IGNORECASE).search(source, found.end())
        return close.start() if close else len(source)
    return found.end()


def _shown(pieces: list[str]) -> str:
    return " ".join(html.unescape("".join(pieces)).split())


def find(source: str, is_html: bool) -> list[Inline]:
    """The messages that are forwarded in a text, outermost ones only."""
    lines = lines_of(source, is_html)
    blocks = _Cutter(source, lines, is_html).cut()
    found = [_inline(source, lines, block, is_html) for block in blocks]
    if len(found) == 1 and blocks[0].end is not None:
        # What is forwarded may contain what looks like its end, with our tag behind it.
        rest = _tags(source[lines[blocks[0].end].start :], is_html)[::-1]
        found[0] = replace(found[0], signatures=tuple(dict.fromkeys([*found[0].signatures, *rest])))
    return found


def signatures(source: str, is_html: bool) -> tuple[str, ...]:
    """The ids in a text, the likeliest first: of quoted X-DSPAM-Signature fields, then of tags from the last to the first."""
    named = [found for line in lines_of(source, is_html) if (found := _named(line.text))]
    return tuple(dict.fromkeys(named + _tags(source, is_html)[::-1]))


def is_forward(subject: str) -> bool:
    """Whether a client wrote this subject for a forward: "Fwd: hello", "WG: hello"."""
    return _FORWARD_PREFIX.match(subject) is not None


def is_reply(subject: str) -> bool:
    """Whether a client wrote this subject for a reply: "Re: hello", "AW: hello"."""
    return _REPLY_PREFIX.match(subject) is not None


def _tags(source: str, is_html: bool) -> list[str]:
    ids = extract_signature_tags(source)[1]
    if "\0" in source:  # UTF-16 that did not say so
        ids += extract_signature_tags(source.replace("\0", ""))[1]
    if is_html and "&" in source:  # escaped in a way of its own (&#60;), or twice
        ids += extract_signature_tags(html.unescape(source))[1]
    return ids


def _named(text: str) -> str | None:
    found = _LABEL.match(text)
    if found and found[1].lower() == _SIGNATURE_FIELD and (value := _ID.match(found[2])):
        return value[0]
    return None


# --- where forwards begin and end ---


class _Cutter:
    """Walks down the lines, and keeps in mind which forward is open and what is open within it."""

    def __init__(self, source: str, lines: list[Line], is_html: bool) -> None:
        self.source = source
        self.lines = lines
        self.is_html = is_html
        self.found: list[_Block] = []
        self.open: _Block | None = None
        self.inner = 0  # forwards with an end marker that are open within it
        self.blocks = 0  # all blocks within it
        self.tags: set[str] = set()  # in it so far
        self.read_to = 0  # in the source: where tags were looked for

    def cut(self) -> list[_Block]:
        """The blocks that are not within the body of another one, each with its end."""
        marker: tuple[int, str] | None = None
        at = 0
        while at < len(self.lines):
            line = self.lines[at]
            if self.open and _quoting_ends(self.lines, at, self.open.level):
                self.close(at)
            kind = _marker(line.text)
            if kind == "end":
                self.end_marker(at)
                marker = None
            elif kind:
                marker = (at, line.text)
            elif block := _read_block(self.lines, at, self.is_html, marker):
                if block.enough:
                    self.begin(block)
                    marker, at = None, block.body
                else:  # looked at again from its next line, unless it is so long that this takes much time
                    at += 1 if block.body - at <= _SHORT else block.body - at
                continue
            elif marker and not line.blank:
                marker = None
            at += 1
        return self.found

    def close(self, at: int) -> None:
        if self.open:
            self.open.end, self.open = at, None

    def end_marker(self, at: int) -> None:
        if self.inner:
            self.inner -= 1
        elif self.open and self.open.has_end:
            self.close(at)

    def begin(self, block: _Block) -> None:
        if self.open and self.is_complete(block):
            self.close(self.behind_tag(block.start, self.open.body))
        if self.open:
            self.inner += block.has_end
            self.blocks += 1
            return
        self.found.append(block)
        self.open, self.inner, self.blocks, self.tags = block, 0, 0, set()
        self.read_to = self.offset(block.body)

    def is_complete(self, following: _Block) -> bool:
        """Whether the forward that is open ended before the following block: our tag is the last of a message, so there are
        more of them than messages within it."""
        at = self.offset(following.start)
        self.tags.update(_tags(self.source[self.read_to : at], self.is_html))
        self.read_to = max(self.read_to, at)
        return len(self.tags) > self.blocks

    def behind_tag(self, at: int, lowest: int) -> int:
        """The line after the last one with a tag before a line: what stands between is the user's."""
        for number in range(at - 1, lowest - 1, -1):
            if "DSPAM:" in self.source[self.lines[number].start : self.lines[number].end]:
                return number + 1
        return at

    def offset(self, number: int) -> int:
        return self.lines[number].start if number < len(self.lines) else len(self.source)


def _quoting_ends(lines: list[Line], at: int, level: int) -> bool:
    """Whether the author speaks again himself. A line that goes on where a quoted one ends was only wrapped."""
    return lines[at].level < level and not lines[at].blank and at > 0 and lines[at - 1].blank


def _marker(text: str) -> str | None:
    """ "end", "forward", or "other" (words between dashes) for a line that may stand above a block."""
    if len(text) > _MAX_MARKER:
        return None
    words = text.strip(" \t\xa0*_")
    if words[:2] in {"--", "==", "—-", "——"} and words[-1:] in {"-", "=", "—"}:
        words = words.strip("-=— \t\xa0")
        if not words:
            return None
        if _END_WORDS.match(words) and (_FORWARD_WORDS.search(words) or _MESSAGE_WORDS.search(words)):
            return "end"
        return "forward" if _FORWARD_WORDS.search(words) else "other"
    return "forward" if words[-1:] in {":", "："} and _FORWARD_WORDS.search(words) else None


def _read_block(lines: list[Line], at: int, is_html: bool, marker: tuple[int, str] | None) -> _Block | None:
    """The block that begins at a line, None where none does. A marker makes up for one label, and lets any field be first."""
    if marker and at - marker[0] > _BLANKS_ALLOWED + 1:
        marker = None
    label = _label(lines[at].text)
    if label is None or not (label[0] or marker):
        return None
    block = _Block(marker[0] if marker else at, at, lines[at].level)
    _read_labels(lines, at, is_html, block)
    others = len(block.fields.keys() & {_DATE, _TO, _SUBJECT})
    block.enough = _FROM in block.fields and others >= (1 if marker else 2)
    while block.enough and block.body < len(lines) and lines[block.body].blank:
        block.body += 1
    if marker:
        block.explicit = _marker(marker[1]) == "forward"
        block.has_end = _NAMES_AUTHOR.search(marker[1]) is not None
    return block


def _read_labels(lines: list[Line], at: int, is_html: bool, block: _Block) -> None:
    last: str | None = None  # the field that a wrapped line continues; "" for one that does not matter
    for position in range(at, min(len(lines), at + _MAX_BLOCK)):
        line = lines[position]
        if line.blank:
            if not _goes_on(lines, position + 1, block):
                return
            continue
        if line.level != block.level:
            return
        label = _label(line.text)
        if label and label[0]:
            last, value = label
            if last in block.fields:
                return
            block.fields[last] = value
        elif label:
            last = ""
            if named := _named(line.text):
                block.named.append(named)
            elif is_html:
                continue  # belongs to the block if another label follows
        elif last is not None and _continues(lines[position - 1], line, block.fields.get(last, "-"), is_html):
            if last:
                block.fields[last] = f"{block.fields[last]} {line.text.strip()}"[:_MAX_VALUE]
        else:
            return
        block.body = position + 1


def _goes_on(lines: list[Line], at: int, block: _Block) -> bool:
    """Whether a block goes on after an empty line: some clients write one after each label."""
    label = _label(lines[at].text) if at < len(lines) and lines[at].level == block.level else None
    return bool(label and label[0] and label[0] not in block.fields)


def _continues(previous: Line, line: Line, value: str, is_html: bool) -> bool:
    """Whether a line without a label is the rest of the one before: wrapped, folded, or a value below its label."""
    if not value:
        return True
    if is_html:
        return False
    before = previous.text.rstrip()
    return (
        line.text[:1] in {" ", "\t"}
        or before.endswith(",")
        or len(before) + len(line.text.split(None, 1)[0]) > _WRAPS_AT
    )


def _label(text: str) -> tuple[str, str] | None:
    """The field that a line's label means ("" for a field that no reader needs) and the value; None for other lines."""
    found = _LABEL.match(text)
    if not found:
        return None
    label = " ".join(unicodedata.normalize("NFC", found[1]).lower().split())
    value = found[2].strip(" \t\r\xa0*_")[:_MAX_VALUE]
    if known := _LABELS.get(label):
        return known, value
    return ("", value) if _FIELD.match(text) else None


def _inline(source: str, lines: list[Line], block: _Block, is_html: bool) -> Inline:
    stop = len(lines) if block.end is None else block.end
    start = lines[block.start].start
    end = lines[stop].start if stop < len(lines) else len(source)
    body_at = lines[block.body].start if block.body < stop else end
    if is_html:
        body = source[body_at:end]
    else:
        within = lines[block.body : stop]
        level = min((line.level for line in within if not line.blank), default=0)  # some clients quote the body alone
        body = "\n".join(_unquoted(source[line.start : line.end], max(level, block.level)) for line in within)
    quoted = [found for line in lines[block.body : stop] if (found := _named(line.text))]
    ids = dict.fromkeys(block.named + _tags(source[start:end], is_html)[::-1] + quoted)
    return Inline(block.fields, extract_signature_tags(body)[0], is_html, tuple(ids), block.explicit)


_ONE_QUOTE = re.compile(r"[ \t\xa0]{0,3}+>")


def _unquoted(text: str, level: int) -> str:
    """A line without `level` quoting marks and the blank after them; deeper ones were in the message itself."""
    at = 0
    for _ in range(level):
        if not (found := _ONE_QUOTE.match(text, at)):
            break
        at = found.end()
    if at and text[at : at + 1] == " ":
        at += 1
    return text[at:].rstrip("\r\n")


# --- a message again ---

_ADDRESS = re.compile(r"[A-Za-z0-9.!#$%&'*+/=?^_`{|}~-]{1,64}@[A-Za-z0-9-]{1,63}(?:\.[A-Za-z0-9-]{1,63}){0,10}")
_NOT_NAME = " \t\xa0<>[](){};,:*\"'"
_CONTROL = re.compile(r"[\x00-\x1f\x7f-\x9f\u2028\u2029\ud800-\udfff]+")
_LINE_END = re.compile(r"\r\n?|\n")
_WORD_OCTETS = 39  # of an encoded word: RFC 2047 section 2 allows 75 characters


def rebuild(forwarded: Inline) -> bytes:
    """The message as far as it can be known: its fields, and its text or HTML in UTF-8, with CRLF."""
    lines = []
    for name in (_FROM, _REPLY, _TO, _CC, _SUBJECT, _DATE):
        value = _CONTROL.sub(" ", forwarded.fields.get(name, ""))[:_MAX_VALUE].strip()
        if value and name in {_FROM, _REPLY, _TO, _CC}:
            value = _addresses(value)
        elif value:
            value = _encoded(value)
        if value:
            lines.append(f"{name}: {value}")
    kind = "html" if forwarded.is_html else "plain"
    lines += [
        "MIME-Version: 1.0",
        f"Content-Type: text/{kind}; charset=utf-8",
        "Content-Transfer-Encoding: 8bit",
        "",
        "",
    ]
    body = _LINE_END.sub("\r\n", forwarded.body.replace("\0", "").strip("\r\n"))
    return ("\r\n".join(lines) + body + "\r\n").encode("utf-8", "replace")


def _addresses(value: str) -> str:
    """The mailboxes in what a client wrote: `Ann <ann@example.org>`, `Ann [mailto:ann@example.org]`, `Doe, Ann`."""
    found: dict[str, str] = {}
    at = 0
    for match in _ADDRESS.finditer(value):
        name = value[at : match.start()].removesuffix("mailto:").strip(_NOT_NAME)
        at = match.end()
        if match[0].lower() not in found and len(found) < _MAX_ADDRESSES:
            found[match[0].lower()] = f"{_phrase(name)} <{match[0]}>" if name else match[0]
    return ",\r\n ".join(found.values()) or _phrase(value.strip(_NOT_NAME))


def _phrase(name: str) -> str:
    if not name.isascii() or "=?" in name:
        return _encoded(name)
    return '"' + name.replace("\\", "").replace('"', "") + '"'


def _encoded(text: str) -> str:
    """A value as ASCII: encoded words (RFC 2047) where it is anything else, cut between characters."""
    if text.isascii() and "=?" not in text:
        return text
    words: list[bytes] = [b""]
    for char in text:
        octets = char.encode("utf-8", "replace")
        if len(words[-1]) + len(octets) > _WORD_OCTETS:
            words.append(b"")
        words[-1] += octets
    return "\r\n ".join(f"=?utf-8?B?{base64.b64encode(word).decode('ascii')}?=" for word in words)
