"""The table of all tests: name, points, the check that runs the test, and the reason for the points.

Each check has one block. docs/score.md shows the table; `[score]` in milter.cfg changes points by name. The points were
chosen with those of SpamAssassin and rspamd in view, if they have the test. A sign that honest mail shows now and then
gets few points, and no single sign of that kind reaches `mark`.
"""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType

from antispam.mail.score import Test
from antispam.mail.score_signs import SIGNS

TESTS: tuple[Test, ...] = (
    # connection
    Test("RDNS_NONE", 1.2, "connection", "Mail servers have a name; compromised computers often have none."),
    Test("RDNS_DYNAMIC", 0.8, "connection", "Home and office connections rarely send mail to strangers directly."),
    # helo
    Test("HELO_OURS", 3.0, "helo", "No honest server gives our own name as its own."),
    Test("HELO_NUMERIC", 1.5, "helo", "An address without brackets is not a name; spam programs send it."),
    Test("HELO_INVALID", 1.2, "helo", "No host has such a name."),
    Test("HELO_LITERAL_MISMATCH", 0.8, "helo", "The address in brackets is not the client's: NAT, or a lie."),
    Test("HELO_NO_DOMAIN", 0.8, "helo", "A name without a dot is what a home computer calls itself."),
    # spf
    Test("SPF_FAIL", 1.5, "spf", "The owner of the sender's domain says that this client may not use it."),
    Test("SPF_SOFTFAIL", 0.8, "spf", "The owner of the sender's domain says that this client probably may not use it."),
    Test("SPF_NONE", 0.3, "spf", "Nearly all domains that send mail publish a record today."),
    Test("SPF_PERMERROR", 0.3, "spf", "A record with an error protects nobody, and its owner has not noticed."),
    Test("SPF_HELO_FAIL", 1.0, "spf", "The client uses the name of another host."),
    # sender_lists
    Test(
        "KNOWN_CORRESPONDENT", -5.0, "sender_lists", "Our users wrote to this sender, and SPF or DKIM prove who it is."
    ),
    # reputation
    Test("REPUTATION_BAD", 2.0, "reputation", "Most recent mail of this domain was spam."),
    Test("REPUTATION_GOOD", -1.5, "reputation", "The domain is proved, and its recent mail was honest."),
    # words
    Test("SUBJECT_WORD", 3.0, "words", "The administrator does not want to read this word in a subject."),
    Test("FROM_WORD", 3.0, "words", "The administrator does not want to read this word in an author's name."),
    # languages
    Test("UNREADABLE_SCRIPT", 3.0, "languages", "The administrator does not want mail in this script or charset."),
    # header_oddities
    Test("MISSING_FROM", 1.5, "header_oddities", "Every mail program writes a From field."),
    Test("MISSING_DATE", 1.0, "header_oddities", "Mail programs write a Date field; scripts and printers may not."),
    Test("MISSING_MID", 0.8, "header_oddities", "Mail programs write a Message-ID field; scripts may not."),
    Test("REPEATED_FIELD", 0.8, "header_oddities", "It is unclear which of two such fields a mail program shows."),
    Test("INVALID_FIELD_NAME", 1.0, "header_oddities", "Only spam programs produce such fields."),
    Test("HEADER_8BIT", 0.6, "header_oddities", "Mail programs encode what is not ASCII or UTF-8."),
    Test("INVALID_DATE", 1.0, "header_oddities", "No mail program writes such a date."),
    Test("DATE_IN_FUTURE", 1.5, "header_oddities", "A date in the future keeps a message on top of the list."),
    Test(
        "DATE_IN_PAST", 0.8, "header_oddities", "Programs that send spam repeat old dates; some queues are slow, too."
    ),
    Test("INVALID_MSGID", 0.4, "header_oddities", "Some large companies write such message identifiers as well."),
    Test(
        "SUBJECT_ADV",
        1.5,
        "header_oddities",
        "The subject says that it is advertising, or another filter called it spam.",
    ),
    Test("BULK_MAILER", 2.0, "header_oddities", "The program that wrote it is only used for advertising."),
    # dkim
    Test("DKIM_INVALID", 0.5, "dkim", "Lists and forwarders break signatures, too, so this says little."),
    Test("DKIM_NONE", 0.2, "dkim", "Nearly all mail is signed today."),
    # arc
    Test(
        "ARC_TRUSTED", -1.0, "arc", "A forwarder that this site trusts saw the author proved, and nobody changed that."
    ),
    # dmarc
    Test("DMARC_REJECT", 4.0, "dmarc", "The owner of the author's domain asks to refuse such mail as forged."),
    Test("DMARC_QUAR", 3.0, "dmarc", "The owner of the author's domain asks to quarantine such mail as forged."),
    Test("DMARC_NONE", 1.2, "dmarc", "Nothing proves the author's domain; its owner only wants reports."),
    Test("DMARC_MISSING", 0.2, "dmarc", "The author's domain publishes no policy."),
    Test("FROM_AMBIGUOUS", 2.0, "dmarc", "Several From fields, or one that no program can show, hide the author."),
    # author_domain
    Test("FROM_OURS", 4.0, "author_domain", "The author is one of ours, and neither SPF nor DKIM prove it."),
    # impersonation
    Test(
        "OUR_ADDRESS_UNPROVED",
        1.5,
        "impersonation",
        "Web services write in the name of our users, too, and prove nothing.",
    ),
    Test("DOMAIN_LOOKALIKE", 4.0, "impersonation", "A domain that looks like ours is not registered by chance."),
    Test("DOMAIN_ONE_LETTER", 1.5, "impersonation", "Another honest domain may be one letter away from ours."),
    Test(
        "OUR_NAME_OUTSIDE", 1.5, "impersonation", "Our users write from home, too, and some people have the same name."
    ),
    Test(
        "PROTECTED_NAME", 4.0, "impersonation", "The administrator says that this person does not write from elsewhere."
    ),
    Test(
        "OUR_NAME_VIA_LIST", 0.2, "impersonation", "Our users write to lists, which pass on their names and addresses."
    ),
    # score
    Test(
        "BAYES_SPAM",
        9.0,
        "score",
        "The user's dictionary learned that such mail is spam; called so, it gets 6 or more.",
    ),
    Test("BAYES_HAM", -3.0, "score", "The user's dictionary has learned that such mail is honest."),
    # fingerprints
    Test(
        "FINGERPRINT_TEXT",
        4.5,
        "fingerprints",
        "Three people reported this text; one counts a quarter, two count 60 %.",
    ),
    Test(
        "FINGERPRINT_LINK", 2.5, "fingerprints", "Three people reported mail with this link; decoys are linked as well."
    ),
    Test("FINGERPRINT_FILE", 4.0, "fingerprints", "Three people reported mail with this very attachment."),
    *SIGNS,
)

TABLE: Mapping[str, Test] = MappingProxyType({test.name: test for test in TESTS})
"""The tests by name."""
