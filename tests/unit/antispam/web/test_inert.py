"""HTML of mail that does nothing."""

from __future__ import annotations

from antispam.web import inert


def test_html_is_cut_off_where_elements_within_elements_would_take_minutes() -> None:
    page = inert.page("<b>near</b>" + "<i>x</i>" * 100_000)
    assert "<b>near</b>" in page
    assert len(page) < 3 * inert.MAX_SOURCE
    assert page.endswith("<p>…</p>")


def test_html_of_the_usual_size_is_whole() -> None:
    assert "<p>end</p>" in inert.page("<p>a</p>" * 10_000 + "<p>end</p>")
    assert "…" not in inert.page("<p>a</p>")
