"""However a word is disguised, it counts as the word that its reader sees."""

from __future__ import annotations

import base64
import random
import re

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from dspam import html, letters
from dspam.disguise import joined, readings
from dspam.features import extract, names
from support.effort import in_proportion
from support.learned import Memory
from support.tricks import TRICKS, Trained, diluted, page, text

HEAD = "From: Ann <ann@example.org>\nTo: bob@example.net\nMIME-Version: 1.0\n"


def words(message: bytes) -> set[str]:
    return {name.removeprefix("text: ") for name in names(message).values() if name.startswith("text: ")}


def in_text(said: str) -> set[str]:
    return words(f"{HEAD}Subject: hi\nContent-Type: text/plain; charset=utf-8\n\nbuy {said} now\n".encode())


def in_html(said: str) -> set[str]:
    return words(f"{HEAD}Subject: hi\nContent-Type: text/html; charset=utf-8\n\n<div>buy {said} now\n".encode())


def in_subject(said: str) -> set[str]:
    coded = base64.b64encode(f"buy {said} now".encode()).decode()
    return words(f"{HEAD}Subject: =?utf-8?b?{coded}?=\n\nhi\n".encode())


INVISIBLE = [
    *"\u00ad\u034f\u061c\u115f\u1160\u17b4\u17b5\u180b\u180e\u200b\u200c\u200d\u200e\u200f\u202a\u202c\u202d\u2060\u2061\u2062"
    "\u2063\u2064\u2066\u2069\u206a\u206f\u3164\ufe00\ufe0e\ufe0f\ufeff\uffa0",
    *"\U000e0001\U000e0020\U000e0061\U000e007f\U000e0100",
]


@pytest.mark.parametrize("char", INVISIBLE, ids=lambda char: f"{ord(char):x}")
@pytest.mark.parametrize("where", [in_text, in_html, in_subject])
def test_characters_that_show_nothing_do_not_part_a_word(char, where):
    assert {"viagra", "buy viagra", "viagra now"} <= where(f"v{char}ia{char}{char}gra")


def test_invisible_characters_are_told():
    told = set(names(f"{HEAD}Subject: a\u2060b\n\nx\u200by \u200b".encode()).values())
    assert {"structure: invisible 2060", "structure: invisible 200b", "structure: invisible in a word"} <= told


TEXT = re.findall(
    r"\S+",
    "ｖｉａｇｒａ ＶＩＡＧＲＡ 𝐯𝐢𝐚𝐠𝐫𝐚 𝑣𝑖𝑎𝑔𝑟𝑎 𝒗𝒊𝒂𝒈𝒓𝒂 𝓿𝓲𝓪𝓰𝓻𝓪 𝔳𝔦𝔞𝔤𝔯𝔞 𝖛𝖎𝖆𝖌𝖗𝖆 𝕧𝕚𝕒𝕘𝕣𝕒 𝗏𝗂𝖺𝗀𝗋𝖺 𝙫𝙞𝙖𝙜𝙧𝙖 𝚟𝚒𝚊𝚐𝚛𝚊 ⓥⓘⓐⓖⓡⓐ ⓋⒾⒶⒼⓇⒶ "
    "⒱⒤⒜⒢⒭⒜ 🅅🄸🄰🄶🅁🄰 🅥🅘🅐🅖🅡🅐 🆅🅸🅰🅶🆁🅰 🇻🇮🇦🇬🇷🇦 ⱽᴵᴬᴳᴿᴬ ᵛⁱᵃᵍʳᵃ vіаgrа viаgra vіagra ѵіаgга νιαgrα ѴІАGRА viɑɡra "
    "vɩagra ᴠɪᴀɢʀᴀ viꓮgra Ꮩiagra ꓦꓲꓮꓖꓣꓮ ViΑGRΑ vıagra vɨagra ⅴⅰagra vïagra víàgrâ vĭågŕã vi̶a̶g̶r̶a̶ "
    "v̲i̲a̲g̲r̲a̲ v̷i̷a̷g̷r̷a̷ v͓i͓a͓g͓r͓a͓ vịạgṛạ ѵïągřå v1agra v1agr4 vi4gr4 v!agra vi@gra v|agra "
    "v1@gra v-i-a-g-r-a v_i_a_g_r_a v.i.a.g.r.a v*i*a*g*r*a v/i/a/g/r/a v|i|a|g|r|a v~i~a~g~r~a "
    "v+i+a+g+r+a v,i,a,g,r,a v·i·a·g·r·a v•i•a•g•r•a v–i–a–g–r–a v★i★a★g★r★a via-gra vi.agra via*gra "
    "via_gra via~gra v'iagra via★gra via·gra vi•agra -viagra- 'viagra' *viagra* ~viagra~ \"viagra\" "
    "„viagra“ «viagra» viagra™ viaaaagra viagraaaa VIAGRA ViAgRa ",
)


