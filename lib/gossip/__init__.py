"""GOSSiP: what a domain's mail was like lately, and what peers say of it.

The idea and its formulas are those of GOSSiP (gossip-project.sourceforge.net); the lines on the wire, and which bits mean
what, are those of pygossip, so that nodes of both kinds can be each other's peers.
"""

from gossip.names import PORT, split_address, umis
from gossip.observations import HAM, SPAM, UNSURE, Observations
from gossip.records import Records

__all__ = ["HAM", "PORT", "SPAM", "UNSURE", "Observations", "Records", "split_address", "umis"]
