"""How the small programs read configurations: their own section in a shared milter.cfg, upstream's files, opendkim's names.

A dialect turns the entries of the files into entries that the settings classes know, before anything is judged. Entries
that it does not know stay unchanged, so that a misspelt option remains an error with file and line.
"""

from __future__ import annotations

import ast
import dataclasses
import difflib
import functools
import logging as log_records
import re
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from pathlib import Path

from antispam import resources
from antispam.settings import ini
from antispam.settings.errors import SettingsError
from antispam.settings.ini import Entry
from antispam.settings.values import items_of, names

log = log_records.getLogger(__name__)

Key = tuple[str, str]  # section and option
Known = Collection[Key]
Convert = Callable[[str], str]

# An option as the shipped milter.cfg shows it: commented out with a semicolon.
_SHOWN = re.compile(r"^;(?=[a-z_0-9]+ ?=|\t)", re.MULTILINE)
_LOGGING = re.compile(r"loggers|handlers|formatters|(?:logger|handler|formatter)_\S+")
_NOT_SHARED = frozenset({*(("milter", name) for name in ("socket", "socketname", "name")), ("logging", "file")})
# To sign only, or verify only, switches the other check off.
_OPENDKIM_MODES = {
    "s": ("dkim", "off"),
    "v": ("dkim_sign", "off"),
    "sv": ("dkim", "enforce"),
    "vs": ("dkim", "enforce"),
}
_SMALL_PROGRAMS = frozenset({"spfmilter", "dkim-milter"})


def _same(value: str) -> str:
    return value


@dataclasses.dataclass(frozen=True)
class Dialect:
    """The way in which one program reads configurations.

    program   its name, and that of its section in a shared milter.cfg
    sections  where options of its own section belong: in the first of these that has one of that name
    checks    the sections whose on_error untrapped_exception sets
    names     names that differ in upstream's file: (section, option) -> (section, option) and how to read the value
    own       further names in the program's own section, without hyphens and underscores
    advice    names of other programs that this one lacks, without hyphens and underscores -> what to do instead
    dropped   options of upstream's file without effect here: (section, option) -> why, for the log
    loggers   names of the program in upstream's logging sections, if different
    shared    the file belongs mainly to another program, whether or not it has a section for this one
    """

    program: str
    sections: tuple[str, ...] = ()
    checks: tuple[str, ...] = ()
    names: Mapping[Key, tuple[Key, Convert]] = dataclasses.field(default_factory=dict)
    own: Mapping[str, tuple[Key, Convert]] = dataclasses.field(default_factory=dict)
    advice: Mapping[str, str] = dataclasses.field(default_factory=dict)
    dropped: Mapping[Key, str] = dataclasses.field(default_factory=dict)
    loggers: tuple[str, ...] = ()
    shared: bool = False

    def __call__(self, entries: list[Entry], known: Known) -> list[Entry]:
        """The entries as this program reads them; later ones win. Raises SettingsError."""
        shared = self.shared or any(entry.section == self.program for entry in entries)
        renamed: list[Entry] = []
        general: list[Entry] = []
        own: list[Entry] = []
        logging: list[Entry] = []
        for entry in entries:
            key = (entry.section, entry.option)
            if entry.section == self.program and self.sections:
                own += self._own(entry, known)
            elif entry.section in _SMALL_PROGRAMS or (shared and key in _NOT_SHARED):
                continue  # another program's
            elif key in self.names:
                renamed.append(_renamed(entry, *self.names[key]))
            elif key in known:
                general.append(entry)
            elif _LOGGING.fullmatch(entry.section):
                logging.append(entry)
            elif key in self.dropped:
                log.warning("%s: [%s] %s has no effect: %s", entry.where, *key, self.dropped[key])
            elif not self.sections or not _another_programs(key, known):
                general.append(entry)  # for the loader to judge
        # Options under their own names win, whatever the order in the file.
        translated = [*_logging(logging, (self.program, *self.loggers)), *renamed, *general, *own]
        return [*self._on_error(translated, known), *translated]

    def _own(self, entry: Entry, known: Known) -> Iterator[Entry]:
        plain = re.sub("[-_]", "", entry.option)
        if plain in self.own:
            target, convert = self.own[plain]
            yield _renamed(entry, target, convert)
            return
        if plain == "mode" and entry.value.strip().lower() in _OPENDKIM_MODES:
            section, mode = _OPENDKIM_MODES[entry.value.strip().lower()]
            yield dataclasses.replace(entry, section=section, value=mode)
            return
        for section in self.sections:
            if (section, entry.option) in known:
                yield dataclasses.replace(entry, section=section)
                return
            if (section, entry.option) in self.names:
                yield _renamed(entry, *self.names[section, entry.option])
                return
        names = {name for section, name in known if section in self.sections}
        near = difflib.get_close_matches(entry.option, sorted(names | set(self.own)), n=1, cutoff=0.6)
        hint = f"; did you mean {near[0]}?" if near else ""
        if plain in self.advice:
            hint = f": {self.advice[plain]}"
        raise SettingsError(f"{entry.where}: [{entry.section}] has no option {entry.option}{hint}")

    def _on_error(self, entries: Iterable[Entry], known: Known) -> Iterator[Entry]:
        """Apply untrapped_exception to every check without its own on_error: these entries come before all others."""
        for entry in entries:
            if (entry.section, entry.option) == ("milter", "untrapped_exception"):
                value = {"continue": "accept"}.get(entry.value.strip().lower(), entry.value)
                for section in self.checks:
                    if (section, "on_error") in known:
                        yield dataclasses.replace(entry, section=section, option="on_error", value=value)


