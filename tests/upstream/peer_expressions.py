"""Expressions that pymilter's modules and ours are asked alike. Read by peer.py, in a process of each, and by the test."""

from __future__ import annotations

import io
import itertools
from collections.abc import Iterator
from typing import Any

METHODS = ("connect", "hello", "envfrom", "envrcpt", "data", "header", "eoh", "body", "eom", "unknown")


def namespace() -> dict[str, Any]:
    """The names in FUNCTIONS."""
    import Milter
    import milter
    import mime
    from Milter import pyip6, unsign, utils

    return {
        "Milter": Milter,
        "milter": milter,
        "mime": mime,
        "pyip6": pyip6,
        "unsign": unsign,
        "utils": utils,
        "read": lambda raw: mime.message_from_file(io.BytesIO(raw)),
        "mask": _mask,
        "step": _step,
        "logged": _logged,
    }


def _mask(decorated: dict[str, str], enabled: int = 0, overridden: tuple[str, ...] = ()) -> int:
    """protocol_mask() of a class with these methods ("plain", "noreply", "nocallback"), these protocols enabled, and of a
    subclass that overrides some more."""
    import Milter

    def method(name: str, kind: str) -> Any:
        def function(self: Any, *arguments: Any) -> int:
            return int(Milter.CONTINUE)

        function.__name__ = name
        return function if kind == "plain" else getattr(Milter, kind)(function)

    made: Any = type("Made", (Milter.Base,), {name: method(name, kind) for name, kind in decorated.items()})
    if enabled:
        made = Milter.enable_protocols(made, enabled)
    if overridden:
        made = type("Derived", (made,), {name: method(name, "plain") for name in overridden})
    return int(made.protocol_mask())


def _step(decorator: str, result: int, protocol: int) -> Any:
    """What a decorated method gives, on an object that negotiated `protocol`."""
    import Milter

    def header(self: Any, name: str, value: str) -> int:
        return result

    made: Any = type("Made", (Milter.Base,), {"header": getattr(Milter, decorator)(header)})()
    made._protocol = protocol
    return made.header("A", "b")


def _logged(method: str, *arguments: Any) -> list[tuple[Any, ...]]:
    """What a method of Milter.Milter gives to log()."""
    import Milter

    seen: list[tuple[Any, ...]] = []
    made: Any = type("Made", (Milter.Milter,), {"log": lambda self, *words: seen.append(words)})()
    made._protocol = 0
    getattr(made, method)(*arguments)
    return seen


_CONSTANTS = """
ACCEPT ADDHDRS ADDRCPT ADDRCPT_PAR ALL_OPTS CHGBODY CHGFROM CHGHDRS CONTINUE CURR_ACTS DELRCPT DISCARD FAILURE
MODBODY M_CONNECT M_DATA M_ENVFROM M_ENVRCPT M_EOH M_EOM M_HELO NOREPLY P_HDR_LEADSPC P_NOBODY P_NOCONNECT P_NODATA
P_NOEOH P_NOHDRS P_NOHELO P_NOMAIL P_NORCPT P_NOUNKNOWN P_NR_BODY P_NR_CONN P_NR_DATA P_NR_EOH P_NR_HDR P_NR_HELO
P_NR_MAIL P_NR_RCPT P_NR_UNKN P_RCPT_REJ P_SKIP QUARANTINE REJECT SETSYMLIST SKIP SUCCESS TEMPFAIL V1_ACTS V2_ACTS
VERSION
"""
_EXPORTED = """
Base DisabledAction MACRO_CALLBACKS Milter OPTIONAL_CALLBACKS R close_callback connect_callback decode decode_mask
dictfromlist enable_protocols envcallback error getdiag getversion header_leading_space main negotiate_callback
nocallback noreply opensocket param2dict re register rejected_recipients runmilter set_abort_callback
set_body_callback set_close_callback set_connect_callback set_envfrom_callback set_envrcpt_callback set_eoh_callback
set_eom_callback set_exception_policy set_flags set_header_callback set_helo_callback setbacklog setconn setdbg
settimeout stop symlist sys uniqueID wraps
"""

