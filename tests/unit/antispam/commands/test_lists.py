"""`bms lists` and `bms bans --zone`."""

from __future__ import annotations

import json
import time
from pathlib import Path

import click.testing
import dns.rdatatype
import dns.zone
import pytest
from bms import main
from hypothesis import given
from hypothesis import strategies as st

from antispam.commands.lists import zone_file
from antispam.store.lists import Entry, Kind, add, everything


@pytest.fixture
def bms(tmp_path):
    config = tmp_path / "milter.cfg"
    config.write_text(f"[milter]\ndatadir = {tmp_path}\n")
    runner = click.testing.CliRunner(env={"COLUMNS": "300"})
    return lambda *arguments, **more: runner.invoke(main, ["--config", str(config), *arguments], **more)


def put(store, kind, name, reason="why", until=None):
    add(store, kind, name, reason=reason, by="test", now=time.time(), expires_at=until)


def test_what_is_added_is_shown_and_removed(bms, store):
    assert bms("lists", "add", "blacklist", "Win@Spam.example", "--reason", "sends spam").exit_code == 0
    shown = bms("lists", "show").output
    assert "win@spam.example" in shown
    assert "sends spam" in shown
    assert bms("lists", "remove", "blacklist", "win@spam.example").exit_code == 0
    assert "Nobody is listed" in bms("lists", "show").output


def test_a_whole_domain_may_be_written_as_in_milter_cfg(bms, store):
    assert bms("lists", "add", "whitelist", "@Example.com").exit_code == 0
    assert [entry.name for entry in everything(store)] == ["example.com"]
    assert bms("lists", "remove", "whitelist", "@example.com").exit_code == 0


def test_an_entry_may_end(bms, store):
    before = time.time()
    assert bms("lists", "add", "banned-ip", "192.0.2.7", "--for", "2h").exit_code == 0
    (entry,) = everything(store)
    assert before + 7200 <= entry.expires_at <= time.time() + 7200


def test_what_covers_a_name_is_found(bms, store):
    put(store, Kind.BANNED_DOMAIN, "*.spam.example")
    put(store, Kind.BANNED_DOMAIN, "other.example")
    result = bms("lists", "show", "banned-domain", "mx1.spam.example", "--json")
    assert [json.loads(line)["name"] for line in result.output.splitlines()] == ["*.spam.example"]


def test_expired_entries_are_shown_on_demand_only(bms, store):
    put(store, Kind.WHITELIST, "ann@example.com", until=time.time() - 1)
    assert "Nobody is listed" in bms("lists", "show").output
    assert "ann@example.com" in bms("lists", "show", "--expired").output


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("add", "banned-ip", "300.1.1.1"), "no IP address"),
        (("add", "banned-domain", "*.com"), "can be banned"),
        (("add", "whitelist", "ann"), "no mail address"),
        (("add", "blacklist", "a@b.example", "--for", "soon"), "duration"),
        (("add", "greylist", "a@b.example"), "whitelist"),
        (("remove", "banned-ip", "x"), "no IP address"),
    ],
)
def test_a_mistake_is_told(bms, store, arguments, message):
    result = bms("lists", *arguments)
    assert result.exit_code != 0
    assert message in result.output
    assert everything(store) == []


def test_a_misspelt_name_is_not_removed_but_its_neighbour_named(bms, store):
    put(store, Kind.WHITELIST, "ann.miller@example.com")
    result = bms("lists", "remove", "whitelist", "ann.millar@example.com")
    assert result.exit_code == 1
    assert "did you mean ann.miller@example.com?" in result.output


def test_what_is_exported_can_be_imported(bms, store, tmp_path):
    put(store, Kind.BANNED_DOMAIN, "*.spam.example")
    put(store, Kind.BANNED_DOMAIN, "other.example")
    exported = bms("lists", "export", "banned-domain").output
    assert exported == "*.spam.example\nother.example\n"
    assert bms("lists", "remove", "banned-domain", "*.spam.example", "other.example").exit_code == 0
    assert bms("lists", "import", "banned-domain", "-", input=exported).exit_code == 0
    assert [entry.name for entry in everything(store)] == ["*.spam.example", "other.example"]


