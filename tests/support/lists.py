"""Lists in the DNS, which no test may ask: they belong to others."""

from __future__ import annotations


def without_lists(config: str) -> str:
    """What stands in milter.cfg, so that the shipped lists are not asked, unless it says itself which are."""
    return config if "[dnsbl]" in config else f"{config}\n[dnsbl]\nzones =\n"