def _another_programs(key: Key, known: Known) -> bool:
    """Whether the section belongs only to the large program, or the option does, in a section that both have."""
    section = key[0]
    if any(section == known_section for known_section, _ in known):
        return key in _shown()
    return any(section == shown_section for shown_section, _ in _shown())


@functools.cache
def _shown() -> frozenset[Key]:
    """All options in the shipped milter.cfg: the large program knows them, and a small one may ignore them."""
    text = _SHOWN.sub("", resources.folder("milter.cfg").read_text("utf-8"))
    return frozenset((entry.section, entry.option) for entry in ini.parse(text, "milter.cfg"))


def _renamed(entry: Entry, target: Key, convert: Convert) -> Entry:
    try:
        value = convert(entry.value)
    except ValueError as error:
        raise SettingsError(f"{entry.where}: [{entry.section}] {entry.option} = {entry.value}: {error}") from None
    return dataclasses.replace(entry, section=target[0], option=target[1], value=value)


def _logging(entries: list[Entry], names: Sequence[str]) -> Iterator[Entry]:
    """Python's own sections for logging (logging.config), as far as [logging] can say the same. Raises SettingsError."""
    by_key = {(entry.section, entry.option): entry for entry in entries}
    loggers = [f"logger_{name}" for name in (*names, "root")]
    logger = next((section for section in loggers if (section, "handlers") in by_key), "")
    if not logger:
        return
    handlers = by_key[logger, "handlers"]
    handler = f"handler_{handlers.value.split(',')[0].strip()}"
    kind = by_key.get((handler, "class"))
    if kind is None:
        raise SettingsError(f"{handlers.where}: [{logger}] handlers: there is no [{handler}] with a class")
    name = kind.value.rpartition(".")[2]
    if name.endswith("FileHandler"):
        yield dataclasses.replace(kind, section="logging", option="to", value="file")
        yield _file(by_key.get((handler, "args")), kind)
    elif name in ("SysLogHandler", "StreamHandler"):
        to = "syslog" if name == "SysLogHandler" else "stderr"
        yield dataclasses.replace(kind, section="logging", option="to", value=to)
    else:
        raise SettingsError(f"{kind.where}: {kind.value} is not supported; write [logging] to = stderr, syslog or file")
    level = by_key.get((logger, "level"))
    if level is not None:
        words = {"notset": "debug", "critical": "error", "warn": "warning"}
        value = words.get(level.value.strip().lower(), level.value)
        yield dataclasses.replace(level, section="logging", option="level", value=value)


