"""The plots of an evaluation: the effect of the threshold, and the speed of learning."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
from matplotlib.figure import Figure

from antispam.learning.figures import Judged, curve

_LEAST = 0.01  # percent; the left end of the logarithmic axes


def draw(path: Path, judged: Sequence[Judged]) -> None:
    """Write a PNG. Raises OSError."""
    picture = Figure(figsize=(11, 4.6), layout="constrained")
    roc, learning = picture.subplots(1, 2)
    lost, missed = curve(judged)
    roc.plot(np.maximum(lost, _LEAST), np.maximum(missed, _LEAST), drawstyle="steps-post")
    roc.set(xscale="log", yscale="log", xlim=(_LEAST, 100), ylim=(_LEAST, 100))
    roc.set(xlabel="ham lost, %", ylabel="spam missed, %", title="What each threshold would cost")
    roc.axvline(0.1, color="grey", linewidth=0.8, linestyle=":")
    roc.grid(alpha=0.3)
    for axis in (roc.xaxis, roc.yaxis):
        axis.set_major_formatter("{x:g}")
    number = np.arange(1, len(judged) + 1)
    for label, is_spam, colour in (("spam missed", True, "tab:red"), ("ham lost", False, "tab:blue")):
        wrong = np.cumsum([one.is_spam is is_spam and one.called_spam is not is_spam for one in judged])
        learning.plot(number, wrong, label=label, color=colour)
    learning.set(xlabel="messages seen", ylabel="messages wrong so far", title="How it learned")
    learning.legend()
    learning.grid(alpha=0.3)
    picture.savefig(path, format="png", dpi=110)
