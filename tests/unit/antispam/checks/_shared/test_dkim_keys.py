"""Keys: made safely, written into zones, compared with DNS, and rotated without a message that can't be verified."""

from __future__ import annotations

import dataclasses
import importlib.util
import os
import re
import stat
from pathlib import Path

import dns.rrset
import dns.zone
import pytest
from click.testing import CliRunner, Result
from cryptography.hazmat.primitives.asymmetric import rsa
from hypothesis import given
from hypothesis import strategies as st

from antispam.checks import dkim as dkim_check
from antispam.checks import dkim_sign
from antispam.checks._shared.dkim_keys import files
from antispam.checks._shared.dkim_keys.files import Algorithm, load_private_key
from antispam.checks._shared.dkim_keys.folder import KeyFolder
from antispam.checks._shared.dkim_keys.published import State, look_up, look_up_everywhere, zone_lines
from antispam.checks._shared.dkim_keys.rotation import Key, Pace, RotationError, Stage, advance, begin
from antispam.deadline import Deadline
from antispam.protocols.dkim import UnusablePrivateKey, parse_private_key
from antispam.settings import SettingsError, load_text
from support.dkim_mail import ED25519, RAW_RSA, RSA, pem
from support.dns import TIMEOUT, ScriptedResolver, loopback_nameserver
from support.zone_server import ZoneResponder
from support.zones import Zone, complete

TOP = Path(__file__).parents[5]
NAME = "s._domainkey.example.com"
DAY = 86400.0
PACE = Pace(wait=DAY, keep=7 * DAY)


# Files


@pytest.mark.parametrize(("algorithm", "bits"), [(Algorithm.RSA, 2048), (Algorithm.ED25519, 256)])
def test_a_new_key_is_one_that_can_sign_and_only_its_owner_can_read(
    tmp_path: Path, algorithm: Algorithm, bits: int
) -> None:
    file = tmp_path / "k.private"
    files.write_new(file, files.make_private_key(algorithm))
    assert stat.S_IMODE(file.stat().st_mode) == 0o600
    key = load_private_key(file)
    assert (key.algorithm, key.bits, key.warning) == (f"{algorithm}-sha256", bits, "")


@pytest.mark.parametrize("bits", [0, 1024, 2047, 16384])
def test_a_size_that_nobody_should_use_is_refused(bits: int) -> None:
    with pytest.raises(ValueError, match="2048 to 8192"):
        files.make_private_key(Algorithm.RSA, bits)


def test_a_file_is_never_overwritten_and_leaves_nothing_behind(tmp_path: Path) -> None:
    (tmp_path / "k").write_bytes(b"old")
    with pytest.raises(FileExistsError):
        files.write_new(tmp_path / "k", b"new")
    assert [(file.name, file.read_bytes()) for file in tmp_path.iterdir()] == [("k", b"old")]


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can give files away")
def test_what_root_makes_belongs_to_whom_the_folder_belongs(tmp_path: Path) -> None:
    os.chown(tmp_path, 65534, 65534)
    files.write_new(tmp_path / "k", b"x")
    assert (tmp_path / "k").stat().st_uid == 65534


def test_a_key_that_may_not_be_read_is_told_with_who_tried(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_words: object) -> None:
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr("os.open", refuse)
    monkeypatch.setattr("os.geteuid", lambda: 4711)
    with pytest.raises(
        UnusablePrivateKey, match=r"/k cannot be read: Permission denied; .*4711.* must be able to read it"
    ):
        load_private_key("/k")


def test_a_key_file_that_can_not_be_used_is_named(tmp_path: Path) -> None:
    (tmp_path / "empty").write_bytes(b"")
    (tmp_path / "empty").chmod(0o600)
    for file, why in (("gone", "gone cannot be read: No such file"), ("empty", "empty: not a private key")):
        with pytest.raises(UnusablePrivateKey, match=why):
            load_private_key(tmp_path / file)


# Records


def test_a_record_is_split_as_zone_files_need_it() -> None:
    key = parse_private_key(files.make_private_key(Algorithm.RSA, 4096))
    text = zone_lines(NAME, key.dns_record)
    assert max(len(piece) for piece in re.findall(r'"([^"]*)"', text)) <= 255
    zone = dns.zone.from_text(f"@ 60 IN SOA ns. h. 1 2 3 4 5\n@ 60 IN NS ns.\n$TTL 60\n{text}\n", "example.com.")
    (record,) = zone.find_rdataset("s._domainkey", "TXT")
    assert b"".join(record.strings).decode() == key.dns_record


