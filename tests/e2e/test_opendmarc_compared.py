"""DMARC beside opendmarc (Debian's): the same messages and zones. What differs has a reason, which docs/dmarc.md tells."""

from __future__ import annotations

import contextlib
import dataclasses
import re
from collections.abc import Callable, Iterator

import pytest

from antispam.deadline import Deadline
from antispam.net.resolver import Resolver
from antispam.protocols.dmarc import DmarcResult, Identifier, evaluate
from support import peers
from support.milter_client import MilterClient
from support.mta import NameServer
from support.network import PrivateNetwork
from support.patience import PATIENCE
from support.places import REPOSITORY, missing_servers
from support.zones import Zone, complete

pytestmark = [pytest.mark.servers, pytest.mark.skipif(bool(missing_servers()), reason=missing_servers() or "-")]

RECORDS = {
    "none": "v=DMARC1; p=none",
    "quarantine": "v=DMARC1; p=quarantine; rua=mailto:r@example.org",
    "reject": "v=DMARC1; p=reject",
    "milder-below": "v=DMARC1; p=reject; sp=none",
    "stricter-below": "v=DMARC1; p=none; sp=reject",
    "missing-names": "v=DMARC1; p=none; np=reject",
    "strict": "v=DMARC1; p=reject; adkim=s; aspf=s",
    "testing": "v=DMARC1; p=reject; t=y",
    "percent": "v=DMARC1; p=reject; pct=0",
    "misspelt": "v=DMARC1; p=rejct",
    "misspelt-reported": "v=DMARC1; p=rejct; rua=mailto:r@example.org",
    "capitals": "v=DMARC1; P=REJECT",
    "odd-blanks": "v=DMARC1;p = reject ;",
    "no-policy": "v=DMARC1; rua=mailto:r@example.org",
    "no-version": "p=reject",
    "other": "v=spf1 -all",
}
HOSTS = "@ A 192.0.2.1\nsub A 192.0.2.1\na.b.sub A 192.0.2.1\n"
ZONES = [
    *(
        Zone(f"{name}.com", f'{HOSTS}_dmarc TXT "{record}"')
        for name, record in RECORDS.items()
    ),
    Zone("absent.com", HOSTS),
    Zone("twice.com", HOSTS + '_dmarc TXT "v=DMARC1; p=reject"\n_dmarc TXT "v=DMARC1; p=none"'),
    Zone("own-below.com", HOSTS + '_dmarc TXT "v=DMARC1; p=reject"\n_dmarc.sub TXT "v=DMARC1; p=none"'),
    Zone("parted.com", HOSTS + '_dmarc TXT "v=DMARC1; p=reject"\n_dmarc.sub TXT "v=DMARC1; p=reject; psd=n"'),
    Zone("shop.co.uk", HOSTS + '_dmarc TXT "v=DMARC1; p=reject"'),
    Zone("co.uk", '_dmarc TXT "v=DMARC1; p=none; psd=y"'),
]  # fmt: skip
DOMAINS = [*(f"{name}.com" for name in (*RECORDS, "absent", "twice", "own-below", "parted")), "shop.co.uk"]
AUTHORS = ("{}", "sub.{}", "a.b.sub.{}", "nothing.{}")
# What SPF and DKIM prove; {} is the domain and [] the author's.
PROOFS = (
    (),
    ("spf=[]",),
    ("spf=sub.{}",),
    ("dkim={}",),
    ("spf={}",),
    ("spf=other.example",),
    ("dkim=[]",),
    ("dkim=sub.{}",),
    ("dkim=x.{}", "spf=bad.example"),
)


@dataclasses.dataclass(frozen=True, slots=True)
class Said:
    """A result, and with a failure what the domain's owner asks for."""

    result: str
    policy: str


@dataclasses.dataclass(frozen=True, slots=True)
class Case:
    """A message of this author for which these identifiers passed."""

    domain: str
    author: str
    identifiers: tuple[Identifier, ...]
    ours: Said = Said("", "")
    theirs: Said = Said("", "")

    @property
    def record(self) -> str:
        return self.domain.removesuffix(".com")

    @property
    def is_missing(self) -> bool:
        return self.author.startswith("nothing.")


