"""The page of DMARC reports: who reads it, what it adds up, and that what strangers reported is inert."""

from __future__ import annotations

from antispam.protocols.dmarc_reports import Received
from antispam.protocols.dmarc_reports.reading import Source
from antispam.store import dmarc_received
from support.console import NOW, Place

DAY = 86_400


def report(
    place: Place, *, domain: str = "example.com", org: str = "Big Mail", ip: str = "192.0.2.1", ago: int = 0
) -> None:
    begin = (int(NOW) // DAY - ago) * DAY
    sources = (
        Source(ip, 6, "none", "pass", "fail", domain, domain, ""),
        Source("198.51.100.7", 2, "reject", "fail", "fail", domain, domain, ""),
    )
    assert dmarc_received.put(
        place.store, Received(org, f"{domain} {ago}", domain, "reject", begin, begin, sources), NOW
    )


def test_helpdesk_and_administrators_read_it(place):
    report(place)
    for who in ("helen", "ann"):
        text = place.client(who).get("/dmarc").text
        for said in ("example.com", "192.0.2.1", "198.51.100.7", "Big Mail", "75 %", "<svg"):
            assert said in text
    assert place.client("bob").get("/dmarc").status_code == 403


def test_one_domain_is_looked_at_alone(place):
    report(place)
    report(place, domain="example.net", org="Small", ip="192.0.2.9")
    text = place.client("ann").get("/dmarc", params={"domain": "example.net"}).text
    assert ("192.0.2.9" in text, "192.0.2.1<" in text) == (True, False)


def test_the_time_is_chosen(place):
    report(place, ago=50)
    ann = place.client("ann")
    assert "No reports of this time" in ann.get("/dmarc").text
    assert "Big Mail" in ann.get("/dmarc?span=quarter").text


def test_what_strangers_reported_is_inert(place):
    report(place, org="<script>alert(1)</script>", domain="<img src=x>.example", ip='"><b>')
    text = place.client("ann").get("/dmarc").text
    assert ("<script>alert" in text, "<img" in text, "><b>" in text) == (False, False, False)