RECORD = RSA.dns_record


@pytest.mark.parametrize(
    ("texts", "state", "detail"),
    [
        ([RECORD], State.RIGHT, ""),
        ([RECORD.replace("v=DKIM1; ", "")], State.RIGHT, ""),
        ([f"{RECORD}; t=y"], State.RIGHT, "testing"),
        ([], State.MISSING, "no TXT record"),
        ([ED25519.dns_record], State.WRONG, "another key"),
        ([RECORD, RECORD], State.WRONG, "2 TXT records"),
        ([f'"{RECORD}"'], State.WRONG, "quotation marks"),
        ([RECORD.replace(";", "\\;")], State.WRONG, "backslashes"),
        ([RECORD[:12]], State.WRONG, "cut off"),
        ([RECORD[:100]], State.WRONG, ""),
        (["v=DKIM1; k=rsa; p="], State.WRONG, "revoked"),
    ],
)
def test_what_dns_says_is_compared_with_the_key(texts: list[str], state: State, detail: str) -> None:
    found = look_up(NAME, RSA, ScriptedResolver({NAME: {"TXT": texts}}), Deadline.after(60))
    assert found.state is state
    assert detail in found.detail


def test_silence_is_not_taken_for_an_answer() -> None:
    assert look_up(NAME, RSA, ScriptedResolver({NAME: TIMEOUT}), Deadline.after(60)).state is State.UNKNOWN


def test_a_weak_key_is_told_of() -> None:
    weak = parse_private_key(pem(rsa.generate_private_key(65537, 1024)))
    found = look_up(NAME, weak, ScriptedResolver({NAME: {"TXT": [weak.dns_record]}}), Deadline.after(60))
    assert "1024 bits is weak" in found.detail


@given(st.binary(max_size=300))
def test_no_record_is_too_strange(text: bytes) -> None:
    assert look_up(NAME, RSA, ScriptedResolver({NAME: {"TXT": [text]}}), Deadline.after(60)).state is State.WRONG


def test_every_server_of_the_zone_is_asked_itself() -> None:
    world = ScriptedResolver(
        {
            "example.com": {"NS": ["a.example", "b.example"]},
            "a.example": {"A": ["192.0.2.1"]},
            "b.example": {"A": ["192.0.2.2"]},
        }
    )
    servers = {"192.0.2.1": {NAME: {"TXT": [RECORD]}}, "192.0.2.2": {}}
    found = look_up_everywhere(NAME, RSA, world, lambda address: ScriptedResolver(servers[address]), Deadline.after(60))
    assert [(server, one.state) for server, one in found] == [
        ("a.example [192.0.2.1]", State.RIGHT),
        ("b.example [192.0.2.2]", State.MISSING),
    ]


# Rotation, as values

OLD = Key("old", Algorithm.RSA, Stage.SIGNING, 0.0)
NEW = Key("new", Algorithm.RSA, Stage.NEW, 0.0)


def stages(keys: tuple[Key, ...]) -> dict[str, Stage]:
    return {key.selector: key.stage for key in keys}


def run(keys: tuple[Key, ...], *days: tuple[float, dict[str, State]]) -> tuple[Key, ...]:
    for day, seen in days:
        keys, _ = advance(keys, seen, day * DAY, PACE)
    return keys


BOTH = {"old": State.RIGHT, "new": State.RIGHT}


def test_a_whole_rotation() -> None:
    keys = begin((OLD,), Algorithm.RSA, "new", 0.0)
    for day, seen, expected in (
        (0, {"old": State.RIGHT, "new": State.MISSING}, {"old": Stage.SIGNING, "new": Stage.NEW}),
        (1, BOTH, {"old": Stage.SIGNING, "new": Stage.PUBLISHED}),
        (1.9, BOTH, {"old": Stage.SIGNING, "new": Stage.PUBLISHED}),
        (2, BOTH, {"old": Stage.RETIRED, "new": Stage.SIGNING}),
        (8, BOTH, {"old": Stage.RETIRED, "new": Stage.SIGNING}),
        (9, BOTH, {"old": Stage.WITHDRAWN, "new": Stage.SIGNING}),
        (30, BOTH, {"old": Stage.WITHDRAWN, "new": Stage.SIGNING}),
        (31, {"old": State.MISSING, "new": State.RIGHT}, {"new": Stage.SIGNING}),
    ):
        keys = run(keys, (day, seen))
        assert stages(keys) == expected


