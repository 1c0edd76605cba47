"""Signing: whose mail, with which keys, over what leaves."""

from __future__ import annotations

import logging
from pathlib import Path
from typing import Any

import pytest
from cryptography.hazmat.primitives.asymmetric import rsa

from antispam.checks import dkim as dkim_check
from antispam.checks import dkim_sign
from antispam.checks._shared.dkim_keys import signing
from antispam.deadline import Deadline
from antispam.journey.services import Services
from antispam.mail.access_map import parse_text
from antispam.mail.connection import Connection
from antispam.mail.draft import Draft, InsertHeader
from antispam.mail.evidence import AuthFinding, ClientClass, ConnectionFinding
from antispam.mail.findings import Findings
from antispam.mail.message import Auth, Body, Header, Message
from antispam.protocols.dkim import DkimResult, Signer, verify
from antispam.settings import SettingsError, default_settings, load_text
from support.dkim_mail import BODY, ED25519, HEADERS, NOW, RAW_RSA, RSA, Zone, pem

INTERNAL = ConnectionFinding(client=ClientClass.INTERNAL)
BOTH = (Signer("example.com", "r", RSA), Signer("example.com", "e", ED25519))
ZONE = Zone(
    {
        f"{selector}._domainkey.{domain}": [key.dns_record.encode()]
        for domain in ("example.com", "sub.example.com", "example.net")
        for selector, key in (("r", RSA), ("e", ED25519))
    }
)


def message_of(
    *known: Any, sender: bytes = b" joe@example.com", auth: Auth | None = None, limit: int = 100_000
) -> Message:
    body = Body(limit)
    body.write(BODY)
    message = Message("m", "joe@example.com", float(NOW), body, auth=auth or Auth(), findings=Findings(None, known))
    message.headers.extend(Header(n, sender if n == b"From" else v) for n, v in HEADERS)
    return message


def services_with(**options: Any) -> Services:
    settings = dkim_sign.Settings(**options)
    return Services(
        settings=default_settings([dkim_sign.Settings]).replaced(settings),
        resolver=None,  # type: ignore[arg-type]
        store=None,
        access=parse_text(""),  # type: ignore[arg-type]
        clock=lambda: float(NOW),
        deadline=Deadline.after(60),
    )


def signatures(message: Message, draft: Draft | None = None, **options: Any) -> list[tuple[DkimResult, str, str]]:
    """(result, domain, selector) of what the check adds, top first, as a verifier sees the draft."""
    options = {"keys": BOTH, **options}
    services = services_with(**options)
    finding = dkim_sign.collect(Connection("c"), message, None, services)
    draft = draft or Draft(message)
    if finding is not None:
        assert dkim_sign.Finding.from_json(finding.to_json()) == finding
        verdict = dkim_sign.decide(finding, message.findings, services.settings[dkim_sign.Settings], parse_text(""))
        dkim_sign.act(finding, verdict, draft, services)
    found = verify(draft.headers, draft.body, ZONE, now=NOW)
    return [(one.result, one.domain, one.selector) for one in found.signatures]


@pytest.mark.parametrize(
    ("known", "auth"), [((INTERNAL,), None), ((AuthFinding(login="joe"),), None), ((), Auth("joe", "PLAIN"))]
)
def test_mail_of_our_users_is_signed_with_every_key_of_the_domain(known: tuple[Any, ...], auth: Auth | None) -> None:
    assert signatures(message_of(*known, auth=auth)) == [
        (DkimResult.PASS, "example.com", "r"),
        (DkimResult.PASS, "example.com", "e"),
    ]


@pytest.mark.parametrize("client", [ClientClass.EXTERNAL, ClientClass.TRUSTED_RELAY])
def test_mail_of_others_is_not_signed(client: ClientClass) -> None:
    assert signatures(message_of(ConnectionFinding(client=client))) == []


