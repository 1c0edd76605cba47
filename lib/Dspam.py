"""Users, groups, signatures, quarantine and feedback above the engine: the successor of pydspam's module Dspam.

    directory = Dspam.DSpamDirectory("/var/lib/milter/dspam", storage)
    tagged = directory.check_spam("bob", message)      # None: it was quarantined
    directory.add_spam("bob", forwarded)               # bob says that it is spam
    clean = directory.false_positive("bob", message)   # bob says that it is not

Tokens, totals and signatures are in the store that all nodes share (`dspam.memory.Storage`; `dspam.sqlstorage.SqlStorage` is
the one over SQL). Files below the user directory are the group file, mailboxes of quarantined mail unless another quarantine is
given, and reports that wait because the store could not be reached.

Where this differs from pydspam on purpose: a report is learned under its own verdict; its signature is kept under another name,
so that the same report teaches once and a mistaken one can be taken back; nothing is printed; messages may also be text.
"""

from __future__ import annotations

import hashlib
import os
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager

import dspam
import mime
from dspam import groups as _groups
from dspam.algorithms import Totals
from dspam.directories import MboxQuarantine, Quarantine, append_mbox, file_lock, replace_file, web_stats
from dspam.groups import Groups, parse_groups, read_lines
from dspam.memory import Storage
from dspam.tags import (
    Text,
    add_signature_tag,
    convert_eol,
    create_signature_id,
    extract_signature_tags,
    signature_ids,
    without_tags,
)
from dspam.tokenizers import octets

__all__ = [
    "CONFIGURE_ARGS",
    "PKGLIBDIR",
    "DSpamDirectory",
    "MboxQuarantine",
    "Quarantine",
    "add_signature_tag",
    "convert_eol",
    "create_signature_id",
    "extract_signature_tags",
    "file_lock",
    "parse_groups",
    "put_signature",
    "signature_ids",
    "web_stats",
]

VERSION = "1.4.0"
"""The version of pydspam's interface that this one takes over."""


def _options(arguments: str) -> dict[str, str | bool]:
    """What "'--name=value' '--flag'" says; a flag is True."""
    found: dict[str, str | bool] = {}
    for argument in arguments.strip().strip("'").split("' '"):
        name, equals, value = argument.partition("=")
        found[name] = value if equals else True
    return found


CONFIGURE_ARGS = _options(dspam.CONFIGURE_ARGS)
PKGLIBDIR = os.path.join(str(CONFIGURE_ARGS["--libdir"]), "dspam")
"""Where pydspam's programs look for libdspam's drivers."""

_REPORTED = "-"
"""Before the id under which a signature is kept that was reported; no tag can name it."""
_LONGEST_ID = 64

# What a client adds when it resends a message says nothing about that message.
_RESENT = ("Resent-Date", "Resent-From", "Resent-To", "Resent-Subject")


def put_signature(ds: dspam.ctx, sig: bytes, sigfile: object = None) -> str:
    """Keep a signature in the context's store; returns its id. `sigfile` (pydspam's Berkeley DB) means nothing any more."""
    key = create_signature_id()
    ds.set_signature(key, sig)
    return key