@pytest.mark.parametrize("disguised", TEXT)
@pytest.mark.parametrize("where", [in_text, in_subject])
def test_a_disguised_word_is_seen_as_the_plain_one(disguised, where):
    assert "viagra" in where(disguised)


@pytest.mark.parametrize(
    ("disguised", "plain"),
    [
        ("v i a g r a", "viagra"),
        ("\u202eargaiv\u202c", "viagra"),
        ("\u202eargaiv", "viagra"),
        ("c1al1s", "cialis"),
        ("c!al!s", "cialis"),
        ("paypaI", "paypal"),
        ("miIIion", "million"),
        ("PayPaI", "paypal"),
        ("ca$h", "cash"),
        ("c@sh", "cash"),
        ("fr33", "free"),
        ("l0an", "loan"),
        ("£oan", "loan"),
        ("€arn", "earn"),
        ("m0ney", "money"),
        ("mоnеу", "money"),
        ("раураl", "paypal"),
        ("ΡауΡаl", "paypal"),
        ("bitсοin", "bitcoin"),
        ("рharmасу", "pharmacy"),
        ("ﬁnance", "finance"),
        ("ⅼoan", "loan"),
        ("𝟣0an", "ioan"),
        ("s3x", "sex"),
        ("pr0n", "pron"),
        ("casino\u00ae", "casino"),
        ("casino\u2122", "casino"),
        ("МОНЕТА", "монета"),
        ("ΣΊΣΥΦΟΣ", "σίσυφοσ"),
        ("STRASSE", "strasse"),
        ("Straße", "strasse"),
        ("ﾃｽﾄｶﾞｽ", "スト"),
        ("１２３", "999"),
        ("١٢٣", "999"),
    ],
)
def test_what_people_read_is_found(disguised, plain):
    assert plain in in_text(disguised)


MARKUP = [
    "v<b></b>iagra",
    "v<!-- x -->iagra",
    "v<!-->iagra",
    "v<!--->iagra",
    "v<!-- x --!>iagra",
    "v<xyz>iagra",
    "v<xyz a='>'></xyz>iagra",
    "v<?php x ?>iagra",
    "v<![if !mso]>iagra<![endif]>",
    "v<!--[if mso]>x<![endif]-->iagra",
    "<!--[if !mso]><!-->viagra<!--<![endif]-->",
    "v<span style='display:none'>xyz</span>iagra",
    "v<div style='display:none'>xyz</div>iagra",
    "v<span hidden>xyz</span>iagra",
    "v<span style='font-size:0'>xyz</span>iagra",
    "v<font color=white>xyz</font>iagra",
    "v<span style='position:absolute;left:-999px'>x</span>iagra",
    "v<script>x</script>iagra",
    "v<style>x</style>iagra",
    "v<wbr>i<wbr>a<wbr>gra",
    "v<img width=1 height=1>iagra",
    "v<div style='display:inline'>i</div>agra",
    "v<custom-tag>iag</custom-tag>ra",
    "<font>v</font><font>i</font><font>a</font>gra",
    "<td>v<td>i<td>a<td>g<td>r<td>a",
    "v<br>i<br>a<br>g<br>r<br>a",
    "&#118;&#105;&#97;&#103;&#114;&#97;",
    "&#x76;&#x69;&#x61;&#x67;&#x72;&#x61;",
    "&#00118;iagra",
    "v&#173;ia&shy;gra",
    "v&zwnj;ia&#8203;gra",
    "v&#x2060;iagra",
    "v&ZeroWidthSpace;iagra",
    "v&InvisibleTimes;iagra",
    "v&iacute;agra",
    "vi&agrave;gra",
    "&#1110;<b>x</b> v&#1110;agra",
    "<bdo dir=rtl>argaiv</bdo>",
    "<span style='unicode-bidi:bidi-override;direction:rtl'>argaiv</span>",
    "<a title=it's href=x>viagra</a>",
    "<a title='<style>'>viagra</a>",
    '<p title="<!--">viagra</p>',
    "<noscript>viagra</noscript>",
    "<textarea>viagra</textarea>",
    "<svg><text>viagra</text></svg>",
    "<p hidden>x<p>viagra",
    "<table><tr><td hidden>x<td>viagra</table>",
    "<div style='display:none'><p>x</div>viagra",
    "<td style='font-size:0'><p style='font-size:14px'>viagra</p></td>",
    "<div style='visibility:hidden'><b style='visibility:visible'>viagra</b></div>",
    "<style>.a{display:none}</style><p class=b>viagra</p>",
    "<style>.a{display:none}.a{display:block}</style><p class=a>viagra</p>",
    "<style>p .a{display:none}</style><p class=a>viagra</p>",
    "<style>@media (max-width:480px){.a{display:none}}</style><p class=a>viagra</p>",
    "<style>.a{display:none}</style><p class=a style='display:block'>viagra</p>",
    "<style>.a{color:#fff}</style><table bgcolor=navy><td class=a>viagra</table>",
    "<p style='color:white;background:url(x.png)'>viagra</p>",
    "<p style='mso-hide:all'>viagra</p>",
    "<input type=submit value=viagra>",
    "<img src=x.png alt=viagra>",
]