@pytest.mark.parametrize("bad", [State.MISSING, State.WRONG])
def test_a_record_that_vanishes_while_waiting_starts_the_wait_again(bad: State) -> None:
    keys = run((OLD, NEW), (1, BOTH), (1.5, {"old": State.RIGHT, "new": bad}), (1.6, BOTH), (2.5, BOTH))
    assert stages(keys) == {"old": Stage.SIGNING, "new": Stage.PUBLISHED}


def test_where_dns_does_not_answer_no_key_begins_to_sign_and_none_is_given_up() -> None:
    keys = run((OLD, NEW), (1, BOTH), (5, {}))
    assert stages(keys) == {"old": Stage.SIGNING, "new": Stage.PUBLISHED}
    gone = (dataclasses.replace(OLD, stage=Stage.WITHDRAWN),)
    assert run(gone, (50, {})) == gone


def test_keys_of_other_algorithms_go_on_signing() -> None:
    other = Key("e", Algorithm.ED25519, Stage.SIGNING, 0.0)
    keys = run((OLD, other, NEW), (1, BOTH), (2, BOTH))
    assert stages(keys) == {"old": Stage.RETIRED, "e": Stage.SIGNING, "new": Stage.SIGNING}


def test_a_clock_that_was_wrong_once_does_not_stop_a_rotation_for_ever() -> None:
    future = dataclasses.replace(NEW, stage=Stage.PUBLISHED, since=10_000 * DAY)
    keys = run((OLD, future), (1, BOTH), (2, BOTH))
    assert stages(keys)["new"] is Stage.SIGNING


def test_one_rotation_of_an_algorithm_at_a_time() -> None:
    with pytest.raises(RotationError, match="new is on its way already"):
        begin((OLD, NEW), Algorithm.RSA, "newer", 0.0)
    with pytest.raises(RotationError, match="in use"):
        begin((OLD,), Algorithm.ED25519, "old", 0.0)


@given(
    st.lists(
        st.tuples(
            st.floats(0, 5),
            st.dictionaries(st.sampled_from(["old", "new"]), st.sampled_from(list(State)), max_size=2),
        ),
        max_size=30,
    )
)
def test_there_is_always_a_key_that_signs_and_whose_record_was_seen_long_enough(
    story: list[tuple[float, dict[str, State]]],
) -> None:
    keys, now, seen_since = begin((OLD,), Algorithm.RSA, "new", 0.0), 0.0, None
    for pause, seen in story:
        now += pause * DAY
        keys, _ = advance(keys, seen, now, PACE)
        answer = seen.get("new", State.UNKNOWN)
        if answer is State.RIGHT:
            seen_since = now if seen_since is None else seen_since
        elif answer is not State.UNKNOWN and stages(keys).get("new") is Stage.NEW:
            seen_since = None
        signing = [key for key in keys if key.stage is Stage.SIGNING]
        assert signing
        if stages(keys).get("new") is Stage.SIGNING:
            assert seen_since is not None
            assert now - seen_since >= PACE.wait


# The folder


def test_the_filter_signs_with_the_keys_that_sign_and_with_no_others(tmp_path: Path) -> None:
    folder = KeyFolder(tmp_path)
    with folder.locked("example.com"):
        for selector in ("old", "new"):
            folder.make("example.com", selector, Algorithm.ED25519, 0)
        folder.save("example.com", (OLD, NEW))
    settings = load_text(f"[dkim_sign]\nkey_folder = {tmp_path}\n", [dkim_sign.Settings, dkim_check.Settings])
    assert [signer.selector for signer in settings[dkim_sign.Settings].signers] == ["old"]
    assert folder.keys("example.com") == (OLD, NEW)


def test_a_key_in_the_folder_that_others_can_read_is_refused(tmp_path: Path) -> None:
    folder = KeyFolder(tmp_path)
    with folder.locked("example.com"):
        folder.make("example.com", "old", Algorithm.ED25519, 0)
        folder.save("example.com", (OLD,))
    folder.file("example.com", "old").chmod(0o644)
    with pytest.raises(SettingsError, match=r"milter\.cfg:2: \[dkim_sign\] key_folder .*others can read or change it"):
        load_text(f"[dkim_sign]\nkey_folder = {tmp_path}\n", [dkim_sign.Settings, dkim_check.Settings])