_ADDRESSES = (
    "", "<>", "a", "a@b.example", "<a@b.example>", "A B <a@b.example>", '"A B" <a@b.example>', "a@b.example (A B)",
    "A <a@b.example> ", '"B, A" <a@b.example>', "B, A <a@b.example>", "Acme, Inc. <news@acme.example>",
    "Acme; Co <a@b.example>", "Acme) <a@b.example>", "Acme: News <a@b.example>", "A. B. <a@b.example>",
    "a@c.example <a@b.example>", "a@c.example, b <a@b.example>", "a@c.example, a@b.example", "<a@c.example>, <a@b.example>",
    "Group: a@b.example;", "Group:;", "<@r.example:a@b.example>", "A <@r.example,@s.example:a@b.example>",
    "a@r <@r.example,@s.example:a@b.example>", "Real ((comment)) <a@b.example>", "A (x) <a@b.example>", '"a b"@c.example',
    '<"a b"@c.example>', '"a@b"@c.example', '"a@b.example"', "@r.example:a@b.example", "@a@b.example", "a@b@c.example",
    "A <a@b.example", "a@b.example>", "A B a@b.example", "=?utf-8?q?A?= <a@b.example>", "\xe9 <a@b.example>",
    "A\t<a@b.example>", "A <a@[192.0.2.1]>", "<a@b.example> x", "A, B, C <a@b.example>", "A;B <a@b.example>",
    "A:B;C, D <a@b.example>", "A\\B <a@b.example>",
)  # fmt: skip

_VALUES = (
    "", "plain", "=?utf-8?q?Caf=C3=A9?=", "=?iso-8859-1?Q?Caf=E9?= <a@b>", "=?utf-8?b?Q2Fmw6k=?=", "=?utf-8?b?Q2Fmw6k?=",
    "=?UTF-8?Q?a_b?=", "=?utf-8?q?a?= =?utf-8?q?b?=", "=?utf-8?q?a?=  =?iso-8859-1?q?=E9?=", "x =?utf-8?q?a?= y",
    "=?utf-8?q?a?= y", "=?us-ascii?q?a?=", "=?nonsense?q?plain?=", "=?nonsense?q?Caf=C3=A9?=", "=?nonsense?q?Caf=E9?=",
    "x =?nonsense?b?YQ==?= y", "=?utf-8?q?=FF?=", "=?utf-8?b?////?=", "=?utf-8?q?a", "=?utf-8?x?a?=", "=?utf-8?q??=",
    "=?utf-8*en?q?a?=", "a=?utf-8?q?b?=c", "=?koi8-r?q?=D0?=", "=?gb2312?b?xOO6ww==?=", "\xe9",
    "=?utf-8?q?a?=\n =?utf-8?q?b?=", "=?utf-8?q?a?=\n <a@b>",
)  # fmt: skip

_PARAMETERS = (
    [], ["SIZE=1000"], ["size=1000", "SMTPUTF8"], ["BODY=8BITMIME", "body=7BIT"], ["=x"], ["="], [""], ["A="], ["A=b=c"],
    ["a"], [" A=b"], ["NOTIFY=SUCCESS,FAILURE", "ORCPT=rfc822;a@b"],
)  # fmt: skip

_NAMES = (
    "", "a.exe", "a.EXE", "a.txt", "a.exe.txt", "exe", ".exe", "a.exe ", "a.exe\t", "a.exe.", "a.exe\xa0", "a.exe\u2800",
    "a.wsh", "a.zip", "a.e\u200bxe", "a.exe:b",
)  # fmt: skip

_CONTENT_TYPES = (
    "text/plain", "text/plain; name=a.exe", 'text/plain; NAME="a.txt"', "TEXT/Plain; Charset=UTF-8; Name=x",
    "a/b; name=a.exe; x", "a/b;;name=x", 'a/b; name="a;b"', "a/b; name*=utf-8''a.exe", "a/b; name*0=a.; name*1=exe",
    "multipart/mixed; boundary=x", "x", "", "a/b; name=a.exe ", 'a/b; name="a.exe "', 'a/b; name="a.exe\t"',
)  # fmt: skip

