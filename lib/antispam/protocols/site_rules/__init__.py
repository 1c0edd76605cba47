"""The site's own tests of mail: named patterns for the header, the text, the links and the names of attachments.

Pure: from a file's text to rules, and from a message's texts to the rules that match.

    [LOTTERY]
    text     = /you have won|lottery winner/i
    points   = 2.5
    describe = promises a prize

    patterns    one pattern, matched in time linear in the text
    conditions  `when = A and not B`
    parsing     the file, with the line of each error
    rules       the rules that a message matches
"""

from __future__ import annotations

from antispam.protocols.site_rules.parsing import Mistake, parse, read
from antispam.protocols.site_rules.rules import NO_RULES, Met, OutOfTime, Place, Rule, RuleSet, Texts

__all__ = ["NO_RULES", "Met", "Mistake", "OutOfTime", "Place", "Rule", "RuleSet", "Texts", "parse", "read"]
