"""What each recipient wants done about spam, and what can be seen of it in the message."""

from __future__ import annotations

import dataclasses
import re

import pytest

from antispam.checks._shared.own_lists import OwnListFinding, OwnListSettings
from antispam.checks.score import points_of
from antispam.checks.spam_action import Finding, act, collect, content, decide
from antispam.learning.settings import DspamSettings
from antispam.mail.access_map import EMPTY
from antispam.mail.connection import Connection
from antispam.mail.decisions import Decision
from antispam.mail.draft import AppendHeader, ChangeHeader, Draft, ReplaceBody
from antispam.mail.evidence import ScoreFinding
from antispam.mail.findings import Findings
from antispam.mail.learned_evidence import Opinion, OpinionFinding, Reached
from antispam.mail.remedies import Remedy
from antispam.mail.score import Counted
from antispam.mail.score_settings import ScoreSettings
from antispam.mail.verdicts import Action, accept
from antispam.settings import default_settings, load_text
from antispam.store import StoreError
from support.learning import HAM, SPAM, dspam_settings, message, services

USERS = "dspam_users = ann\nann = ann@example.com\n"


def opinion(**changes):
    given = {"dictionary": "site", "users": ("", "ann"), "probability": 0.99, "is_spam": True, "spam": 100, "ham": 100}
    return Opinion(**(given | changes))


def find(config="", to="b@example.com", accepted=None, points=None, learned=True, thresholds="", **found):
    """The finding for one recipient; the score is what the opinion counts, unless `points` says otherwise."""
    opinions = OpinionFinding(**({"opinions": (opinion(),)} | found))
    it = message(SPAM, [to], *([opinions] if learned else []))
    if points is None:
        points = max((points_of(one.probability) for one in opinions.opinions), default=0.0)
    it.recipients[0].findings.add(scored(points))
    if accepted:
        it.decisions.append(accepted)
    settings = load_text(f"[dspam]\n{config}\n[score]\n{thresholds}", [DspamSettings])[DspamSettings]
    return collect(Connection("c"), it, it.recipients[0], services(None, settings))


def verdict(finding, score=None):
    return decide(finding, Findings(own=[score] if score else []), ScoreSettings(), EMPTY)


def scored(points):
    return ScoreFinding(total=points, tests=(Counted("BAYES_SPAM", points, "seen"),))


def test_a_message_that_was_not_looked_at_is_no_question():
    it = message(SPAM)
    assert collect(Connection("c"), it, it.recipients[0], services(None)) is None


@pytest.mark.parametrize(
    ("wanted", "action"),
    [
        ("deliver", Action.CONTINUE),
        ("tag", Action.CONTINUE),
        ("quarantine", Action.QUARANTINE),
        ("reject", Action.REJECT),
        ("hold", Action.HOLD),
    ],
)
def test_what_happens_to_spam_is_the_recipient_s_choice(wanted, action):
    assert verdict(find(f"spam_action = {wanted}")).action is action


def test_honest_mail_passes_whatever_is_done_about_spam():
    finding = find("spam_action = reject", opinions=(opinion(probability=0.8, is_spam=False),))
    assert verdict(finding).action is Action.CONTINUE


@pytest.mark.parametrize(
    ("points", "thresholds", "action"),
    [
        (5.9, "", Action.CONTINUE),
        (14.9, "", Action.CONTINUE),
        (15.0, "", Action.REJECT),
        (99.0, "refuse = never", Action.CONTINUE),
        (99.0, "refuse = 0", Action.CONTINUE),
        (8.0, "quarantine = 8", Action.QUARANTINE),
        (7.9, "quarantine = 8", Action.CONTINUE),
        (20.0, "discard = 20", Action.DISCARD),
        (19.9, "discard = 20", Action.REJECT),
        (5.0, "mark = never\nquarantine = 5", Action.QUARANTINE),
    ],
)
def test_the_thresholds_above_mark_do_more(points, thresholds, action):
    assert verdict(find(points=points, thresholds=thresholds, learned=False)).action is action


@pytest.mark.parametrize(
    ("wanted", "action"), [("reject", Action.REJECT), ("hold", Action.HOLD), ("deliver", Action.QUARANTINE)]
)
def test_a_threshold_does_no_less_than_spam_action(wanted, action):
    finding = find(f"spam_action = {wanted}", points=9.0, thresholds="quarantine = 8")
    assert verdict(finding).action is action


def test_what_is_refused_names_its_tests_in_the_log_and_not_to_the_sender():
    found = verdict(find(points=15.0, learned=False), scored(15.0))
    assert found.reason == "spam, score 15.0 (BAYES_SPAM=15)"
    assert "15" not in found.text