def _file(arguments: Entry | None, kind: Entry) -> Entry:
    """The path in a FileHandler's args."""
    try:
        found = ast.literal_eval(arguments.value) if arguments is not None else ()
    except (ValueError, SyntaxError):
        found = ()
    if not isinstance(found, tuple) or not found or not isinstance(found[0], str):
        where = arguments or kind
        raise SettingsError(
            f"{where.where}: the path of the log cannot be determined; write [logging] to = file and file = PATH"
        )
    return dataclasses.replace(arguments or kind, section="logging", option="file", value=found[0])


def _mode_of(umask: str) -> str:
    """The permissions that a umask leaves for a socket."""
    try:
        bits = int(umask, 8)
    except ValueError:
        bits = -1
    if not 0 <= bits <= 0o777:
        raise ValueError("expected a umask in octal, such as 0117")
    return f"{0o777 & ~bits:04o}"


def _policy(action: str) -> str:
    """opendkim's action in the words of the access map."""
    words = {"accept": "", "discard": "DISCARD", "quarantine": "QUARANTINE", "reject": "REJECT", "tempfail": "TEMPFAIL"}
    matching = [word for word in words if action.strip() and word.startswith(action.strip().lower())]
    return words[matching[0]] if len(matching) == 1 else action


def _relaxed(canonicalization: str) -> str:
    header, _, body = canonicalization.strip().lower().partition("/")
    forms = {("relaxed", "relaxed"): "yes", ("simple", "simple"): "no", ("relaxed", "simple"): "header"}
    try:
        return forms[header, body or "simple"]  # RFC 6376 section 3.5
    except KeyError:
        raise ValueError("expected relaxed/relaxed, relaxed/simple or simple/simple") from None


def _hosts(text: str) -> str:
    """opendkim's data set of hosts: a list, or a file with one a line; `.example.com` stands for all hosts below that
    domain.
    """
    found: list[str] = []
    for item in names(text):
        kind, _, path = item.rpartition(":") if item.startswith(("file:", "refile:", "csl:")) else ("", "", item)
        is_file = kind in ("file", "refile") or path.startswith("/")
        found += items_of(Path(path)) if is_file else [path]
    return ", ".join(f"*{host}" if host.startswith(".") else host for host in found)


def _seconds(number: str) -> str:
    return f"{number.strip()}s" if number.strip().isdigit() else number


_UPSTREAM: dict[Key, tuple[Key, Convert]] = {
    ("milter", "socketname"): (("milter", "socket"), _same),
    ("milter", "umask"): (("milter", "socket_mode"), _mode_of),
}

SPFMILTER = Dialect(
    "spfmilter",
    sections=("milter", "spf", "authentication_results", "dns", "logging", "store", "connection", "auth"),
    checks=("connection", "auth", "spf", "authentication_results"),
    names={
        **_UPSTREAM,
        ("milter", "best_guess"): (("spf", "best_guess"), _same),
        ("milter", "delegate"): (("spf", "delegate"), _same),
        # A misspelling of upstream that old files still have.
        ("spf", "trusted_relay"): (("spf", "trusted_forwarder"), _same),
    },
)

