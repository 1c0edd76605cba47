"""The configuration in effect as people may see it: secrets are in no value."""

from __future__ import annotations

import pytest

from antispam.mail.access_map import AccessSettings
from antispam.service.effective import shown, warnings_of
from antispam.settings import load
from antispam.settings.load import Origin
from antispam.settings.program import StoreSettings


def origin(section, option, value):
    return Origin(section, option, value, value, "milter.cfg:1", "")


@pytest.mark.parametrize(
    ("section", "option", "value", "result"),
    [
        ("srs", "secret", "hush", "***"),
        ("srs", "secret", "", ""),
        ("gossip", "key", "hush", "***"),
        ("store", "url", "postgresql://bms:hush@db/mail", "postgresql://bms:***@db/mail"),
        ("store", "url", "postgresql://bms:hu%2Fsh@db/mail", "postgresql://bms:***@db/mail"),
        ("any", "ldap_password", "hush", "***"),
        ("any", "token", "hush", "***"),
        ("any", "password_file", "/etc/mail/password", "/etc/mail/password"),
        ("any", "server", "ldaps://reader:hush@ldap.example/", "ldaps://reader:***@ldap.example/"),
        ("any", "server", "https://:hush@h/", "https://:***@h/"),
        ("any", "list", "http://a:hush@h/x, http://b:hush2@h/y", "http://a:***@h/x, http://b:***@h/y"),
        ("any", "server", "https://h/?token=hush&x=1", "https://h/?token=***&x=1"),
        ("any", "address", "https://example.com:8025/a@b", "https://example.com:8025/a@b"),
        ("any", "text", "bob@example.com: plain", "bob@example.com: plain"),
    ],
)
def test_a_value_is_shown_without_its_secrets(section, option, value, result):
    assert shown(origin(section, option, value)) == result


@pytest.mark.parametrize(
    ("mode", "url", "told"),
    [
        (0o644, "postgresql://bms:hush@db/mail", True),
        (0o640, "postgresql://bms:hush@db/mail", False),
        (0o644, "postgresql://bms@db/mail", False),
    ],
)
def test_a_configuration_with_secrets_that_others_can_read_is_warned_about(tmp_path, mode, url, told):
    file = tmp_path / "milter.cfg"
    file.write_text(f"[store]\nurl = {url}\n")
    file.chmod(mode)
    settings = load([file], [StoreSettings, AccessSettings])
    warning = f"others can read [store] url in {file}; give it mode 0640"
    assert list(warnings_of(settings, "bms")) == ([warning] if told else [])
