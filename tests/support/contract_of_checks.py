"""Which checks have which optional functions, for mypy: it compares their arguments with the contract.

test_contract.py holds that these lists are complete.
"""

from __future__ import annotations

from antispam.checks import (
    antivirus,
    arc,
    arc_seal,
    archive,
    attachments,
    authentication_results,
    author_domain,
    auto_whitelist,
    banned,
    blacklisted,
    block_forward,
    callback,
    connection,
    dkim,
    dkim_sign,
    dmarc,
    dnsbl,
    dnsbl_client,
    dsn,
    dspam,
    feedback,
    fingerprints,
    forged_marks,
    greylist,
    header_oddities,
    header_screen,
    helo,
    internal_policy,
    known_user,
    languages,
    own_mail,
    private_relay,
    reputation,
    reputation_signed,
    rules,
    scrub,
    sender_domain,
    sender_lists,
    smart_alias,
    spam_action,
    spf,
    spf_fail,
    srs,
    srs_sign,
    training_address,
    wiretap,
    words,
)
from antispam.journey.contract import (
    Acts,
    Applies,
    Concludes,
    CountsOffences,
    Declares,
    Divides,
    LearnsAfterwards,
    Performs,
    Readdresses,
    Ready,
    Scores,
    Signs,
    Tidies,
)

APPLIES: list[Applies] = [
    antivirus,
    arc_seal,
    archive,
    author_domain,
    auto_whitelist,
    blacklisted,
    block_forward,
    dkim_sign,
    dnsbl,
    dnsbl_client,
    feedback,
    header_screen,
    internal_policy,
    known_user,
    private_relay,
    rules,
    scrub,
    sender_domain,
    smart_alias,
    srs,
    srs_sign,
    training_address,
    wiretap,
    words,
]
READY: list[Ready] = [arc, author_domain, callback, dkim, dmarc, reputation, reputation_signed, spf_fail]
PERFORM: list[Performs] = [feedback, own_mail]
READDRESS: list[Readdresses] = [srs]
ACT: list[Acts] = [
    arc_seal,
    archive,
    attachments,
    authentication_results,
    author_domain,
    dkim_sign,
    forged_marks,
    reputation,
    scrub,
    smart_alias,
    spam_action,
    spf,
    srs_sign,
    wiretap,
]
CONTENT: list[Divides] = [scrub, spam_action, srs_sign]
POINTS: list[Scores] = [
    arc,
    author_domain,
    connection,
    dkim,
    dmarc,
    dnsbl,
    fingerprints,
    header_oddities,
    helo,
    languages,
    reputation,
    reputation_signed,
    rules,
    sender_lists,
    spf,
    words,
]
DECLARES: list[Declares] = [dnsbl, rules]
AFTERWARDS: list[LearnsAfterwards] = [auto_whitelist, dsn, dspam, fingerprints]
OFFENDED: list[CountsOffences] = [banned]
CONCLUDED: list[Concludes] = [blacklisted, callback, greylist, reputation, reputation_signed, words]
TIDY: list[Tidies] = [callback, fingerprints, greylist, own_mail, reputation, sender_lists, training_address]
SIGN_OWN: list[Signs] = [dkim_sign]
