"""[imap] and its accounts."""

from __future__ import annotations

import pytest

from antispam.settings import SettingsError, load_text
from antispam.settings.imap import ImapSettings


def mailboxes(text):
    return load_text(text, [ImapSettings])[ImapSettings].mailboxes


def test_an_account_has_what_it_does_not_say_from_the_section():
    (ann, bob) = mailboxes(
        "[imap]\nhost = mail.example.com\nnot_junk = NotJunk\n[imap ann]\npassword_file = /a\n"
        "[imap bob]\nlogin = bob@example.com\npassword_file = /b\nhost = other.example.com\njunk = Spam\nuser = bob\n"
    )
    assert (ann.login, ann.user, ann.host, ann.port) == ("ann", "ann", "mail.example.com", 993)
    assert ann.folders == {"Junk": True, "NotJunk": False}
    assert (bob.login, bob.user, bob.host) == ("bob@example.com", "bob", "other.example.com")
    assert bob.folders == {"Spam": True, "NotJunk": False}


@pytest.mark.parametrize(("more", "port"), [("tls = starttls\n", 143), ("tls = off\n", 143), ("port = 1993\n", 1993)])
def test_the_port_goes_with_tls(more, port):
    assert mailboxes(f"[imap]\n{more}[imap ann]\npassword_file = /a\n")[0].port == port


@pytest.mark.parametrize(
    ("text", "why"),
    [
        ("[imap ann]\nlogin = ann\n", r"\[imap ann\] password_file: it is missing"),
        ("[imap]\ntls = off\nhost = mail.example.com\n[imap a]\npassword_file = /a\n", "servers on this machine only"),
        ("[imap]\ntls = off\n[imap a]\npassword_file = /a\nhost = mail.example.com\n", "servers on this machine only"),
        ("[imap]\nrefresh = 1h\n", "expected 1s to 25m"),
        ("[imap a]\npasswordfile = /a\n", "did you mean password_file"),
    ],
)
def test_mistakes_are_told(text, why):
    with pytest.raises(SettingsError, match=why):
        mailboxes(text)
