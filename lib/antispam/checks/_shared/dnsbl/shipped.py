"""Well-known lists, described as an administrator describes one in milter.cfg."""

from __future__ import annotations

from collections.abc import Mapping

from antispam.checks._shared.dnsbl.zone import Zone
from antispam.settings import load_text, section, sections

DEFAULT = ("spamhaus", "spamhaus-hops", "spamhaus-dbl", "spamcop", "mailspike", "surbl", "uribl", "dnswl")
"""The lists that are asked unless [dnsbl] zones says otherwise. They answer a moderate number of queries without
registration, through a site's own name server.
"""

# The terms are those of November 2026; read the current ones before you rely on a list. The points assume several
# lists: many list a client for the same reason.
_TEXT = """
# Spamhaus ZEN. Free for non-commercial use of up to 100,000 messages a day, not by way of public resolvers (8.8.8.8, 1.1.1.1).
# Everybody else needs an account (Data Query Service), whose key stands in the zone: KEY.zen.dq.spamhaus.net.
# SBL: known senders of spam, entered by hand; CSS: the same, found by programs; XBL: computers that were taken over; DROP:
# whole networks of criminals; PBL: homes and offices, which should send by way of their provider.
# https://www.spamhaus.org/blocklists/dnsbl-fair-use-policy/
[dnsbl spamhaus]
zone = zen.spamhaus.org
about = client
codes =
    127.0.0.2 RCVD_IN_SBL 3.0
    127.0.0.3 RCVD_IN_SBL_CSS 2.5
    127.0.0.4-7 RCVD_IN_XBL 3.0
    127.0.0.9 RCVD_IN_DROP 5.0
    127.0.0.10-11 RCVD_IN_PBL 1.5

# The same list about hops: there, homes and offices are as honest as anybody, and so are computers behind one address.
[dnsbl spamhaus-hops]
zone = zen.spamhaus.org
about = hops
codes = 127.0.0.2 HOP_IN_SBL 1.0, 127.0.0.9 HOP_IN_DROP 2.0

# Spamhaus DBL, under the same terms. It must not be asked about addresses. ABUSED: honest sites that somebody broke into, and
# redirectors.
[dnsbl spamhaus-dbl]
zone = dbl.spamhaus.org
about = sender, author, reply_to, signers, helo, links
codes =
    127.0.1.2 DBL_SPAM 3.5
    127.0.1.4 DBL_PHISH 4.0
    127.0.1.5 DBL_MALWARE 4.0
    127.0.1.6 DBL_BOTNET 4.0
    127.0.1.102-106 DBL_ABUSED 1.0
blocked = 127.0.1.255
listed = dbltest.com

# SpamCop. Free, also for commercial use. https://www.spamcop.net/bl.shtml
[dnsbl spamcop]
zone = bl.spamcop.net
codes = 127.0.0.2 RCVD_IN_SPAMCOP 1.3

# Mailspike: good and bad reputation. Free below 100,000 questions a day. https://mailspike.io/
[dnsbl mailspike]
zone = rep.mailspike.net
codes =
    127.0.0.10 RCVD_IN_MAILSPIKE_L5 2.0
    127.0.0.11 RCVD_IN_MAILSPIKE_L4 1.3
    127.0.0.12 RCVD_IN_MAILSPIKE_L3 0.8
    127.0.0.18 RCVD_IN_MAILSPIKE_H3 -0.3
    127.0.0.19-20 RCVD_IN_MAILSPIKE_H4 -0.5

# SURBL. Free for organisations of fewer than 1,000 users and 250,000 messages a day. https://www.surbl.org/usage-policy
[dnsbl surbl]
zone = multi.surbl.org
about = links, link_addresses, sender, author, reply_to
codes = &8 SURBL_PHISH 3.5, &16 SURBL_MALWARE 3.5, &64 SURBL_ABUSE 3.0, &128 SURBL_CRACKED 1.0
listed = test.surbl.org

# URIBL. Free for few questions; public resolvers are not served. https://uribl.com/usage.shtml
[dnsbl uribl]
zone = multi.uribl.com
about = links, link_addresses, sender, author, reply_to
codes = &2 URIBL_BLACK 3.5, &4 URIBL_GREY 0.5, &8 URIBL_RED 1.0
listed = test.uribl.com

# DNSWL: honest servers. Free below 100,000 questions a day, except for those who sell filters. https://www.dnswl.org/?page_id=9
[dnsbl dnswl]
zone = list.dnswl.org
codes = 127.0.*.1 RCVD_IN_DNSWL_LOW -0.3, 127.0.*.2 RCVD_IN_DNSWL_MED -1.0, 127.0.*.3 RCVD_IN_DNSWL_HI -2.5
blocked = 127.0.0.255

# PSBL. Free. https://psbl.org/
[dnsbl psbl]
zone = psbl.surriel.com
codes = 127.0.0.2 RCVD_IN_PSBL 1.0

# UCEPROTECT level 1. Free for few questions; it sells early removal, which many think wrong. http://www.uceprotect.net/
[dnsbl uceprotect-1]
zone = dnsbl-1.uceprotect.net
codes = 127.0.0.2 RCVD_IN_UCEPROTECT1 0.8

# MSBL's Email Blocklist: mailboxes to which fraudsters want answers. Free for few questions. Not asked by default because
# hashes of addresses of your correspondents leave the house. https://msbl.org/ebl.html
[dnsbl msbl-ebl]
zone = ebl.msbl.org
about = emails
codes = 127.0.0.2-3 EBL_LISTED 3.5

# Abusix Mail Intelligence. Needs an account, whose key stands in the zone: KEY.combined.mail.abusix.zone.
# https://docs.abusix.com/
[dnsbl abusix]
zone = combined.mail.abusix.zone
codes =
    127.0.0.2-3 RCVD_IN_ABUSIX_BLACK 3.0
    127.0.0.4 RCVD_IN_ABUSIX_EXPLOIT 3.0
    127.0.0.11-12 RCVD_IN_ABUSIX_POLICY 1.5

# Barracuda. Free, but the address of your name server must be registered. https://www.barracudacentral.org/rbl
[dnsbl barracuda]
zone = b.barracudacentral.org
codes = 127.0.0.2 RCVD_IN_BARRACUDA 1.5
"""


@section("dnsbl")
class _Shipped:
    known: Mapping[str, Zone] = sections(Zone, "one list", {})


ZONES: Mapping[str, Zone] = load_text(_TEXT, [_Shipped], "shipped.py")[_Shipped].known
