"""Scripts, event handlers and links that are programs leave HTML and SVG; everything else stays as it is."""

from __future__ import annotations

import html
import io
import re
from html.parser import HTMLParser

import pytest
from hypothesis import given
from hypothesis import strategies as st

import _sgmlfilter
from _sgmlfilter import SCRIPT_REMOVED, HTMLScriptFilter, has_script, strip_scripts
from support.effort import in_proportion

ACTIVE = [
    "<img src=x onerror=evil()>",
    "<img src=x OnErRoR = 'evil()'>",
    '<img src="x"onerror="evil()">',
    "<img/src='x'/onerror=evil()>",
    "<img src=x\nonerror\n=\nevil()>",
    "<body onload=evil()>",
    "<svg onload=evil()>",
    "<svg/onload=evil()>",
    "<details open ontoggle=evil()>",
    "<input autofocus onfocus=evil()>",
    "<video><source onerror=evil()></video>",
    "<marquee onstart=evil()>",
    "<a href=javascript:evil()>x</a>",
    '<a href="JaVaScRiPt:evil()">x</a>',
    '<a href=" javascript:evil()">x</a>',
    '<a href="java\tscript:evil()">x</a>',
    '<a href="java\nscript:evil()">x</a>',
    '<a href="\x01javascript:evil()">x</a>',
    '<a href="&#106;avascript:evil()">x</a>',
    '<a href="&#x6a;avascript:evil()">x</a>',
    '<a href="&#0000106avascript:evil()">x</a>',
    '<a href="java&Tab;script:evil()">x</a>',
    '<a href="java&NewLine;script&colon;evil()">x</a>',
    '<a href="javascript&#58;evil()">x</a>',
    '<a href="vbscript:evil()">x</a>',
    '<a href="data:text/html,evil()">x</a>',
    '<a href="data:text/html;base64,PHNjcmlwdD4=">x</a>',
    '<iframe src="javascript:evil()">',
    '<iframe srcdoc="&lt;script>evil()&lt;/script>">',
    '<iframe srcdoc="<img src=x onerror=evil()>">',
    '<embed src="data:image/svg+xml;base64,PHN2Zz4=">',
    '<object data="data:text/html,evil()">',
    '<form action="javascript:evil()">',
    '<button formaction="javascript:evil()">',
    '<svg><a xlink:href="javascript:evil()"><text>x</text></a></svg>',
    '<svg><animate attributeName=href values="x;javascript:evil()">',
    '<svg><set attributeName=href to="javascript:evil()">',
    '<meta http-equiv=refresh content="0; url=javascript:evil()">',
    '<div style="background:url(javascript:evil())">',
    # Where readers differ.
    "<style><img src=x onerror=evil()></style>",
    "<svg><style><img src=x onerror=evil()></style></svg>",
    '<svg><![CDATA[><img title="]]><img src=x onerror=evil()>">',
    '<noscript><p title="</noscript><img src=x onerror=evil()>">',
    '<title><p title="</title><img src=x onerror=evil()>">',
    "<!--><img src=x onerror=evil()>-->",
    "<!-- --!><img src=x onerror=evil()>-->",
    "<textarea><img onerror=evil()></textarea>",
    "<svg><script type='application/json'><img src=x onerror=evil()></script></svg>",
    "<math><script type='application/json'><img src=x onerror=evil()></script></math>",
    '<img src="x" alt="a"/onerror=evil() b>',
    "<img title=' onload=' onerror=evil()>",
    "<x onxyz='<y onabc=1 ' onerror=evil()>",
    # Scripts.
    "<script>evil()</script>",
    "<script src=//evil()>",
    "<script type=module>evil()</script>",
    "<script type='text/vbscript'>evil()</script>",
    "<script type='application/ld+json' onerror=evil()>{}</script>",
    "<script type='application/ld+json' type='text/javascript'>evil()</script>",
    "<script type=\"application/ld+json\" src='evil()'>{}</script>",
    "<script x='<script type=\"text/plain\">'>evil()</script>",
]


class _Judge(HTMLParser):
    """Says what another reader of HTML finds active."""

    def __init__(self) -> None:
        super().__init__(convert_charrefs=True)
        self.active: list[object] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        if tag.rpartition(":")[2] == "script" and dict(attrs).get("type") not in {"application/ld+json", "text/plain"}:
            self.active.append(tag)
        for name, value in attrs:
            url = re.sub(r"[\x00-\x20]", "", html.unescape(value or "")).lower()
            if name.startswith("on") or url.startswith(("javascript:", "vbscript:", "data:text/html")):
                self.active.append((tag, name, value))


class _ForeignJudge(_Judge):
    """Reads as in SVG, where every element may have tags inside."""

    CDATA_CONTENT_ELEMENTS = ()


def judged(text: str, foreign: bool = False) -> list[object]:
    judge = _ForeignJudge() if foreign else _Judge()
    judge.feed(text)
    judge.close()
    return judge.active


@pytest.mark.parametrize("text", ACTIVE)
@pytest.mark.parametrize("xml", [False, True])
def test_nothing_active_is_left(text: str, xml: bool) -> None:
    document = f"<p class=a>before</p>{text}<p>after</p>"
    assert has_script(document, xml)
    left = strip_scripts(document, xml)
    assert not judged(left)
    assert not judged(left, foreign=True)
    assert left.startswith("<p class=a>before</p>")
    assert not has_script(left, xml)


