"""Inert HTML from mail: no scripts, no forms, nothing loaded from elsewhere, no working links."""

from __future__ import annotations

import nh3

MAX_SOURCE = 100_000  # characters: nested elements cost quadratic time, here two seconds at most
_TAGS = (
    "a abbr b blockquote br caption center code col colgroup dd del div dl dt em figcaption figure font h1 h2 h3 h4 h5 h6 hr i "
    "ins li mark ol p pre q s small span strike strong sub sup table tbody td tfoot th thead tr tt u ul"
)
_ATTRIBUTES = {
    "td": {"colspan", "rowspan"},
    "th": {"colspan", "rowspan"},
    "a": {"href", "title"},
    "font": {"color", "size"},
}
_PAGE = (
    "<!doctype html><meta charset=utf-8><title>Message</title>"
    "<style>body{{font:15px/1.5 system-ui,sans-serif;margin:1rem;color:#222;background:#fff;overflow-wrap:anywhere}}"
    "td,th{{vertical-align:top}}a{{color:#075;text-decoration:underline dotted}}</style>{body}"
)
# The policy of the separate frame: even code that nh3 let through by mistake could not run, load or send anything.
POLICY = "sandbox; default-src 'none'; style-src 'unsafe-inline'; frame-ancestors 'self'; base-uri 'none'; form-action 'none'"


def page(source: str) -> str:
    """The HTML `source` of a mail as a page of its own, to be served with POLICY. A link shows its target. A source
    longer than MAX_SOURCE is cut there, and ends with an ellipsis.
    """
    cleaned = nh3.clean(
        source[:MAX_SOURCE],
        tags=set(_TAGS.split()),
        attributes={name: set(those) for name, those in _ATTRIBUTES.items()},
        url_schemes={"http", "https", "mailto"},
        attribute_filter=_shown,
        link_rel="noopener noreferrer nofollow",
    )
    more = "<p>…</p>" if len(source) > MAX_SOURCE else ""
    return _PAGE.format(body=cleaned.replace('<a href="', '<a title="') + more)


def _shown(tag: str, attribute: str, value: str) -> str | None:
    """Replace the title written by the mail with the link's target."""
    return None if (tag, attribute) == ("a", "title") else value
