"""opendkim's KeyTable and SigningTable: which key signs for which author."""

from __future__ import annotations

import base64
import os
import re
from pathlib import Path

import pytest
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat
from hypothesis import given
from hypothesis import strategies as st

from antispam.checks import dkim as dkim_check
from antispam.checks import dkim_sign
from antispam.checks._shared.dkim_keys.tables import (
    KeyTable,
    Line,
    SigningTable,
    Tables,
    _fits,
    _Names,
    _Patterns,
    words,
)
from antispam.net.addresses import Mailbox, parse_mailbox
from antispam.protocols.dkim import UnusablePrivateKey
from antispam.settings import SettingsError, load_text
from support.dkim_mail import ED25519, RAW_RSA, RSA, pem


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Has the keys rsa.private and ed.private."""
    for name, key in (("rsa", RAW_RSA), ("ed", ED25519.key)):
        write(tmp_path / f"{name}.private", pem(key))
    return tmp_path


def write(file: Path, content: bytes | str, mode: int = 0o600) -> Path:
    file.write_bytes(content.encode() if isinstance(content, str) else content)
    file.chmod(mode)
    return file


def tables(folder: Path, keys: str, signing: str, kind: str = "refile", several: bool = True) -> Tables:
    write(folder / "keytable", keys.replace("DIR", str(folder)))
    write(folder / "signingtable", signing)
    return Tables(KeyTable(f"file:{folder}/keytable"), SigningTable(f"{kind}:{folder}/signingtable"), several=several)


def signing(table: Tables, author: str) -> list[str]:
    """selector._domainkey.domain (identity) of each signature."""
    found = table.signers_for(parse_mailbox(author))
    return [f"{one.selector}@{one.domain}" + (f" {one.identity}" if one.identity else "") for one in found]


TWO_KEYS = """\
# the keys of two domains
first   example.com:s1:DIR/rsa.private
second  example.net:s2:DIR/ed.private   # and a comment
any     %:all:DIR/rsa.private
"""


@pytest.mark.parametrize(
    ("author", "expected"),
    [
        ("joe@example.com", ["s1@example.com"]),
        ("JOE@EXAMPLE.COM", ["s1@example.com"]),
        ("joe@sub.example.com", []),
        ("joe@a.example.net", ["s2@example.net"]),
        ("boss@example.org", ["all@example.org"]),
        ("staff@example.org", []),
        ("x.news@lists.example", ["all@lists.example"]),
        ("news@lists.example", []),
    ],
)
def test_patterns_of_a_refile_match_the_whole_address(folder: Path, author: str, expected: list[str]) -> None:
    patterns = "*@example.com first\n*@*.example.net second\nboss@example.org any\n*.news@lists.* any\n"
    assert signing(tables(folder, TWO_KEYS, patterns), author) == expected


@pytest.mark.parametrize(
    ("author", "expected"),
    [
        ("joe@foo.example.com", "1"),
        ("ann@foo.example.com", "2"),
        ("joe@bar.example.com", "3"),
        ("ann@bar.example.com", "4"),
        ("joe@example.org", "5"),
        ("ann@example.org", "6"),
    ],
)
def test_a_plain_file_is_searched_in_opendkims_order(folder: Path, author: str, expected: str) -> None:
    keys = "".join(f"k{n} example.com:s{n}:DIR/rsa.private\n" for n in range(1, 7))
    lines = "* k6\njoe@* k5\n.example.com k4\njoe@.example.com k3\nfoo.example.com k2\njoe@foo.example.com k1\n"
    assert signing(tables(folder, keys, lines, "file", several=False), author) == [f"s{expected}@example.com"]


def test_only_the_first_line_that_fits_signs(folder: Path) -> None:
    patterns = "*@example.com second\n*@example.com first\n* any\n"
    assert signing(tables(folder, TWO_KEYS, patterns, several=False), "joe@example.com") == ["s2@example.net"]


def test_with_multiple_signatures_all_lines_that_fit_sign_in_their_order(folder: Path) -> None:
    patterns = "joe@* any\n*@example.com second\n*@example.com first\n"
    expected = ["all@example.com", "s2@example.net", "s1@example.com"]
    assert signing(tables(folder, TWO_KEYS, patterns), "joe@example.com") == expected


def test_a_percent_sign_is_the_authors_domain(folder: Path) -> None:
    keys = "% x.example:never:DIR/rsa.private\nexample.com %:s:DIR/rsa.private\n"
    assert signing(tables(folder, keys, "* %:sales@%\n"), "joe@example.com") == ["s@example.com sales@example.com"]
    assert signing(tables(folder, keys, "* %\n"), "joe@example.org") == []


def test_an_identity_outside_of_the_signing_domain_is_left_out(folder: Path) -> None:
    table = tables(folder, TWO_KEYS, "*@example.com first:joe@sub.example.com\n*@* second:joe@example.com\n")
    expected = ["s1@example.com joe@sub.example.com", "s2@example.net"]
    assert signing(table, "joe@example.com") == expected


def test_a_key_may_stand_in_the_table_itself(folder: Path) -> None:
    der = RAW_RSA.private_bytes(Encoding.DER, PrivateFormat.TraditionalOpenSSL, NoEncryption())
    table = tables(folder, f"k example.com:s:{base64.b64encode(der).decode()}\n", "* k\n")
    (signer,) = table.signers_for(Mailbox("joe", "example.com"))
    assert signer.key == RSA


def test_a_file_named_by_the_authors_domain_is_read_when_it_is_needed(folder: Path) -> None:
    write(folder / "example.com.private", pem(RAW_RSA))
    table = tables(folder, "k %:s:DIR/%.private\n", "* k\n")
    assert signing(table, "joe@example.com") == ["s@example.com"]
    assert signing(table, "joe@example.org") == []


@pytest.mark.parametrize("domain", ["../rsa", "a/b", "", "..", "a\0b", "-", "\udc80", "x" * 300])
def test_no_author_reaches_another_file(folder: Path, domain: str) -> None:
    def load(path: str) -> None:
        raise AssertionError(path)

    write(folder / "keytable", f"k %:s:{folder}/keys/%.private\n")
    table = KeyTable(f"{folder}/keytable", load)  # type: ignore[arg-type]
    assert table.signer("k", domain, "") is None


def test_a_file_named_by_the_authors_domain_that_others_can_read_is_refused(folder: Path) -> None:
    write(folder / "example.com.private", pem(RAW_RSA), 0o644)
    table = tables(folder, "k %:s:DIR/%.private\n", "* k\n")
    with pytest.raises(UnusablePrivateKey, match="others can read or change it"):
        signing(table, "joe@example.com")


@pytest.mark.parametrize(
    ("keys", "patterns", "message"),
    [
        ("first example.com:s1\n", "", r"keytable:1: first: expected domain:selector:key"),
        ("first\n", "", r"keytable:1: 'first' stands alone"),
        (
            "\na example.com:s:DIR/rsa.private\na b.c:s:DIR/rsa.private\n",
            "",
            r"keytable:3: the key name a is given a second",
        ),
        ("a exam;ple:s:DIR/rsa.private\n", "", r"keytable:1: 'exam;ple' can't stand in a signature"),
        ("a example.com:s t:DIR/rsa.private\n", "", r"keytable:1: 's t' can't stand in a signature"),
        ("a example.com:s:DIR/none.private\n", "", r"keytable:1: .*none\.private cannot be read: No such file"),
        ("a example.com:s:bm9uZQ==\n", "", r"keytable:1: not a private key"),
        (TWO_KEYS, "*@example.com first\n*@example.net thrid\n", r"signingtable:2: no key in .* is named 'thrid'"),
    ],
)
def test_mistakes_are_told_with_their_place(folder: Path, keys: str, patterns: str, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        tables(folder, keys, patterns)


@pytest.mark.parametrize("source", ["db:/etc/keys.db", "ldap://x", "csl:a,b", "relative/path"])
def test_other_kinds_of_data_sets_are_refused_with_advice(source: str) -> None:
    with pytest.raises(ValueError, match="write it as a text, file:/path or refile:/path"):
        KeyTable(source)


def test_a_table_that_can_not_be_read_is_an_error() -> None:
    with pytest.raises(ValueError, match="/nonexistent/table: No such file"):
        SigningTable("refile:/nonexistent/table")


def options(folder: Path) -> str:
    return f"key_table = {folder}/keytable\nsigning_table = refile:{folder}/signingtable\nmultiple_signatures = yes\n"


def test_the_settings_read_both_tables(folder: Path) -> None:
    tables(folder, TWO_KEYS, "*@example.com first\n")
    settings = load_text(f"[dkim_sign]\n{options(folder)}", [dkim_sign.Settings, dkim_check.Settings])
    (signer,) = settings[dkim_sign.Settings].signers_for(parse_mailbox("joe@example.com"))
    assert (signer.domain, signer.selector, signer.key) == ("example.com", "s1", RSA)
    shown = {origin.option: origin.shown for origin in settings.origins}
    assert shown["signing_table"] == f"refile:{folder}/signingtable"


def test_one_table_without_the_other_is_an_error(folder: Path) -> None:
    tables(folder, TWO_KEYS, "*@example.com first\n")
    with pytest.raises(ValueError, match="need one another"):
        load_text(f"[dkim_sign]\nkey_table = {folder}/keytable\n", [dkim_sign.Settings, dkim_check.Settings])


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can make a key unsafe in every way")
@pytest.mark.parametrize("mode", [0o644, 0o604, 0o660, 0o602])
def test_keys_in_the_table_that_others_can_read_are_refused(folder: Path, mode: int) -> None:
    (folder / "rsa.private").chmod(mode)
    write(folder / "keytable", TWO_KEYS.replace("DIR", str(folder)))
    text = f"[dkim_sign]\nkey_table = {folder}/keytable\n"
    with pytest.raises(SettingsError, match=r"milter\.cfg:2: \[dkim_sign\] key_table .*can read or change it"):
        load_text(text, [dkim_sign.Settings, dkim_check.Settings])


@given(st.text("ab*", max_size=8), st.text("ab", max_size=12))
def test_a_pattern_matches_as_a_regular_expression_would(pattern: str, text: str) -> None:
    expected = re.fullmatch(".*".join(map(re.escape, pattern.split("*"))), text, re.DOTALL) is not None
    assert _fits(text, tuple(pattern.split("*"))) is expected


@given(st.text(), st.text())
def test_no_author_is_too_strange(local: str, domain: str) -> None:
    table = SigningTable.__new__(SigningTable)
    lines = [Line("*@a.example", "k", ""), Line("joe@*", "k", ""), Line("*", "k:%", "")]
    for find in (_Names(lines), _Patterns(lines)):
        table._find = find
        list(table.entries(Mailbox(local, domain)))


def test_lists_of_field_names_are_read_as_opendkim_writes_them() -> None:
    assert words("From, +Subject,To\n Date") == ("from", "subject", "to", "date")


@pytest.mark.parametrize(
    ("line", "sealed"),
    [
        ("oversign = Subject", (b"from", b"subject")),
        ("oversign = *, X-Ours", (b"from", b"reply-to", b"to", b"cc", b"subject", b"x-ours")),
    ],
)
def test_oversigned_fields_can_be_chosen_and_from_is_always_one(line: str, sealed: tuple[bytes, ...]) -> None:
    settings = load_text(f"[dkim_sign]\n{line}\n", [dkim_sign.Settings, dkim_check.Settings])[dkim_sign.Settings]
    assert settings.policy.sealed == sealed


@pytest.mark.parametrize("line", ["oversign = received", "sign_headers = a:b", "sign_headers = dkim-signature"])
def test_what_must_not_be_signed_is_refused(line: str) -> None:
    with pytest.raises(SettingsError, match=r"milter\.cfg:2"):
        load_text(f"[dkim_sign]\n{line}\n", [dkim_sign.Settings, dkim_check.Settings])


@pytest.mark.parametrize(
    ("value", "header", "body"), [("yes", True, True), ("no", False, False), ("header", True, False)]
)
def test_the_canonical_form_of_each_part_can_be_chosen(value: str, header: bool, body: bool) -> None:
    settings = load_text(f"[dkim_sign]\nrelaxed = {value}\n", [dkim_sign.Settings, dkim_check.Settings])
    policy = settings[dkim_sign.Settings].policy
    assert (policy.relaxed_header, policy.relaxed_body) == (header, body)
