"""Configurations that were written for upstream's programs, for opendkim, or for several programs at once."""

from __future__ import annotations

from pathlib import Path

import pytest
from spfmilter import JOURNEY as SPF_JOURNEY

from antispam.checks import connection as connection_check
from antispam.checks import dkim as dkim_check
from antispam.checks import dkim_sign, spf
from antispam.checks.authentication_results import Settings as ResultsSettings
from antispam.service.application import ConfigError, Program, load_settings, settings_classes
from antispam.settings import Mode, OnError, Settings, SettingsError, load_text
from antispam.settings.dialects import BMS, DKIM_MILTER, SPFMILTER, Dialect
from antispam.settings.logs import Level, LogSettings, LogTo
from antispam.settings.program import PROGRAM_SETTINGS, ExceptionPolicy, ProgramSettings

CLASSES = [
    *PROGRAM_SETTINGS,
    LogSettings,
    connection_check.Settings,
    dkim_check.Settings,
    dkim_sign.Settings,
    ResultsSettings,
]

UPSTREAMS_SPFMILTER_CFG = """\
[milter]
socketname = /var/run/milter/spfmiltersock
umask = 0117
name = pyspffilter
trusted_relay = 192.0.2.7
internal_connect = 127.0.0.1,192.168.0.0/16,10.0.0.0/8
best_guess = v=spf1 a mx ptr ?all
delegate = domain.com
untrapped_exception = CONTINUE
[spf]
access_file_nulls = true
access_file_colon = false
trusted_forwarder = careerbuilder.com
"""

UPSTREAMS_LOGGING = """\
[loggers]
keys=root,dkim-milter
[handlers]
keys=syslogHandler,fileHandler
[formatters]
keys=milterFormatter
[logger_root]
level=DEBUG
handlers=syslogHandler
[logger_dkim-milter]
level=INFO
handlers=fileHandler
qualname=dkim-milter
propagate=0
[handler_syslogHandler]
class=handlers.SysLogHandler
args=(('localhost', handlers.SYSLOG_UDP_PORT), handlers.SysLogHandler.LOG_MAIL)
[handler_fileHandler]
class=FileHandler
formatter=milterFormatter
args=('/var/log/milter/dkim-milter.log', 'a')
[formatter_milterFormatter]
format=%(asctime)s %(message)s
"""


def for_spf(text: str, dialect: Dialect = SPFMILTER) -> Settings:
    return load_text(text, settings_classes(SPF_JOURNEY), translate=dialect)


def for_dkim(text: str) -> Settings:
    return load_text(text, CLASSES, translate=DKIM_MILTER)


def test_upstreams_spfmilter_cfg_means_what_it_meant() -> None:
    settings = for_spf(UPSTREAMS_SPFMILTER_CFG)
    program = settings[ProgramSettings]
    assert (program.socket, program.socket_mode, program.name) == (
        "/var/run/milter/spfmiltersock",
        0o660,
        "pyspffilter",
    )
    checked = settings[spf.Settings]
    assert (checked.best_guess, checked.delegate) == ("v=spf1 a mx ptr ?all", "domain.com")
    assert checked.trusted_forwarder == ("careerbuilder.com",)
    assert settings[connection_check.Settings].trusted_relay == ("192.0.2.7",)


def test_untrapped_exception_is_what_every_check_does_when_it_fails() -> None:
    settings = for_spf(UPSTREAMS_SPFMILTER_CFG)
    assert settings[ProgramSettings].untrapped_exception is ExceptionPolicy.CONTINUE
    assert settings[spf.Settings].on_error is OnError.ACCEPT
    assert for_spf("[milter]\nuntrapped_exception = REJECT\n")[spf.Settings].on_error is OnError.REJECT


def test_a_check_that_says_for_itself_what_it_does_is_left_alone() -> None:
    settings = for_spf("[spf]\non_error = tempfail\n[milter]\nuntrapped_exception = CONTINUE\n")
    assert settings[spf.Settings].on_error is OnError.TEMPFAIL


def test_nothing_fails_open_by_default() -> None:
    settings = for_spf("")
    assert settings[ProgramSettings].untrapped_exception is ExceptionPolicy.TEMPFAIL
    assert settings[spf.Settings].on_error is OnError.TEMPFAIL


def test_upstreams_slip_in_the_name_of_trusted_forwarder_is_understood() -> None:
    assert for_spf("[spf]\ntrusted_relay = a.example\n")[spf.Settings].trusted_forwarder == ("a.example",)


