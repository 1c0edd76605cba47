"""docs/upstream-options.md holds: every option that upstream's programs read is there, and is understood as the table says."""

from __future__ import annotations

import importlib.util
import logging
import re
import types
from pathlib import Path

import bms
import pytest
import spfmilter

from antispam.checks._shared import srs
from antispam.service.application import Program, settings_classes
from antispam.settings import Settings, SettingsError, load_text
from antispam.settings.dialects import BMS, DKIM_MILTER, SPFMILTER, Dialect
from antispam.settings.load import Origin
from antispam.settings.logs import Level, LogSettings, LogTo
from antispam.settings.program import ProgramSettings
from support.dkim_mail import RAW_RSA, pem

TOP = Path(__file__).resolve().parents[4]
Key = tuple[str, str]

# Section and option -> a value in the form that upstream's sample or code has. TMP stands for a folder of the test.
MILTER_CFG: dict[Key, str] = {
    ("milter", "datadir"): "TMP",
    ("milter", "logdir"): "TMP",
    ("milter", "socket"): "TMP/pythonsock",
    ("milter", "tempdir"): "TMP/save",
    ("milter", "timeout"): "600",
    ("milter", "log_headers"): "0",
    ("milter", "internal_connect"): "192.168.0.0/16,127.*",
    ("milter", "internal_domains"): "corp.example,localhost.localdomain",
    ("milter", "trusted_relay"): "192.0.2.4, 198.51.100.56",
    ("milter", "private_relay"): "a.example, b.example",
    ("milter", "internal_mta"): "192.168.1.2",
    ("milter", "hello_blacklist"): "corp.example, 198.51.100.56",
    ("milter", "check_user"): "joe@corp.example, mary@corp.example, file:TMP/big.example",
    ("milter", "case_sensitive_localpart"): "true",
    ("milter", "max_demerits"): "3",
    ("milter", "email_providers"): "a.example, b.example",
    ("milter", "errors_url"): "http://corp.example/cgi-bin/errors.cgi",
    ("milter", "scan_rfc822"): "0",
    ("milter", "scan_zip"): "0",
    ("milter", "scan_html"): "0",
    ("milter", "block_chinese"): "0",
    ("milter", "block_forward"): "egg@corp.example",
    ("milter", "porn_words"): "first word",
    ("milter", "spam_words"): "$$$",
    ("milter", "from_words"): "Some Words",
    ("defang", "scan_rfc822"): "0",
    ("defang", "scan_zip"): "0",
    ("defang", "scan_html"): "0",
    ("defang", "banned_exts"): "ade,adp,bas,exe,\n\tscr,vbs,wsh ",
    ("defang", "block_chinese"): "0",
    ("defang", "block_forward"): "egg@corp.example, bee@corp.example",
    ("defang", "porn_words"): "first word, w*rd, w@rd, fr\u00ebe, val\u00edum,\n\tw-o-r-d, v\u00e3lium, word berry",
    ("defang", "spam_words"): "$$$, !!!, XXX, HGH",
    ("defang", "from_words"): "Some Words, Others",
    ("scrub", "hide_path"): "a.example\t",
    ("scrub", "reject_virus_from"): "corp.example",
    ("scrub", "internal_policy"): "false",
    ("wiretap", "users"): "one@big.example, two@big.example",
    ("wiretap", "dest"): "three@big.example",
    ("wiretap", "blind"): "1",
    ("wiretap", "discard"): "four@big.example",
    ("wiretap", "discard_users"): "four@big.example",
    ("wiretap", "archive"): "TMP/mail_archive",
    ("wiretap", "mail_archive"): "TMP/mail_archive",
    ("wiretap", "smart_alias"): "",
    ("smart_alias", "NAME"): "cust@other.example,walter@big.example,boss@big.example,\n\twalter@big.example",
    ("srs", "config"): "TMP/pysrs.cfg",
    ("srs", "secret"): '"shhhh!"',
    ("srs", "maxage"): "21",
    ("srs", "hashlength"): "4",
    ("srs", "separator"): "=",
    ("srs", "database"): "TMP/srsdata",
    ("srs", "fwdomain"): "corp.example",
    ("srs", "reject_spoofed"): "0",
    ("srs", "banned_users"): "postmaster, mailer-daemon, clamav",
    ("srs", "srs"): "corp.example",
    ("srs", "ses"): "one.example, two.example",
    ("srs", "sign"): "three.example",
    ("spf", "access_file"): "TMP/access",
    ("spf", "access_file_nulls"): "false",
    ("spf", "access_file_colon"): "true",
    ("spf", "best_guess"): "0",
    ("spf", "delegate"): "corp.example",
    ("spf", "reject_neutral"): "a.example",
    ("spf", "reject_noptr"): "0",
    ("spf", "accept_softfail"): "bounces.a.example",
    ("spf", "accept_fail"): "b.example",
    ("spf", "supply_sender"): "0",
    ("spf", "trusted_forwarder"): "c.example",
    ("dspam", "dspam_dict"): "/var/lib/dspam/moderator.dict",
    ("dspam", "dspam_users"): "david,goliath,spam,falsepositive",
    ("dspam", "NAME"): "david@foo.example,david.y@foo.example,david@bar.foo.example",
    ("dspam", "dspam_userdir"): "/var/lib/dspam",
    ("dspam", "dspam_screener"): "david,goliath",
    ("dspam", "dspam_train"): "goliath",
    ("dspam", "dspam_exempt"): "all@corp.example",
    ("dspam", "dspam_whitelist"): "all@sender.example",
    ("dspam", "dspam_reject"): "other.example",
    ("dspam", "dspam_internal"): "1",
    ("dspam", "dspam_sizelimit"): "180000",
    ("dspam", "spam"): "spam@foo.example",
    ("dspam", "falsepositive"): "ham@foo.example",
    ("dspam", "honeypot"): "me@honey.example",
    ("dspam", "bandom"): "bandom@foo.example",
    ("dspam", "whitelist_senders"): "@corp.example",
    ("dspam", "whitelist_mx"): "mail.corp.example,mail2.corp.example",
    ("gossip", "server"): "localhost:11900",
    ("gossip", "peers"): "localhost:11901,localhost",
    ("gossip", "ttl"): "1",
    ("greylist", "dbfile"): "greylist.db",
    ("greylist", "time"): "5",
    ("greylist", "expire"): "6",
    ("greylist", "retain"): "36",
    ("dkim", "privkey"): "TMP/dkim_rsa",
    ("dkim", "selector"): "default",
    ("dkim", "domain"): "corp.example",
}
SPFMILTER_CFG: dict[Key, str] = {
    ("milter", "socketname"): "TMP/spfmiltersock",
    ("milter", "umask"): "0177",
    ("milter", "name"): "pyspffilter",
    ("milter", "datadir"): "TMP",
    ("milter", "trusted_relay"): "",
    ("milter", "internal_connect"): "127.0.0.1,192.168.0.0/16,10.0.0.0/8",
    ("milter", "untrapped_exception"): "CONTINUE",
    ("milter", "best_guess"): "v=spf1 a mx ptr ?all",
    ("milter", "delegate"): "corp.example",
    ("spf", "access_file"): "TMP/access",
    ("spf", "access_file_nulls"): "false",
    ("spf", "access_file_colon"): "true",
    ("spf", "trusted_forwarder"): "c.example",
    ("spf", "trusted_relay"): "c.example",
}
DKIM_MILTER_CFG: dict[Key, str] = {
    ("milter", "socketname"): "TMP/dkimmiltersock",
    ("milter", "name"): "pydkimfilter",
    ("milter", "datadir"): "TMP",
    ("milter", "internal_connect"): "127.0.0.1,192.168.0.0/16,10.0.0.0/8",
    ("dkim", "privkey"): "TMP/dkim_rsa",
    ("dkim", "selector"): "default",
    ("dkim", "domain"): "corp.example",
    ("dkim", "reject"): "all",
}
# One whole, as Python's logging.config reads it.
LOGGING: dict[Key, str] = {
    ("loggers", "keys"): "root,NAME",
    ("handlers", "keys"): "NAME",
    ("formatters", "keys"): "NAME",
    ("logger_NAME", "level"): "DEBUG",
    ("logger_NAME", "handlers"): "NAME",
    ("logger_NAME", "qualname"): "NAME",
    ("logger_NAME", "propagate"): "0",
    ("handler_NAME", "class"): "FileHandler",
    ("handler_NAME", "args"): "('TMP/NAME.log', 'a')",
    ("handler_NAME", "level"): "INFO",
    ("handler_NAME", "formatter"): "NAME",
    ("formatter_NAME", "format"): "%(asctime)s %(message)s",
    ("formatter_NAME", "datefmt"): "%Y%b%d %H:%M:%S",
}
PYSRS_CFG: dict[Key, str] = {
    ("srs", "secret"): "shhhh!",
    ("srs", "secret.0"): "old",
    ("srs", "secret.1"): "older",
    ("srs", "secret.2"): "oldest",
    ("srs", "maxage"): "8",
    ("srs", "hashlength"): "8",
    ("srs", "separator"): "=",
    ("srs", "socket"): "TMP/pysrs",
    ("srs", "fwdomain"): "corp.example",
    ("srs", "ses"): "one.example, two.example",
    ("srs", "sign"): "three.example",
    ("srs", "nosrs"): "four.example",
}
PYGOSSIP_CFG: dict[Key, str] = {
    ("gossip", "listen"): "11900",
    ("gossip", "peers"): "localhost:11901, localhost",
    ("gossip", "qsize"): "100",
    ("gossip", "rep_db"): "gossip4.db",
    ("gossip", "datadir"): "TMP",
    ("gossip", "port"): "11900",
}
DSPAM_CFG: dict[Key, str] = {
    ("dspam", "userdir"): "/var/lib/dspam",
    ("dspam", "large_scale"): "no",
    ("dspam", "me"): "pydspam.cgi",
    ("dspam", "domain"): "corp.example",
    ("dspam", "dspam"): "SMTP",
    ("cgi", "viewspam_max"): "500",
    ("cgi", "sort"): "subject",
}