# Why they differ; the words stand in docs/dmarc.md.
REASONS: dict[str, Callable[[Case], bool]] = {
    "`np` is the policy of a name that does not exist": lambda case: case.record == "missing-names" and case.is_missing,
    "`t=y` takes one step down": lambda case: case.record == "testing",
    "a record whose policy can't be understood asks for nothing": lambda case: (
        case.record in ("misspelt-reported", "no-policy") and case.theirs.result == "permerror"
    ),
    "of two records at one name none counts": lambda case: case.record == "twice" and case.ours.result == "none",
    "strict alignment wants the same domain": lambda case: case.record == "strict" and case.theirs.result == "pass",
    "`psd=n` makes a part of a domain an organization": lambda case: case.record == "parted",
}


def _cases() -> Iterator[Case]:
    for domain in DOMAINS:
        for pattern in AUTHORS:
            author = pattern.format(domain)
            for proof in PROOFS:
                pairs = (one.replace("[]", author).format(domain).split("=") for one in proof)
                yield Case(domain, author, tuple(Identifier(method, name) for method, name in pairs))


def _theirs(peer: peers.Peer, case: Case) -> Said:
    shown = {"spf": "spf=pass smtp.mailfrom=x@{}", "dkim": "dkim=pass header.d={}"}
    results = [shown[one.method].format(one.domain) for one in case.identifiers] or [
        "spf=none smtp.mailfrom=x@other.example"
    ]
    headers = [
        ("Authentication-Results", f"mx.example.test; {'; '.join(results)}"),
        ("From", f"Ann <ann@{case.author}>"),
    ]
    with MilterClient(str(peer.socket)) as client:
        client.greet()
        client.macros(b"M", {"i": "4Xyz"})
        sender = next((one.domain for one in case.identifiers if one.method == "spf"), "other.example")
        headers += [
            ("Received-SPF", f'pass (x) receiver=mx.example.test; identity=mailfrom; envelope-from="x@{one.domain}"')
            for one in case.identifiers
            if one.method == "spf"
        ]
        fields = [(name.encode(), value.encode()) for name, value in headers]
        reply = client.message(fields, sender=f"<x@{sender}>".encode())
    added = next(change.arguments[2] for change in reply.changes if change.name == "insheader")
    assert isinstance(added, bytes)
    found = re.search(r"dmarc=(\w+)(?: \(p=(\w+))?", added.decode())
    assert found, added
    return Said(found[1], found[2] or "" if found[1] == "fail" else "")


def _ours(resolver: Resolver, case: Case) -> Said:
    found = evaluate(case.author, case.identifiers, resolver, Deadline.after(PATIENCE))
    return Said(str(found.result), str(found.asked) if found.result is DmarcResult.FAIL else "")


@pytest.fixture(scope="module")
def compared() -> Iterator[list[Case]]:
    with contextlib.ExitStack() as stack:
        network = stack.enter_context(PrivateNetwork("mx.example.test"))
        stack.enter_context(NameServer(network, complete(ZONES, {})))
        peer = stack.enter_context(peers.Peer(peers.opendmarc(), network))
        stack.enter_context(network.entered())
        resolver = Resolver(["127.0.0.1"])
        yield [dataclasses.replace(case, ours=_ours(resolver, case), theirs=_theirs(peer, case)) for case in _cases()]


def test_hundreds_of_messages_get_the_same_answer_or_one_for_a_reason(compared: list[Case]) -> None:
    """Whether a policy is named beside a pass is a matter of taste: it is compared where a message fails."""
    assert len(compared) > 500
    differing = [case for case in compared if case.ours != case.theirs]
    unexplained = [case for case in differing if not any(fits(case) for fits in REASONS.values())]
    assert unexplained == []


@pytest.mark.parametrize("reason", REASONS)
def test_each_reason_is_seen_and_told(compared: list[Case], reason: str) -> None:
    assert any(REASONS[reason](case) and case.ours != case.theirs for case in compared)
    page = " ".join((REPOSITORY / "docs" / "dmarc.md").read_text().split())
    assert reason in page
