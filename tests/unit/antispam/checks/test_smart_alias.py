"""Smart aliases: on whom they trigger, and to whom the mail goes then."""

from __future__ import annotations

import pytest

from antispam.checks import smart_alias
from antispam.mail.draft import AddRecipient, DeleteRecipient, Draft
from antispam.mail.evidence import WiretapFinding
from antispam.mail.verdicts import Action
from antispam.settings import SettingsError, load_text
from support.checking import judge, message, services


def goes_to(aliases, mail_from, *to, config="", found=()):
    """To whom a message goes."""
    it = message(mail_from=mail_from, to=to, found=found)
    draft = Draft(it)
    for one in found:
        for copy in one.copies:
            draft.add_recipient(copy, "NOTIFY=NEVER")
    finding, verdict = judge(smart_alias, it, f"{config}[smart_alias]\n{aliases}\n")
    if finding is not None:
        assert verdict.action is Action.CONTINUE
        smart_alias.act(finding, verdict, draft, services(smart_alias))
    return draft.addresses


@pytest.mark.parametrize(
    ("alias", "addresses"),
    [
        ("x = a@e.example, b@c.example, d@c.example", ("d@c.example",)),
        ("copycust = a@e.example, b@c.example", ("copycust",)),
        ("x = @e.example, b@c.example, d@c.example", ("d@c.example",)),
        ("x = <A@E.Example>, B@C.example, d@c.example", ("d@c.example",)),
        ("x = a@e.example, b@c.example, d@c.example,\n\tb@c.example", ("b@c.example", "d@c.example")),
        ("x = other@e.example, b@c.example, d@c.example", ("b@c.example",)),
        ("x = @c.example, b@c.example, d@c.example", ("b@c.example",)),
        ("x = <>, b@c.example, d@c.example", ("b@c.example",)),
        ("x = a@e.example, b@c.example, d@c.example\ny = @e.example, b@c.example, e@c.example",
         ("d@c.example", "e@c.example")),
        # Of two for one pair the later holds.
        ("x = a@e.example, b@c.example, d@c.example\ny = a@e.example, b@c.example, e@c.example", ("e@c.example",)),
        # Destinations are not looked up again.
        ("x = a@e.example, b@c.example, d@c.example\ny = a@e.example, d@c.example, b@c.example", ("d@c.example",)),
    ],
)  # fmt: skip
def test_an_alias_needs_sender_and_recipient(alias, addresses):
    assert goes_to(alias, "a@e.example", "b@c.example") == addresses


def test_bounces_have_a_sender_too():
    assert goes_to("x = <>, b@c.example, d@c.example", "", "b@c.example") == ("d@c.example",)


def test_capitals_of_the_local_part_matter_where_the_site_says_so():
    strict = "[milter]\ncase_sensitive_localpart = yes\n"
    alias = "x = a@e.example, b@c.example, d@c.example"
    assert goes_to(alias, "A@E.example", "b@c.example", config=strict) == ("b@c.example",)
    assert goes_to(alias, "a@E.example", "b@C.example", config=strict) == ("d@c.example",)


def test_other_recipients_keep_their_mail_and_nobody_gets_two():
    aliases = "x = @e.example, b@c.example, d@c.example\ny = @e.example, f@c.example, d@c.example"
    assert goes_to(aliases, "a@e.example", "b@c.example", "f@c.example", "g@c.example") == (
        "g@c.example",
        "d@c.example",
    )


def test_what_the_wiretap_adds_can_be_multiplied_and_stays_unnoticed():
    it = message(mail_from="a@e.example", to=["b@c.example"], found=[WiretapFinding(copies=("spy@c.example",))])
    draft = Draft(it)
    draft.add_recipient("spy@c.example", "NOTIFY=NEVER")
    finding, verdict = judge(
        smart_alias, it, "[smart_alias]\ns = a@e.example, spy@c.example, s1@c.example, s2@c.example"
    )
    smart_alias.act(finding, verdict, draft, services(smart_alias))
    assert draft.edits() == [
        AddRecipient("s1@c.example", "NOTIFY=NEVER"),
        AddRecipient("s2@c.example", "NOTIFY=NEVER"),
    ]


def test_the_mta_hears_the_path_that_the_client_gave():
    it = message(mail_from="a@e.example", to=["b@c.example"])
    it.recipients[0].path = "<@relay.example:b@c.example>"
    finding, verdict = judge(smart_alias, it, "[smart_alias]\ncopy = a@e.example, b@c.example")
    draft = Draft(it)
    smart_alias.act(finding, verdict, draft, services(smart_alias))
    assert draft.edits() == [AddRecipient("copy"), DeleteRecipient("<@relay.example:b@c.example>")]


def test_aliases_of_old_configurations_stand_in_wiretap():
    old = "[wiretap]\nsmart_alias = bulk, more\nbulk = a@e.example, b@c.example\nmore = a@e.example, f@c.example, g@c.example\n"
    assert goes_to("", "a@e.example", "b@c.example", "f@c.example", config=old) == ("bulk", "g@c.example")


@pytest.mark.parametrize("alias", ["x = a@e.example", "moed = off", "x = nobody, b@c.example", "x = a@e.example, b c"])
def test_what_is_no_alias_is_an_error(alias):
    with pytest.raises(SettingsError, match=r"expected sender, recipient|the sender is an address"):
        load_text(f"[smart_alias]\n{alias}\n", [smart_alias.Settings])


def test_mode_and_on_error_are_no_aliases():
    settings = load_text("[smart_alias]\nmode = off\nx = a@e.example, b@c.example\n", [smart_alias.Settings])
    assert settings[smart_alias.Settings].aliases == {"x": ("a@e.example", "b@c.example")}
    assert settings[smart_alias.Settings].mode == "off"
