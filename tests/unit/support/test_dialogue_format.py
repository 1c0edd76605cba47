"""How .journey files are read, and what their patterns mean."""

from __future__ import annotations

from pathlib import Path

import pytest

from support.dialogue import Dialogue, JourneyFileError, Player, Wire, matches, read_dialogue, reply_fits
from support.sink import Delivery
from support.smtp_client import Reply, to_content


def written(folder: Path, text: str) -> Path:
    path = folder / "some.journey"
    path.write_text(text)
    return path


def read(folder: Path, text: str) -> Dialogue:
    return read_dialogue(written(folder, text))


def test_title_settings_and_steps_are_told_apart(tmp_path: Path) -> None:
    dialogue = read(
        tmp_path,
        "# What it shows.\n\nconfig:\n    [spf]\n    mode = log\nzone example.org:\n    @ TXT x\nclient 192.0.2.1 a.example\n"
        "C: EHLO a\nS: 250\n",
    )
    assert dialogue.title == "What it shows."
    assert dialogue.config == "[spf]\nmode = log\n"
    assert [(zone.name, zone.records) for zone in dialogue.zones] == [("example.org", "@ TXT x\n")]
    assert [step.kind for step in dialogue.steps] == ["client", "send", "reply"]
    assert dialogue.hosts == {"192.0.2.1": "a.example"}


def test_a_block_keeps_inner_indentation_and_empty_lines_but_not_trailing_ones(tmp_path: Path) -> None:
    dialogue = read(tmp_path, "# T\nmessage:\n    Subject: a\n      folded\n\n    text\n\nS: 250\n")
    assert dialogue.steps[0].block == ("Subject: a", "  folded", "", "text")


def test_a_failing_zone_has_no_records(tmp_path: Path) -> None:
    assert read(tmp_path, "# T\nzone broken.example: SERVFAIL\n").zones[0].records is None


def test_a_key_is_published_in_the_zone_and_its_private_half_becomes_a_file(tmp_path: Path) -> None:
    dialogue = read(tmp_path, "# T\nzone example.org:\n    @ TXT x\nkey s1 example.org ed25519\n")
    (zone,) = dialogue.zones
    assert "s1._domainkey.example.org. TXT" in (zone.records or "")
    assert "PRIVATE KEY" in dialogue.files["s1.example.org.private"]


def test_a_runner_is_left_out_only_with_a_reason(tmp_path: Path) -> None:
    assert read(tmp_path, "# T\nnot in sendmail: it refuses that itself\n").runners == ["inprocess", "postfix"]
    with pytest.raises(JourneyFileError, match=r"some\.journey:2:"):
        read(tmp_path, "# T\nnot in sendmail:\n")


@pytest.mark.parametrize(
    "text",
    [
        "",
        "C: no title\n",
        "# T\nnonsense\n",
        "# T\nC: x\n    indented\n",
        "# T\nclient 192.0.2.1 a.example login=bob\n",
    ],
)
def test_a_file_that_cannot_be_understood_is_an_error_with_its_name(tmp_path: Path, text: str) -> None:
    with pytest.raises(JourneyFileError, match=r"some\.journey"):
        read(tmp_path, text)


@pytest.mark.parametrize(
    ("expected", "reply", "fits"),
    [
        ("250", Reply(250, "2.1.0", "anything"), True),
        ("250", Reply(451, "", ""), False),
        ("4xx", Reply(451, "4.7.1", "later"), True),
        ("550 5.7.23", Reply(550, "5.7.23", "no"), True),
        ("550 5.7.23", Reply(550, "5.7.1", "no"), False),
        ("550 5.7.23 *SPF*", Reply(550, "5.7.23", "by SPF, no"), True),
        ("550 5.7.23 *SPF*", Reply(550, "5.7.23", "no"), False),
        ("550 Go away", Reply(550, "5.7.1", "Go away"), True),
        ("550 [a*", Reply(550, "", "[ab"), True),
    ],
)
def test_an_expected_reply(expected: str, reply: Reply, fits: bool) -> None:
    assert reply_fits(expected, reply) is fits


