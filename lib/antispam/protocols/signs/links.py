"""Signs in links: their targets, and how they hide these."""

from __future__ import annotations

import functools
import re
from collections.abc import Iterator, Sequence
from typing import NamedTuple
from urllib.parse import unquote

from antispam.net.addresses import normalize_domain, parse_ip
from antispam.protocols.scripts import mixed_word
from antispam.protocols.signs.lists import Brands, cheap, is_below, owner, picture_hosts, shorteners, tenants
from antispam.protocols.signs.sign import Sign, shown
from dspam import html

_SCHEME = re.compile(r"([A-Za-z][A-Za-z0-9+.-]{0,20}):")
_IGNORED = re.compile(r"[\t\r\n]")
# https://url.spec.whatwg.org: browsers take backslashes for slashes, and any number of them.
_SLASHES = re.compile(r"[/\\]+")
_AUTHORITY_END = re.compile(r"[/\\?#]")
_NUMBER = re.compile(r"(?:0x[0-9a-f]+|\d+)(?:\.(?:0x[0-9a-f]+|\d+)){0,3}", re.IGNORECASE)
_NAMED = re.compile(r"(?:https?://|www\.)([a-z0-9-]{1,63}(?:\.[a-z0-9-]{1,63}){1,5})", re.IGNORECASE)
_BARE = re.compile(r"\s*([a-z0-9-]{2,63}(?:\.[a-z0-9-]{2,63}){0,3}\.[a-z]{2,10})(?:/\S*)?\s*", re.IGNORECASE)
_ADDRESS = re.compile(r"[\w.+-]{1,64}@[\w-]{1,63}(?:\.[\w-]{1,63}){0,5}")
_FILE_NAMES = "pdf doc docx xls xlsx zip html htm txt png jpg jpeg csv ppt pptx exe js py"
_FILES = frozenset(_FILE_NAMES.split())
# Domain (under any public suffix if it ends with a dot), beginning of the path, and the parameter with the target of
# the redirection.
_REDIRECTORS = (
    ("google.", "/url", ("q=", "url=")),
    ("google.", "/amp/s/", ("",)),
    ("googleadservices.com", "/pagead/aclk", ("adurl=",)),
    ("doubleclick.net", "/", ("adurl=", "http", "?")),
    ("bing.com", "/ck/a", ("u=",)),
    ("yahoo.com", "/_ylt", ("ru=", "RU=")),
    ("r.search.yahoo.com", "/", ("RU=",)),
    ("youtube.com", "/redirect", ("q=",)),
    ("linkedin.com", "/slink", ("code=",)),
    ("linkedin.com", "/redir", ("url=",)),
    ("l.facebook.com", "/l.php", ("u=",)),
    ("l.instagram.com", "/", ("u=",)),
    ("baidu.com", "/link", ("url=",)),
    ("t.umblr.com", "/redirect", ("z=",)),
    ("vk.com", "/away.php", ("to=",)),
    ("slack-redir.net", "/link", ("url=",)),
)  # fmt: skip
_MOST = 40


class Link(NamedTuple):
    """A link, as a browser reads it: its element, scheme, user info, host (in A-labels), host as written, port, and the
    rest.
    """

    element: str
    scheme: str
    user: str = ""
    host: str = ""
    written: str = ""
    port: str = ""
    rest: str = ""

    @property
    def told(self) -> str:
        """The target of the link, for a sentence."""
        return shown(self.written or self.rest)

    @property
    def web(self) -> bool:
        return self.scheme in ("http", "https", "")

    @property
    def followed(self) -> bool:
        """Whether a person follows the link, as opposed to a mail program that loads a picture."""
        return self.element in ("a", "text", "area", "form", "button")


def read(element: bytes, target: bytes) -> Link:
    """Read a link as browsers do. Never raises."""
    text = target.decode("utf-8", "replace")
    if "&" in text:
        text = html.unescape(text)
    text = _IGNORED.sub("", text).strip()
    scheme, rest = "", text
    if found := _SCHEME.match(text):
        scheme, rest = found[1].lower(), text[found.end() :]
    elif element == b"text":
        scheme, rest = "http", f"//{text}"
    place = element.decode("ascii", "replace")
    if scheme not in ("http", "https", "ftp", "") or not rest.startswith(("/", "\\")):
        return Link(place, scheme, rest=rest)
    if not scheme and not rest.startswith(("//", "\\\\")):
        return Link(place, scheme, rest=rest)
    rest = _SLASHES.sub("", rest, count=1)
    end = _AUTHORITY_END.search(rest)
    authority, rest = (rest[: end.start()], rest[end.start() :]) if end else (rest, "")
    user, at, host = authority.rpartition("@")
    name, _, port = host.partition(":") if not host.startswith("[") else (host, "", "")
    written = unquote(name)
    return Link(place, scheme, user if at else "", normalize_domain(written), written, port, rest)


def signs(
    links: Sequence[tuple[bytes, bytes]],
    anchors: Sequence[tuple[bytes, bytes]],
    authors: frozenset[str],
    known: Brands,
) -> Iterator[Sign]:
    """The signs of all links, each test at most once. `authors` are the organizational domains of the authors."""
    found = [read(element, target) for element, target in links[:_MOST]]
    named: dict[str, Sign] = {}
    for link in found:
        for sign in _of_one(link):
            named.setdefault(sign.test, sign)
    for target, text in anchors[:_MOST]:
        for sign in _of_anchor(read(b"a", target), text.decode("utf-8", "replace"), authors, known):
            named.setdefault(sign.test, sign)
    yield from named.values()