def test_without_keys_the_question_does_not_arise() -> None:
    assert dkim_sign.collect(Connection("c"), message_of(INTERNAL), None, services_with()) is None


def test_what_is_signed_is_the_message_as_it_leaves() -> None:
    message = message_of(INTERNAL)
    draft = Draft(message)
    draft.change_header(message.headers[3], "[list] Is dinner ready?")
    draft.append_header("List-Id", "<l.example.com>")
    draft.replace_body(BODY + b"A footer.\r\n")
    assert [result for result, _, _ in signatures(message, draft)] == [DkimResult.PASS, DkimResult.PASS]
    assert [edit.name for edit in draft.edits() if isinstance(edit, InsertHeader)] == ["DKIM-Signature"] * 2


def test_an_author_elsewhere_is_not_signed_for() -> None:
    assert signatures(message_of(INTERNAL, sender=b" joe@example.org")) == []


def test_an_author_in_a_subdomain_is_signed_for_by_the_nearest_key() -> None:
    message = message_of(INTERNAL, sender=b" joe@a.sub.example.com")
    assert [domain for _, domain, _ in signatures(message)] == ["example.com", "example.com"]
    nearer = (*BOTH, Signer("sub.example.com", "r", RSA))
    assert [domain for _, domain, _ in signatures(message, keys=nearer)] == ["sub.example.com"]
    assert signatures(message, subdomains=False) == []


def test_every_author_domain_of_ours_signs() -> None:
    keys = (Signer("example.net", "r", RSA), Signer("example.com", "e", ED25519))
    message = message_of(INTERNAL, sender=b" a@example.com, b@example.net, c@example.org")
    assert {domain for _, domain, _ in signatures(message, keys=keys)} == {"example.com", "example.net"}


def test_a_message_that_was_not_kept_whole_goes_unsigned() -> None:
    message = message_of(INTERNAL, limit=5)
    services = services_with(keys=BOTH)
    finding = dkim_sign.collect(Connection("c"), message, None, services)
    assert finding is not None
    verdict = dkim_sign.decide(finding, Findings(), dkim_sign.Settings(), parse_text(""))
    assert "max_message" in verdict.reason
    draft = Draft(message)
    dkim_sign.act(finding, verdict, draft, services)
    assert draft.edits() == []


def key_file(folder: Path, content: bytes = b"", mode: int = 0o600) -> Path:
    file = folder / "key.private"
    file.write_bytes(content or pem(RAW_RSA))
    file.chmod(mode)
    return file


def test_keys_are_read_with_the_settings(tmp_path: Path) -> None:
    file = key_file(tmp_path)
    text = f"[dkim_sign]\nkeys =\n  Example.com  s1  {file}\n  example.net  s2  {file}\n"
    settings = load_text(text, [dkim_sign.Settings, dkim_check.Settings])[dkim_sign.Settings]
    assert settings.signers == (Signer("example.com", "s1", RSA), Signer("example.net", "s2", RSA))


def test_upstreams_names_for_a_single_key(tmp_path: Path) -> None:
    text = f"[dkim]\ndomain = example.com\nprivkey = {key_file(tmp_path)}\n"
    settings = load_text(text, [dkim_check.Settings, dkim_sign.Settings])[dkim_sign.Settings]
    assert settings.signers == (Signer("example.com", "default", RSA),)


def test_a_key_that_others_can_read_is_refused_with_place_and_advice(tmp_path: Path) -> None:
    file = key_file(tmp_path, mode=0o644)
    with pytest.raises(
        SettingsError, match=r"milter\.cfg:2: \[dkim_sign\] keys .*others can read or change it.*give it mode"
    ):
        load_text(f"[dkim_sign]\nkeys = example.com s {file}\n", [dkim_sign.Settings])


