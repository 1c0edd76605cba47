"""Signatures survive, with real MTAs: those of senders pass the filter as shipped, and ours what MTAs do afterwards."""

from __future__ import annotations

import contextlib
import re
from collections.abc import Iterator, Sequence

import dkim
import pytest

from support.filter_process import FilterProcess
from support.learning import Learned
from support.mta import Mta, NameServer, Postfix, Sendmail
from support.network import PrivateNetwork
from support.places import REPOSITORY
from support.signing import SigningKey
from support.sink import Delivery, Sink
from support.zones import Zone, complete, quoted_text

pytestmark = pytest.mark.servers

CLIENT, HELO, SENDER = "192.0.2.77", "mail.news.example", "bounce@news.example"
KEYS = (SigningKey.make("r", "news.example", "rsa"), SigningKey.make("e", "news.example", "ed25519"))
RECORDS = "".join(f"\n{key.selector}._domainkey TXT {quoted_text(key.record)}" for key in KEYS)

HEADER = (
    b'From: "The News, Inc." <news@news.example>\r\nTo: Bob Smith <bob@example.com>\r\n'
    b"Subject: =?utf-8?Q?Caf=C3=A9?= and more,\r\n  week 48\r\nDate: Mon, 2 Nov 2026 12:00:00 +0000\r\n"
    b"Message-ID: <%d@news.example>\r\nReferences: <1@news.example>\r\n <2@news.example>\r\n"
    b"List-Unsubscribe: <https://news.example/u>\r\nMIME-Version: 1.0\r\n"
)
PLAIN = (
    b"Content-Type: text/plain; charset=utf-8\r\nContent-Transfer-Encoding: 8bit\r\n\r\n"
    b"Caf\xc3\xa9 \r\n\r\n.dot\r\n-- \r\nAnn\r\n"
)
HTML = (
    b"Content-Type: text/html; charset=utf-8\r\nContent-Transfer-Encoding: quoted-printable\r\n\r\n"
    b'<html><head><script type=3D"application/ld+json">{"@type": "Order"}</script>\r\n<style>p{}</style></head><body>=\r\n'
    b"<p>Your order</p></body></html>\r\n"
)
PARTS = (
    b'Content-Type: multipart/mixed; boundary="b1"\r\n\r\npreamble\r\n'
    b"--b1\r\nContent-Type: text/plain\r\n\r\nSee below.\r\n"
    b'--b1\r\nContent-Type: image/png; name="x.png"\r\nContent-Transfer-Encoding: base64\r\n\r\niVBORw0KGgo=\r\n'
    b"--b1\r\nContent-Type: text/calendar; method=REQUEST\r\n\r\nBEGIN:VCALENDAR\r\nEND:VCALENDAR\r\n--b1--\r\nepilogue\r\n"
)


def _signed(content: bytes) -> bytes:
    """By both keys, as large senders do: From is signed once more than it occurs."""
    for key in KEYS:
        content = key.sign(content)
    return content


SENT = [_signed(HEADER % number + content) for number, content in enumerate((PLAIN, HTML, PARTS))]


def _verified(delivery: Delivery, signatures: int) -> list[bool]:
    """Whether each signature verifies, for somebody who knows nothing of the filter."""
    published = {f"{key.selector}._domainkey.{key.domain}.".encode(): key.record.encode() for key in KEYS}
    checked = dkim.DKIM(delivery.raw)
    return [checked.verify(idx=place, dnsfunc=lambda name, timeout=5: published[name]) for place in range(signatures)]


def _documented() -> str:
    """The line for sendmail.mc that docs/dkim.md gives."""
    (line,) = re.findall(r"^define\(`confMUST_QUOTE_CHARS'.*$", (REPOSITORY / "docs/dkim.md").read_text(), re.MULTILINE)
    return str(line)


@contextlib.contextmanager
def _through(
    kind: str, world: tuple[PrivateNetwork, NameServer], config: str, files: dict[str, str] | None = None
) -> Iterator[tuple[FilterProcess, Mta]]:
    """The filter, taught so that it writes its opinion into the header, too, and an MTA beside it."""
    network, nameserver = world
    spf = Zone("news.example", f'@ TXT "v=spf1 ip4:{CLIENT} -all"{RECORDS}')
    nameserver.load(complete([spf], {CLIENT: HELO}))
    with (
        FilterProcess(network, config, files=files, learned=Learned(taught=[("site", 120)])) as program,
        Sink(network) as sink,
    ):
        mta: Mta
        if kind == "postfix":
            mta = Postfix(network, sink, [f"unix:{program.socket}"])
        else:
            mta = Sendmail(network, sink, [f"local:{program.socket}"], extra_mc=f"{_documented()}\n")
        with contextlib.closing(mta):
            yield program, mta


