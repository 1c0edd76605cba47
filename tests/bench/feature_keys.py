"""One number for what `dspam.features.extract` makes of all messages below some folders.

    python tests/bench/feature_keys.py [FOLDER...]    without one: the SpamAssassin corpus, fetched if need be

Keys are stored, so a change that is to make the extraction faster must print the same number before and after. Messages are
also read cut off, and with their lines in CRLF, so that less usual ways through the code are taken too.
"""

from __future__ import annotations

import hashlib
import sys
import time
from collections.abc import Iterator
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from dspam.features import extract
from support import corpus


def variants(raw: bytes) -> Iterator[bytes]:
    """The message as it is, and what is odd about it made odder."""
    yield raw
    yield raw.replace(b"\n", b"\r\n")
    yield raw[: len(raw) // 2]
    yield raw[len(raw) // 3 :]
    yield raw.replace(b"text/plain", b"text/html").replace(b"a", b"\xc3\xa4")


def main(arguments: list[str]) -> int:
    """Print the digest, and how long extraction took of the processor's time."""
    folders = [Path(argument) for argument in arguments] or [corpus.fetch()]
    files = sorted(path for folder in folders for path in folder.rglob("*") if path.is_file())
    digest, count, spent = hashlib.sha256(), 0, 0.0
    for file in files:
        for raw in variants(file.read_bytes()):
            start = time.process_time()
            keys = extract(raw)
            spent += time.process_time() - start
            digest.update(len(keys).to_bytes(8, "little") + keys.astype("<i8").tobytes())
            count += 1
    print(f"{digest.hexdigest()}  {count} messages, {spent / max(1, count) * 1e3:.3f} ms each")
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
