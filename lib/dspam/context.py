"""The classification context: one user, one mode, one message at a time.

Its names and its behaviour are those of pydspam's `ctx`, which wraps libdspam's DSPAM_CTX (libdspam(3)):

    ds = ctx("bob", DSM_PROCESS, DSF_SIGNATURE)
    ds.tokenizer, ds.algorithms, ds.training_mode = DSZ_OSB, DSA_CHI_SQUARE | DSP_ROBINSON, DST_TOE
    ds.attach(store)
    ds.process(message)                  # ds.result, ds.probability, ds.confidence, ds.factors, ds.signature
    ds.classification, ds.source = DSR_ISSPAM, DSS_ERROR
    ds.process(None, sig=ds.signature)   # it was spam

A context is not shared among threads; a store may be.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from typing import Final

from . import noise, signatures, training
from .algorithms import Hits, Totals, Weighed, confidence, score, token_value
from .constants import (
    DSA_BURTON,
    DSA_GRAHAM,
    DSF_BIAS,
    DSF_MERGED,
    DSF_NOISE,
    DSF_SIGNATURE,
    DSF_UNLEARN,
    DSF_WHITELIST,
    DSM_CLASSIFY,
    DSM_PROCESS,
    DSP_GRAHAM,
    DSR_ISINNOCENT,
    DSR_ISSPAM,
    DSR_NONE,
    DSS_CORPUS,
    DSS_ERROR,
    DSS_INOCULATION,
    DSS_NONE,
    DST_NOTRAIN,
    DST_TEFT,
    DST_TUM,
    DSZ_WORD,
)
from .drivers import error, open_default
from .memory import Storage, add_hits, add_totals
from .signatures import Seen, Signature, Standing, seen_in
from .tokenizers import TOKENIZERS, Limits, Token, Tokens, octets, read_text, token_key, tokenize
from .training import NO_HITS, Change

WHITELIST_THRESHOLD: Final = 10
"""More innocent messages than this from one From line, and no spam, whitelist it (dspam(1))."""
_FACTORS = 27
_CLASS_NAMES: Final = {DSR_ISSPAM: "Spam", DSR_ISINNOCENT: "Innocent"}


class ctx:
    """A context for the user `name`. Without a name it only tokenizes: it has no counts and no signatures.

    `mode` is DSM_PROCESS, DSM_CLASSIFY or DSM_TOOLS, `flags` a set of DSF_*.  With a `group`, the dictionary of the group is
    used in place of the user's. With DSF_MERGED as well, the user's own is used, and the group's is added for reading only.
    Signatures always belong to the user.  `second_opinion`, if set, is called after a message is classified and before anything
    is learned; the result (DSR_*) that it returns replaces the first one. `once`, if set, names the lesson that process() is
    about to teach; a dictionary is taught only once under a name. `home` is the directory of the store that attach() opens by
    default.
    """

    def __init__(
        self, name: str | None, mode: int, flags: int = 0, group: str | None = None, home: str | None = None
    ) -> None:
        if name == "":
            raise error("a user name is empty")
        self.username = name
        self.group = group
        self.home = home
        self.mode = mode
        self.flags = flags
        self.tokenizer = DSZ_WORD
        self.algorithms = DSA_GRAHAM | DSA_BURTON | DSP_GRAHAM
        self.training_mode = DST_TEFT
        self.classification = DSR_NONE
        self.source = DSS_NONE
        self.wh_threshold = WHITELIST_THRESHOLD
        self.second_opinion: Callable[[ctx], int] | None = None
        self.once = ""
        self.limits = Limits()
        self.attributes: dict[str, list[str]] = {}
        self._store: Storage | None = None
        self._destroyed = False
        self._forget()

    # What process() says.

    result: int
    """DSR_ISSPAM, DSR_ISINNOCENT, or DSR_NONE before anything was processed."""
    probability: float
    """0 (innocent) to 1 (spam)."""
    confidence: float
    """How sure the result is, 0 to 1."""
    factors: list[tuple[str, float]]
    """The tokens which decided, the most telling first, and their values."""
    signature: bytes | None
    """What retraining needs; None without DSF_SIGNATURE."""
    class_name: str
    """The result in a word: "Spam", "Innocent" or "Whitelisted"."""
    learned: bool
    """Did the last process() change the dictionary?"""

    def _forget(self) -> None:
        self.result = DSR_NONE
        self.probability = 0.0
        self.confidence = 0.0
        self.factors = []
        self.signature = None
        self.class_name = ""
        self.learned = False

    # Storage.

    @property
    def store(self) -> Storage:
        """The store. Raises error if none is attached."""
        if self._destroyed:
            raise error("the context was destroyed")
        if self._store is None:
            raise error("no storage is attached: call attach()")
        return self._store

    def attach(self, dbh: Storage | None = None) -> None:
        """Use this store, or the default one (`libdspam_init`)."""
        if self._destroyed:
            raise error("the context was destroyed")
        if self._store is not None:
            raise error("storage is attached already")
        self._store = dbh if dbh is not None else open_default(self.home)

    def detach(self) -> None:
        """Detach the store. The context keeps its results."""
        self._store = None

    def destroy(self) -> None:
        """Release everything. The context cannot be used afterwards. Calling it again is harmless."""
        self._store = None
        self._destroyed = True

    def __enter__(self) -> ctx:
        if self._store is None:
            self.attach()
        return self

    def __exit__(self, *raised: object) -> None:
        self.destroy()

    @property
    def _user(self) -> str:
        """The owner of the signatures. Raises error for a context without a user."""
        if self.username is None:
            raise error("the context has no user")
        return self.username

    @property
    def _dictionary(self) -> str:
        """The owner of the counts that are written."""
        return self.group if self.group and not self.flags & DSF_MERGED else self._user

    @property
    def _merged(self) -> str | None:
        """The owner of the counts that are read in addition."""
        return self.group if self.group and self.flags & DSF_MERGED else None

    @property
    def totals(self) -> Totals:
        """Eight numbers: spam and innocent messages learned, misclassified, fed from a corpus, only classified."""
        return Totals(*(max(0, number) for number in self.store.totals(self._dictionary)))

    def _totals_read(self) -> Totals:
        return add_totals(self.totals, self.store.totals(self._merged)) if self._merged else self.totals

    def _counts(self, keys: Iterable[int]) -> dict[int, Hits]:
        """The hits that this user sees. None is negative, even after untraining."""
        wanted = list(keys)
        found = dict(self.store.counts(self._dictionary, wanted))
        if self._merged:
            for key, hits in self.store.counts(self._merged, wanted).items():
                found[key] = add_hits(found.get(key, NO_HITS), hits)
        return {key: Hits(max(0, hits.spam), max(0, hits.innocent)) for key, hits in found.items()}

    # Attributes.

    def addattribute(self, key: str, val: str) -> None:
        """Add a value. "IgnoreHeader": a header field that is not read. Others are stored and ignored."""
        self.attributes.setdefault(key, []).append(val)

    def clearattributes(self) -> None:
        """Remove all attributes."""
        self.attributes.clear()

    def _ignored(self) -> frozenset[str]:
        return frozenset(value.strip().rstrip(":").lower() for value in self.attributes.get("IgnoreHeader", ()))

    # Signatures.

    def get_signature(self, sigid: str) -> bytes:
        """The signature of this id. Raises error if there is none."""
        found = self.store.get_signature(self._user, sigid)
        if found is None:
            raise error(f"no signature {sigid[:64]!r}")
        return found

    def set_signature(self, sigid: str, sig: bytes) -> None:
        """Keep a signature under this id."""
        self.store.set_signature(self._user, sigid, sig)

    def verify_signature(self, sigid: str) -> bool:
        """Whether there is a signature with this id."""
        return self.store.get_signature(self._user, sigid) is not None

    def delete_signature(self, sigid: str) -> None:
        """Delete the signature. Raises error if there is none."""
        if not self.store.delete_signature(self._user, sigid):
            raise error(f"no signature {sigid[:64]!r}")

    # Processing.

    def tokenize(self, header: str | bytes | None, body: str | bytes | None) -> dict[int, tuple[str, int]]:
        """The tokens of a header and a body: key to (name, frequency). Needs no storage and no user."""
        message = octets(header).rstrip(b"\r\n") + b"\n\n" + octets(body)
        return {key: (token.name, token.frequency) for key, token in self._tokens(message).table.items()}

    def _tokens(self, message: bytes) -> Tokens:
        if self.tokenizer not in TOKENIZERS:
            raise error(f"no such tokenizer: {self.tokenizer}")
        return tokenize(read_text(message, self.limits), self.tokenizer, self._ignored(), self.limits)

    def process(self, msg: str | bytes | None, sig: bytes | None = None) -> None:
        """Classify a message and learn from it, according to mode, training mode, classification and source.

        If a classification is set, the message is learned as that, from its signature (`sig`) or from its text. A signature
        without a message, or in DSM_CLASSIFY, is itself classified. Raises error for a contradictory request, and any exception
        of the store. No content of a message makes it raise."""
        self._check(msg, sig)
        self._forget()
        if self.classification != DSR_NONE:
            self._teach(self._given(msg, sig))
        elif sig is not None and (not msg or self.mode == DSM_CLASSIFY):
            self._classify_again(_unpacked(sig))
        else:
            self._classify(self._tokens(octets(msg)))

    def _check(self, message: str | bytes | None, sig: bytes | None) -> None:
        if self.mode not in {DSM_PROCESS, DSM_CLASSIFY}:
            raise error("this context does not process messages")
        if self.classification not in {DSR_ISSPAM, DSR_ISINNOCENT, DSR_NONE}:
            raise error(f"no such classification: {self.classification}")
        if self.source not in {DSS_ERROR, DSS_CORPUS, DSS_INOCULATION, DSS_NONE}:
            raise error(f"no such source: {self.source}")
        if (self.classification == DSR_NONE) != (self.source == DSS_NONE):
            raise error("classification and source go together")
        if self.classification != DSR_NONE and self.mode != DSM_PROCESS:
            raise error("only DSM_PROCESS learns")
        if message is None and sig is None:
            raise error("neither a message nor a signature")

    # ... of a message that somebody classified.

    def _given(self, message: str | bytes | None, sig: bytes | None) -> Signature:
        """The given signature, or the one that the message would have.

        Without a signature it is unknown what was learned. In the modes that learn everything, an error then implies that the
        opposite was learned, and unlearning implies that it was learned."""
        if sig is not None:
            return _unpacked(sig)
        tokens = self._tokens(octets(message))
        verdict = DSR_NONE
        if self.flags & DSF_UNLEARN:
            verdict = self.classification
        elif self.source == DSS_ERROR and self._mode_in_force() in {DST_TEFT, DST_TUM}:
            verdict = training.opposite(self.classification)
        standing = Standing.UNCOUNTED if verdict == DSR_NONE else Standing.LEARNED
        return Signature(verdict, standing, seen_in(tokens)).marked(verdict, standing, verdict != DSR_NONE)

    def _teach(self, given: Signature) -> None:
        """Learn a message as the class that was given."""
        verdict = self.classification
        self._conclude(verdict, float(verdict == DSR_ISSPAM), 1.0)
        change: Change | None
        if self.flags & DSF_UNLEARN:
            change = training.unlearn(given, verdict, self.source)
        elif self.source == DSS_ERROR:
            change = training.correct(given, verdict)
        elif self.source == DSS_CORPUS:
            change = training.feed(given, verdict)
        else:
            change = training.inoculate(given, verdict, self._counts(given.tokens))
        once = self.once
        if not once and given.serial and (self.source == DSS_ERROR or self.flags & DSF_UNLEARN):
            once = f"signature {given.serial:x}"
        self._apply(change, given, once)

    def _mode_in_force(self) -> int:
        return training.mode_in_force(self.training_mode, self._totals_read(), self.algorithms)

    # ... of a message that nobody classified.

    def _classify_again(self, given: Signature) -> None:
        """Classify from a signature. The message was processed before, so it is not learned again. Tokens have no names
        here."""
        table = {key: Token(f"{key:x}", 1, max(1, seen.frequency)) for key, seen in given.tokens.items()}
        self._judge(Tokens(table), self._counts(table), self._totals_read())
        self._apply(None, given)

    def _classify(self, tokens: Tokens) -> None:
        seen = seen_in(tokens)
        known = self._counts(seen)
        patterns = self._judge(tokens, known, self._totals_read())
        sender = known.get(tokens.sender, NO_HITS)
        whitelisting = bool(self.flags & DSF_WHITELIST and tokens.sender)
        if whitelisting and sender.innocent > self.wh_threshold and not sender.spam:
            self._conclude(DSR_ISINNOCENT, 0.0, 1.0, "Whitelisted")
        elif self.second_opinion is not None:
            self._conclude(self.second_opinion(self), self.probability, self.confidence)
        seen |= {key: Seen(1, False) for key in patterns}
        if self.mode != DSM_PROCESS or self.training_mode == DST_NOTRAIN:
            self._apply(None, Signature(self.result, Standing.UNCOUNTED, seen))
            return
        always = patterns | {tokens.sender} if whitelisting else patterns
        change = training.learn_own(seen, self.result, self._mode_in_force(), known, always)
        self._apply(change, change.signature, self.once)

    def _conclude(self, result: int, probability: float, confidence: float, class_name: str = "") -> None:
        self.result = result
        self.probability = probability
        self.confidence = confidence
        self.class_name = class_name or _CLASS_NAMES[result]

    def _apply(self, change: Change | None, given: Signature, once: str = "") -> None:
        """Write the changes, and set the signature."""
        if change is not None:
            deltas = {key: hits for key, hits in change.deltas.items() if any(hits)}
            done = self.store.train(self._dictionary, deltas, change.totals, once)
            self.learned = done and bool(deltas)
            given = change.signature
        self.signature = given.numbered().pack() if self.flags & DSF_SIGNATURE else None

    def _judge(self, tokens: Tokens, known: Mapping[int, Hits], totals: Totals) -> set[int]:
        """Set the results of process(). Returns the keys of the noise patterns, which are learned like tokens."""
        value = self._valuer(totals)
        values = {key: value(known.get(key, NO_HITS), token.words) for key, token in tokens.table.items()}
        dropped, patterns = self._noise(tokens, values, totals) if self.flags & DSF_NOISE else (set[int](), set[int]())
        weighed = [
            Weighed(key, values[key], token.frequency, token.words, sum(known.get(key, NO_HITS)))
            for key, token in tokens.table.items()
            if key not in dropped
        ]
        found = score(weighed, self.algorithms)
        result = DSR_ISSPAM if found.is_spam else DSR_ISINNOCENT
        self._conclude(result, found.probability, confidence(weighed, found, self.algorithms))
        deciding = list(dict.fromkeys(found.used))[:_FACTORS]
        self.factors = [(tokens.table[token.key].name, token.value) for token in deciding]
        return patterns

    def _valuer(self, totals: Totals) -> Callable[[Hits, int], float]:
        """A function from counts and number of words to a token's value, cached: most tokens of a message share a few
        counts."""
        bias = bool(self.flags & DSF_BIAS)
        cache: dict[tuple[Hits, int], float] = {}

        def value(hits: Hits, words: int) -> float:
            found = cache.get((hits, words))
            if found is None:
                found = token_value(hits, totals, self.algorithms, words, bias)
                cache[hits, words] = found
            return found

        return value

    def _noise(self, tokens: Tokens, values: Mapping[int, float], totals: Totals) -> tuple[set[int], set[int]]:
        """The tokens that are noise, and the keys of all patterns of the message."""
        streams = list(zip(("s", "c"), tokens.streams, strict=True))
        names = {name for kind, stream in streams for name, _ in noise.patterns(stream, values, kind)}
        keys = {name: token_key(name) for name in names}
        dropped: set[int] = set()
        counter = token_key(noise.COUNTER)
        if totals.innocent_learned + totals.innocent_classified >= noise.MATURITY:
            known = self._counts([*keys.values(), counter])
            messages = known.get(counter, NO_HITS)
            value = self._valuer(Totals(messages.spam, messages.innocent))
            worth = {name: value(known[key], 1) if key in known else 0.5 for name, key in keys.items()}
            for kind, stream in streams:
                dropped |= noise.noise(stream, values, worth.__getitem__, kind)
        return dropped, {*keys.values(), counter} if keys else set()


def _unpacked(sig: bytes | None) -> Signature:
    try:
        return signatures.unpack(bytes(sig or b""))
    except ValueError as problem:
        raise error(str(problem)) from problem