def test_what_nobody_classified_is_judged_by_its_score_alone():
    assert find(points=6.0, learned=False).is_spam
    assert not find(points=5.9, learned=False).is_spam


def test_a_dictionary_whose_opinion_is_only_logged_counts_nothing():
    finding = find("mode = log", points=2.0)
    assert (finding.opinion, finding.is_spam) == (None, False)


def test_spam_to_the_domains_of_dspam_reject_is_refused():
    assert verdict(find("dspam_reject = example.com")).action is Action.REJECT


def test_a_whitelisted_sender_writes_no_spam():
    finding = find("spam_action = reject", whitelisted=True)
    assert (finding.is_spam, verdict(finding).action) == (False, Action.CONTINUE)


def test_an_author_known_from_honest_mail_writes_no_spam_if_he_is_proved():
    known = (opinion(author_ham=10),)
    assert not find(opinions=known, authenticated=True).is_spam
    assert find(opinions=known).is_spam
    assert find(opinions=(opinion(author_ham=10, author_spam=1),), authenticated=True).is_spam
    assert find(opinions=(opinion(author_ham=9),), authenticated=True).is_spam
    assert find("whitelist_threshold = 0", opinions=known, authenticated=True).is_spam


def test_what_an_earlier_check_accepted_is_not_spam():
    accepted = Decision("spf", accept("access map WHITELIST"))
    assert find(accepted=accepted).because == "accepted: access map WHITELIST"
    assert not find(accepted=accepted).is_spam


def test_what_also_went_to_a_honeypot_is_spam_and_the_honeypot_gets_nothing():
    innocent = {"opinions": (opinion(is_spam=False, probability=0.1),), "honeypot": True}
    assert verdict(find("honeypot = trap@example.com", "trap@example.com", **innocent)).action is Action.DISCARD
    assert find("honeypot = trap@example.com", **innocent).is_spam


def test_who_opted_out_gets_his_mail():
    finding = find("opt_out = yes\nspam_action = reject")
    assert (finding.is_spam, finding.because) == (False, "not to be filtered")


def test_a_store_that_is_gone_is_evidence():
    class Gone:
        def user_of(self, address):
            return None

        def settings_for(self, user, deadline):
            raise StoreError("locked")

    it = message(SPAM, ["b@example.com"], OpinionFinding())
    found = collect(Connection("c"), it, it.recipients[0], services(None, people=Gone()))
    assert found.error == "preferences: locked"


def edits(finding, text=SPAM, remembered=False, others=(), scores=()):
    it = message(text, ["b@example.com", *(f"c{number}@example.com" for number, _ in enumerate(others))])
    it.findings.add(OpinionFinding())
    for number, (one, its) in enumerate(zip(it.recipients, [finding, *others], strict=True)):
        one.findings.add(its)
        one.findings.add(scores[min(number, len(scores) - 1)] if scores else scored(6.4))
    if remembered:
        it.memo["dspam"] = ((), ("ann",))
    draft = Draft(it)
    act(finding, verdict(finding), draft, services(None))
    return draft.edits()


def appended(found):
    return {edit.name: edit.value for edit in found if isinstance(edit, AppendHeader)}


def test_the_fields_have_the_form_that_webmails_parse():
    assert appended(edits(find())) == {
        "X-DSPAM-Result": "Spam",
        "X-DSPAM-Confidence": "0.9800",
        "X-DSPAM-Probability": "0.9900",
        "X-Spam-Status": "Yes, score=6.4 required=6.0 tests=BAYES_SPAM",
        "X-Spam-Flag": "YES",
        "X-Spam-Level": "******",
    }


def test_honest_mail_carries_no_flag():
    found = appended(edits(find(opinions=(opinion(is_spam=False, probability=0.01),)), scores=[ScoreFinding()]))
    assert found["X-DSPAM-Result"] == "Innocent"
    assert found["X-Spam-Status"] == "No, score=0.0 required=6.0 tests=none"
    assert not {"X-Spam-Flag", "X-Spam-Level"} & set(found)


def test_spam_that_is_delivered_as_it_is_says_so_in_dspam_s_words_only():
    found = appended(edits(find("spam_action = deliver")))
    assert (found["X-DSPAM-Result"], found["X-Spam-Status"][:3]) == ("Spam", "No,")
    assert "X-Spam-Flag" not in found


def test_a_whitelisted_message_is_called_that():
    assert appended(edits(find(whitelisted=True)))["X-DSPAM-Result"] == "Whitelisted"


