"""GOSSiP: the reputation of a domain's recent mail, from our own observations and from peers.

The idea and its formulas are those of GOSSiP (gossip-project.sourceforge.net). The protocol and the meaning of its bits are
those of pygossip, so nodes of both kinds can be peers.
"""

from gossip.names import PORT, split_address, umis
from gossip.observations import HAM, SPAM, UNSURE, Observations
from gossip.records import Records

__all__ = ["HAM", "PORT", "SPAM", "UNSURE", "Observations", "Records", "split_address", "umis"]
