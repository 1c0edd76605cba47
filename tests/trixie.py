"""The unit tests on Debian 13, in a folder: Python 3.13, libmilter 8.18. Arguments go to pytest.

Needs root, Debian's mirror and PyPI.
"""

from __future__ import annotations

import shlex
import sys

from support.fresh_debian import Block, FreshDebian, archive

PACKAGES = (
    "python3 python3-venv python3-dev gcc libc6-dev libmilter-dev libmilter1.0.1 git make procps util-linux bsdutils"
)
PREPARE = f"""apt-get update -q
apt-get install -q -y --no-install-recommends {PACKAGES} libarchive13
python3 -m venv /opt/venv
/opt/venv/bin/pip install --quiet --disable-pip-version-check -e '.[test]'
"""


def main() -> None:
    """Some of the tests ask PyPI for other people's programs to compare with, so that they get the machine's network."""
    wanted = shlex.join(sys.argv[1:] or ["--numprocesses=2"])
    tests = f'/opt/venv/bin/python -m pytest -q tests/unit tests/journeys -m "not servers" {wanted}\n'
    with FreshDebian(archive("trixie"), tests=True) as debian:
        debian.type(Block(PREPARE, download=True), seconds=1200, shown=True)
        debian.type(Block("/opt/venv/bin/python --version\n" + tests, download=True), seconds=3600, shown=True)


if __name__ == "__main__":
    main()
