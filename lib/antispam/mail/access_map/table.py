"""The entries of an access map that this filter uses, and their look-up."""

from __future__ import annotations

import dataclasses
import difflib
import re
from collections.abc import Iterable, Iterator, Mapping

from antispam.mail.access_map.policy import Policy, parse_policy
from antispam.net.addresses import Mailbox, normalize_domain, parents, parse_mailbox
from antispam.text import for_log, from_wire

_SPF = ("none", "neutral", "pass", "fail", "softfail", "temperror", "permerror")  # RFC 7208 section 2.6
_DKIM = ("none", "pass", "fail", "policy", "neutral", "temperror", "permerror")  # RFC 8601 section 2.7.1
SMTP_AUTH = "smtp-auth"
AUTHOR = "author"
TAGS = frozenset({SMTP_AUTH, AUTHOR, *(f"{kind}-{result}" for kind in ("spf", "helo") for result in _SPF)}) | {
    f"dkim-{result}" for result in _DKIM
}
# Tags of sendmail and of upstream's tests that resemble ours and are not typing errors.
_FOREIGN_TAGS = frozenset({"smtp-test", "auth", "helo", "spf", "dkim"})

MAX_TEXT_LINE = 16_384


@dataclasses.dataclass(frozen=True, slots=True)
class Problem:
    """A problem with one entry. `where` is "file:line" for text and 'file: "key"' for a built map."""

    where: str
    what: str

    def __str__(self) -> str:
        return f"{self.where}: {self.what}"


class AccessTable:
    """An immutable access map. `problems` lists the entries that were left out, in the map's order."""

    __slots__ = ("_policies", "problems")

    def __init__(self, policies: Mapping[str, Policy], problems: Iterable[Problem] = ()) -> None:
        self._policies = policies
        self.problems = tuple(problems)

    def __len__(self) -> int:
        return len(self._policies)

    def entries(self) -> Iterator[Policy]:
        """All entries, in the map's order."""
        return iter(self._policies.values())

    def over(self, other: AccessTable) -> AccessTable:
        """Both as one map, in which the entries of this one go before those of the other."""
        return AccessTable({**other._policies, **self._policies}, (*self.problems, *other.problems))

    def policy(self, tag: str, sender: Mailbox | str) -> Policy | None:
        """The entry for `tag` ("spf-fail") and `sender`, a mailbox or a domain. The full address is looked up first,
        then the domain, its parents, and the bare tag. None if no entry matches.
        """
        if not self._policies:
            return None
        mailbox = sender if isinstance(sender, Mailbox) else _as_mailbox(sender)
        address = (f"{mailbox.local}@{mailbox.domain}",) if mailbox.local and mailbox.domain else ()
        domains = parents(mailbox.domain) if mailbox.domain else ()
        return self._first(tag, (*address, *domains, ""))

    def login_policy(self, login: str, sender: Mailbox | str) -> Policy | None:
        """The `smtp-auth:` entry that says whether the authenticated `login` may send as `sender`. An address in such
        an entry is the login and the sender's domain (`joe@example.com`: joe may send as anybody at example.com); a
        domain is the sender's. A login that is itself an address of that domain is looked up unchanged.
        """
        domain = (sender if isinstance(sender, Mailbox) else _as_mailbox(sender)).domain
        name, at, realm = login.rpartition("@")
        same = bool(at) and normalize_domain(realm) == domain
        return self.policy(SMTP_AUTH, Mailbox(name if same else login, domain))

    def _first(self, tag: str, names: Iterable[str]) -> Policy | None:
        for name in names:
            found = self._policies.get(f"{tag.lower()}:{name.lower()}")
            if found is not None:
                return found
        return None


EMPTY = AccessTable({})


def _as_mailbox(text: str) -> Mailbox:
    return parse_mailbox(text) if "@" in text else Mailbox("", normalize_domain(text))


class _Builder:
    """Collects our entries from a map that also has others."""

    def __init__(self) -> None:
        self.policies: dict[str, Policy] = {}
        self.problems: list[Problem] = []

    def add(self, where: str, key: str, value: str) -> None:
        tag, name = _split_key(key.lower())
        if tag not in TAGS:
            self._suspect(where, tag)
            return
        full = f"{tag}:{_normal_name(name)}"
        if full in self.policies:
            self.problems.append(Problem(where, f"{full!r} stands in the map before; the first entry counts"))
            return
        try:
            self.policies[full] = parse_policy(value, full)
        except ValueError as error:
            self.problems.append(Problem(where, str(error)))

    def _suspect(self, where: str, tag: str) -> None:
        """Report an entry whose tag nearly matches ours: a typing error would otherwise never be noticed."""
        if "-" not in tag or tag in _FOREIGN_TAGS or len(tag) > 30:
            return
        near = difflib.get_close_matches(tag, TAGS, 1, 0.8)
        if near or tag.startswith(("spf-", "helo-", "dkim-")):
            hint = f"; did you mean {near[0]}:?" if near else ""
            self.problems.append(Problem(where, f"unknown tag {for_log(tag, 40)!r}{hint}"))

    def table(self) -> AccessTable:
        return AccessTable(self.policies, self.problems)


def _split_key(key: str) -> tuple[str, str]:
    """Tag and name of a key. `!` separates them as well as `:`, for maps built for upstream's access_file_colon =
    false. A bare tag without either is upstream's spelling of a default.
    """
    match = re.match(r"[a-z-]{1,40}(?=[:!]|$)", key)
    return (match[0], key[match.end() + 1 :]) if match else ("", key)


def _normal_name(name: str) -> str:
    local, at, domain = name.rpartition("@")
    return f"{local}{at}{normalize_domain(domain.strip())}"


def parse_text(text: str, name: str = "access") -> AccessTable:
    """Parse the text form: key, white space, value. `#` starts a comment line; a line that begins with white space
    continues the one before, as for postmap.
    """
    builder = _Builder()
    for number, line in _logical_lines(text):
        where = f"{name}:{number}"
        if len(line) > MAX_TEXT_LINE:
            builder.problems.append(Problem(where, f"longer than {MAX_TEXT_LINE} characters"))
            continue
        key, *value = line.split(None, 1)
        builder.add(where, key, value[0].strip() if value else "")
    return builder.table()


def _logical_lines(text: str) -> Iterator[tuple[int, str]]:
    start, parts = 0, [""]
    for number, line in enumerate(text.split("\n"), 1):
        if not line.strip() or line.lstrip().startswith("#"):
            continue
        if line[0].isspace() and parts[0]:
            parts.append(line.strip())
            continue
        if parts[0]:
            yield start, " ".join(parts)
        start, parts = number, [line.strip()]
    if parts[0]:
        yield start, " ".join(parts)


def from_pairs(pairs: Iterable[tuple[bytes, bytes]], name: str = "access") -> AccessTable:
    """Parse a built map, given as pairs of octets. Postfix ends both with a NUL."""
    builder = _Builder()
    for raw_key, raw_value in pairs:
        key = from_wire(raw_key.removesuffix(b"\0"))
        builder.add(f"{name}: {for_log(key, 100)!r}", key, from_wire(raw_value.removesuffix(b"\0")))
    return builder.table()
