"""[gossip]: peers, access, and the effects of a reputation."""

from __future__ import annotations

from antispam.net.addresses import client_list
from antispam.settings import CheckSettings, OnError, option, section
from antispam.settings.values import check_url, duration, number
from gossip import split_address

MAX_PEERS = 8
MAX_TTL = 3
SHORTEST_KEY = 16


def _threshold(text: str) -> float | None:
    """A number from -100 to 100; None if empty."""
    if not text.strip():
        return None
    value = number(text)
    if not -100 <= value <= 100:
        raise ValueError("expected a number from -100 to 100, or nothing")
    return value


def _percent(value: float) -> None:
    if not 0 <= value <= 100:
        raise ValueError("expected a number from 0 to 100")


def _hops(value: int) -> None:
    if not 0 <= value <= MAX_TTL:
        raise ValueError(f"expected a number from 0 to {MAX_TTL}: each hop multiplies the questions")


def _address(text: str) -> None:
    if text:
        split_address(text)


def _peers(names: tuple[str, ...]) -> None:
    if len(names) > MAX_PEERS:
        raise ValueError(f"at most {MAX_PEERS}: each is asked about every message")
    for name in names:
        split_address(name)


def _long(text: str) -> None:
    if text and (len(text) < SHORTEST_KEY or ":" in text or not text.isascii() or not text.isprintable()):
        raise ValueError(f"expected at least {SHORTEST_KEY} printable characters without a colon")


@section("gossip")
class GossipSettings(CheckSettings):
    """[gossip]: reputation of senders' domains, and the GOSSiP protocol."""

    on_error: OnError = option(
        OnError.ACCEPT, "when the store cannot answer: accept (go on without an opinion), tempfail or reject"
    )
    errors_url: str = option(
        "",
        "pages that explain refusals by reputation, if they are not those of [milter] errors_url",
        check=check_url,
    )
    reject_below: float | None = option(
        None,
            "refuse mail of a domain whose reputation is lower than this (-100 to 100; for example, -70); empty refuses none",
        parse=_threshold,
    )  # fmt: skip
    reject_confidence: float = option(5.0, "but only with a confidence of more than this (0 to 100)", check=_percent)
    trust_above: float | None = option(
        40.0, "do not greylist an authenticated domain whose reputation is higher than this; empty trusts none",
        parse=_threshold,
    )  # fmt: skip
    trust_confidence: float = option(1.0, "but only with a confidence of more than this", check=_percent)
    peers: tuple[str, ...] = option(
        (), "nodes that are asked for their opinion of a domain: host or host:port", check=_peers
    )
    ttl: int = option(1, "how many hops a question may go: 1 asks the peers, 2 lets them ask theirs", check=_hops)
    server: str = option(
        "", "a GOSSiP server, host:port, that keeps the reputations for us and is used instead of peers", check=_address
    )
    timeout: float = option(2.0, "how long peers and the server may take, all together", parse=duration("s"))
    listen: str = option(
        "", "where we answer other nodes: a port such as 11900, or address:port; empty answers nobody", check=_address
    )
    askers: tuple[str, ...] = option(
        ("127.*", "::1"), "who may ask: addresses and networks; add those of your peers", check=client_list
    )
    key: str = option(
        "",
            "a secret shared by nodes: programs that have it may vote on messages and reset reputations; without it, "
            "only programs on this machine may",
        check=_long,
    )  # fmt: skip
    learn: bool = option(True, "record what becomes of each message; users' reports correct that")
    header: bool = option(False, "write the result into X-GOSSiP; spammers can read their reputation there")
    retain: float = option(180 * 86400.0, "how long a domain is remembered after its last message", parse=duration("d"))
    retain_rare: float = option(30 * 86400.0, "the same for a domain with fewer than 5 messages", parse=duration("d"))
    retain_messages: float = option(
        30 * 86400.0, "how long a report can correct what became of a message", parse=duration("d")
    )