_ADDRESS_LISTS = (
    ("192.0.2.1", ["192.0.2.1"]), ("192.0.2.1", ["192.0.2.0/24"]), ("192.0.2.1", ["192.0.3.0/24"]),
    ("192.0.2.1", ["192.0.2.*"]), ("192.0.2.1", ["192.0.2.?"]), ("192.0.2.1", []), ("192.0.2.1", ["0.0.0.0/0"]),
    ("2001:db8::1", ["2001:db8::/32"]), ("x", ["x"]), ("2001:db8::1", ["2001:db9::/32"]), ("2001:DB8::1", ["2001:db8::1"]),
    ("192.0.2.1", ["192.0.2.1/33"]), ("::ffff:192.0.2.1", ["192.0.2.1"]), ("192.0.2.256", ["192.0.2.*"]),
    ("192.0.2", ["192.0.2.*"]), ("127.0.0.1", ["localhost"]), ("192.0.2.1", ["bad..name"]),
)  # fmt: skip

_P = {
    "P_NOBODY": 0x10,
    "P_NR_BODY": 0x80000,
    "P_RCPT_REJ": 0x800,
    "P_HDR_LEADSPC": 0x100000,
    "P_SKIP": 0x400,
    "P_NOHELO": 0x2,
}


_DISPLAY_NAMES = (
    "", "A", "A B", '"A B"', '"A, B"', "A, B", "A; B", "A) B", "A. B.", "A (x)", "=?utf-8?q?A?=", "A 'B'", "A\tB", "\xe9",
    "A/B", "A & B, Inc.", "(A", "A:B", "A@B", "  A  B ",
)  # fmt: skip
_PATHS = (
    "a@b.example",
    "@r:b@c.example",
    '"a b"@c.example',
    "a",
    "",
    "a@[192.0.2.1]",
    "A@B.Example",
    "a.b+c@d.example",
)
_CHARSETS = (
    "utf-8",
    "UTF-8",
    "us-ascii",
    "iso-8859-1",
    "iso-8859-15",
    "koi8-r",
    "windows-1251",
    "big5",
    "nonsense",
    "utf-8*en",
)
_ENCODED = (
    ("q", "Caf=C3=A9"),
    ("Q", "a_b"),
    ("b", "Q2Fmw6k="),
    ("B", "YQ"),
    ("b", "Y"),
    ("q", "=C3=28"),
    ("q", "a?b"),
    ("x", "a"),
)
_NETWORKS = (
    "192.0.2.0/24", "192.0.2.1", "192.0.2.1/32", "192.0.2.128/25", "10.0.0.0/8", "0.0.0.0/0", "192.0.2.*", "192.*", "*",
    "2001:db8::/32", "2001:db8:0:0:0:0:0:1", "::/0", "::1/128", "::ffff:0:0/96", "fe80::/10",
)  # fmt: skip
_HOSTS = (
    "192.0.2.1",
    "192.0.2.200",
    "10.1.2.3",
    "127.0.0.1",
    "2001:db8::1",
    "2001:db9::1",
    "::1",
    "fe80::1",
    "1.2.3",
    "::g",
)


def _families() -> Iterator[str]:
    """Every combination of some parts."""
    for name, path in itertools.product(_DISPLAY_NAMES, _PATHS):
        yield f"utils.parseaddr({f'{name} <{path}>'.strip()!r})"
        yield f"utils.parse_addr({f'<{path}>'!r})"
    for charset, (encoding, text) in itertools.product(_CHARSETS, _ENCODED):
        word = f"=?{charset}?{encoding}?{text}?="
        yield from (f"utils.parse_header({value!r})" for value in (word, f"x {word} y", f"{word} {word}"))
    for host, network in itertools.product(_HOSTS, _NETWORKS):
        yield f"utils.iniplist({host!r}, [{network!r}])"
        yield f"utils.iniplist({host!r}, ['203.0.113.1', {network!r}])"
    for address, length in itertools.product((0, 1, 0xC0000201, 0xFFFFFFFF), range(33)):
        yield f"utils.cidr({address}, {length})"
    for first, second in itertools.product(_PARAMETERS, repeat=2):
        yield f"Milter.dictfromlist({first + second!r})"
        yield f"Milter.param2dict({first + second!r})"


