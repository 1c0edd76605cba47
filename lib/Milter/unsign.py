"""Recover the original address from an envelope sender that was rewritten or signed."""

from __future__ import annotations

import re

_SEP = "[-+=]"  # what may stand between an SRS tag and the rest

# What is matched is the local part. The tags are compared without regard to case: mailers change it on the way.
_SRS0 = re.compile(rf"SRS0{_SEP}[^=]+=[^=]+=(?P<domain>[^=]+)=(?P<local>.+)\Z", re.IGNORECASE | re.DOTALL)
_SRS1 = re.compile(
    rf"SRS1{_SEP}[^=]+=[^=]+={_SEP}[^=]+=[^=]+=(?P<domain>[^=]+)=(?P<local>.+)\Z", re.IGNORECASE | re.DOTALL
)
_TAGGED = (
    re.compile(r"SES=[^=]+=(?P<local>.+)\Z", re.IGNORECASE | re.DOTALL),
    re.compile(r"prvs=[0-9a-f]{10}=(?P<local>.+)\Z", re.IGNORECASE | re.DOTALL),  # BATV
    re.compile(r"btv1==[^=]+==(?P<local>.+)\Z", re.IGNORECASE | re.DOTALL),  # Barracuda's own BATV
    re.compile(r"msprvs1=[^=]+=(?P<local>.+)\Z", re.IGNORECASE | re.DOTALL),  # SparkPost's
)


def unsign(s: str) -> str:
    """Return the address that ``s`` stands for: SRS0, SRS1, SES and BATV are undone, any other comes back unchanged.

    No signature is verified, so the result is a hint for logs and lists and never proof of who sent a message.

    >>> unsign('SRS0=8Y3CZ=3U=example.com=bills@forwarder.example')
    'bills@example.com'
    >>> unsign('prvs=0123abcdef=joe@example.com')
    'joe@example.com'
    """
    local, at, domain = s.rpartition("@")
    if not at:
        return s
    for srs in (_SRS0, _SRS1):
        if m := srs.match(local):
            return f"{m['local']}@{m['domain']}"
    for tagged in _TAGGED:
        if m := tagged.match(local):
            return f"{m['local']}@{domain}"
    return s
