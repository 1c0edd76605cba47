"""Edits of a draft, and the order in which the MTA hears of them."""

from __future__ import annotations

import pytest

from antispam.mail.draft import (
    LONGEST_LINE,
    AddRecipient,
    AppendHeader,
    ChangeHeader,
    DeleteRecipient,
    Draft,
    InsertHeader,
    ReplaceBody,
)
from antispam.mail.message import Body, Header, Message, Recipient
from support.effort import in_proportion


def draft(*headers, body=b"text\r\n"):
    message = Message("ref", "a@example.org", 0.0, Body(1000))
    message.headers.extend(Header(name, value) for name, value in headers)
    message.body.write(body)
    return Draft(message)


def test_nothing_edited_is_nothing_sent():
    assert draft((b"Subject", b" hi")).edits() == []


def test_fields_of_one_name_are_removed_from_the_last_up():
    """CVE-2022-48521: an MTA that renumbers after each removal would otherwise leave every second one."""
    d = draft((b"A-R", b" 1"), (b"X", b" x"), (b"a-r", b" 2"), (b"A-R", b" 3"))
    for header in [h for h in d.message.headers if h.key == b"a-r"]:
        d.change_header(header, None)
    assert d.edits() == [ChangeHeader("A-R", 3, None), ChangeHeader("a-r", 2, None), ChangeHeader("A-R", 1, None)]
    assert [h.name for h in d.headers] == [b"X"]


def test_equal_fields_are_told_apart_by_identity():
    d = draft((b"X", b" same"), (b"X", b" same"))
    d.change_header(d.message.headers[1], "other")
    assert d.edits() == [ChangeHeader("X", 2, "other")]
    assert [h.value for h in d.headers] == [b" same", b" other"]


def test_a_field_that_did_not_come_with_the_message_can_not_be_changed():
    d = draft((b"X", b" x"))
    with pytest.raises(ValueError, match="not a field"):
        d.change_header(Header(b"X", b" x"), None)


def test_later_insertions_end_up_above_earlier_ones_in_the_draft_and_in_what_is_sent():
    d = draft((b"Subject", b" hi"))
    d.insert_header("First", "1")
    d.insert_header("Second", "2")
    d.append_header("Last", "3")
    assert [h.name for h in d.headers] == [b"Second", b"First", b"Subject", b"Last"]
    assert d.edits() == [AppendHeader("Last", "3"), InsertHeader("First", "1"), InsertHeader("Second", "2")]


def test_a_body_replaced_by_itself_is_no_edit():
    d = draft()
    d.replace_body(b"text\r\n")
    assert d.edits() == []
    d.replace_body(b"other\r\n")
    assert d.edits() == [ReplaceBody(b"other\r\n")]


def addressed(*addresses):
    message = Message("ref", "a@example.org", 0.0, Body(1000))
    message.recipients += [Recipient(one, (), f"<{one}>") for one in addresses]
    return Draft(message)


def test_whoever_is_added_gets_it_once():
    d = addressed("a@example.com")
    for address in ("b@example.com", "B@example.com", "A@example.com"):
        d.add_recipient(address)
    assert d.edits() == [AddRecipient("b@example.com")]
    assert d.addresses == ("a@example.com", "b@example.com")


def test_a_redirected_recipient_leaves_unless_he_is_among_the_destinations():
    d = addressed("a@example.com", "c@example.com")
    d.redirect("a@example.com", ["b@example.com"])
    d.redirect("c@example.com", ["C@example.com", "d@example.com"])
    assert d.edits() == [
        AddRecipient("b@example.com"),
        AddRecipient("d@example.com"),
        DeleteRecipient("<a@example.com>"),
    ]


def test_who_is_taken_out_and_added_again_stays():
    d = addressed("a@example.com")
    d.take_out_all()
    d.add_recipient("a@example.com")
    assert d.edits() == []
    assert d.addresses == ("a@example.com",)


def under_another_name(path, meant):
    return Recipient(meant, (), f"<{path}>", readdressed=True)


def test_a_readdressed_recipient_gets_it_under_the_address_that_is_meant():
    d = addressed("a@example.com")
    d = Draft(d.message, [*d.recipients, under_another_name("SES=x=b@example.com", "b@example.com")])
    assert d.edits() == [DeleteRecipient("<SES=x=b@example.com>"), AddRecipient("b@example.com")]
    assert d.addresses == ("a@example.com", "b@example.com")


def test_a_readdressed_recipient_who_is_redirected_gets_none():
    d = Draft(addressed().message, [under_another_name("SES=x=b@example.com", "b@example.com")])
    d.redirect("b@example.com", ["c@example.com"])
    assert d.edits() == [DeleteRecipient("<SES=x=b@example.com>"), AddRecipient("c@example.com")]


