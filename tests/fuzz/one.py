"""Feeds one parser from atheris: python -m fuzz.one PARSER [what libFuzzer takes]."""

from __future__ import annotations

import sys

import atheris

# All that reads hostile input, so that the fuzzer sees which branch an input takes.
with atheris.instrument_imports(include=["antispam", "dspam", "gossip", "Milter", "_mimetree", "_charsets"]):
    from fuzz.parsers import PARSERS

if __name__ == "__main__":
    atheris.Setup([sys.argv[0], *sys.argv[2:]], PARSERS[sys.argv[1]])
    atheris.Fuzz()