@pytest.mark.parametrize(
    ("lines", "reply"),
    [
        ([b"250 2.1.0 <a@b>... Sender ok"], Reply(250, "2.1.0", "Sender ok")),
        ([b"550 5.7.1 <a@b>... Go away"], Reply(550, "5.7.1", "Go away")),
        ([b"550 5.7.1 <a@b>: Go away"], Reply(550, "5.7.1", "Go away")),
        ([b"550-5.7.1 Go", b"550 5.7.1 away"], Reply(550, "5.7.1", "Go away")),
        ([b"250"], Reply(250, "", "")),
        ([b"250 5.7.1.9 is no status"], Reply(250, "", "5.7.1.9 is no status")),
    ],
)
def test_what_sendmail_and_postfix_say_differently_is_evened_out(lines: list[bytes], reply: Reply) -> None:
    assert Reply.parse(lines) == reply


def test_star_means_any_text_and_nothing_else_is_special() -> None:
    assert matches("a*c", "a\nb[c")
    assert not matches("a?c", "abc")


class Script(Wire):
    """A server that answers everything with 250."""

    def __init__(self) -> None:
        self.sent = b""

    def send(self, sent: bytes) -> None:
        self.sent += sent

    def read_reply(self) -> Reply:
        return Reply(221 if self.sent.endswith(b"QUIT\r\n") else 220 if not self.sent else 250, "", "fine")

    def hang_up(self) -> None:
        pass


class Stage:
    """A scene with that server and given deliveries."""

    def __init__(self, *delivered: bytes) -> None:
        self.wire = Script()
        self._delivered = [Delivery("a@b", (), ("c@d",), ((),), raw) for raw in delivered]
        self.ahead = 0.0

    def connect(self, client: object) -> Script:
        return self.wire

    def advance(self, seconds: float) -> None:
        self.ahead += seconds

    def deliveries(self) -> list[Delivery]:
        return self._delivered

    def held(self) -> int:
        return 0

    def log(self) -> str:
        return "ACCEPT it\n"


def play(folder: Path, text: str, scene: Stage) -> None:
    Player(read(folder, f"# T\nclient 192.0.2.1\n{text}"), scene).play()


def test_what_the_client_says_goes_out_unchanged(tmp_path: Path) -> None:
    scene = Stage()
    play(
        tmp_path,
        "C: EHLO x \nS: 250\nB: a\\nb\\xff\\r\\n\nmessage:\n    Subject: x\n\n    .dot\nS: 250\nadvance 6m\n",
        scene,
    )
    assert scene.wire.sent == b"EHLO x \r\na\nb\xff\r\nSubject: x\r\n\r\n..dot\r\n.\r\nQUIT\r\n"
    assert scene.ahead == 360


@pytest.mark.parametrize(
    "text",
    ["C: NOOP\nS: 550\n", "held: 1\n", "log without:\n    *ACCEPT*\n", "delivered:\n    from <x@y>\n", "S: closed\n"],
)
def test_a_surprise_fails_with_the_line_that_expected_otherwise(tmp_path: Path, text: str) -> None:
    with pytest.raises(AssertionError, match=r"some\.journey:\d+"):
        play(tmp_path, f"S: 220\n{text}", Stage())


def test_a_delivery_that_the_dialogue_does_not_mention_fails(tmp_path: Path) -> None:
    with pytest.raises(AssertionError, match="delivered as well"):
        play(tmp_path, "C: NOOP\nS: 250\n", Stage(b"Subject: x\r\n\r\n"))


DELIVERED = b"Top: 1\r\nSubject: a\r\n folded\r\nX: 1\r\nX: 2\r\n\r\nsome body\r\n"


@pytest.mark.parametrize(
    ("line", "true"),
    [
        ("from <a@b>", True),
        ("to <c@d>", True),
        ("to <x@y>", False),
        ("has Subject: a folded", True),
        ("has x: 2", True),
        ("once X", False),
        ("once Subject: a *", True),
        ("top Top: 1", True),
        ("top Subject", False),
        ("lacks Y", True),
        ("lacks X", False),
        ("lacks X: 3", True),
        ("body has some", True),
        ("body lacks some", False),
        ("body unchanged", False),
    ],
)
def test_a_line_about_a_delivery(tmp_path: Path, line: str, true: bool) -> None:
    def check() -> None:
        play(tmp_path, f"delivered:\n    {line}\n", Stage(DELIVERED))

    if true:
        check()
    else:
        with pytest.raises(AssertionError, match="not so"):
            check()


def test_content_is_stuffed_and_ended() -> None:
    assert to_content(b".a\r\n\n.b\r\n..c") == b"..a\r\n\n.b\r\n...c\r\n.\r\n"