def _dkim_milter() -> types.ModuleType:
    specification = importlib.util.spec_from_file_location("dkim_milter", TOP / "dkim-milter.py")
    assert specification is not None
    assert specification.loader is not None
    module = importlib.util.module_from_spec(specification)
    specification.loader.exec_module(module)
    return module


# Whose program reads the file, and how.
READERS: dict[str, tuple[dict[Key, str], types.ModuleType, Dialect]] = {
    "milter.cfg": (MILTER_CFG, bms, BMS),
    "spfmilter.cfg": (SPFMILTER_CFG, spfmilter, SPFMILTER),
    "dkim-milter.cfg": (DKIM_MILTER_CFG, _dkim_milter(), DKIM_MILTER),
    "pygossip.cfg": (PYGOSSIP_CFG, bms, BMS),
}
FILES = {name: options for name, (options, _, _) in READERS.items()} | {"pysrs.cfg": PYSRS_CFG, "dspam.cfg": DSPAM_CFG}
OPTIONS = [(name, key) for name, (options, _, _) in READERS.items() for key in options]


def _table() -> dict[tuple[str, Key], str]:
    """(file, option) -> the second column; the sections for logging count as a file of their own."""
    found: dict[tuple[str, Key], str] = {}
    file = ""
    for line in (TOP / "docs" / "upstream-options.md").read_text().splitlines():
        if line.startswith("## "):
            file = line[3:].strip()
        elif line.startswith("Python's own sections"):
            file = "logging"
        elif match := re.match(r"\| `\[(.+?)\] (\S+)` \| (.+?) \|", line):
            where = (file, (match[1], match[2]))
            assert where not in found, line
            found[where] = match[3]
    return found