@pytest.mark.parametrize(
    "line", ["keys = example.com s", "keys = example.com s /nonexistent/key", "keys = exa;mple s {file}"]
)
def test_broken_lines_are_refused(line: str, tmp_path: Path) -> None:
    with pytest.raises(SettingsError, match=r"milter\.cfg:2"):
        load_text(f"[dkim_sign]\n{line.format(file=key_file(tmp_path))}\n", [dkim_sign.Settings])


def test_a_key_without_a_domain_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match=r"privkey needs \[dkim\] domain"):
        load_text(f"[dkim]\nprivkey = {key_file(tmp_path)}\n", [dkim_sign.Settings, dkim_check.Settings])


def test_a_weak_key_is_warned_of(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    file = key_file(tmp_path, pem(rsa.generate_private_key(65537, 1024)))
    with caplog.at_level(logging.WARNING):
        load_text(f"[dkim_sign]\nkeys = example.com s {file}\n", [dkim_sign.Settings])
    assert "1024 bits is weak" in caplog.text


# --- messages of our own ---

QUEUED = b"From: Mail <postmaster@example.com>\r\nTo: ann@example.org\r\nSubject: a\r\n b\r\n\r\nHello\r\n\r\n--x\r\n"


def signed_own(queued: bytes, **options: Any) -> bytes:
    return dkim_sign.sign_own(queued, services_with(**{"keys": BOTH, **options}))


def test_a_message_of_our_own_is_signed_by_its_author() -> None:
    queued = signed_own(QUEUED)
    assert queued.endswith(QUEUED)
    assert queued.count(b"\n") == queued.count(b"\r\n")
    head, _, body = queued.partition(b"\r\n\r\n")
    fields = [Header(name, value) for name, value in dkim_sign._OWN_FIELD.findall(head + b"\r\n")]
    found = verify([Header(f.name, f.value.replace(b"\r\n", b"\n")) for f in fields], body, ZONE, now=NOW)
    assert [(one.result, one.domain) for one in found.signatures] == [(DkimResult.PASS, "example.com")] * 2


@pytest.mark.parametrize(
    ("queued", "options"),
    [
        (QUEUED.replace(b"example.com", b"example.org"), {}),
        (QUEUED, {"keys": ()}),
        (QUEUED, {"mode": "off"}),
        (b"no header at all", {}),
        (b"", {}),
    ],
)
def test_other_messages_stay_as_they_are(queued: bytes, options: dict[str, Any]) -> None:
    assert signed_own(queued, **options) == queued


def test_long_header_lines_are_folded_before_they_are_signed():
    """Postfix breaks them at 998 octets, and the signature with them."""
    message = message_of(INTERNAL)
    message.headers.append(Header(b"References", b" " + b"<id@example.com> " * 100))
    draft = Draft(message)
    assert [result for result, _, _ in signatures(message, draft)] == [DkimResult.PASS, DkimResult.PASS]
    lines = (line for header in draft.headers for line in (header.name + b":" + header.value).split(b"\n"))
    assert max(map(len, lines)) <= 990


@pytest.mark.parametrize(
    ("cf", "quoted"),
    [
        ("O MustQuoteChars=.'\n", ".'"),
        ("#O MustQuoteChars=.'\n", ".'"),
        ("", ".'"),
        ("O MustQuoteChars=@\n", ""),
        ("O MustQuoteChars\n", ""),
        (None, ""),
    ],
    ids=["Debian's", "the default", "nothing", "as documented", "empty", "no sendmail"],
)
def test_check_config_reminds_of_names_that_sendmail_quotes_after_signing(tmp_path, monkeypatch, cf, quoted):
    file = tmp_path / "sendmail.cf"
    if cf is not None:
        file.write_text(cf)
    monkeypatch.setattr(signing, "SENDMAIL_CF", file)
    warnings = dkim_sign.Settings(keys=BOTH).warnings
    assert any("confMUST_QUOTE_CHARS" in warning for warning in warnings) == bool(quoted)
    assert all(f"one of {quoted} after" in warning for warning in warnings)
    assert dkim_sign.Settings().warnings == ()