class DSpamDirectory:
    """The filter of all users.

    userdir      where files lie: "group", "innoculation" (sic), mailboxes
    storage      the store; without one, that which `dspam.libdspam_init` named
    quarantine   where spam goes; mailboxes below `userdir` unless given
    unavailable  exceptions of the store that mean "later": the report is kept in a file, and nothing is lost

    An object serves one message at a time; what it found out about the last one is in its attributes.
    """

    def __init__(
        self,
        userdir: str | os.PathLike[str],
        storage: Storage | None = None,
        quarantine: Quarantine | None = None,
        unavailable: tuple[type[Exception], ...] = (),
    ) -> None:
        self.userdir = os.fspath(userdir)
        self.groupfile = os.path.join(self.userdir, "group")
        self.log: Callable[..., None] = lambda *_words: None
        self.headerchange: Callable[..., object] | None = None
        """Told of each header field that tagging adds, so that a milter can add it as well (see `mime`)."""
        self.algorithms = dspam.DSA_GRAHAM | dspam.DSP_GRAHAM | dspam.DSA_BURTON
        self.tokenizer: int = dspam.DSZ_CHAIN
        self.training: int = dspam.DST_TEFT
        self.flags = 0
        """DSF_BIAS, DSF_NOISE, DSF_WHITELIST for every context."""
        self.username: str | None = None
        self.result: int = dspam.DSR_NONE
        self.probability: float | None = None
        self.confidence: float | None = None
        self.factors: list[tuple[str, float]] | None = None
        self.totals = Totals()
        self._storage = storage
        self._quarantine: Quarantine = quarantine or MboxQuarantine(self.userdir)
        self._unavailable = unavailable

    # Users and groups.

    @property
    def groups(self) -> Groups:
        """The groups as the file has them now. Raises dspam.groups.GroupError."""
        return _groups.parse(read_lines(self.groupfile), self.groupfile)

    def get_group(self, user: str) -> str:
        """Whose dictionary the user reads: a shared group's, or the own."""
        return self.groups.dictionary(user)

    def user_files(self, user: str) -> tuple[str, str, str]:
        """Make `user` the present one; returns where pydspam kept its dictionary, signatures and quarantine.

        The dictionary and the signatures are in the store now: these two names say whose. Nothing is created. Raises
        ValueError for what can't be a user's name.
        """
        groups = self.groups
        group = groups.dictionary(user)
        self.username = user
        self.dspam_dict = dspam.userdir(self.userdir, group, "css")
        self.dspam_stats = dspam.userdir(self.userdir, group, "stats")
        self.sigfile = dspam.userdir(self.userdir, user, "sig")
        self.mbox = dspam.userdir(self.userdir, groups.quarantine(user), "mbox")
        self.lock = dspam.userdir(self.userdir, user, "lock")
        return self.dspam_dict, self.sigfile, self.mbox

    @contextmanager
    def dspam_ctx(self, op: int, flags: int = 0, user: str | None = None) -> Iterator[dspam.ctx]:
        """A context for the present user (or another) as this directory is set up, attached to the store."""
        name = user or self.username
        if not name:
            raise dspam.error("no user: call user_files() first")
        groups = self.groups
        shared = groups.dictionary(name)
        merged = groups.merged(shared)
        group = shared if shared != name else merged
        flags |= self.flags | (dspam.DSF_MERGED if group is not None and group == merged else 0)
        ds = dspam.ctx(name, op, flags, group, home=self.userdir)
        ds.algorithms, ds.tokenizer, ds.training_mode = self.algorithms, self.tokenizer, self.training
        ds.attach(self._storage)
        try:
            yield ds
            if name == self.username:
                self.totals = ds.totals
        finally:
            ds.destroy()

    # Mail comes in.

    def check_spam(
        self,
        user: str,
        txt: Text,
        recipients: Sequence[str] | None = None,
        classify: bool = False,
        quarantine: bool = True,
        force_result: int | None = None,
    ) -> Text | None:
        """The message with its tag, or None if it is spam.

        recipients    written into the quarantined message, to deliver it later
        classify      learn nothing, and leave innocent mail as it is; spam is learned only if it is quarantined
        quarantine    keep spam; else it is only found
        force_result  the caller knows: learn the message as this (DSR_*), and inoculate those who asked for it
        """
        self.user_files(user)
        message = convert_eol(octets(txt))
        if classify:
            force_result = None
            self._process(message, dspam.DSM_CLASSIFY, None)
            if self.result != dspam.DSR_ISSPAM:
                return txt
            if not quarantine:
                return None
        signature = self._process(message, dspam.DSM_PROCESS, force_result)
        if force_result is not None:
            self._inoculate(user, [signature], force_result)
        spam = self.result == dspam.DSR_ISSPAM
        if spam and not quarantine:
            self._count()
            return None
        with self.dspam_ctx(dspam.DSM_TOOLS) as ds:
            sigkey = put_signature(ds, signature)
        self._count()
        tagged = self._tagged(message, sigkey, (recipients or ()) if spam else None)
        if spam:
            self._quarantine.keep(self.groups.quarantine(user), tagged)
            return None
        return _like(txt, tagged)

    def _process(self, message: bytes, mode: int, force_result: int | None) -> bytes:
        """Note what the message is for the present user, or is said to be; returns its signature."""
        with self.dspam_ctx(mode, dspam.DSF_SIGNATURE) as ds:
            if force_result is None:
                ds.second_opinion = lambda asked: self._ask_others(message, asked)
            ds.process(message)
            self.probability, self.confidence, self.factors = ds.probability, ds.confidence, ds.factors
            if force_result is not None and force_result != ds.result:
                self._teach(ds, force_result, dspam.DSS_ERROR, ds.signature)
            self.result = ds.result
            return ds.signature or b""

    def _ask_others(self, message: bytes, ds: dspam.ctx) -> int:
        """The result after those were asked whom the user's groups name: a global group, then peers."""
        groups, user = self.groups, ds.username or ""
        totals = ds.totals
        new = totals.innocent_learned < _groups.MATURE_INNOCENT or totals.spam_learned < _groups.MATURE_SPAM
        uncertain = ds.confidence < _groups.UNCERTAIN
        result = ds.result
        if new or uncertain:
            for other in groups.globals(user):
                if (answer := self._ask(other, message)) is not None:
                    result = answer
                    break
        if (
            uncertain
            and result != dspam.DSR_ISSPAM
            and dspam.DSR_ISSPAM in (self._ask(other, message) for other in groups.peers(user))
        ):
            result = dspam.DSR_ISSPAM
        return result

    def _ask(self, other: str, message: bytes) -> int | None:
        """What another user's dictionary says; None if it has learned nothing."""
        with self.dspam_ctx(dspam.DSM_CLASSIFY, user=other) as ds:
            totals = ds.totals
            if not (totals.spam_learned and totals.innocent_learned):
                return None
            ds.process(message)
            return ds.result

    def _tagged(self, message: bytes, sigkey: str, recipients: Sequence[str] | None) -> bytes:
        """The message with its tag, for a quarantine (recipients not None) with them and no others."""
        msg = mime.message_from_bytes(message)
        msg.headerchange = self.headerchange
        add_signature_tag(msg, sigkey, self.probability, self.factors)
        if recipients is not None and "X-Dspam-Recipients" in msg:
            del msg["X-Dspam-Recipients"]
        if recipients:
            # A recipient is text that a client sent: no line may end in it.
            msg["X-Dspam-Recipients"] = ", ".join(" ".join(name.split()) for name in recipients)
        return msg.as_bytes()

    def write_web_stats(self, totals: Totals) -> None:
        """Write the line that DSPAM's web interface reads, for the present user's dictionary."""
        replace_file(self.dspam_stats, web_stats(totals))

    def _count(self) -> None:
        """Write the statistics; mail does not fail where they can't be written."""
        try:
            self.write_web_stats(self.totals)
        except OSError as problem:
            self.log("the statistics are not written:", problem)

    # Users teach.

    def add_spam(self, user: str, txt: Text) -> Text:
        """The user reports spam: a message with its tag, or a forwarded one that holds several, or one without.

        Returns it without its tags.
        """
        self.probability = 1.0
        return self._feedback(user, txt, dspam.DSR_ISSPAM)

    def false_positive(self, user: str, txt: Text) -> Text:
        """The user says that it is honest mail; returns it without its tags."""
        self.probability = 0.0
        return self._feedback(user, txt, dspam.DSR_ISINNOCENT)

    def _feedback(self, user: str, txt: Text, verdict: int) -> Text:
        self.user_files(user)
        message = octets(txt)
        try:
            known, taught = self._teach_signed(message, verdict)
            if not known:
                self._teach_text(message, verdict)
        except self._unavailable as problem:
            self.log("the report waits in a file:", problem)
            extension = "spam" if verdict == dspam.DSR_ISSPAM else "fp"
            append_mbox(dspam.userdir(self.userdir, user, extension), "dspam", message)
        else:
            self._count()
            self._inoculate(user, taught, verdict)
        return _like(txt, without_tags(message))

    def _teach_signed(self, message: bytes, verdict: int) -> tuple[bool, list[bytes]]:
        """Learn all messages whose signatures are known. Was there one, and which were not learned so already?"""
        taught = []
        known = False
        with self.dspam_ctx(dspam.DSM_PROCESS, dspam.DSF_SIGNATURE) as ds:
            for sigkey in signature_ids(message):
                reported = _REPORTED + sigkey[1 - _LONGEST_ID :]
                kept = next((name for name in (reported, sigkey) if ds.verify_signature(name)), None)
                if kept is None:
                    continue
                known = True
                self.log("TAG:", sigkey)
                self._teach(ds, verdict, dspam.DSS_ERROR, ds.get_signature(kept))
                self.result = ds.result
                ds.set_signature(reported, ds.signature or b"")
                if kept != reported:
                    self._forget(ds, kept)
                if ds.learned:
                    taught.append(ds.signature or b"")
        return known, taught

    def _forget(self, ds: dspam.ctx, sigkey: str) -> None:
        try:
            ds.delete_signature(sigkey)
        except dspam.error as problem:  # who reported it at the same time was quicker
            self.log("TAG:", problem)

    def _teach_text(self, message: bytes, verdict: int) -> None:
        """Learn the message itself, as from a corpus, once: its digest serves as the id of its signature."""
        text = convert_eol(extract_signature_tags(message)[0])
        sigkey = f"text.{hashlib.blake2b(text, digest_size=16).hexdigest()}"
        with self.dspam_ctx(dspam.DSM_PROCESS, dspam.DSF_SIGNATURE) as ds:
            for name in _RESENT:
                ds.addattribute("IgnoreHeader", name)
            ds.classification = verdict
            if ds.verify_signature(sigkey):
                ds.source = dspam.DSS_ERROR
                ds.process(None, sig=ds.get_signature(sigkey))
            else:
                self.log("no signature is known: learning the text")
                ds.source, ds.once = dspam.DSS_CORPUS, sigkey
                ds.process(text)
            self.result = ds.result
            ds.set_signature(sigkey, ds.signature or b"")

    def _teach(self, ds: dspam.ctx, verdict: int, source: int, signature: bytes | None) -> None:
        ds.classification, ds.source = verdict, source
        try:
            ds.process(None, sig=signature)
        finally:
            ds.classification, ds.source = dspam.DSR_NONE, dspam.DSS_NONE

    def _inoculate(self, user: str, signatures: Sequence[bytes], verdict: int) -> None:
        """Let those learn as well who asked for it: the user's inoculation groups, and pydspam's file "innoculation".

        Only spam inoculates: what is honest to one need not be to another (README of DSPAM, 2.1).
        """
        if verdict != dspam.DSR_ISSPAM or not signatures:
            return
        listed = parse_groups(os.path.join(self.userdir, "innoculation"), dups=True).get(user, [])
        for other in dict.fromkeys([*self.groups.inoculates(user), *listed]):
            if other == user:
                continue
            self.log("INNOC:", other)
            with self.dspam_ctx(dspam.DSM_PROCESS, dspam.DSF_SIGNATURE, other) as ds:
                for signature in signatures:
                    self._teach(ds, verdict, dspam.DSS_INOCULATION, signature)


def _like(model: Text, message: bytes) -> Text:
    """The message in the type in which it came."""
    return message.decode("utf-8", "surrogateescape") if isinstance(model, str) else message
