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
    wanted = shlex.join(sys.argv[1:] or ["--numprocesses=2"])
    tests = f'VENV=/opt/venv /opt/venv/bin/python -m pytest -q tests/unit tests/journeys -m "not servers" {wanted}\n'
    with FreshDebian(archive("trixie"), tests=True) as debian:
        print(debian.type(Block(PREPARE, download=True)))
        print(debian.type(Block("/opt/venv/bin/python --version\n" + tests, download=False), seconds=3600))


if __name__ == "__main__":
    main()