def test_a_readdressed_recipient_gets_it_whoever_else_is_to_be_added():
    d = Draft(addressed().message, [under_another_name("SES=x=b@example.com", "b@example.com")])
    d.add_recipient("b@example.com")
    assert d.edits() == [DeleteRecipient("<SES=x=b@example.com>"), AddRecipient("b@example.com")]


def readdressed(*addresses):
    """A draft for recipients whom the client named by signed addresses."""
    d = addressed(*addresses)
    for one in d.recipients:
        one.path, one.readdressed = f"<SES=x={one.address}>", True
    return d


def test_whom_the_client_named_by_a_signed_address_gets_it_at_his_plain_one():
    d = readdressed("a@example.com")
    assert d.edits() == [DeleteRecipient("<SES=x=a@example.com>"), AddRecipient("a@example.com")]
    assert d.addresses == ("a@example.com",)


def test_whom_the_client_named_in_both_ways_gets_it_once():
    d = readdressed("a@example.com", "a@example.com")
    d.recipients[0].path, d.recipients[0].readdressed = "<a@example.com>", False
    # An MTA that knows both as one mailbox has taken it out with the first of these.
    assert d.edits() == [DeleteRecipient("<SES=x=a@example.com>"), AddRecipient("a@example.com")]
    assert d.addresses == ("a@example.com",)


def test_whom_the_client_named_by_a_signed_address_can_be_redirected():
    d = readdressed("a@example.com")
    d.redirect("a@example.com", ["b@example.com"])
    assert d.edits() == [DeleteRecipient("<SES=x=a@example.com>"), AddRecipient("b@example.com")]
    assert d.addresses == ("b@example.com",)


def for_recipients(*recipients, **options):
    return Draft(Message("ref", "a@example.org", 0.0, Body(1000), recipients=list(recipients)), **options)


def test_where_capitals_matter_an_alias_of_ann_in_capitals_leaves_the_other_ann_alone():
    d = for_recipients(
        Recipient("Ann@example.com", path="<Ann@example.com>"), Recipient("ann@example.com"), fold_case=False
    )
    d.redirect("Ann@example.com", ["bob@example.com"])
    assert d.addresses == ("ann@example.com", "bob@example.com")
    assert d.edits() == [AddRecipient("bob@example.com"), DeleteRecipient("<Ann@example.com>")]


def test_the_domain_of_a_mailbox_is_compared_without_its_case_all_the_same():
    d = for_recipients(Recipient("Ann@example.com"), fold_case=False)
    d.add_recipient("Ann@EXAMPLE.com")
    assert d.addresses == ("Ann@example.com",)


def test_addresses_longer_than_any_that_exist_are_not_cut_to_one():
    first, second = ("a" * 1100 + f"{number}@example.com" for number in (1, 2))
    d = for_recipients(Recipient(first))
    d.add_recipient(second)
    assert d.addresses == (first, second)


def lines_of(draft):
    return [line for header in draft.headers for line in (header.name + b":" + header.value).split(b"\n")]


@pytest.mark.parametrize(
    "value",
    [
        b" " + b"<id@example.org> " * 100,
        b" " + b"x" * 5000,
        b" short\n " + b"long " * 300 + b"\n\tshort",
        b" " + b" " * 3000 + b"x",
        b"x" * 1000,
        b" " + b"\xff\xc3\xa9 " * 900,
    ],
    ids=["blanks", "no blank", "one line of several", "only blanks", "no leading blank", "not UTF-8"],
)
def test_long_header_lines_are_folded_and_say_the_same(value):
    d = draft((b"References", value), (b"Subject", b" hi"))
    d.append_header("X-Long", "word " * 400)
    d.fold_long_lines()
    assert max(map(len, lines_of(d))) <= LONGEST_LINE
    assert b"".join(d.headers[0].value.split()) == b"".join(value.split())
    assert [edit.name for edit in d.edits()] == ["References", "X-Long"]


def test_a_fold_at_a_blank_adds_nothing_and_short_lines_stay():
    d = draft((b"References", b" " + b"<id@example.org> " * 100), (b"To", b" a@example.org,\n b@example.org"))
    before = d.headers
    d.fold_long_lines()
    assert d.headers[0].value.replace(b"\n", b"") == before[0].value
    assert d.headers[1] is before[1]


def test_a_line_of_a_megabyte_is_folded_in_no_time():
    def fold(value):
        d = draft((b"X", value))
        d.fold_long_lines()
        return d

    assert in_proportion(fold, lambda length: b" " + b"x" * length, 1 << 20)
    assert max(map(len, lines_of(fold(b" " + b"x" * (1 << 20))))) <= LONGEST_LINE


def test_what_was_touched_is_known_by_name():
    d = draft((b"Subject", b" hi"), (b"To", b" b"))
    d.change_header(d.message.headers[0], "[SPAM] hi")
    d.insert_header("Received-SPF", "pass")
    assert (d.touched, d.body_changed) == (frozenset({b"subject", b"received-spf"}), False)
    d.replace_body(b"other")
    assert d.body_changed
