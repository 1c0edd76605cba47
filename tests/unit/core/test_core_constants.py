"""The constants are those of the installed libmilter, under pymilter's names."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

import milter

HEADERS = [Path("/usr/include/libmilter/mfapi.h"), Path("/usr/include/libmilter/mfdef.h")]
DEFINITION = re.compile(r"^#\s*define\s+(SMFI[SFPM]_|SMFI_|MI_)(\w+)\s+\(?(-?\w+?)L?\)?(?:\s|$)", re.MULTILINE)
# pymilter's rule: actions and answers keep no prefix, steps get P_, macro stages M_.
PREFIXES = {"SMFIS_": "", "SMFIF_": "", "SMFIP_": "P_", "SMFIM_": "M_", "SMFI_": "", "MI_": ""}
# Internal to libmilter and the MTA by the headers' own words, or only defined in a build with an experiment switched on.
NOT_FOR_MILTERS = {
    "SMFIM_NOMACROS",
    "SMFIM_FIRST",
    "SMFIM_LAST",
    "SMFI_INTERNAL",
    "SMFI_VERSION_MDS",
    "SMFIP_TEST",
    "MI_CONTINUE",
}


def _defined() -> dict[str, str]:
    text = "\n".join(path.read_text(encoding="latin-1") for path in HEADERS)
    return {prefix + name: value for prefix, name, value in DEFINITION.findall(text)}


def _value(name: str, defined: dict[str, str]) -> int:
    value = defined[name]
    return _value(value, defined) if value in defined else int(value, 0)


@pytest.mark.skipif(not all(path.exists() for path in HEADERS), reason="needs libmilter-dev")
def test_every_constant_of_the_headers_is_there_with_its_value() -> None:
    defined = _defined()
    assert len(defined) > 50
    wrong = {}
    for name in defined.keys() - NOT_FOR_MILTERS - {"SMFI_VERSION"}:
        prefix = next(prefix for prefix in PREFIXES if name.startswith(prefix))
        ours = getattr(milter, PREFIXES[prefix] + name.removeprefix(prefix), None)
        if ours != _value(name, defined):
            wrong[name] = ours
    assert wrong == {}


# As listed by dir() of pymilter 1.0.5's module.
PYMILTER_CONSTANTS = {
    "ACCEPT": 3, "ADDHDRS": 1, "ADDRCPT": 4, "ADDRCPT_PAR": 128, "ALL_OPTS": 10, "CHGBODY": 2, "CHGFROM": 64,
    "CHGHDRS": 16, "CONTINUE": 0, "CURR_ACTS": 511, "DELRCPT": 8, "DISCARD": 2, "FAILURE": -1, "MODBODY": 2,
    "M_CONNECT": 0, "M_DATA": 4, "M_ENVFROM": 2, "M_ENVRCPT": 3, "M_EOH": 6, "M_EOM": 5, "M_HELO": 1, "NOREPLY": 7,
    "P_HDR_LEADSPC": 1048576, "P_NOBODY": 16, "P_NOCONNECT": 1, "P_NODATA": 512, "P_NOEOH": 64, "P_NOHDRS": 32,
    "P_NOHELO": 2, "P_NOMAIL": 4, "P_NORCPT": 8, "P_NOUNKNOWN": 256, "P_NR_BODY": 524288, "P_NR_CONN": 4096,
    "P_NR_DATA": 65536, "P_NR_EOH": 262144, "P_NR_HDR": 128, "P_NR_HELO": 8192, "P_NR_MAIL": 16384,
    "P_NR_RCPT": 32768, "P_NR_UNKN": 131072, "P_RCPT_REJ": 2048, "P_SKIP": 1024, "QUARANTINE": 32, "REJECT": 1,
    "SETSYMLIST": 256, "SKIP": 8, "SUCCESS": 0, "TEMPFAIL": 4, "V1_ACTS": 15, "V2_ACTS": 63, "VERSION": 16777217,
}  # fmt: skip


@pytest.mark.parametrize(("name", "value"), PYMILTER_CONSTANTS.items())
def test_pymilters_constants_have_their_values(name: str, value: int) -> None:
    assert getattr(milter, name) == value


def test_version_is_that_of_the_library_at_run_time() -> None:
    major, _minor, _patch = milter.getversion()
    assert major == 1
