"""One module a check; none imports another. The order in which they run is the JOURNEY table of bms.py.

A module has NAME, Settings, Finding, collect(), decide() and perhaps act(): journey.Check is the contract. A finding that other
checks read is declared in antispam.mail.evidence (ConnectionFinding, AuthFinding, SpfFinding, DkimFinding ...), and the module
that collects it says `Finding = evidence.SpfFinding`; extend those there as needed.
"""