@pytest.mark.parametrize(
    "content",
    [
        b"", b"{", b"[]", b'{"version": 2, "keys": []}',
        b'{"version": 1, "keys": [{"selector": "../x", "algorithm": "rsa", "stage": "new", "since": 0}]}',
        b'{"version": 1, "keys": [{"selector": "x", "algorithm": "dsa", "stage": "new", "since": 0}]}',
    ],
)  # fmt: skip
def test_damaged_states_are_an_error_and_not_an_empty_folder(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "example.com").mkdir()
    (tmp_path / "example.com" / "rotation.json").write_bytes(content)
    with pytest.raises(ValueError, match=r"rotation\.json"):
        KeyFolder(tmp_path).keys("example.com")


@pytest.mark.parametrize("domain", ["..", "a/b", "", "/etc"])
def test_a_domain_never_leads_out_of_the_folder(tmp_path: Path, domain: str) -> None:
    with pytest.raises(ValueError, match="not a domain"):
        KeyFolder(tmp_path).keys(domain)


def test_selectors_tell_algorithm_and_day_and_are_never_used_twice(tmp_path: Path) -> None:
    folder = KeyFolder(tmp_path)
    (tmp_path / "example.com").mkdir()
    assert folder.new_selector("example.com", Algorithm.ED25519, 1_800_000_000.0) == "e20270115"
    folder.make("example.com", "e20270115", Algorithm.ED25519, 0)
    assert folder.new_selector("example.com", Algorithm.ED25519, 1_800_000_000.0) == "e20270115b"


# The commands


def _program():
    specification = importlib.util.spec_from_file_location("dkim_milter", TOP / "dkim-milter.py")
    module = importlib.util.module_from_spec(specification)
    specification.loader.exec_module(module)
    return module.main