_SYSLOG = "write to = syslog, and level = info or debug"
_NEEDLESS = "leave it out, "
_OPENDKIM_ADVICE = {
    **dict.fromkeys(("syslog", "syslogfacility", "syslogname", "syslogsuccess", "logwhy", "logresults"), _SYSLOG),
    **dict.fromkeys(
        ("autorestart", "autorestartcount", "autorestartrate"), f"{_NEEDLESS}workers are always started again"
    ),
    **dict.fromkeys(("background", "pidfile"), f"{_NEEDLESS}the filter stays in the foreground, for systemd"),
    **dict.fromkeys(
        ("trustanchorfile", "unboundconfigfile", "resolvconf"),
        f"{_NEEDLESS}or name a resolver that validates: nameservers",
    ),
    "alwaysaddarheader": f"{_NEEDLESS}Authentication-Results is always written",
    "basedirectory": "write paths that begin with /",
    "externalignorelist": f"{_NEEDLESS}outside clients are not reported; InternalHosts says whose mail is signed",
    "ondefault": "use On-BadSignature, On-NoSignature, On-KeyNotFound and On-DNSError",
    "oninternalerror": "write on_error = tempfail, reject or accept in [dkim] and [dkim_sign]",
    "onsecurity": "write policy = TEMPFAIL, which applies to short keys and l=",
    "peerlist": f"{_NEEDLESS}or name such clients in the MTA's configuration",
    "requiresafekeys": f"{_NEEDLESS}keys that others can read are always refused",
    "signaturealgorithm": f"{_NEEDLESS}the key says it",
    "temporarydirectory": f"{_NEEDLESS}nothing is recorded for a signature",
    "userid": "write user = NAME, or User=NAME in the systemd unit",
}

DKIM_MILTER = Dialect(
    "dkim-milter",
    sections=(
        "milter", "dkim", "dkim_sign", "authentication_results", "dns", "logging", "store", "connection", "auth",
    ),
    checks=("connection", "auth", "dkim", "authentication_results", "dkim_sign"),
    names=_UPSTREAM,
    advice=_OPENDKIM_ADVICE,
    own={
        "authservid": (("authentication_results", "authserv_id"), _same),
        "canonicalization": (("dkim_sign", "relaxed"), _relaxed),
        "internalhosts": (("milter", "internal_connect"), _hosts),
        "keyfile": (("dkim", "privkey"), _same),
        "keytable": (("dkim_sign", "key_table"), _same),
        "minimumkeybits": (("dkim", "min_key"), _same),
        "multiplesignatures": (("dkim_sign", "multiple_signatures"), _same),
        "onbadsignature": (("dkim", "fail"), _policy),
        "ondnserror": (("dkim", "temperror"), _policy),
        "onkeynotfound": (("dkim", "permerror"), _policy),
        "onnosignature": (("dkim", "none"), _policy),
        "oversignheaders": (("dkim_sign", "oversign"), _same),
        "removearfrom": (("authentication_results", "aliases"), _same),
        "signaturettl": (("dkim_sign", "expire"), _seconds),
        "signheaders": (("dkim_sign", "sign_headers"), _same),
        "signingtable": (("dkim_sign", "signing_table"), _same),
    },
)  # fmt: skip

# Before upstream had a section [defang], its options stood in [milter], and still may.
_ONCE_IN_MILTER = (
    "scan_rfc822", "scan_zip", "scan_html", "block_chinese", "block_forward", "porn_words", "spam_words", "from_words",
)  # fmt: skip

BMS = Dialect(
    "bms",
    names={
        **{("milter", name): (("defang", name), _same) for name in _ONCE_IN_MILTER},
        ("defang", "encrypted_zip"): (("defang", "unreadable_archives"), _same),  # its name while only zip was opened
        # Upstream's milter.cfg has this name, upstream's code reads the other one.
        ("wiretap", "discard_users"): (("wiretap", "discard"), _same),
        ("wiretap", "mail_archive"): (("wiretap", "archive"), _same),
    },
    dropped={
        ("milter", "logdir"): "[logging] says where the log goes",
        ("greylist", "dbfile"): "the greylist is in the store; [greylist] mode = off switches it off",
        ("dspam", "whitelist_mx"): "servers that share a store share the list of people that users write to",
        ("gossip", "rep_db"): "reputations are in the store; `bms reputation import` reads the file",
        ("gossip", "qsize"): "[gossip] retain_messages says how long messages are remembered",
        ("gossip", "datadir"): "reputations are in the store",
        ("gossip", "port"): "upstream never read it; [gossip] listen sets the port",
    },
    loggers=("milter",),
)
"""The large program uses its own names only and ignores the sections of the small ones."""
