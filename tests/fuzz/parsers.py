"""What reads hostile input, each as a function of octets. An exception that escapes one is a fault.

Invariants are asserted where there are any: two implementations agree, what was made inert stays so.
"""

from __future__ import annotations

import contextlib
import re
import tempfile
from collections.abc import Callable
from pathlib import Path

from bms import JOURNEY

from antispam.learning import carried_ids, forwards
from antispam.mail.access_map.lmdb_file import LmdbError, read_lmdb
from antispam.mail.authors import authors_in
from antispam.mail.message import envelope_address, split_message
from antispam.mail.reading import readable
from antispam.protocols import address_fields, attachments, authentication_results, dmarc, encoded_words, lesson_wire
from antispam.protocols.arc import chain
from antispam.protocols.arc.reported import reported
from antispam.protocols.dkim import public_keys, signature
from antispam.protocols.dmarc_reports.reading import UnreadableReport, read_file
from antispam.protocols.link_hosts import host_of, mailbox_of
from antispam.protocols.mailboxes import MailboxError, messages
from antispam.protocols.signs import content, headers
from antispam.protocols.site_rules.parsing import parse
from antispam.service.application import settings_classes
from antispam.settings import SettingsError, load_text
from antispam.web import inert
from dspam import reading, tokenizers
from dspam.features import compiled_keys_of, reference_keys_of
from gossip.protocol import BadLine, read_answer, read_request
from Milter.berkeleydb import BerkeleyDBError, read_hash

Parser = Callable[[bytes], object]

_LIVE = re.compile(
    r"<\s*(?:script|style|iframe|img|form|object|embed|link|meta|base|svg)\b|<[^>]*\s(?:on\w+\s*=|href\s*=\s*.?\s*javascript:)",
    re.IGNORECASE,
)
_SETTINGS = settings_classes(JOURNEY)


def _fields(raw: bytes) -> dict[bytes, list[bytes]]:
    fields: dict[bytes, list[bytes]] = {}
    for header in split_message(raw)[0]:
        fields.setdefault(header.key, []).append(header.value)
    return fields


def _text(octets: bytes) -> str:
    return octets.decode("utf-8", "surrogateescape")


def of_attachments(octets: bytes) -> None:
    found_headers, body = split_message(octets)
    fields = [(header.name, header.value) for header in found_headers]
    found = [one for one in attachments.inspect(fields, body) if one.remedy != attachments.REPORT]
    attachments.rewrite(fields, body, found)


def of_authors(octets: bytes) -> None:
    for value in (octets, _text(octets)):
        address_fields.mailboxes(value)
        address_fields.has_address(value)
    authors_in(split_message(b"From: " + octets)[0])
    envelope_address(_text(octets))


def of_results(octets: bytes) -> None:
    authentication_results.claims(octets, ["mx.example.com"])
    reported(octets)


def of_seals(octets: bytes) -> None:
    found = chain.fields_of_chain(split_message(octets)[0])
    with contextlib.suppress(chain.Broken):
        for link in chain.links(found):
            chain.results_of(link)
            chain.read_seal(link)
            chain.read_message_signature(link, 1_700_000_000, 300)


def of_signatures(octets: bytes) -> None:
    with contextlib.suppress(signature.UnusableSignature):
        tags = signature.read_tags(octets)
        signature.labels(tags)
        signature.parse_signature(b"DKIM-Signature", octets, tags, 1_700_000_000, 300)
    public_keys.parse_key(octets)


def of_policies(octets: bytes) -> None:
    dmarc.parse_record(octets)


def of_reports(octets: bytes) -> None:
    with contextlib.suppress(UnreadableReport):
        read_file(octets)


def of_words(octets: bytes) -> None:
    encoded_words.decoded(_text(octets))


def of_links(octets: bytes) -> None:
    host_of(_text(octets))
    mailbox_of(_text(octets))


def of_features(octets: bytes) -> None:
    """What is compiled gives the keys that Python gives."""
    document = reading.read(octets)
    assert (compiled_keys_of(document) == reference_keys_of(document)).all()


def of_signs(octets: bytes) -> None:
    fields = _fields(octets)
    list(headers.signs(fields, _text(b"".join(fields.get(b"subject", [])[:1])), frozenset({"mx.example.com"})))
    list(content.signs(reading.read(octets), "subject", "name"))


def of_tokens(octets: bytes) -> None:
    tokenizers.read_text(octets)


def of_forwards(octets: bytes) -> None:
    forwards.reported(octets)
    forwards.stored(octets)
    carried_ids.readings_of(_text(octets[:300]))


def of_shown(octets: bytes) -> None:
    """The HTML that the console shows has nothing that acts."""
    shown = inert.page(readable(octets).html or _text(octets).encode("utf-8", "replace").decode())
    body = shown.partition("<body")[2]
    assert not _LIVE.search(re.sub(r"&\w+;", "", body)), body


def of_mailboxes(octets: bytes) -> None:
    with _file(octets) as file, contextlib.suppress(MailboxError):
        list(messages(file))


def of_gossip(octets: bytes) -> None:
    for read in (
        lambda: read_request(_text(octets), "key", 1_700_000_000.0),
        lambda: read_answer(_text(octets), "umis"),
    ):
        with contextlib.suppress(BadLine):
            read()


def of_lessons(octets: bytes) -> None:
    for read in (lesson_wire.read_request, lesson_wire.read_answer):
        with contextlib.suppress(ValueError):
            read(octets)


def of_maps(octets: bytes) -> None:
    with _file(octets) as file:
        for read, error in ((read_lmdb, LmdbError), (read_hash, BerkeleyDBError)):
            with contextlib.suppress(error):
                for _ in read(file):
                    pass


def of_rules(octets: bytes) -> None:
    parse(_text(octets))


def of_settings(octets: bytes) -> None:
    with contextlib.suppress(SettingsError):
        load_text(octets.decode("utf-8", "replace"), _SETTINGS)


@contextlib.contextmanager
def _file(octets: bytes):  # type: ignore[no-untyped-def]
    with tempfile.NamedTemporaryFile(dir="/dev/shm" if Path("/dev/shm").is_dir() else None) as file:
        file.write(octets)
        file.flush()
        yield Path(file.name)


PARSERS: dict[str, Parser] = {
    name.removeprefix("of_"): value for name, value in sorted(globals().items()) if name.startswith("of_")
}
