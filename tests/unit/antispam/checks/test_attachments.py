"""The check of attachments: what is found, what is decided, what leaves, and that the original is kept."""

from __future__ import annotations

import dataclasses
import io
import itertools
import zipfile

import bms
import pytest

from antispam.checks import attachments
from antispam.checks.attachments import Finding, Settings, act, collect, decide
from antispam.deadline import Deadline
from antispam.journey.services import Services
from antispam.mail.access_map import EMPTY
from antispam.mail.connection import Connection
from antispam.mail.draft import ChangeHeader, Draft
from antispam.mail.findings import Findings
from antispam.mail.message import Body, Header, Message, Recipient
from antispam.mail.remedies import Remedy
from antispam.mail.verdicts import Action
from antispam.protocols.attachments import Markup, Treatment
from antispam.service.application import settings_classes
from antispam.settings import SettingsError, default_settings, load_text
from antispam.settings.dialects import BMS
from antispam.settings.program import ProgramSettings
from support.dns import ScriptedResolver

MIXED = b' multipart/mixed; boundary="b"'
PART = b"--b\r\nContent-Type: application/octet-stream; name=%s\r\n\r\n%s\r\n"
TEXT = b"--b\r\nContent-Type: text/plain\r\n\r\nhello  \r\n"


def services(tmp_path, **changes):
    settings = default_settings([ProgramSettings, Settings])
    settings = settings.replaced(
        dataclasses.replace(settings[ProgramSettings], tempdir=tmp_path / "save"),
        dataclasses.replace(settings[Settings], **changes),
    )
    return Services(
        settings=settings,
        resolver=ScriptedResolver({}),
        store=None,
        access=EMPTY,
        clock=lambda: 0.0,
        deadline=Deadline.after(60),
    )


def message(*parts, content_type=MIXED, limit=1 << 20):
    it = Message("0123456789ab", "a@example.org", 0.0, Body(limit))
    it.headers += [Header(b"Subject", b" hi"), Header(b"Content-Type", content_type)]
    it.body.write(b"".join(parts) + (b"--b--\r\n" if content_type == MIXED else b""))
    return it


def judge(it, services):
    finding = collect(Connection("c"), it, Recipient("b@example.com"), services)
    verdict = decide(finding, Findings(), services.settings[Settings], EMPTY) if finding else None
    return finding, verdict


def leaves(it, services):
    finding, verdict = judge(it, services)
    draft = Draft(it)
    act(finding, verdict, draft, services)
    return draft


def zipped(name):
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as archive:
        archive.writestr(name, b"MZ")
    return buffer.getvalue()


def test_mail_without_anything_dangerous_leaves_no_evidence(tmp_path):
    assert judge(message(TEXT, PART % (b"a.pdf", b"%PDF")), services(tmp_path)) == (None, None)


def test_a_program_is_replaced_by_a_notice_and_the_rest_stays_to_the_octet(tmp_path):
    draft = leaves(message(TEXT, PART % (b"run.exe", b"MZ"), TEXT), services(tmp_path))
    assert b"run.exe" in draft.body
    assert b"MZ" not in draft.body
    assert b"0123456789ab" in draft.body
    assert draft.body.startswith(TEXT)
    assert draft.body.endswith(TEXT + b"--b--\r\n")


def test_the_original_is_on_disk_where_an_administrator_finds_it(tmp_path):
    it = message(PART % (b"run.exe", b"MZ"))
    leaves(it, services(tmp_path))
    (path,) = (tmp_path / "save").iterdir()
    assert path.name == "0123456789ab.original.eml"
    assert path.read_bytes() == it.raw()
    assert path.stat().st_mode & 0o007 == 0


def test_a_message_that_is_one_attachment_becomes_the_notice(tmp_path):
    it = message(b"MZ", content_type=b" application/octet-stream; name=run.exe")
    draft = leaves(it, services(tmp_path))
    (change,) = [edit for edit in draft.edits() if isinstance(edit, ChangeHeader)]
    assert (change.name, change.occurrence) == ("Content-Type", 1)
    assert change.value.startswith("text/plain")


def test_a_program_in_a_zip_is_found_unless_told_not_to_look(tmp_path):
    it = message(PART % (b"a.zip", zipped("run.exe")), content_type=MIXED)
    finding, _ = judge(it, services(tmp_path))
    assert "run.exe" in finding.found[0].detail
    assert judge(it, services(tmp_path, scan_zip=False)) == (None, None)


@pytest.mark.parametrize(
    ("remedy", "action"),
    [
        (Remedy.REPLACE, Action.CONTINUE),
        (Remedy.REJECT, Action.REJECT),
        (Remedy.QUARANTINE, Action.QUARANTINE),
        (Remedy.HOLD, Action.HOLD),
    ],
)
def test_the_remedy_is_the_administrator_s_choice(tmp_path, remedy, action):
    _, verdict = judge(message(PART % (b"run.exe", b"MZ")), services(tmp_path, remedy=remedy))
    assert verdict.action is action
    assert "run.exe" in verdict.reason


def test_a_refusal_names_the_attachment_and_says_what_to_do(tmp_path):
    _, verdict = judge(message(PART % (b"run.exe", b"MZ")), services(tmp_path, remedy=Remedy.REJECT))
    assert "run.exe" in verdict.text
    assert "another way" in verdict.text


def test_scripts_are_taken_out_of_html_without_refusing_it(tmp_path):
    it = message(b"<p>hi</p><script>evil()</script>\r\n", content_type=b" text/html")
    _, verdict = judge(it, services(tmp_path, remedy=Remedy.REJECT))
    assert verdict.action is Action.CONTINUE
    assert b"evil" not in leaves(it, services(tmp_path)).body