TABLE = _table()


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """What upstream's options point to."""
    (tmp_path / "big.example").write_text("joe\n")
    (tmp_path / "access").write_text("SPF-Fail:a.example REJECT\n")
    (tmp_path / "pysrs.cfg").write_text("[srs]\nsecret = shhhh!\n")
    (tmp_path / "dkim_rsa").write_bytes(pem(RAW_RSA))
    (tmp_path / "dkim_rsa").chmod(0o600)
    return tmp_path


def _text(options: dict[Key, str], folder: Path) -> str:
    sections: dict[str, list[str]] = {}
    for (section, option), value in options.items():
        sections.setdefault(section, []).append(f"{option} = {value}")
    lines = [line for name, lines in sections.items() for line in (f"[{name}]", *lines)]
    return "\n".join(lines).replace("TMP", str(folder)) + "\n"


def _alone(key: Key, value: str, options: dict[Key, str]) -> dict[Key, str]:
    """A file with that option, and with those without which it makes no sense."""
    section, option = key
    if key == ("dspam", "NAME"):
        return {("dspam", "dspam_users"): options["dspam", "dspam_users"], ("dspam", "david"): value}
    if section == "dkim" and option in ("selector", "domain", "privkey"):
        return {k: v for k, v in options.items() if k[0] == "dkim" and k[1] != "reject"}
    return {(section, "copycust" if option == "NAME" else option): value}


def _given(settings: Settings) -> list[Origin]:
    return [origin for origin in settings.origins if origin.where != "default"]


def _load(file: str, options: dict[Key, str], folder: Path) -> Settings:
    _, program, dialect = READERS[file]
    return load_text(_text(options, folder), settings_classes(program.JOURNEY), file, dialect)


def test_the_table_has_every_option_that_upstream_reads_and_no_other() -> None:
    expected = {(file, key) for file, options in FILES.items() for key in options}
    expected |= {("logging", key) for key in LOGGING}
    assert set(TABLE) == expected


def test_the_table_has_three_answers() -> None:
    forms = re.compile(r"same meaning|dropped|renamed to `\[.+\] \S+`")
    assert [answer for answer in TABLE.values() if not forms.fullmatch(answer)] == []