def _expressions() -> Iterator[str]:
    yield from _families()
    for address in _ADDRESSES:
        yield f"utils.parseaddr({address!r})"
        yield f"utils.parse_addr({address!r})"
    yield from (f"utils.parse_header({value!r})" for value in _VALUES)
    for parameters in _PARAMETERS:
        yield f"Milter.dictfromlist({parameters!r})"
        yield f"Milter.param2dict({parameters!r})"
        yield f"Milter.envcallback(lambda *a, **k: (a, k), {['<a@b>', *parameters]!r})"
    yield from (f"mime.check_ext({name!r})" for name in _NAMES)
    for value in _CONTENT_TYPES:
        raw = f"Content-Type: {value}\n\nMZ\n".encode()
        yield from (
            f"read({raw!r}).{method}()" for method in ("getparams", "getname", "getfilename", "gettype", "ismultipart")
        )
        yield f"mime.defang(read({raw!r}))"
        yield f"read({raw!r}).getparam('name')"
    for one, listed in _ADDRESS_LISTS:
        yield f"utils.iniplist({one!r}, {listed!r})"
        yield f"utils.addr2bin({one!r})"
    yield from _mask_expressions()
    yield from _layer_expressions()


def _mask_expressions() -> Iterator[str]:
    for method, kind in itertools.product(METHODS, ("plain", "noreply", "nocallback")):
        yield f"mask({{{method!r}: {kind!r}}})"
    for enabled in _P.values():
        yield f"mask({{}}, {enabled})"
        yield f"mask({{'body': 'plain', 'hello': 'noreply'}}, {enabled})"
    yield "mask({}, 0x100800)"
    yield "mask({'body': 'plain'}, 0, ('hello',))"
    yield "mask({'body': 'plain'}, 0x800, ('hello',))"
    yield "mask({'body': 'plain'}, 0x10, ('body',))"


def _layer_expressions() -> Iterator[str]:
    yield from (f"milter.{name}" for name in _CONSTANTS.split())
    yield from (
        f"{name!r} in Milter.__all__" for name in (*_CONSTANTS.split(), *_EXPORTED.split(), "factory", "os", "milter")
    )
    for decorator, result, protocol in itertools.product(("noreply", "nocallback"), (0, 1, 4, 7), (0, 0x80, 0x1FFFFF)):
        yield f"step({decorator!r}, {result}, {protocol})"
    yield from ("Milter.symlist('j')(len)", "Milter.noreply(len)", "Milter.nocallback(len)", "Milter.uniqueID() > 0")
    yield from (f"Milter.decode_mask({bits}, ['ADDHDRS', 'CHGBODY', 'ADDRCPT'])" for bits in (0, 1, 7, 0x3D))
    yield "logged('connect', 'h.example', 2, ('192.0.2.1', 25))"
    yield "logged('connect', 'h.example', 2, None)"
    yield "logged('hello', 'h.example')"
    yield "logged('envfrom', '<a@b>', 'SIZE=1')"
    yield "logged('envrcpt', '<a@b>')"
    yield "logged('header', 'A', 'b')"
    yield from (f"logged({name!r})" for name in ("eoh", "eom", "abort", "close"))
    yield "[milter.set_helo_callback(len), milter.set_helo_callback(repr), milter.set_helo_callback(None)]"
    yield "milter.getversion()"
    wrong = (
        "setconn('')", "setconn(b'x')", "set_flags('x')", "settimeout('x')", "set_exception_policy(3)", "register()",
        "register('n', data=3)", "set_helo_callback(3)", "opensocket()", "register(b'n')", "setbacklog(0)",
        "set_exception_policy('x')",
    )  # fmt: skip
    yield from (f"milter.{call}" for call in wrong)


FUNCTIONS = list(dict.fromkeys(_expressions()))
