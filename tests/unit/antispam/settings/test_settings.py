"""Settings: strict, typed, and every error says where and what to do."""

from __future__ import annotations

import enum
import logging
from collections.abc import Mapping
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from antispam.settings import SettingsError, default_settings, ini, load, load_text, option, section
from antispam.settings.values import duration, listed, size


class Colour(enum.StrEnum):
    RED = "red"
    BLUE = "blue"


def _even(number):
    if number % 2:
        raise ValueError("must be even")


@section("spf")
class Spf:
    best_guess: bool = option(False, "guess")
    reject_neutral: tuple[str, ...] = option((), "domains")


@section("greylist")
class Greylist:
    time: float = option(300.0, "wait", parse=duration("m"))
    file: Path | None = option(None, "file")
    colour: Colour = option(Colour.RED, "colour")
    number: int = option(2, "number", check=_even)
    access_file: str = option("", "map", section="spf")


CLASSES = (Spf, Greylist)


def read(text):
    return load_text(text, CLASSES)


def test_an_empty_configuration_gives_the_defaults():
    assert read("") == default_settings(CLASSES)
    assert read("")[Greylist].time == 300.0


def test_values_take_the_types_of_their_options():
    settings = read(
        "[spf]\nbest_guess = yes\nreject_neutral = a.example,\n\tb.example\n"
        "[greylist]\ntime = 10\nfile = /x\ncolour = BLUE\nnumber=4\n"
    )
    assert settings[Spf] == Spf(best_guess=True, reject_neutral=("a.example", "b.example"))
    assert settings[Greylist] == Greylist(time=600.0, file=Path("/x"), colour=Colour.BLUE, number=4)


def test_an_option_may_stand_in_another_section_than_its_class():
    assert read("[spf]\naccess_file = /etc/mail/access.db\n")[Greylist].access_file == "/etc/mail/access.db"


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("[spf]\nbest_gues = 1\n", r"milter.cfg:2: \[spf\] has no option best_gues; did you mean best_guess\?"),
        ("\n[spff]\nx = 1\n", r"milter.cfg:3: there is no section \[spff\]; did you mean \[spf\]\?"),
        ("[spf]\ncolour = red\n", r"\[spf\] has no option colour; it belongs into \[greylist\]"),
        ("[spf]\nbest_guess = maybe\n", r"milter.cfg:2: \[spf\] best_guess = maybe: expected yes or no"),
        ("[greylist]\ntime = soon\n", r"expected a duration such as 90s, 5m"),
        ("[greylist]\ncolour = green\n", r"expected one of red, blue"),
        ("[greylist]\nnumber = 3\n", r"must be even"),
        ("[spf]\nbest_guess = 1\nbest_guess = 0\n", r"milter.cfg:3: \[spf\] best_guess is already given on line 2"),
        ("best_guess = 1\n", r"stands before the first \[section\]"),
        ("[spf]\nbest_guess\n", r"milter.cfg:2: neither a \[section\] nor an option = value"),
    ],
)
def test_a_mistake_is_an_error_that_names_the_line_and_the_remedy(text, message):
    with pytest.raises(SettingsError, match=message):
        read(text)


def test_the_origin_of_every_effective_value_is_known():
    origins = {(o.section, o.option): o.where for o in read("[spf]\n; c\nbest_guess = on\n").origins}
    assert origins["spf", "best_guess"] == "milter.cfg:3"
    assert origins["greylist", "time"] == "default"


def test_what_is_shown_of_a_value_can_be_written_into_the_file():
    given = "[greylist]\ntime = 90m\ncolour = blue\nnumber = 4\n"
    lines = [f"{o.option} = {o.shown}\n" for o in read(given).origins if o.section == "greylist"]
    assert read("[greylist]\n" + "".join(lines))[Greylist] == read(given)[Greylist]


def test_durations_are_shown_with_a_unit():
    assert {o.option: o.shown for o in read("").origins}["time"] == "5m"


def test_later_files_win(tmp_path):
    (tmp_path / "a").write_text("[greylist]\ntime = 1\nnumber = 4\n")
    (tmp_path / "b").write_text("[greylist]\ntime = 2\n")
    settings = load([tmp_path / "a", tmp_path / "b"], CLASSES)
    assert settings[Greylist] == Greylist(time=120.0, number=4)


def test_a_latin_1_file_is_read_with_a_warning(tmp_path, caplog):
    caplog.set_level(logging.WARNING)
    (tmp_path / "milter.cfg").write_bytes(b"[spf]\nreject_neutral = fr\xebe.example\n")
    assert load([tmp_path / "milter.cfg"], CLASSES)[Spf].reject_neutral == ("fr\xebe.example",)
    assert "milter.cfg:2: not UTF-8" in caplog.text


def test_a_file_that_is_not_there_is_an_error_and_not_the_defaults(tmp_path):
    with pytest.raises(SettingsError, match="cannot be read: No such file"):
        load([tmp_path / "none"], CLASSES)


@pytest.mark.parametrize(
    ("text", "seconds"),
    [("90s", 90), ("5m", 300), ("6h", 21600), ("36d", 3110400), ("2w", 1209600), ("7", 420), ("1.5", 90)],
)
def test_durations(text, seconds):
    assert duration("m")(text) == seconds


@pytest.mark.parametrize(("text", "octets"), [("180000", 180000), ("64k", 65536), ("10M", 10485760), ("1GiB", 1 << 30)])
def test_sizes(text, octets):
    assert size(text) == octets


@given(st.text(max_size=200))
def test_any_text_is_read_or_refused_with_a_line_number(text):
    try:
        list(ini.parse(text, "f"))
    except SettingsError as error:
        assert str(error).startswith("f:")  # noqa: PT017 - it may raise, and then like this


@section("people")
class People:
    users: tuple[str, ...] = option((), "names")
    spam: tuple[str, ...] = option((), "addresses to report spam to")
    addresses: Mapping[str, tuple[str, ...]] = option(
        {}, "the addresses of each of users", named_by="users", parse=listed
    )


def test_names_that_the_configuration_declares_are_options():
    text = "[people]\nusers = Ann, bob, spam\nann = ann@example.com, anna@example.com\nspam = spam@example.com\n"
    settings = load_text(text, [People])
    assert settings[People].addresses == {"ann": ("ann@example.com", "anna@example.com")}
    assert settings[People].spam == ("spam@example.com",)
    assert [(origin.option, origin.where) for origin in settings.origins if origin.option == "ann"] == [
        ("ann", "milter.cfg:3")
    ]


def test_a_name_that_nobody_declared_is_a_mistake_and_the_nearest_is_named():
    with pytest.raises(SettingsError, match=r"milter.cfg:3: \[people\] has no option anna; did you mean ann\?"):
        load_text("[people]\nusers = ann\nanna = a@example.com\n", [People])


def test_a_list_may_stand_in_a_file(tmp_path):
    (tmp_path / "list").write_text(
        "# ours\nann@example.com anna@example.com\n\nbob@example.com, eve@example.com # new\n"
    )
    read = listed(f"zoe@example.com, file:{tmp_path}/list")
    assert read == ("zoe@example.com", "ann@example.com", "anna@example.com", "bob@example.com", "eve@example.com")


def test_a_list_in_a_file_that_is_not_there_is_a_mistake_of_its_line(tmp_path):
    with pytest.raises(SettingsError, match=r"milter.cfg:3: .*no-such-file cannot be read: No such file"):
        load_text(f"[people]\nusers = ann\nann = file:{tmp_path}/no-such-file\n", [People])
