"""Plots: values as pictures, with nothing in them but what console.css and the table need."""

from __future__ import annotations

import math
import xml.etree.ElementTree as ET

import pytest
from hypothesis import given
from hypothesis import strategies as st

from antispam.web import plots
from antispam.web.answers import _templates
from antispam.web.plots import Look, Plot, Series

SVG = "{http://www.w3.org/2000/svg}"
HOSTILE = '"><script>alert(1)</script>&\x00\u202e'


def plot(*series, places=("Mon", "Tue", "Wed"), title="Mail by day", told="Three days."):
    return Plot(name="mail", title=title, told=told, across="Day", places=places, series=series)


def parsed(drawn):
    return ET.fromstring(str(drawn).replace("<svg ", '<svg xmlns="http://www.w3.org/2000/svg" ', 1))


def rects(drawn):
    return [
        (one.get("class"), float(one.get("y")), float(one.get("height"))) for one in parsed(drawn).iter(f"{SVG}rect")
    ]


@pytest.mark.parametrize(
    ("most", "top", "step"),
    [(0, 1, 1), (-3, 1, 1), (math.nan, 1, 1), (math.inf, 1, 1), (4, 4, 1), (7, 8, 2), (37, 40, 10), (101, 150, 50),
     (0.3, 0.3, 0.1)],
)  # fmt: skip
def test_an_axis_ends_at_a_round_number(most, top, step):
    assert plots.axis(most) == pytest.approx((top, step))


@given(st.floats(min_value=1e-9, max_value=1e14))
def test_an_axis_holds_what_it_must(most):
    top, step = plots.axis(most)
    assert top >= most * (1 - 1e-6)
    assert 1 <= round(top / step) <= 5


def test_bars_stand_upon_each_other():
    drawn = plots.bars(plot(Series("ham", Look.GOOD, (2,)), Series("spam", Look.BAD, (2,)), places=("Mon",)))
    (_, ham_y, ham_height), (_, spam_y, spam_height) = rects(drawn)
    assert (spam_y + spam_height, ham_height) == (ham_y, spam_height)


def test_nothing_is_drawn_for_zero():
    assert [one[0] for one in rects(plots.bars(plot(Series("ham", Look.GOOD, (0, 3, None)))))] == ["good"]


def test_a_bar_says_its_value():
    drawn = plots.bars(plot(Series("spam", Look.BAD, (0, 1234, 0))))
    assert "<title>Tue: spam 1,234</title>" in drawn


@pytest.mark.parametrize(
    ("value", "english", "german"),
    [(1234, "1,234", "1.234"), (0.0123, "0.0123", "0,0123"), (1.5, "1.5", "1,5"), (1e300, "1e+300", "1e+300")],
)
def test_a_number_is_written_as_in_the_language(value, english, german):
    assert (plots.number(value), plots.number(value, "de")) == (english, german)


def test_a_gap_interrupts_a_line():
    drawn = parsed(plots.lines(plot(Series("delay", Look.PLAIN, (1, 2, None, 3, None)), places=tuple("abcde"))))
    assert len(list(drawn.iter(f"{SVG}polyline"))) == 1
    assert len(list(drawn.iter(f"{SVG}circle"))) == 1


@pytest.mark.parametrize("draw", [plots.bars, plots.lines])
def test_a_picture_is_named_and_told(draw):
    drawn = parsed(draw(plot(Series("ham", Look.GOOD, (1, 2, 3)))))
    named = drawn.get("aria-labelledby").split()
    texts = {one.get("id"): one.text for one in drawn if one.get("id")}
    assert ([texts[name] for name in named], drawn.get("role")) == (["Mail by day", "Three days."], "img")


@pytest.mark.parametrize("draw", [plots.bars, plots.lines])
@pytest.mark.parametrize("places", [(), ("x",), tuple(map(str, range(400)))])
def test_any_number_of_places_is_drawn(draw, places):
    assert parsed(draw(plot(Series("ham", Look.GOOD, (1,) * len(places)), places=places))) is not None


@pytest.mark.parametrize("draw", [plots.bars, plots.lines])
def test_hostile_labels_are_text(draw):
    drawn = draw(plot(Series(HOSTILE, Look.BAD, (1,)), places=(HOSTILE,), title=HOSTILE, told=HOSTILE))
    assert "<script" not in drawn


@pytest.mark.parametrize("draw", [plots.bars, plots.lines])
def test_there_is_no_style_and_no_script_in_a_picture(draw):
    drawn = draw(plot(Series("ham", Look.GOOD, (1, 2, 3))))
    assert all(bad not in drawn for bad in ("style", "fill=", " on", "href", "<script"))


@given(
    st.lists(st.one_of(st.none(), st.floats()), max_size=8),
    st.lists(st.one_of(st.none(), st.floats()), max_size=8),
)
def test_whatever_the_values_it_stays_within_the_picture(one, other):
    shown = plot(Series("a", Look.GOOD, tuple(one)), Series("b", Look.BAD, tuple(other)), places=tuple("abcdefgh"))
    for _, y, height in rects(plots.bars(shown)):
        assert 0 <= y <= y + height <= plots.HEIGHT
    for line in parsed(plots.lines(shown)).iter(f"{SVG}polyline"):
        for pair in line.get("points").split():
            x, y = map(float, pair.split(","))
            assert 0 <= x <= plots.WIDTH
            assert 0 <= y <= plots.HEIGHT


def test_the_table_beneath_has_every_value():
    shown = plot(Series("ham", Look.GOOD, (1, None, 2.5)), Series("spam", Look.BAD, (0, 2000)))
    assert list(shown.rows) == [("Mon", ["1", "0"]), ("Tue", ["", "2,000"]), ("Wed", ["2.5", ""])]


def test_a_figure_shows_the_picture_its_legend_and_its_table():
    shown = plot(Series(HOSTILE, Look.BAD, (7, 8, 9)))
    template = _templates("en").from_string('{% from "_plot.html" import figure %}{{ figure(plot, drawn) }}')
    page = template.render(plot=shown, drawn=plots.bars(shown))
    assert (page.count("<svg"), page.count("<tr>"), "<script" in page) == (1, 4, False)