@pytest.mark.parametrize("markup", MARKUP)
def test_a_word_in_pieces_of_markup_is_seen_as_one(markup):
    assert "viagra" in in_html(markup)


HIDDEN = [
    "<p style='display:none'>{}</p>",
    "<p style='DISPLAY : None !important'>{}</p>",
    "<p style='dis/**/play:none'>{}</p>",
    "<p style='visibility:hidden'>{}</p>",
    "<p hidden>{}</p>",
    "<p hidden=''>{}</p>",
    "<p style='opacity:0'>{}</p>",
    "<p style='opacity:.01'>{}</p>",
    "<p style='max-height:0;overflow:hidden'>{}</p>",
    "<p style='height:0px;overflow:hidden'>{}</p>",
    "<p style='width:0;overflow:hidden'>{}</p>",
    "<p style='font-size:0'>{}</p>",
    "<p style='font-size:1px'>{}</p>",
    "<p style='font:0/0 a'>{}</p>",
    "<p style='font-size:0.1em'>{}</p>",
    "<p style='font-size:2%'>{}</p>",
    "<p style='color:#fff'>{}</p>",
    "<p style='color:#fefefe'>{}</p>",
    "<p style='color:white'>{}</p>",
    "<p style='color:rgb(254,254,254)'>{}</p>",
    "<p style='color:rgba(0,0,0,0)'>{}</p>",
    "<p style='color:#0000'>{}</p>",
    "<p style='color:hsl(0,0%,99%)'>{}</p>",
    "<p style='color:transparent'>{}</p>",
    "<font color=#fffffe>{}</font>",
    "<font color=snow>{}</font>",
    "<table bgcolor=#ff0000><td><font color=#fe0102>{}</font></table>",
    "<div style='background:#123456'><span style='color:#123457'>{}</span></div>",
    "<div style='background-color:black'>{}</div>",
    "<p style='text-indent:-9999px'>{}</p>",
    "<p style='position:absolute;left:-9999px'>{}</p>",
    "<p style='position:fixed;top:-100em'>{}</p>",
    "<p style='margin-left:-5000px'>{}</p>",
    "<p style='position:absolute;clip:rect(0,0,0,0)'>{}</p>",
    "<p style='position:absolute;clip:rect(1px 1px 1px 1px)'>{}</p>",
    "<p style='clip-path:inset(100%)'>{}</p>",
    "<p style='transform:scale(0)'>{}</p>",
    "<p style='zoom:0'>{}</p>",
    "<template>{}</template>",
    "<title>{}</title>",
    "<input type=hidden value='{}'>",
    "<style>.x{{display:none}}</style><p class=x>{}</p>",
    "<style>#x{{display:none}}</style><p id=x>{}</p>",
    "<style>p.x{{opacity:0}}</style><p class='y x'>{}</p>",
    "<style>.x.y{{font-size:0}}</style><p class='y x'>{}</p>",
    "<style>.z,.x{{color:#fff}}</style><p class=x>{}</p>",
    "<style><!-- .x{{display:none}} --></style><p class=x>{}</p>",
    "<style>@media screen{{.x{{display:none}}}}</style><p class=x>{}</p>",
    "<style>i{{display:none}}</style><i>{}</i>",
    "<style>.x{{display:none !important}}</style><p class=x style='display:block'>{}</p>",
    "<!-- {} -->",
]