def test_a_held_message_is_held_as_it_came(tmp_path):
    assert leaves(message(PART % (b"run.exe", b"MZ")), services(tmp_path, remedy=Remedy.HOLD)).edits() == []


@pytest.mark.parametrize("remedy", [Remedy.REPLACE, Remedy.REJECT, Remedy.QUARANTINE, Remedy.HOLD])
def test_a_message_too_large_to_keep_is_not_waved_through(tmp_path, remedy):
    """Nor is it tried again for days: it will not be smaller tomorrow."""
    _, verdict = judge(message(b"x" * 100, limit=10), services(tmp_path, remedy=remedy))
    if remedy is Remedy.HOLD:
        assert verdict.action is Action.HOLD
    else:
        assert (verdict.action, verdict.code, verdict.enhanced) == (Action.REJECT, 552, "5.3.4")
    assert "max_message" in verdict.reason


def test_evidence_survives_being_stored(tmp_path):
    finding, _ = judge(message(PART % (b"run.exe", b"MZ")), services(tmp_path))
    assert Finding.from_json(finding.to_json()) == finding


def test_an_extension_that_is_none_is_refused_in_the_configuration():
    with pytest.raises(SettingsError, match="no file name extension"):
        load_text("[defang]\nbanned_exts = exe, tar.gz\n", [attachments.Settings])


def nested(depth):
    content = b"Subject: innermost\r\n\r\nhello\r\n"
    for _ in range(depth):
        head = b"Content-Type: application/octet-stream; name=forwarded.eml\r\nContent-Transfer-Encoding: 8bit\r\n\r\n"
        content = head + content
    return content


def test_a_message_file_in_a_message_file_in_a_message_file_is_no_reason_to_remove_it(tmp_path):
    _, _, body = nested(4).partition(b"\r\n\r\n")
    it = message(body, content_type=b" application/octet-stream; name=forwarded.eml")
    assert judge(it, services(tmp_path)) == (None, None)


@pytest.mark.parametrize(
    ("domains", "remedy", "action"),
    [
        (("example.org",), Remedy.REPLACE, Action.REJECT),
        (("*.example.org",), Remedy.REPLACE, Action.CONTINUE),
        ((), Remedy.REPLACE, Action.CONTINUE),
        (("example.org",), Remedy.QUARANTINE, Action.QUARANTINE),
    ],
)
def test_senders_of_some_domains_learn_of_it_instead(tmp_path, domains, remedy, action):
    given = services(tmp_path, reject_virus_from=domains, remedy=remedy)
    assert judge(message(PART % (b"run.exe", b"MZ")), given)[1].action is action


def attached(name, content):
    return message(PART % (name, content))


def macros():
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as archive:
        archive.writestr("word/vbaProject.bin", b"x")
    return buffer.getvalue()


@pytest.mark.parametrize(
    ("answer", "action"),
    [(Treatment.ACCEPT, None), (Treatment.REPORT, Action.CONTINUE), (Treatment.BAN, Action.REJECT)],
)
@pytest.mark.parametrize("name", [b"a.docx", b"a.docm"])
def test_what_follows_from_macros_is_a_setting(tmp_path, answer, action, name):
    given = services(tmp_path, macros=answer, remedy=Remedy.REJECT)
    finding, verdict = judge(attached(name, macros()), given)
    assert (verdict.action if finding else None) is action


@pytest.mark.parametrize(
    ("answer", "action"), [(Markup.ACCEPT, None), (Markup.CLEAN, Action.CONTINUE), (Markup.BAN, Action.REJECT)]
)
@pytest.mark.parametrize("name", [b"a.html", b"a.svg"])
def test_what_follows_from_html_and_svg_that_is_attached_is_a_setting(tmp_path, answer, action, name):
    given = services(tmp_path, html_attachments=answer, svg_attachments=answer, remedy=Remedy.REJECT)
    content = b"<svg><script>x</script></svg>" if name == b"a.svg" else b"<html><script>x</script></html>"
    finding, verdict = judge(attached(name, content), given)
    assert (verdict.action if finding else None) is action


@pytest.mark.parametrize("option", ["unreadable_archives", "encrypted_zip"])
@pytest.mark.parametrize(("value", "action"), [("yes", Action.REJECT), ("no", Action.CONTINUE)])
def test_what_can_not_be_opened_follows_a_setting_under_its_old_name_as_well(tmp_path, option, value, action):
    text = f"[defang]\n{option} = {value}\nremedy = reject\n"
    loaded = load_text(text, settings_classes(bms.JOURNEY), translate=BMS)
    given = dataclasses.replace(services(tmp_path), settings=loaded)
    assert judge(attached(b"a.rar", b"no archive"), given)[1].action is action


def test_time_that_others_used_up_is_not_taken_from_it(tmp_path):
    given = dataclasses.replace(services(tmp_path), deadline=Deadline(0.0, lambda: 1.0))
    finding = collect(Connection("c"), attached(b"a.zip", zipped("a.txt")), None, given)
    assert finding is None or not finding.error


def test_what_takes_longer_than_the_message_has_follows_on_error(tmp_path):
    hours = itertools.count(1.0, 3600.0)
    given = dataclasses.replace(services(tmp_path), deadline=Deadline(0.0, lambda: next(hours)))
    finding = collect(Connection("c"), attached(b"a.zip", zipped("a.txt")), None, given)
    assert finding.error
