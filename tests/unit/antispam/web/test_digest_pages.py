"""Links of digests: what they show and do, once, to whom, and what else they do not."""

from __future__ import annotations

import sqlalchemy as sa

from antispam.store import StoreError, digests, outbox
from antispam.store.console_schema import used_link
from antispam.store.preferences import of_user
from antispam.web.console import LINKS_A_MINUTE
from support.console import NOW, kept


def path(place, ref="aaa", user="bob"):
    return "/kept/" + place.console.links.token(ref, user)


def posted(place):
    return [entry.recipients for entry in outbox.entries(place.store, place.clock())]


def test_a_link_shows_the_message_and_why_it_was_kept_without_a_login(place):
    place.keep("aaa", "bob", subject=b"Win", body=b"<p>money</p>")
    page = place.client().get(path(place))
    assert page.status_code == 200
    for text in ("Win", "eve@example.org", "The mail filter takes it for spam.", "money", "Deliver this message"):
        assert text in page.text


def test_the_button_delivers_and_teaches(place):
    place.keep("aaa", "bob")
    answer = place.client().post(path(place))
    assert (answer.status_code, "It will be delivered in a moment." in answer.text) == (200, True)
    assert (posted(place), place.taught) == ([("bob@example.com",)], [("bob", "aaa")])


def test_a_program_that_fetches_links_delivers_nothing_and_uses_nothing_up(place):
    place.keep("aaa", "bob")
    client, link = place.client(), path(place)
    for _ in range(3):
        client.get(link)
        client.head(link)
    assert posted(place) == []
    assert client.post(link).status_code == 200


def test_a_link_works_once(place):
    place.keep("aaa", "bob")
    client, link = place.client(), path(place)
    client.post(link)
    for answer in (client.post(link), client.get(link)):
        assert (answer.status_code, "This link works once" in answer.text) == (410, True)
    assert (len(posted(place)), len(place.taught)) == (1, 1)


def test_the_links_of_two_digests_deliver_once(place):
    place.keep("aaa", "bob")
    first = path(place)
    place.clock.now += 60
    for link in (first, path(place)):
        place.client().post(link)
    assert (len(posted(place)), len(place.taught)) == (1, 1)


def test_a_link_ends(place):
    place.keep("aaa", "bob")
    link = path(place)
    place.clock.now += 7 * 86400
    for answer in (place.client().get(link), place.client().post(link)):
        assert (answer.status_code, "Its time is up" in answer.text) == (410, True)
    assert posted(place) == []


def test_a_link_that_was_cut_off_or_made_up_does_nothing(place):
    place.keep("aaa", "bob")
    link = path(place)
    for bad in (link[:-3], link + "x", "/kept/x", "/kept/" + "a" * 3000, "/kept/%00%ff"):
        for answer in (place.client().get(bad), place.client().post(bad)):
            assert (answer.status_code, "This link is not complete" in answer.text) == (404, True)
    assert posted(place) == []


def test_a_link_opens_the_entry_of_its_user_alone(place):
    place.keep("aaa", "bob", "carol")
    place.keep("bbb", "carol", subject=b"for Carol")
    client = place.client()
    assert "carol" not in client.get(path(place, "aaa", "bob")).text
    client.post(path(place, "aaa", "bob"))
    assert posted(place) == [("bob@example.com",)]
    for link in (path(place, "bbb", "bob"), path(place, "bbb", ""), path(place, "bbb", "*")):
        answer = client.post(link)
        assert (answer.status_code, "for Carol" in answer.text) == (404, False)
    assert len(posted(place)) == 1


def test_a_link_logs_nobody_in(place):
    place.keep("aaa", "bob")
    client = place.client()
    client.post(path(place))
    assert client.get("/").status_code == 303


def test_a_message_that_is_gone_is_said_to_be_gone(place):
    answer = place.client().post(path(place))
    assert (answer.status_code, "It may have been deleted" in answer.text) == (404, True)


def test_what_could_not_be_delivered_can_be_tried_again(place, monkeypatch):
    place.keep("aaa", "bob")
    link = path(place)

    def fail(console, entry):
        raise StoreError("the disk is full")

    with monkeypatch.context() as patch:
        patch.setattr("antispam.web.digest_pages.deliver_entry", fail)
        assert place.client().post(link).status_code == 503
    assert place.client().post(link).status_code == 200
    assert len(posted(place)) == 1


def test_the_links_of_a_user_are_not_opened_without_end(place):
    place.keep("aaa", "bob")
    place.keep("bbb", "carol")
    client, link = place.client(), path(place)
    answers = [client.get(link).status_code for _ in range(LINKS_A_MINUTE + 1)]
    assert answers == [200] * LINKS_A_MINUTE + [429]
    assert client.get(path(place, "bbb", "carol")).status_code == 200
    place.clock.now += 60
    assert client.get(link).status_code == 200


def test_a_form_of_another_site_delivers_nothing(place):
    place.keep("aaa", "bob")
    answer = place.client().post(path(place), headers={"Origin": "https://evil.example"})
    assert (answer.status_code, posted(place)) == (403, [])


def test_hostile_mail_stays_text(place):
    place.keep("aaa", "bob", subject=b"<script>alert(1)</script>", body=b"&lt;script&gt;alert(2)&lt;/script&gt;")
    page = place.client().get(path(place)).text
    assert "<script>" not in page


def test_used_links_are_forgotten_when_they_would_have_ended(place):
    assert digests.use(place.store, "token", NOW + 10)
    assert not digests.use(place.store, "token", NOW + 10)
    assert digests.purge(place.store, NOW + 11) == 1
    with place.store.read() as connection:
        assert connection.scalar(sa.select(sa.func.count()).select_from(used_link)) == 0


def test_the_message_stays_in_the_quarantine_until_the_mail_server_has_taken_it(place):
    place.keep("aaa", "bob")
    place.client().post(path(place))
    assert kept(place, "aaa") == ["bob"]


# No more of them


def chosen(place, user="bob"):
    return {one.owner: one.value for one in of_user(place.store, user) if one.name == "digest"}


def test_a_link_ends_the_digests_of_its_user_alone(place):
    client, link = place.client(), "/digest/stop/" + place.console.links.stop_token("bob")
    assert "Send me no more such mail" in client.get(link).text
    assert chosen(place) == {}
    assert "You get no more such mail." in client.post(link).text
    assert (chosen(place), chosen(place, "carol")) == ({"bob": "never"}, {})


def test_a_mail_program_ends_them_by_one_click(place):
    """RFC 8058 section 3.2: without cookies, and what its form says is always the same."""
    link = "/digest/stop/" + place.console.links.stop_token("bob")
    assert place.client().post(link, data={"List-Unsubscribe": "One-Click"}).status_code == 200
    assert chosen(place) == {"bob": "never"}


def test_a_link_to_a_message_ends_no_digests(place):
    answer = place.client().post("/digest/stop/" + place.console.links.token("aaa", "bob"))
    assert (answer.status_code, chosen(place)) == (404, {})