def test_lines_with_dates_and_comments_are_understood(bms, store):
    text = "# by hand\n2009-05-01 12:00:03 ann@example.com\nbob@example.com 1242044400.5\n\n2026-11-24T10:00:00Z,x@y.example\n"
    assert bms("lists", "import", "whitelist", "-", input=text).exit_code == 0
    assert [entry.name for entry in everything(store)] == ["ann@example.com", "bob@example.com", "x@y.example"]


def test_a_line_that_is_not_understood_costs_no_other(bms, store):
    result = bms("lists", "import", "banned-ip", "-", input="192.0.2.7\nnonsense\n2001:db8::1\n")
    assert result.exit_code == 1
    assert "line 2: nonsense is no IP address" in result.output
    assert "2 on the banned-ip, 1 lines not understood" in result.output


def test_control_characters_of_a_reason_never_reach_the_terminal(bms, store):
    put(store, Kind.WHITELIST, "ann@example.com", reason="\x1b[31mred\u202e")
    assert "\x1b" not in bms("lists", "show").output


@pytest.mark.parametrize("reason", ["[/red]", "[link=x]y[/", "[bold]b[/bold]"])
def test_brackets_of_a_reason_are_no_markup(bms, store, reason):
    """A HELO name stands in the reason of a ban, and a quoted local part in a name."""
    put(store, Kind.BANNED_IP, "192.0.2.7", reason=reason)
    put(store, Kind.WHITELIST, f'"{reason}"@example.com')
    result = bms("lists", "show")
    assert result.exit_code == 0
    assert result.output.count(reason) == 2


def parsed(text: str, origin: str = "bans.example.com") -> dns.zone.Zone:
    return dns.zone.from_text(text, origin=origin, check_origin=True)


def test_a_zone_answers_for_banned_addresses(bms, store, tmp_path):
    put(store, Kind.BANNED_IP, "192.0.2.7", reason="3 offences")
    put(store, Kind.BANNED_IP, "2001:db8:0:1::5")
    file = tmp_path / "bans.zone"
    assert bms("bans", "--zone", "bans.example.com", "--output", str(file)).exit_code == 0
    zone = parsed(file.read_text())
    assert str(zone.find_rdataset("7.2.0.192", "A")[0]) == "127.0.0.2"
    assert str(zone.find_rdataset("7.2.0.192", "TXT")[0]) == '"3 offences"'
    assert zone.find_rdataset("*.1.0.0.0.0.0.0.0.8.b.d.0.1.0.0.2", "A")
    assert zone.find_rdataset("2.0.0.127", "A"), "RFC 5782 section 5"


def test_a_zone_of_domains(bms, store):
    put(store, Kind.BANNED_DOMAIN, "*.spam.example")
    zone = parsed(bms("bans", "--zone", "dom.example.com", "--domains").output, "dom.example.com")
    assert zone.find_rdataset("spam.example", "A")
    assert zone.find_rdataset("*.spam.example", "A")


def test_an_empty_list_is_a_zone_too(bms, store):
    assert parsed(bms("bans", "--zone", "bans.example.com").output).get_soa().serial > 0


@pytest.mark.parametrize("origin", ["", "com", "a b.example", "$INCLUDE x"])
def test_an_origin_that_is_no_domain_is_refused(bms, store, origin):
    assert bms("bans", "--zone", origin).exit_code != 0


def test_a_zone_that_cant_be_written_leaves_the_old_one(bms, store, tmp_path):
    result = bms("bans", "--zone", "bans.example.com", "--output", str(tmp_path / "missing" / "x.zone"))
    assert result.exit_code != 0
    assert list(Path(tmp_path).glob("*.zone")) == []


@given(reason=st.text(max_size=300))
def test_no_reason_breaks_the_zone(reason):
    entry = Entry(Kind.BANNED_IP, "192.0.2.7", reason, "test", 0.0, 0.0, None, 1)
    zone = parsed(zone_file("bans.example.com", [entry], 1_800_000_000.0))
    assert len(list(zone.iterate_rdatasets(dns.rdatatype.A))) == 2