INERT = [
    "<p>once on=1 onward = 3, javascript is a language, 5 < 6 onx</p>",
    '<a href="https://example.com/?a=1&amp;on=2&#38;b">it&#39;s</a>',
    '<a href="https://example.com/javascript:x" title="how to: javascript">x</a>',
    '<img src="data:image/png;base64,iVBORw0KGgo=" alt="on the road = here">',
    '<img src="data:image/svg+xml;base64,PHN2Zz4=">',
    "<!--[if mso]><v:shape style='behavior:url(#default#VML)'><![endif]-->",
    "<style>.a{background:url(data:image/png;base64,AA)} /* on=1 */</style>",
    '<script type="application/ld+json">{"@type": "Order", "html": "<b onclick=1>"}</script>',
    "<script type='application/json' id='x'>{}</script>",
    '<script class="x" type="text/plain" data-y="1">text</script>',
    "<td one=1 icon=2 data-on-click=3>x</td>",
    "<a href='mailto:a@example.com?subject=Description: subscription'>x</a>",
    "<o:p></o:p><w:WordDocument/>",
]


@pytest.mark.parametrize("text", INERT)
def test_what_does_nothing_stays(text: str) -> None:
    document = f"<html><body>{text}</body></html>"
    assert strip_scripts(document) == document
    assert not has_script(document)


@pytest.mark.parametrize(
    ("svg", "left"),
    [
        ("<svg><script href='data:,evil()'/><path d='M0'/></svg>", f"<svg>{SCRIPT_REMOVED}<path d='M0'/></svg>"),
        ("<svg><script><![CDATA[evil()]]></script><g/></svg>", f"<svg>{SCRIPT_REMOVED}<g/></svg>"),
        ("<svg><script><g>evil()</g></script><g/></svg>", f"<svg>{SCRIPT_REMOVED}<g/></svg>"),
        ("<svg><s:script>1</s:script></svg>", "<svg><s:x-script>1</s:script></svg>"),
        ("<!DOCTYPE svg [<!ENTITY x '&#60;script>1'>]><svg/>", "<!DOCTYPE svg [<!x-ENTITY x '&#60;script>1'>]><svg/>"),
        (
            "<?xml-stylesheet type='text/xsl' href='data:x'?><svg/>",
            "<?x-xml-stylesheet type='text/xsl' href='data:x'?><svg/>",
        ),
    ],
)
def test_svg_keeps_what_stands_behind_a_script(svg: str, left: str) -> None:
    assert strip_scripts(svg, xml=True) == left


@pytest.mark.parametrize(
    "svg",
    [
        "<!DOCTYPE svg [<!ENTITY ns_svg 'http://www.w3.org/2000/svg'>]><svg xmlns='&ns_svg;'/>",
        "<?xml-stylesheet type='text/css' href='a.css'?><svg><style>a{}</style></svg>",
    ],
)
def test_svg_as_programs_write_it_stays(svg: str) -> None:
    assert strip_scripts(svg, xml=True) == svg


PIECES = [
    *(
        "<img ",
        "<a ",
        "<svg>",
        "</svg>",
        "<style>",
        "</style>",
        "<title>",
        "</title>",
        "<!--",
        "-->",
        "<![CDATA[",
        "]]>",
    ),
    *(
        "<p title=",
        '"',
        "'",
        ">",
        " ",
        "/",
        "=",
        "onerror=",
        " onxyz=1",
        "href=",
        "javascript:",
        "java&Tab;script:",
        "x",
    ),
    *(
        "<script>",
        "</script>",
        '<script type="text/plain">',
        "<script",
        "type=",
        "<noscript>",
        "<?",
        "?>",
        "&#106;",
        "<",
    ),
]


class TestAnything:
    @given(st.lists(st.sampled_from(PIECES), max_size=30).map("".join), st.booleans())
    def test_what_was_cleaned_is_clean(self, text: str, xml: bool) -> None:
        left = strip_scripts(text, xml)
        assert not has_script(left, xml)
        assert strip_scripts(left, xml) == left
        assert not judged(left)

    @given(st.lists(st.sampled_from(PIECES), max_size=30).map("".join), st.booleans())
    def test_short_cuts_change_nothing(self, text: str, xml: bool) -> None:
        """Where no script is in sight the document is not taken apart, and whether there is one may be told without cutting."""
        out = io.StringIO()
        whole = HTMLScriptFilter(out, xml)
        whole.feed(text)
        whole.close()
        assert _sgmlfilter._filtered(text, xml, lambda: None) == out.getvalue()
        assert has_script(text, xml) == (strip_scripts(text, xml) != text)

    @pytest.mark.parametrize(
        "piece",
        [
            "<a onx=",
            "<a onx=1>",
            "<!ENTITY ",
            "<!ENTITY<>",
            "<?xml-stylesheet ",
            "<![CDATA[",
            "<?",
            ' href="&#106;',
            "on\0\0\0\0",
            " on\0\0\0\0",
            "j a v a ",
            "d a t a ",
            '<script type="text/plain"></script>',
            "<script type='text/plain' id='a' ",
            "<svg><script>",
            "<iframe srcdoc='&lt;script",
        ],
    )
    @pytest.mark.parametrize("xml", [False, True])
    def test_no_document_takes_quadratic_time(self, piece: str, xml: bool) -> None:
        def strip(document: str) -> None:
            strip_scripts(document, xml)

        assert in_proportion(strip, lambda count: "<img onerror=1>" + piece * count, 600_000 // len(piece))

    def test_a_deadline_ends_it(self) -> None:
        def tick() -> None:
            raise TimeoutError

        with pytest.raises(TimeoutError):
            strip_scripts("<img onerror=1>" * 10, tick=tick)
