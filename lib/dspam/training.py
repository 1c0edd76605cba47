"""The effect of learning: pure functions from a message's signature to deltas of counts and totals.

The sources of a verdict and the training modes are those of DSPAM's README (1.5, --source and --mode) and its section 2.2 on
inoculation.  Hits count messages, not words: a message adds one to each of its tokens, however often it repeats it.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from typing import Final, NamedTuple

from .algorithms import Hits, Totals
from .constants import (
    DSP_MARKOV,
    DSR_ISINNOCENT,
    DSR_ISSPAM,
    DSR_NONE,
    DSS_CORPUS,
    DSS_ERROR,
    DST_TEFT,
    DST_TOE,
    DST_TUM,
)
from .memory import add_hits, add_totals
from .signatures import Seen, Signature, Standing

TOE_MATURITY: Final = 100
"""Messages of each kind up to which train-on-error learns everything."""
TUM_MATURITY: Final = 50
"""Hits from which a token is mature: train-until-mature leaves it alone."""
NO_HITS: Final = Hits(0, 0)


class Change(NamedTuple):
    """What to add to counts and totals, and the new signature of the message."""

    deltas: Mapping[int, Hits]
    totals: Totals
    signature: Signature


def mode_in_force(training_mode: int, totals: Totals, algorithms: int) -> int:
    """The training mode in force. Train-on-error in a young dictionary learns everything, and so undoes everything.

    Markov values need no such start.
    """
    young = totals.innocent_learned <= TOE_MATURITY or totals.spam_learned <= TOE_MATURITY
    return DST_TEFT if training_mode == DST_TOE and young and not algorithms & DSP_MARKOV else training_mode


def hits(verdict: int, count: int = 1) -> Hits:
    """That many hits on the side of the verdict."""
    return Hits(count, 0) if verdict == DSR_ISSPAM else Hits(0, count)


def opposite(verdict: int) -> int:
    """Spam for innocent, innocent for spam."""
    return DSR_ISINNOCENT if verdict == DSR_ISSPAM else DSR_ISSPAM


def learned(verdict: int, count: int = 1) -> Totals:
    """That many messages learned."""
    return Totals(spam_learned=count) if verdict == DSR_ISSPAM else Totals(innocent_learned=count)


def misclassified(verdict: int) -> Totals:
    """One message of this class was classified as the other."""
    return Totals(spam_misclassified=1) if verdict == DSR_ISSPAM else Totals(innocent_misclassified=1)


def corpusfed(verdict: int, count: int = 1) -> Totals:
    """That many messages fed from a corpus."""
    return Totals(spam_corpusfed=count) if verdict == DSR_ISSPAM else Totals(innocent_corpusfed=count)


def classified(verdict: int, count: int = 1) -> Totals:
    """That many messages classified but not learned."""
    return Totals(spam_classified=count) if verdict == DSR_ISSPAM else Totals(innocent_classified=count)


_NO_TOTALS: Final = Totals()


def _counted(given: Signature) -> Totals:
    """The contribution of this message to the totals."""
    if given.verdict == DSR_NONE or given.standing == Standing.UNCOUNTED:
        return _NO_TOTALS
    return learned(given.verdict) if given.standing == Standing.LEARNED else classified(given.verdict)


def _minus(totals: Totals) -> Totals:
    return Totals(*(-count for count in totals))


def correct(given: Signature, verdict: int) -> Change | None:
    """DSS_ERROR: undo what was learned from the message, and learn it as this class.

    None if it is already learned as this class: reporting a message twice has the effect of once.
    """
    if given.verdict == verdict and given.standing == Standing.LEARNED:
        return None
    back = hits(given.verdict, -1)
    forward = hits(verdict)
    deltas = {key: add_hits(forward, back) if seen.learned else forward for key, seen in given.tokens.items()}
    totals = add_totals(learned(verdict), _minus(_counted(given)))
    if given.verdict != verdict:
        totals = add_totals(totals, misclassified(verdict))
    return Change(deltas, totals, given.marked(verdict, Standing.LEARNED, True))


def feed(given: Signature, verdict: int) -> Change:
    """DSS_CORPUS: learn a message that was not processed before; nothing is taken back."""
    totals = add_totals(learned(verdict), corpusfed(verdict))
    return Change(dict.fromkeys(given.tokens, hits(verdict)), totals, given.marked(verdict, Standing.LEARNED, True))


def inoculate(given: Signature, verdict: int, known: Mapping[int, Hits]) -> Change:
    """DSS_INOCULATION: a token that is hardly known is hit five times, each other one twice.

    Hardly known: fewer than five hits of this kind, and fewer than two of the other.  The totals count one message all the
    same, which nobody classified before, as from a corpus: it is the tokens that are to weigh more.
    """
    deltas = {key: hits(verdict, 5 if _hardly_known(known.get(key, NO_HITS), verdict) else 2) for key in given.tokens}
    totals = add_totals(learned(verdict), corpusfed(verdict))
    return Change(deltas, totals, given.marked(verdict, Standing.LEARNED, True))


def _hardly_known(seen: Hits, verdict: int) -> bool:
    same, other = seen if verdict == DSR_ISSPAM else reversed(seen)
    return same < 5 and other < 2


def unlearn(given: Signature, verdict: int, source: int) -> Change | None:
    """DSF_UNLEARN: take back that the message was learned as this, from whatever source but inoculation.

    None if the signature says that it was not learned.
    """
    if given.verdict != verdict or given.standing != Standing.LEARNED:
        return None
    deltas = {key: hits(verdict, -1) for key, seen in given.tokens.items() if seen.learned}
    totals = learned(verdict, -1)
    if source == DSS_CORPUS:
        totals = add_totals(totals, corpusfed(verdict, -1))
    elif source == DSS_ERROR:
        totals = add_totals(totals, _minus(misclassified(verdict)))
    return Change(deltas, totals, given.marked(DSR_NONE, Standing.UNCOUNTED, False))


def learn_own(
    seen: Mapping[int, Seen],
    verdict: int,
    training_mode: int,
    known: Mapping[int, Hits],
    always: Collection[int] = (),
) -> Change:
    """Learn what process() found itself: TEFT everything; TOE nothing, but counts the message; TUM tokens not mature yet.

    `training_mode` is the one in force.  `always` are tokens that every mode learns: whitelisting needs each From line
    counted, and noise reduction each pattern.
    """
    standing = Standing.LEARNED
    chosen: Collection[int] = seen.keys()
    if training_mode == DST_TOE:
        standing, chosen = Standing.CLASSIFIED, always
    elif training_mode == DST_TUM:
        chosen = {key for key in seen if key in always or sum(known.get(key, NO_HITS)) < TUM_MATURITY}
    tokens = {key: Seen(one.frequency, key in chosen) for key, one in seen.items()}
    signature = Signature(verdict, standing, tokens)
    deltas = {key: hits(verdict) for key, one in tokens.items() if one.learned}
    return Change(deltas, _counted(signature), signature)