class Shell:
    """Runs `dkim-milter dkim ...` with a configuration of its own and a name server whose zone can be changed."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.records = ""
        self.options = ""
        self.main = _program()

    def respond(self, query, by_tcp):
        return ZoneResponder(complete([Zone("example.com", self.records)], {}))(query, by_tcp)

    def run(self, *words: str) -> Result:
        with loopback_nameserver(self.respond) as port:
            config = self.folder / "dkim-milter.cfg"
            config.write_text(f"[dns]\nnameservers = 127.0.0.1@{port}\n{self.options}")
            return CliRunner().invoke(self.main, ["-c", str(config), "dkim", *words])


@pytest.fixture
def shell(tmp_path: Path) -> Shell:
    return Shell(tmp_path)


def test_keygen_makes_a_key_and_prints_its_record(shell: Shell) -> None:
    file = shell.folder / "k.private"
    done = shell.run("keygen", "Example.com", "s", str(file), "--algorithm", "ed25519")
    assert done.exit_code == 0, done.output
    assert load_private_key(file).dns_record in done.output
    assert NAME in done.output
    again = shell.run("keygen", "example.com", "s", str(file))
    assert again.exit_code == 1
    assert "never overwritten" in again.output


def test_record_prints_what_web_forms_want(shell: Shell) -> None:
    file = shell.folder / "k.private"
    file.write_bytes(pem(RAW_RSA))
    file.chmod(0o600)
    assert shell.run("record", "example.com", "s", str(file), "--plain").output.strip() == RECORD
    shell.options = f"[dkim]\ndomain = example.com\nselector = s\nprivkey = {file}\n"
    assert shell.run("record", "example.com", "s").output.startswith(f"{NAME}. IN TXT (")
    assert shell.run("record", "example.com", "other").exit_code == 1


def test_check_fails_until_the_record_is_there(shell: Shell) -> None:
    file = shell.folder / "k.private"
    file.write_bytes(pem(ED25519.key))
    file.chmod(0o600)
    shell.options = f"[dkim_sign]\nkeys = example.com s {file}\n"
    missing = shell.run("check")
    assert (missing.exit_code, missing.output) == (1, f"{NAME}: missing: there is no TXT record (no such domain)\n")
    shell.records = f's._domainkey TXT "{ED25519.dns_record}"'
    right = shell.run("check", "example.com")
    assert (right.exit_code, right.output) == (0, f"{NAME}: right\n")
    assert shell.run("check", "example.org").exit_code == 1


def test_rotate_from_the_first_key_to_the_second(shell: Shell) -> None:
    keys = shell.folder / "keys"
    keys.mkdir()
    flag = shell.folder / "reloaded"
    shell.options = f"[dkim_sign]\nkey_folder = {keys}\n"
    pace = ("--wait", "0", "--keep", "0", "--on-change", f"touch {flag}")

    first = shell.run("rotate", "example.com", "--start", "ed25519", *pace)
    assert first.exit_code == 0, first.output
    assert "publish this record" in first.output
    (name, text) = re.search(r"(\S+)\. IN TXT \( (\".*?\") \)", first.output, re.DOTALL).groups()
    shell.records = f"{name}. TXT {text}"
    assert "published" in shell.run("rotate", *pace).output
    assert not flag.exists()
    assert "signing" in shell.run("rotate", *pace).output
    assert flag.exists()
    old = name.partition(".")[0]

    second = shell.run("rotate", "example.com", "--start", "ed25519", *pace).output
    (name, text) = re.search(r"(\S+)\. IN TXT \( (\".*?\") \)", second, re.DOTALL).groups()
    assert not name.startswith(f"{old}.")
    shell.records += f"\n{name}. TXT {text}"
    shell.run("rotate", *pace)
    turned = shell.run("rotate", *pace).output
    assert f"{old}._domainkey.example.com: retired" in turned
    assert "delete its record" in shell.run("rotate", *pace).output
    shell.records = f"{name}. TXT {text}"
    assert "its private key is deleted" in shell.run("rotate", *pace).output
    assert [file.name for file in (keys / "example.com").glob("*.private")] == [f"{name.partition('.')[0]}.private"]


def test_rotate_refuses_a_second_start_and_needs_a_folder(shell: Shell) -> None:
    assert "no folder of keys is configured" in shell.run("rotate").output
    shell.options = f"[dkim_sign]\nkey_folder = {shell.folder}\n"
    assert shell.run("rotate", "example.com", "--start", "ed25519").exit_code == 0
    again = shell.run("rotate", "example.com", "--start", "ed25519")
    assert again.exit_code == 1
    assert "on its way already" in again.output


def test_keygen_says_how_the_key_comes_to_sign(shell: Shell) -> None:
    file = shell.folder / "k.private"
    done = shell.run("keygen", "example.com", "s", str(file), "--algorithm", "ed25519")
    assert f"\nexample.com s {file}\n" in done.output
    shell.options = f"[dkim_sign]\nkeys = example.com s {file}\n"
    assert shell.run("record", "example.com", "s").exit_code == 0
    assert ("chmod 640" in done.output) == (os.geteuid() == 0)


def test_a_folder_that_is_not_there_is_told_by_its_name(shell: Shell) -> None:
    folder = shell.folder / "none"
    made = shell.run("keygen", "example.com", "s", str(folder / "k.private"))
    assert (made.exit_code, made.output) == (1, f"Error: {folder} cannot be written to: No such file or directory\n")
    turned = shell.run("rotate", "example.com", "--start", "rsa", "--folder", str(folder))
    assert (turned.exit_code, turned.output.partition(";")[0]) == (1, f"Error: {folder}: no such folder")


@pytest.mark.parametrize(("words", "status"), [((), 0), (("example.com",), 1)])
def test_rotate_without_a_key_says_how_to_begin(shell: Shell, words: tuple[str, ...], status: int) -> None:
    keys = shell.folder / "keys"
    keys.mkdir()
    done = shell.run("rotate", *words, "--folder", str(keys))
    assert done.exit_code == status
    assert "`rotate DOMAIN --start rsa` starts" in done.output
    assert list(keys.iterdir()) == []


def test_check_finds_nothing_right_where_no_server_of_the_zone_could_be_asked(shell: Shell) -> None:
    file = shell.folder / "k.private"
    file.write_bytes(pem(ED25519.key))
    file.chmod(0o600)
    shell.records = f's._domainkey TXT "{ED25519.dns_record}"'  # served by ns.invalid, which has no address
    done = shell.run("check", "example.com", "s", str(file), "--every-server")
    assert (done.exit_code, done.output.partition(",")[0]) == (
        1,
        f"{NAME}: unknown: no name server of the zone is known",
    )


def test_a_reload_that_fails_is_told(shell: Shell) -> None:
    shell.options = f"[dkim_sign]\nkey_folder = {shell.folder}\n"
    pace = ("--wait", "0", "--on-change", "false")
    first = shell.run("rotate", "example.com", "--start", "ed25519", *pace)
    (name, text) = re.search(r"(\S+)\. IN TXT \( (\".*?\") \)", first.output, re.DOTALL).groups()
    shell.records = f"{name}. TXT {text}"
    shell.run("rotate", *pace)
    done = shell.run("rotate", *pace)
    assert done.exit_code == 1
    assert "still signs with the previous keys" in done.output