def test_a_section_of_its_own_in_a_shared_file_wins() -> None:
    text = (
        "[spfmilter]\nsocket = local:/s\nexplain = no\n[milter]\nsocket = local:/b\nworkers = 3\n[spf]\nexplain = yes\n"
    )
    settings = for_spf(text)
    assert settings[ProgramSettings].socket == "local:/s"
    assert settings[ProgramSettings].workers == 3
    assert settings[spf.Settings].explain is False


def test_the_socket_of_a_shared_file_is_another_programs() -> None:
    settings = for_spf("[milter]\nsocket = local:/b\n[spfmilter]\nexplain = no\n")
    assert (
        settings[ProgramSettings].socket == "local:/run/milter/bms.sock"
    )  # the class's default: no file said anything


def test_what_only_the_large_program_knows_is_passed_over() -> None:
    for_spf(
        "[greylist]\ntime = 5\n[dspam]\ndspam_users = a\na = b\n[milter]\nhello_blacklist = a.example\n[dkim-milter]\nx = 1\n"
    )


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("[greylst]\ntime = 5\n", r"milter\.cfg:2: there is no section \[greylst\]"),
        ("[milter]\nhello_blaklist = a\n", r"milter\.cfg:2: \[milter\] has no option hello_blaklist"),
        ("[spf]\nbest_gues = 1\n", r"milter\.cfg:2: \[spf\] has no option best_gues; did you mean best_guess"),
        (
            "[spfmilter]\nbest_gues = 1\n",
            r"milter\.cfg:2: \[spfmilter\] has no option best_gues; did you mean best_guess",
        ),
        ("[milter]\ntrusted_forwarder = a.example\n", r"no option trusted_forwarder; it belongs into \[spf\]"),
        ("[milter]\numask = 8\n", r"milter\.cfg:2: \[milter\] umask = 8: expected a umask"),
        ("[spfmilter]\numask = 1777\n", r"milter\.cfg:2: \[spfmilter\] umask = 1777: expected a umask"),
        ("[milter]\nbest_guess = perhaps\n", r"milter\.cfg:2: \[spf\] best_guess = perhaps: expected yes or no"),
    ],
)
def test_a_typo_is_an_error_with_file_and_line(text: str, message: str) -> None:
    with pytest.raises(SettingsError, match=message):
        for_spf(text)


def test_the_large_program_leaves_the_small_ones_their_sections() -> None:
    for_spf("[spfmilter]\nwhatever = 1\n[dkim-milter]\nkeytable = /x\n", BMS)


def test_pythons_sections_for_logging_are_translated() -> None:
    log = for_dkim(UPSTREAMS_LOGGING)[LogSettings]
    assert (log.to, log.file, log.level) == (LogTo.FILE, Path("/var/log/milter/dkim-milter.log"), Level.INFO)


def test_the_root_logger_speaks_where_the_program_has_none_of_its_own() -> None:
    log = for_spf(UPSTREAMS_LOGGING)[LogSettings]
    assert (log.to, log.level) == (LogTo.SYSLOG, Level.DEBUG)


def test_our_own_section_for_logging_wins() -> None:
    assert for_dkim(f"[logging]\nto = stderr\n{UPSTREAMS_LOGGING}")[LogSettings].to is LogTo.STDERR


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (("class=FileHandler", "class=handlers.SMTPHandler"), r"handlers\.SMTPHandler is not supported"),
        (
            ("args=('/var/log/milter/dkim-milter.log', 'a')", "args=(open('x'),)"),
            "the path of the log cannot be determined",
        ),
        (
            ("[handler_fileHandler]\nclass=FileHandler", "[handler_other]\nclass=FileHandler"),
            r"no \[handler_fileHandler\]",
        ),
    ],
)
def test_logging_that_can_not_be_translated_is_an_error(change: tuple[str, str], message: str) -> None:
    with pytest.raises(SettingsError, match=message):
        for_dkim(UPSTREAMS_LOGGING.replace(*change))