@pytest.mark.parametrize(("file", "key"), OPTIONS, ids=[f"{file}: [{key[0]}] {key[1]}" for file, key in OPTIONS])
def test_an_option_is_understood_as_the_table_says(
    file: str, key: Key, folder: Path, caplog: pytest.LogCaptureFixture
) -> None:
    options = FILES[file]
    settings = _load(file, _alone(key, options[key], options), folder)
    answer = TABLE[file, key]
    found = {(origin.section, origin.option) for origin in _given(settings)}
    if answer == "dropped":
        assert found == set()
        assert f"[{key[0]}] {key[1]} has no effect" in caplog.text
        return
    renamed = re.fullmatch(r"renamed to `\[(.+)\] (\S+)`", answer)
    name = {"smart_alias": "copycust", "dspam": "david"}.get(key[0], "") if key[1] == "NAME" else key[1]
    assert ((renamed[1], renamed[2]) if renamed else (key[0], name)) in found


@pytest.mark.parametrize("key", PYSRS_CFG, ids=lambda key: key[1])
def test_what_stands_in_pysrs_cfg_holds_where_milter_cfg_is_silent(
    key: Key, folder: Path, caplog: pytest.LogCaptureFixture
) -> None:
    options = {("srs", "secret"): PYSRS_CFG["srs", "secret"], key: "+" if key[1] == "separator" else PYSRS_CFG[key]}
    if key[1] in ("maxage", "hashlength"):
        options[key] = "9"  # 8 is the default on both sides
    (folder / "pysrs.cfg").write_text(_text(options, folder))
    text = f"[srs]\nconfig = {folder}/pysrs.cfg\n"
    settings = load_text(text, settings_classes(bms.JOURNEY), translate=BMS)[srs.SrsSettings]
    found, field = srs._with_file(settings), key[1].partition(".")[0]
    if TABLE["pysrs.cfg", key] == "dropped":
        assert f"[srs] {key[1]} has no effect" in caplog.text
        return
    assert TABLE["pysrs.cfg", key] == "same meaning"
    assert getattr(found, field) != getattr(settings, field)
    assert len(found.secret) == (2 if key[1].startswith("secret.") else 1)


def test_a_typo_in_pysrs_cfg_is_an_error_with_file_and_line(folder: Path) -> None:
    (folder / "pysrs.cfg").write_text("[srs]\nsecret = x\nmaxags = 9\n")
    with pytest.raises(SettingsError, match=r"pysrs\.cfg:3: \[srs\] has no option maxags; did you mean maxage\?"):
        load_text(f"[srs]\nconfig = {folder}/pysrs.cfg\n", settings_classes(bms.JOURNEY), translate=BMS)


def test_what_the_old_name_says_gives_way_to_the_new_one_wherever_it_stands(folder: Path) -> None:
    classes = settings_classes(bms.JOURNEY)
    for text in (
        "[milter]\nscan_zip = no\n[defang]\nscan_zip = yes\n",
        "[defang]\nscan_zip = yes\n[milter]\nscan_zip = no\n",
    ):
        (origin,) = _given(load_text(text, classes, translate=BMS))
        assert (origin.section, origin.option, origin.value) == ("defang", "scan_zip", True)


@pytest.mark.parametrize(
    ("file", "name"), [("milter.cfg", "milter"), ("spfmilter.cfg", "spfmilter"), ("dkim-milter.cfg", "dkim-milter")]
)
def test_the_sections_for_logging_are_understood(file: str, name: str, folder: Path) -> None:
    text = _text(LOGGING, folder).replace("NAME", name)
    _, program, dialect = READERS[file]
    log = load_text(text, settings_classes(program.JOURNEY), file, dialect)[LogSettings]
    assert (log.to, log.file, log.level) == (LogTo.FILE, folder / f"{name}.log", Level.DEBUG)


def _whole(folder: Path) -> dict[Key, str]:
    """Upstream's milter.cfg with everything in it that is commented out there."""
    whole: dict[Key, str] = {}
    for key, value in MILTER_CFG.items():
        once_in_milter = key[0] == "milter" and ("defang", key[1]) in MILTER_CFG
        if once_in_milter or key in (("wiretap", "discard_users"), ("wiretap", "mail_archive")):
            continue
        if key == ("dspam", "NAME"):
            whole |= {("dspam", "david"): value, ("dspam", "goliath"): "giant@foo.example"}
        else:
            whole[key[0], "copycust" if key[1] == "NAME" else key[1]] = value
    return whole


def test_upstreams_whole_milter_cfg_loads_in_latin_1_and_with_sections_for_logging(
    folder: Path, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.WARNING)
    text = _text(_whole(folder), folder) + _text(LOGGING, folder).replace("NAME", "milter")
    text += "# Latin-1 as in upstream's list of words: fr\u00ebe, val\u00edum\n"
    path = folder / "milter.cfg"
    path.write_bytes(text.encode("latin-1"))
    settings = Program("bms", bms.JOURNEY, path).read_settings(None)
    assert settings[ProgramSettings].timeout == 600
    assert settings[LogSettings].to is LogTo.FILE
    assert "not UTF-8; the file is read as Latin-1" in caplog.text