@pytest.mark.parametrize("hidden", HIDDEN)
def test_what_nobody_sees_is_not_in_the_text(hidden):
    seen = in_html(hidden.format("innocent words") + "<p>viagra")
    assert "viagra" in seen
    assert not {"innocent", "words"} & seen


def test_scripts_without_spaces_are_cut_into_pairs_of_characters():
    assert {"发票", "你好", "世界"} <= in_text("你好，世界；代开发票")
    assert "好世" not in in_text("你好，世界")
    assert "สวั" in {word[:3] for word in in_text("สวัสดีครับ")}
    assert "カジ" in in_text("オンラインカジノ")
    assert "发票" in in_text("代.开.发.票")


@pytest.mark.parametrize("char", "发ส国é🎰")
@pytest.mark.parametrize("offset", range(4))
def test_no_character_is_ever_cut(char, offset):
    for body in (char * 20_000, "x" * offset + char * 20_000, ("x" * offset + char * 30 + " ") * 900):
        assert not any("\ufffd" in word for word in in_text(body))


@pytest.mark.parametrize(
    "padding", ["\n" * 60_000, " \u00a0" * 30_000, "\u200b" * 60_000, "&nbsp; " * 9_000, "<b></b>" * 9_000]
)
def test_what_nobody_sees_uses_up_no_budget(padding):
    assert "viagra" in in_html(padding + "viagra")


@pytest.mark.parametrize(
    "before",
    [
        "<style>" + ".a{color:red}\n" * 20_000 + "</style>",
        "<!--" + "innocent words " * 10_000 + "-->",
        "<p title='" + "innocent words " * 10_000 + "'>",
        "<script>" + "x = 1;\n" * 20_000 + "</script>",
        "<div style='display:none'>" + "innocent words " * 10_000 + "</div>",
    ],
)
def test_text_behind_much_markup_is_read(before):
    assert "viagra" in in_html(before + "<p>viagra")


def alternatives(plain: str, rich: str) -> bytes:
    return (
        f"{HEAD}Content-Type: multipart/alternative; boundary=b\n\n--b\nContent-Type: text/plain\n\n{plain}\n--b\n"
        f"Content-Type: text/html\n\n<p>{rich}\n--b--\n"
    ).encode()


def test_html_behind_much_plain_text_is_read_and_the_difference_told():
    told = set(names(alternatives("innocent words here today " * 2_000, "viagra")).values())
    assert {"text: viagra", "unread: innocent", "structure: alternatives differ 4"} <= told
    assert "text: innocent" not in told


def test_alternatives_that_say_the_same_are_no_difference():
    told = set(
        names(alternatives("Hello World, see http://x.example/y", "<b>Hello</b> World, <a href=x>see</a>")).values()
    )
    assert "structure: alternatives differ 0" in told


def test_text_behind_a_large_attachment_is_read():
    attached = base64.encodebytes(bytes(3_000_000)).decode()
    message = (
        f"{HEAD}Content-Type: multipart/mixed; boundary=b\n\n--b\nContent-Type: application/pdf\n"
        f"Content-Transfer-Encoding: base64\n\n{attached}--b\nContent-Type: text/html\n\n<p>viagra\n--b--\n"
    )
    assert "viagra" in words(message.encode())


@pytest.mark.parametrize(
    ("header", "body"),
    [
        ("Content-Type: application/octet-stream; name=a.html", "<p>vi<b>agra"),
        ('Content-Type: application/octet-stream\nContent-Disposition: attachment; filename="a.HTM"', "<p>vi<b>agra"),
        ("Content-Type: image/svg+xml; name=a.svg", "<svg><text>viagra</text></svg>"),
        ("Content-Type: application/octet-stream; name=x.svg", "<svg><text>viagra</text></svg>"),
        ("Content-Type: application/xhtml+xml", "<p>viagra</p>"),
        ("Content-Type: text/calendar", "BEGIN:VCALENDAR\nSUMMARY:buy vi\n agra now\nEND:VCALENDAR"),
        ("Content-Type: application/ics; name=x.ics", "DESCRIPTION;LANGUAGE=en:buy\\nviagra\\, now"),
    ],
)
def test_attached_documents_are_read(header, body):
    message = f"{HEAD}Content-Type: multipart/mixed; boundary=b\n\n--b\n\nhi\n--b\n{header}\n\n{body}\n--b--\n"
    assert "viagra" in words(message.encode())


