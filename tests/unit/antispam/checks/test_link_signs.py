"""Links that hide where they lead, and honest ones that look a little like them."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from antispam.checks import link_signs
from antispam.protocols.signs import links
from antispam.protocols.signs.lists import brands
from support.effort import in_proportion
from support.signs import hits

HTML = "Content-Type: text/html"


def met_by(body: str, *fields: str) -> set[str]:
    return set(hits(link_signs, HTML, *fields, body=body.encode()))


@pytest.mark.parametrize(
    ("link", "name"),
    [
        ("http://192.0.2.7/login", "NUMERIC_HTTP_ADDR"),
        ("http://3221226075/", "NUMERIC_HTTP_ADDR"),
        ("http://0xC0.0.0x2.7/", "NUMERIC_HTTP_ADDR"),
        ("https://www.bank.example@evil.example/", "LINK_USERINFO"),
        ("http:\\\\bank.example@evil.example/", "LINK_USERINFO"),
        ("ht\ntps://bank.example@evil.example/", "LINK_USERINFO"),
        ("https://evil.example:8443/x", "LINK_PORT"),
        ("https://xn--bcher-kva.example/", "LINK_PUNYCODE"),
        ("https://p\u0430ypal.example/", "LINK_MIXED_SCRIPTS"),
        ("data:text/html;base64,PGI+", "LINK_SCRIPT"),
        ("javascript:location='//evil.example'", "LINK_SCRIPT"),
        ("https://bit.ly/3abc", "URL_SHORTENER"),
        ("https://www.google.de/url?q=https://evil.example/", "URL_REDIRECTOR"),
        ("https://www.google.co.uk/url?q=https://evil.example/", "URL_REDIRECTOR"),
        ("https://googleads.g.doubleclick.net/aclk?adurl=https://evil.example/", "URL_REDIRECTOR"),
        ("https://ipfs.io/ipfs/bafy/index.html", "LINK_GATEWAY"),
        ("https://storage.googleapis.com/x/y.html", "LINK_TENANT_PAGE"),
        ("https://login-1.web.app/", "LINK_TENANT_PAGE"),
        ("https://docs.google.com/forms/d/1", "LINK_TENANT_FORM"),
        ("https://shop.offer.icu/", "LINK_CHEAP_DOMAIN"),
        ("https://evil.example/a#bob@example.com", "LINK_FRAGMENT_ADDRESS"),
    ],
)
def test_a_link_that_hides_where_it_leads(link, name):
    found = hits(link_signs, HTML, body=f'<a href="{link}">here</a>'.encode())
    assert name in found
    assert found[name].evidence.endswith(".")
    assert found[name].evidence.isprintable()


@pytest.mark.parametrize(
    "link",
    [
        "https://www.example.org/",
        "https://www.example.org:443/",
        "https://click.news.example.org/u/?email=bob@example.com",
        "https://bit.ly",
        "https://www.google.de/search?q=lunch",
        "https://google.shop.example/url?q=shoes",
        "https://youtube.com.shop.example/redirect?q=shoes",
        "https://example.org/a#chapter-2",
        "mailto:ann@example.org",
        "#top",
        "/relative/192.0.2.7",
        "https://1and1.example/",
        "https://2.example/",
        "cid:picture@1",
        "tel:+49301234",
    ],
)
def test_honest_links_show_nothing(link):
    assert met_by(f'<a href="{link}">here</a>') == set()


def test_a_text_that_names_another_host_than_the_link():
    assert "LINK_TEXT_OTHER" in met_by('<a href="https://evil.example/">www.other.example</a>')


def test_a_text_that_names_the_site_of_a_brand():
    body = '<a href="https://evil.example/">https://www.paypal.com/login</a>'
    assert "LINK_TEXT_BRAND" in met_by(body)
    assert "LINK_TEXT_BRAND" not in met_by(body, "From: PayPal <service@paypal.com>")


@pytest.mark.parametrize(
    "body",
    [
        '<a href="https://click.tracker.example/1">www.example.org</a>',  # the author's own, through a counter of clicks
        '<a href="https://www.shop.co.uk/x">shop.co.uk</a>',
        '<a href="https://www.example.de/">example.com</a>',
        '<a href="https://files.example/1">report.pdf</a>',
        '<a href="https://files.example/1">e.g. this</a>',
    ],
)
def test_texts_that_honest_links_have(body):
    assert not {"LINK_TEXT_OTHER", "LINK_TEXT_BRAND"} & met_by(body)


def test_pictures_are_shown_and_not_followed():
    assert met_by('<img src="https://bit.ly/3abc">') == set()
    assert met_by('<img src="https://i.imgur.com/x.png">') == {"IMAGE_AT_PICTURE_HOST"}


def test_a_form_tells_where_it_sends_what_is_typed():
    assert "FORM_IN_MAIL" in met_by('<form action="https://evil.example/p"><input name="x"></form>')


def test_mail_of_our_own_users_is_not_looked_at():
    assert hits(link_signs, HTML, body=b'<a href="http://192.0.2.7/">x</a>', login="ann") == {}


@given(st.binary(max_size=300))
def test_no_link_raises(target):
    links.read(b"a", target)
    list(links.signs([(b"a", target)], [(target, target)], frozenset(), brands()))


def test_thousands_of_links_take_no_time():
    link = b'<a href="https://a@b.example:1/#x@y.example">www.other.example</a>'
    assert in_proportion(lambda body: hits(link_signs, HTML, body=body), lambda count: link * count, 20_000)