def _passed(kind: str, world: tuple[PrivateNetwork, NameServer]) -> Sequence[Delivery]:
    """What arrives of SENT."""
    with _through(kind, world, "") as (_, mta):
        with mta.client(CLIENT) as client:
            client.greet()
            client.command(f"EHLO {HELO}")
            replies = [client.message(SENDER, ["bob@example.com"], one, "BODY=8BITMIME") for one in SENT]
            assert [reply.code for reply in replies] == [250] * len(SENT), replies
        return mta.sink.wait(len(SENT))


@pytest.mark.parametrize("kind", ["postfix", "sendmail"])
def test_a_signature_still_verifies_behind_the_filter_as_shipped(
    kind: str, world: tuple[PrivateNetwork, NameServer]
) -> None:
    for delivery in _passed(kind, world):
        assert _verified(delivery, len(KEYS)) == [True] * len(KEYS)
        above, _, below = _around(delivery.header_block)
        assert [line for line in above.split(b"\r\n") if line.startswith(b"Authentication-Results: ")]
        # Our marks, of names that nobody signs, may stand below; a second field of a signed name there would be read first.
        names = [line for line in below.splitlines() if not line[:1].isspace()]  # the rest of a folded field has none
        assert {name.partition(b"-")[0] for name in names} <= {b"X"}


def _around(header: bytes) -> tuple[bytes, bytes, bytes]:
    """The header section that was sent, with what stands above and below; it is as it was, and in one piece."""
    sent = next(part for part in (one.partition(b"\r\n\r\n")[0] + b"\r\n" for one in SENT) if part in header)
    return header.partition(sent)


# sendmail puts names with these characters into quotes, and Postfix breaks lines of more than 998 octets.
OURS = [
    HEADER.replace(b'"The News, Inc."', name) % number + b"X-Long: " + filler + b"\r\n" + PLAIN
    for number, (name, filler) in enumerate(((b"Ann O'Hara", b"x"), (b"Ann B. News", b"x"), (b"Ann", b"word " * 400)))
]


@pytest.mark.parametrize("kind", ["postfix", "sendmail"])
def test_our_signature_survives_what_the_mta_does_after_the_filter(
    kind: str, world: tuple[PrivateNetwork, NameServer]
) -> None:
    config = (
        f"internal_connect = {CLIENT}\n[dkim_sign]\nkeys = news.example r {{dir}}/r.private\nsign_headers = X-Long\n"
    )
    with _through(kind, world, config, {"r.private": KEYS[0].private_pem}) as (program, mta):
        with mta.client(CLIENT) as client:
            client.greet()
            client.command(f"EHLO {HELO}")
            replies = [client.message(SENDER, ["bob@example.com"], one, "BODY=8BITMIME") for one in OURS]
        assert [reply.code for reply in replies] == [250] * len(OURS), program.log()
        arrived = mta.sink.wait(len(OURS))
    assert [_verified(delivery, 1) for delivery in arrived] == [[True]] * len(OURS)


@pytest.mark.parametrize("kind", ["postfix", "sendmail"])
def test_our_seal_holds_for_whoever_gets_the_message_next(kind: str, world: tuple[PrivateNetwork, NameServer]) -> None:
    """On a message that came without a chain, and on one that a list had sealed (RFC 8617)."""
    config = "[greylist]\nmode = off\n[dkim_sign]\nkeys = news.example r {dir}/r.private\n[arc]\nseal = all\n"
    sent = [SENT[0], KEYS[0].seal(SENT[2], "mx.lists.example; arc=none; spf=pass smtp.mailfrom=ann@news.example")]
    with _through(kind, world, config, {"r.private": KEYS[0].private_pem}) as (program, mta):
        with mta.client(CLIENT) as client:
            client.greet()
            client.command(f"EHLO {HELO}")
            replies = [client.message(SENDER, ["bob@example.com"], one, "BODY=8BITMIME") for one in sent]
        assert [reply.code for reply in replies] == [250, 250], program.log()
        arrived = mta.sink.wait(len(sent))
    chains = [dkim.arc_verify(one.raw, dnsfunc=lambda name, timeout=5: KEYS[0].record.encode()) for one in arrived]
    assert [(state, [one["instance"] for one in sets]) for state, sets, _ in chains] == [
        (b"pass", [1]),
        (b"pass", [2, 1]),
    ]