def _of_one(link: Link) -> Iterator[Sign]:
    if link.scheme in ("data", "javascript", "vbscript") and link.followed:
        yield Sign("LINK_SCRIPT", f"a link is itself a page or a program ({link.scheme}:)")
    if link.element == "form" and link.web and (link.host or link.rest):
        yield Sign("FORM_IN_MAIL", f"a form in the message sends what is typed to {link.told}")
    if not link.web or not link.host:
        return
    if link.user:
        yield Sign("LINK_USERINFO", f"a link hides its host behind {shown(link.user)}@: it leads to {link.told}")
    known = _known_of(link.host)
    if known.number:
        yield Sign("NUMERIC_HTTP_ADDR", f"a link leads to an address without a name, {link.told}")
    elif link.port not in ("", "80", "443") and link.followed:
        yield Sign("LINK_PORT", f"a link leads to the unusual port {shown(link.port, 10)} of {link.told}")
    if mixed_word(link.written):
        yield Sign("LINK_MIXED_SCRIPTS", f"a link leads to a host in mixed alphabets, {link.told}")
    elif known.international:
        yield Sign("LINK_PUNYCODE", f"a link leads to the international name {link.told}")
    if link.element == "img" and known.pictures:
        yield Sign("IMAGE_AT_PICTURE_HOST", f"its pictures stand at {link.told}, where anybody can put some up")
    if link.followed:
        if known.cheap:
            yield Sign("LINK_CHEAP_DOMAIN", f"a link leads to {link.told}, a kind of domain that costs nearly nothing")
        if known.service:
            yield from _of_service(link, known)
        if "#" in link.rest:
            yield from _of_rest(link)


def _of_service(link: Link, known: _Known) -> Iterator[Sign]:
    """The signs of a service that hosts or hides the page."""
    if known.shortener and len(link.rest) > 1:
        yield Sign("URL_SHORTENER", f"a link is shortened by {link.told}, and hides where it leads")
    elif _redirects(link, known):
        yield Sign("URL_REDIRECTOR", f"a link uses {link.told} to lead elsewhere")
    elif known.tenant == "gateway":
        yield Sign("LINK_GATEWAY", f"a link leads to a page without an owner, by way of {link.told}")
    elif known.tenant == "page":
        yield Sign("LINK_TENANT_PAGE", f"a link leads to a page that anybody can put up at {link.told}")
    elif known.tenant == "form":
        yield Sign("LINK_TENANT_FORM", f"a link leads to a form that anybody can put up at {link.told}")


def _redirects(link: Link, known: _Known) -> bool:
    for path, parameters in known.redirectors:
        if link.rest.startswith(path):
            return any(f"{mark}{name}" in link.rest for name in parameters for mark in ("?", "&", ""))
    return False


class _Known(NamedTuple):
    """The properties of a host: whether it is an address, whether it is an internationalised name; and by the shipped
    lists whether it hosts pictures, whether its domain is nearly free, whether it shortens links, what its tenants have
    ("" for none), and its redirecting paths with their parameters.
    """

    number: bool
    international: bool
    pictures: bool
    cheap: bool
    shortener: bool
    tenant: str
    redirectors: tuple[tuple[str, tuple[str, ...]], ...]

    @property
    def service(self) -> bool:
        """Whether it hosts or hides the pages of others."""
        return bool(self.shortener or self.tenant or self.redirectors)


@functools.lru_cache(maxsize=4096)  # the same hosts recur
def _known_of(host: str) -> _Known:
    tenant = next((kind for kind in ("gateway", "page", "form") if is_below(host, tenants(kind))), "")
    return _Known(
        _NUMBER.fullmatch(host) is not None or parse_ip(host) is not None,
        host.startswith("xn--") or ".xn--" in host,
        bool(is_below(host, picture_hosts())),
        bool(host.rpartition(".")[2] in cheap() or is_below(host, cheap())),
        bool(is_below(host, shorteners())),
        tenant,
        tuple((path, parameters) for home, path, parameters in _REDIRECTORS if _is_of(host, home)),
    )


def _is_of(host: str, home: str) -> bool:
    return owner(host).startswith(home) if home.endswith(".") else f".{host}".endswith(f".{home}")


def _of_rest(link: Link) -> Iterator[Sign]:
    _, hash_mark, fragment = link.rest.partition("#")
    if hash_mark and (found := _ADDRESS.search(unquote(fragment))):
        yield Sign("LINK_FRAGMENT_ADDRESS", f"a link carries the address {shown(found[0])} behind its #")


def _of_anchor(link: Link, text: str, authors: frozenset[str], known: Brands) -> Iterator[Sign]:
    if not link.web or not link.host:
        return
    named = _NAMED.search(text) or _BARE.fullmatch(text)
    if not named or named[1].lower().rpartition(".")[2] in _FILES:
        return
    said, leads = owner(normalize_domain(named[1])), owner(link.host)
    if said == leads or said in authors or said.partition(".")[0] == leads.partition(".")[0]:
        return
    brand = known.of_domain(said)
    if brand is not None and not any(brand.owns(one) for one in (leads, *authors)):
        yield Sign("LINK_TEXT_BRAND", f"a link says {shown(named[1])} and leads to {shown(link.written)}")
    else:
        yield Sign("LINK_TEXT_OTHER", f"a link says {shown(named[1])} and leads to {shown(link.written)}")