def test_of_several_dictionaries_nobody_reads_another_s_score():
    other = dataclasses.replace(find(), opinion=opinion(dictionary="ann", probability=0.97))
    found = edits(find(), others=[other], scores=[scored(6.4), scored(7.0)])
    assert appended(found) == {"X-DSPAM-Result": "Spam", "X-Spam-Flag": "YES"}


def test_the_subject_of_spam_gets_the_prefix_once():
    finding = find("spam_subject = [SPAM]")
    assert ChangeHeader("Subject", 1, "[SPAM] WIN {0}") in edits(finding)
    assert not any(isinstance(e, ChangeHeader) for e in edits(finding, SPAM.replace("WIN", "[SPAM] WIN")))
    assert appended(edits(finding, "From: a@example.org\r\n\r\ntext\r\n"))["Subject"] == "[SPAM]"
    assert not any(isinstance(e, ChangeHeader) for e in edits(find("spam_subject = [SPAM]", whitelisted=True)))


def test_what_can_be_reported_carries_its_signature_in_the_header_and_the_text_stays_as_it_was():
    """What is changed in the text breaks the sender's DKIM signature."""
    found = edits(find(USERS, "ann@example.com"), HAM, remembered=True)
    assert appended(found)["X-DSPAM-Signature"] == "abcdefghijkl"
    assert not any(isinstance(edit, ReplaceBody) for edit in found)


def test_a_user_may_have_the_signature_in_the_text_as_well():
    finding = find(USERS + "signature_location = message", "ann@example.com")
    found = edits(finding, HAM, remembered=True)
    assert appended(found)["X-DSPAM-Signature"] == "abcdefghijkl"
    (body,) = (edit.content for edit in found if isinstance(edit, ReplaceBody))
    assert body == b"Shall we meet for lunch on day {0}?\r\n\r\n<!DSPAM:abcdefghijkl>\r\n"


def test_who_is_no_user_gets_the_copy_that_users_get():
    config = dspam_settings(USERS)
    it = message(SPAM, ["ann@example.com", "b@example.com"], OpinionFinding(opinions=(opinion(),)))
    ann, other = (collect(Connection("c"), it, one, services(None, config)) for one in it.recipients)
    assert content(ann) == content(other)


def test_who_wants_another_action_gets_another_copy():
    assert content(find("spam_action = deliver")) != content(find("spam_action = tag"))
    assert content(find("spam_subject = [SPAM]")) != content(find())
    honest = {"opinions": (opinion(is_spam=False, probability=0.5),)}
    assert content(find("spam_action = deliver", **honest)) == content(find("spam_subject = [SPAM]", **honest))


def test_a_long_list_of_tests_is_folded_behind_commas():
    tests = tuple(Counted(f"TEST_WITH_A_LONG_NAME_{number:02}", 1.0) for number in range(12))
    value = appended(edits(find(), scores=[ScoreFinding(total=12.0, tests=tests)]))["X-Spam-Status"]
    assert max(map(len, value.split("\n"))) <= 78
    assert value.replace("\n\t", "").endswith(",".join(one.test for one in tests))
    assert re.match(r"Yes, score=12\.0 required=6\.0 tests=TEST", value)


def test_users_with_other_thresholds_do_not_read_each_other_s():
    other = dataclasses.replace(find(), required=3.0)
    assert "X-Spam-Status" not in appended(edits(find(), others=[other]))


def test_who_calls_nothing_spam_gets_no_score_written():
    assert "X-Spam-Status" not in appended(edits(find(thresholds="mark = never")))


def test_the_highest_threshold_is_remembered():
    assert find(points=15.0).reached is Reached.REFUSE
    assert find(points=6.0).reached is Reached.MARK


def test_the_finding_can_be_stored_and_read_again():
    assert Finding.from_json(find().to_json()) == find()
    assert find().action is Remedy.TAG


def test_what_the_recipient_allows_is_not_spam_to_them_whatever_the_score():
    it = message(SPAM, ["b@example.com", "c@example.com"])
    for one in it.recipients:
        one.findings.add(scored(30.0))
    it.recipients[0].findings.add(OwnListFinding(user="b@example.com", allowed="win@spam.example"))
    settings = default_settings([DspamSettings, ScoreSettings, OwnListSettings])
    given = dataclasses.replace(services(None), settings=settings)
    found = [collect(Connection("c"), it, one, given) for one in it.recipients]
    assert [verdict(one).action for one in found] == [Action.CONTINUE, Action.REJECT]
    assert verdict(found[0]).reason == "not spam: the recipient allows win@spam.example"