@pytest.mark.parametrize(
    ("line", "expected"),
    [
        ("InternalHosts = 192.0.2.0/24", ("internal_connect", ("192.0.2.0/24",))),
        ("On-BadSignature = r", ("fail", "REJECT")),
        ("On-NoSignature = tempfail", ("none", "TEMPFAIL")),
        ("On-DNSError = accept", ("temperror", None)),
        ("on_key_not_found = quarantine", ("permerror", "QUARANTINE")),
        ("AuthservID = mx.example.com", ("authserv_id", "mx.example.com")),
        ("MinimumKeyBits = 2048", ("min_key", 2048)),
        ("SignatureTTL = 3600", ("expire", 3600.0)),
    ],
)
def test_opendkims_names_are_understood_in_a_section_of_its_own(line: str, expected: tuple[str, object]) -> None:
    name, value = expected
    settings = for_dkim(f"[dkim-milter]\n{line}\n")
    (found,) = (origin.value for origin in settings.origins if origin.option == name and origin.where != "default")
    assert getattr(found, "action", found) == value


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        ("refile:{file}", ("127.0.0.1", "::1", "*.example.com", "192.0.2.0/24")),
        ("file:{file}, 198.51.100.1", ("127.0.0.1", "::1", "*.example.com", "192.0.2.0/24", "198.51.100.1")),
        ("{file}", ("127.0.0.1", "::1", "*.example.com", "192.0.2.0/24")),
        ("csl:127.0.0.1, 2001:db8::1", ("127.0.0.1", "2001:db8::1")),
        ("fe80::/10", ("fe80::/10",)),
    ],
)
def test_opendkims_internal_hosts_may_stand_in_a_file(tmp_path: Path, value: str, expected: tuple[str, ...]) -> None:
    (tmp_path / "trusted").write_text("# ours\n127.0.0.1\n::1\n.example.com\n192.0.2.0/24\n")
    settings = for_dkim(f"[dkim-milter]\nInternalHosts = {value.format(file=tmp_path / 'trusted')}\n")
    assert settings[connection_check.Settings].internal_connect == expected


@pytest.mark.parametrize(
    ("line", "told"),
    [
        (
            "InternalHosts = 192.0.2.0/24, !192.0.2.1",
            r"internal_connect = .*!192\.0\.2\.1: exceptions are not understood",
        ),
        ("InternalHosts = refile:/nowhere", r"/nowhere cannot be read: No such file"),
        ("Syslog = yes", r":2: \[dkim-milter\] has no option syslog: write to = syslog"),
        ("UserID = opendkim", r"has no option userid: write user = NAME"),
        ("On-InternalError = tempfail", r"has no option on-internalerror: write on_error"),
    ],
)
def test_what_opendkim_has_and_we_have_not_is_told_with_what_to_do(line: str, told: str) -> None:
    with pytest.raises(SettingsError, match=told):
        for_dkim(f"[dkim-milter]\n{line}\n")


@pytest.mark.parametrize(
    ("value", "verifies", "signs"),
    [("s", Mode.OFF, Mode.ENFORCE), ("v", Mode.ENFORCE, Mode.OFF), ("sv", Mode.ENFORCE, Mode.ENFORCE),
     ("log", Mode.LOG, Mode.ENFORCE)],
)  # fmt: skip
def test_opendkims_mode_switches_the_other_check_off(value: str, verifies: Mode, signs: Mode) -> None:
    settings = for_dkim(f"[dkim-milter]\nMode = {value}\n")
    assert (settings[dkim_check.Settings].mode, settings[dkim_sign.Settings].mode) == (verifies, signs)


def test_a_program_without_a_file_of_its_own_reads_the_shared_one(tmp_path: Path) -> None:
    (tmp_path / "milter.cfg").write_text("[milter]\nsocket = local:/b\ndatadir = /x\n")
    program = Program("spfmilter", SPF_JOURNEY, tmp_path / "spfmilter.cfg", SPFMILTER)
    settings = program.read_settings(None)[ProgramSettings]
    assert (settings.socket, settings.datadir) == ("local:/run/milter/spfmilter.sock", Path("/x"))
    (tmp_path / "spfmilter.cfg").write_text("[milter]\nsocket = local:/own\n")
    assert program.read_settings(None)[ProgramSettings].socket == "local:/own"


def test_an_error_in_a_translated_file_is_one_for_the_administrator(tmp_path: Path) -> None:
    (tmp_path / "spfmilter.cfg").write_text("[milter]\nsocketnam = /x\n")
    program = Program("spfmilter", SPF_JOURNEY, tmp_path / "spfmilter.cfg", SPFMILTER)
    with pytest.raises(ConfigError, match=r"spfmilter\.cfg:2: \[milter\] has no option socketnam; did you mean socket"):
        load_settings(program, None)
