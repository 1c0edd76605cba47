"""A dictionary that nobody has taught starts by what other evidence leaves no doubt about."""

from __future__ import annotations

import pytest

from antispam.checks import dspam
from antispam.journey.services import Services
from antispam.mail.connection import Connection
from antispam.mail.evidence import DkimFinding, ScoreFinding, SenderListFinding
from antispam.mail.message import Message
from antispam.mail.score import Counted
from antispam.mail.verdicts import CONTINUE, Action, Verdict, reject, tempfail
from antispam.protocols.dkim import DkimResult, SignatureResult
from antispam.store import Store
from dspam.store import Taught
from support.learning import HAM, SPAM, dspam_settings, message, services, teach

USERS = "dspam_users = ann\nann = ann@example.com\n"
PROVED = DkimFinding(signatures=(SignatureResult(result=DkimResult.PASS, domain="example.org"),))
REFUSED = reject("no", "spam")


def scored(*tests: tuple[str, float]) -> ScoreFinding:
    counted = tuple(Counted(name, points) for name, points in tests)
    return ScoreFinding(total=sum(points for _, points in tests), tests=counted)


def ended(
    given: Services,
    text: str,
    scores: tuple[ScoreFinding, ...],
    verdict: Verdict = CONTINUE,
    found: tuple[DkimFinding | SenderListFinding, ...] = (PROVED,),
) -> Message:
    """A message with a recipient for each score, when its transaction is over."""
    it = message(text, [f"{number}@example.com" for number in range(len(scores))], *found)
    finding = dspam.collect(Connection("c"), it, None, given)
    assert finding is not None
    for recipient, score in zip(it.recipients, scores, strict=True):
        recipient.findings.add(score)
    dspam.concluded(finding, Connection("c"), it, verdict, given)
    return it


def totals(given: Services) -> tuple[int, int]:
    """Spam and ham that the site's dictionary has learned."""
    assert given.dictionaries is not None
    return given.dictionaries.make("site").totals()


def test_what_the_score_refuses_is_learned_as_spam(store: Store) -> None:
    given = services(store, dspam_settings(USERS))
    ended(given, SPAM.format(1), (scored(("DMARC_REJECT", 9.0), ("HELO_OURS", 7.0)),), REFUSED)
    assert totals(given) == (1, 0)


def test_a_near_copy_of_reported_spam_is_learned_where_it_is_marked(store: Store) -> None:
    given = services(store, dspam_settings(USERS))
    ended(given, SPAM.format(1), (scored(("FINGERPRINT_TEXT", 5.0), ("RDNS_NONE", 1.2)),))
    ended(given, SPAM.format(2), (scored(("FINGERPRINT_TEXT", 5.0)),))
    assert totals(given) == (1, 0)


def test_a_score_below_zero_is_learned_as_honest_if_the_author_is_proved(store: Store) -> None:
    given = services(store, dspam_settings(USERS))
    ended(given, HAM.format(1), (scored(("REPUTATION_GOOD", -1.5)),), found=())
    assert totals(given) == (0, 0)
    ended(given, HAM.format(1), (scored(("REPUTATION_GOOD", -1.5)),))
    assert totals(given) == (0, 1)


@pytest.mark.parametrize(
    "scores",
    [
        (scored(),),
        (scored(("RDNS_NONE", 1.2)),),
        (scored(("DMARC_REJECT", 9.0)),),
        (scored(("REPUTATION_GOOD", -1.5)), scored(("RDNS_NONE", 1.2))),
        (scored(("A", 16.0)), scored(("RDNS_NONE", 1.2))),
        (ScoreFinding(error="preferences: no database"),),
    ],
)
def test_what_leaves_a_doubt_teaches_nothing(store: Store, scores: tuple[ScoreFinding, ...]) -> None:
    given = services(store, dspam_settings(USERS))
    ended(given, HAM.format(1), scores)
    assert totals(given) == (0, 0)


def test_its_own_opinion_is_no_evidence(store: Store) -> None:
    given = services(store, dspam_settings(USERS))
    ended(given, SPAM.format(1), (scored(("DMARC_REJECT", 9.0), ("BAYES_SPAM", 9.0)),), REFUSED)
    ended(given, HAM.format(1), (scored(("RDNS_NONE", 1.2), ("BAYES_HAM", -3.0)),))
    assert totals(given) == (0, 0)


@pytest.mark.parametrize("verdict", [tempfail("later", "busy"), REFUSED])
def test_honest_mail_that_is_not_taken_teaches_nothing(store: Store, verdict: Verdict) -> None:
    given = services(store, dspam_settings(USERS))
    ended(given, HAM.format(1), (scored(("REPUTATION_GOOD", -1.5)),), verdict)
    assert totals(given) == (0, 0)


def test_what_comes_again_later_teaches_then(store: Store) -> None:
    given = services(store, dspam_settings(USERS))
    ended(given, SPAM.format(1), (scored(("A", 16.0)),), tempfail("later", "busy"))
    assert totals(given) == (0, 0)


def test_a_dictionary_that_knows_enough_of_a_kind_learns_no_more_of_it(store: Store) -> None:
    given = services(store, dspam_settings(USERS + "least = 5"))
    teach(store, "site", 5)
    ended(given, SPAM.format(900), (scored(("A", 16.0)),), REFUSED)
    ended(given, HAM.format(900), (scored(("REPUTATION_GOOD", -1.5)),))
    assert totals(given) == (5, 5)


def test_a_report_takes_the_lesson_back(store: Store) -> None:
    given = services(store, dspam_settings(USERS))
    it = ended(given, HAM.format(1), (scored(("REPUTATION_GOOD", -1.5)),))
    assert given.dictionaries is not None
    assert given.dictionaries.make("site").learn(it.ref, it.memo["dspam"][0], True) is Taught.RETRAINED
    assert totals(given) == (1, 0)


def test_a_whitelisted_sender_teaches_by_that_and_not_twice(store: Store) -> None:
    given = services(store, dspam_settings(USERS))
    listed = SenderListFinding(sender="a@example.org", whitelisted="ann wrote to it")
    it = message(HAM.format(1), ["b@example.com"], PROVED, listed)
    finding = dspam.collect(Connection("c"), it, None, given)
    assert finding is not None
    it.recipients[0].findings.add(scored(("KNOWN_CORRESPONDENT", -5.0)))
    dspam.afterwards(finding, it, given)
    dspam.concluded(finding, Connection("c"), it, Verdict(Action.ACCEPT), given)
    assert totals(given) == (0, 1)