def test_a_link_that_says_another_host_is_told():
    told = set(
        names(f"{HEAD}Content-Type: text/html\n\n<a href='http://x.example.ru/'>www.bank.example</a>".encode()).values()
    )
    assert {"structure: link says another host", "structure: link says bank.example"} <= told
    honest = names(f"{HEAD}Content-Type: text/html\n\n<a href='http://x.bank.example/'>www.bank.example</a>".encode())
    assert "structure: link says another host" not in honest.values()


def test_words_that_imitate_nothing_have_one_reading():
    for word in ("viagra", "привет", "größe", "don't", "12345", "中文", "x" * 100, "a1b2c3d4e5f6a7"):
        assert readings(word.encode()) == ()


@given(st.text(max_size=60))
def test_readings_are_plain_words(text):
    for one in readings(text.lower().encode("utf-8", "replace")) + joined(
        text.lower().encode("utf-8", "replace"), b"."
    ):
        assert one


@given(st.text(max_size=400))
def test_folded_text_stays_as_it_is_when_folded_again(text):
    once = letters.plain(letters.without_invisible(text)[0])
    assert "\x01" not in once or text.isascii()
    assert letters.plain(once).split() == letters.plain(letters.plain(once)).split()


_PIECES = st.sampled_from(
    re.split(
        "~",
        "<~>~<!--~-->~<p ~style='~display:none~'~\"~=~</p>~<style>~</style>~.x{~}~@media(~class=x~<td>~<table>~</table>"
        "~<bdo dir=rtl>~a~&#8203;~/*~*/~;~:~\\~#x~<a href=b.c>~d.e",
    )
)


@settings(max_examples=300)
@given(st.lists(_PIECES, max_size=80).map("".join))
def test_broken_html_is_read(source):
    reading = html.read(source.encode())
    assert len(reading.seen) <= 4 * len(source) + 10


BULK = re.split(
    "~",
    "<a b=\"~<a b='x~<a~<a =~<style>~<style>{~<style>.a{b:c}~<p>~<td>~</p>~<div>~<p style='a:b'>~<!~</~<title>~&#~\u202ea~ą"
    "~1a~a.~a ~发.~©a~a\u0301~𝐯~<b>a</b> ",
)


@pytest.mark.parametrize("bulk", BULK)
def test_hostile_text_takes_no_time(bulk):
    head = f"{HEAD}Content-Type: text/html; charset=utf-8\n\n"
    assert in_proportion(names, lambda count: f"{head}{bulk * count}".encode(), 500_000 // len(bulk))


@pytest.fixture(scope="module")
def trained():
    return Trained()


@pytest.mark.parametrize("trick", TRICKS)
def test_a_trick_saves_no_spam(trained, trick):
    """The figures for 200 messages each: python -m tests.bench.tricks."""
    assert trained.caught(TRICKS[trick], 20) >= 17


@pytest.mark.parametrize("head", ["", "<style>template, dialog {color: red}</style>"])
@pytest.mark.parametrize("element", ["template", "dialog"])
def test_what_is_never_shown_is_out_of_sight_without_any_attribute(element: str, head: str) -> None:
    assert "honest" not in words(page(f"<{element}>honest</{element}><p>spam</p>", head))


def test_words_that_both_kinds_have_dilute_no_spam(trained):
    """2,000 octets of them, in sight."""
    assert trained.caught(diluted, 20) >= 19


def test_padding_and_invisible_characters_leave_the_probability_as_it_is():
    """The same spam as it is, with U+2060 in its words, behind 32 kB of style."""
    source = random.Random(7)
    style = "<style>" + "".join(f".c{n}{{color:#{n * 37 % 4096:03x};margin:0 auto}}\n" for n in range(900)) + "</style>"
    said = text("spam", source, 120)
    variants = [
        page(f"<p>{said}</p>", style[:1000] + "</style>"),
        page(
            f"<p>{' '.join(word[:2] + chr(0x2060) + word[2:] for word in said.split())}</p>", style[:1000] + "</style>"
        ),
        page(f"<p>{said}</p>", style),
    ]
    memory = Memory()
    for _ in range(30):
        memory.learn(extract(page(f"<p>{text('ham', source)}</p>")), False)
        memory.learn(extract(page(f"<p>{text('spam', source)}</p>")), True)
    memory.learn(extract(variants[0]), True)
    plain, joiner, padded = (memory.score(extract(one)) for one in variants)
    assert plain > 0.9
    assert abs(plain - joiner) < 0.05
    assert abs(plain - padded) < 0.05
