"""Settings changed by text that is not trusted."""

from __future__ import annotations

import builtins
import contextlib
import io
import os
from pathlib import Path

import pytest
from bms import JOURNEY
from hypothesis import given
from hypothesis import strategies as st

from antispam.checks import dmarc, score
from antispam.learning.settings import DspamSettings
from antispam.service.application import settings_classes
from antispam.settings import Mode, SettingsError, load_text
from antispam.settings.changes import LONGEST, MOST, changed

PRESENT = load_text("[score]\nspf_fail = 2\n", settings_classes(JOURNEY))


def tried(text):
    return changed(PRESENT, text, JOURNEY.settings_classes(), "your text")


def test_options_that_are_given_change_and_all_others_stay():
    settings = tried("[dmarc]\nmode = log\nnever = a.example, b.example\n[score]\nmark = 5\nSPF_NONE = 3\n")
    assert (settings[dmarc.Settings].mode, settings[dmarc.Settings].never) == (Mode.LOG, ("a.example", "b.example"))
    assert settings[score.Settings].points == {"spf_fail": 2.0, "spf_none": 3.0}
    assert tried("") == PRESENT
    assert (
        next(one.where for one in settings.origins if (one.section, one.option) == ("score", "mark")) == "your text:5"
    )


def test_users_are_those_that_the_text_lists_with_their_addresses():
    settings = tried("[dspam]\ndspam_users = bob, Carol\nbob = bob@example.com, @sales.example\ncarol = c@example.com")
    users = settings[DspamSettings].users
    assert users == {"bob": ("bob@example.com", "@sales.example"), "carol": ("c@example.com",)}
    assert PRESENT[DspamSettings].users == {}


@pytest.mark.parametrize("name", ["spam", "dspam_users", "mode"])
def test_a_user_can_not_be_named_as_an_option(name):
    """What is an option stays that one: nobody gets an address by it."""
    with contextlib.suppress(SettingsError):
        assert name not in tried(f"[dspam]\ndspam_users = {name}\n{name} = x@example.com")[DspamSettings].addresses


@pytest.mark.parametrize(
    "line",
    [
        "[access]\nfile = /etc/passwd",
        "[milter]\ndatadir = /etc",
        "[store]\nurl = sqlite:////etc/shadow",
        "[store]\npassword_file = /etc/shadow",
        "[srs]\nsecret_file = /etc/shadow",
        "[rules]\nfile = /etc/passwd",
        "[dsn]\ntemplates = /etc",
        "[dspam]\ndspam_users = file:/etc/passwd",
        "[dspam]\ndspam_dict = /etc/passwd",
        "[dkim_sign]\nkeys = example.com k /etc/passwd",
        "[dkim_sign]\nkey_table = /etc/passwd",
        "[dkim]\nprivkey = /etc/passwd",
        "[author_domain]\nldap_password_file = /etc/shadow",
        "[author_domain]\nsql_url = sqlite:////etc/shadow",
        "[antivirus]\nclamd = 192.0.2.1:25",
        "[gossip]\npeers = 192.0.2.1:25",
        "[gossip]\nserver = 192.0.2.1:25",
        "[web]\nlogin_ca_file = /etc/shadow",
        "[dspam]\nbob = bob@example.com",
        "[dspam]\ndspam_users = bob\nbob = file:/etc/passwd",
        "[dspam]\naddresses = bob@example.com",
        "[defang]\nspam_words = file:/etc/passwd",
        "[words]\nsubjects = money, file:/etc/shadow",
        "[author_domain]\ndomains = file: /etc/passwd",
        "[impersonation]\nown_addresses = a@example.com,file:/etc/passwd",
        "[dnsbl mine]\nzone = evil.example",
        "[include]\nfile = /etc/passwd",
        "[score]\n/etc/passwd = x",
    ],
)
def test_nothing_that_the_text_names_is_opened(line, monkeypatch):
    opened = []
    real = builtins.open, io.open, os.open
    monkeypatch.setattr(
        builtins, "open", lambda path, *rest, **more: opened.append(path) or real[0](path, *rest, **more)
    )
    monkeypatch.setattr(io, "open", lambda path, *rest, **more: opened.append(path) or real[1](path, *rest, **more))
    monkeypatch.setattr(os, "open", lambda path, *rest, **more: opened.append(path) or real[2](path, *rest, **more))
    monkeypatch.setattr(Path, "read_text", lambda self, *rest: opened.append(self))
    monkeypatch.setattr(Path, "read_bytes", lambda self, *rest: opened.append(self))
    with pytest.raises(SettingsError):
        tried(line)
    assert [one for one in opened if "passwd" in str(one) or "shadow" in str(one) or str(one) == "/etc"] == []


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("[score]\nmark = many", r"your text:2: \[score\] mark"),
        ("[dmarc]\nmod = log", "did you mean mode"),
        ("[dmarc]\nmode = maybe", "off, log"),
        ("mode = log", "before the first"),
        ("[dmarc]\n" + "\n".join(f"x{number} = 1" for number in range(MOST + 1)), "more than"),
        ("[dmarc]\nnever = " + "a" * (LONGEST + 1), "too long"),
    ],
    ids=range(6),
)
def test_what_does_not_fit_is_told_with_its_line(text, told):
    with pytest.raises(SettingsError, match=told):
        tried(text)


@given(st.text(max_size=300) | st.text("[]=:\n abcdmrscoe0123456789.-\x00\ud800", max_size=300))
def test_any_text_is_refused_with_a_sentence_or_taken(text):
    with contextlib.suppress(SettingsError):
        assert tried(text).values
