"""The statistical filter: the successor of libdspam, with the API of pydspam.

    import dspam
    dspam.libdspam_init(store)
    with dspam.ctx("bob", dspam.DSM_PROCESS, dspam.DSF_SIGNATURE) as ds:
        ds.process(message)
        if ds.result == dspam.DSR_ISSPAM: ...

docs/dspam.md describes it. The constants are in `constants`, the context is in `context`. It is built from pure functions in
`tokenizers`, `algorithms`, `noise` and `training`.
"""

from __future__ import annotations

from .constants import (
    DSA_BURTON,
    DSA_CHI_SQUARE,
    DSA_GRAHAM,
    DSA_NAIVE,
    DSA_ROBINSON,
    DSF_BIAS,
    DSF_MERGED,
    DSF_NOISE,
    DSF_SIGNATURE,
    DSF_UNLEARN,
    DSF_WHITELIST,
    DSM_CLASSIFY,
    DSM_NONE,
    DSM_PROCESS,
    DSM_TOOLS,
    DSP_GRAHAM,
    DSP_MARKOV,
    DSP_ROBINSON,
    DSR_ISINNOCENT,
    DSR_ISSPAM,
    DSR_NONE,
    DSS_CORPUS,
    DSS_ERROR,
    DSS_INOCULATION,
    DSS_NONE,
    DST_DEFAULT,
    DST_NOTRAIN,
    DST_TEFT,
    DST_TOE,
    DST_TUM,
    DSZ_CHAIN,
    DSZ_OSB,
    DSZ_SBPH,
    DSZ_WORD,
    LIBDSPAM_VERSION,
)
from .context import ctx
from .directories import free_fcntl_lock, get_fcntl_lock, userdir
from .drivers import CONFIGURE_ARGS, error, libdspam_init, libdspam_shutdown, set_debug, set_verified_user

dspam = ctx
"""The name that pydspam's contexts had first."""

__all__ = [
    "CONFIGURE_ARGS",
    "DSA_BURTON",
    "DSA_CHI_SQUARE",
    "DSA_GRAHAM",
    "DSA_NAIVE",
    "DSA_ROBINSON",
    "DSF_BIAS",
    "DSF_MERGED",
    "DSF_NOISE",
    "DSF_SIGNATURE",
    "DSF_UNLEARN",
    "DSF_WHITELIST",
    "DSM_CLASSIFY",
    "DSM_NONE",
    "DSM_PROCESS",
    "DSM_TOOLS",
    "DSP_GRAHAM",
    "DSP_MARKOV",
    "DSP_ROBINSON",
    "DSR_ISINNOCENT",
    "DSR_ISSPAM",
    "DSR_NONE",
    "DSS_CORPUS",
    "DSS_ERROR",
    "DSS_INOCULATION",
    "DSS_NONE",
    "DST_DEFAULT",
    "DST_NOTRAIN",
    "DST_TEFT",
    "DST_TOE",
    "DST_TUM",
    "DSZ_CHAIN",
    "DSZ_OSB",
    "DSZ_SBPH",
    "DSZ_WORD",
    "LIBDSPAM_VERSION",
    "ctx",
    "dspam",
    "error",
    "free_fcntl_lock",
    "get_fcntl_lock",
    "libdspam_init",
    "libdspam_shutdown",
    "set_debug",
    "set_verified_user",
    "userdir",
]
