"""The Debian package on Debian 12 and 13, each in folders, looked at by lintian. Arguments are the releases to try.

Needs root, Debian's mirror and PyPI.
"""

from __future__ import annotations

import sys
import time
from pathlib import Path

from support import debian_package
from support.fresh_debian import ON_DISK, archive
from support.processes import RunDirectory


def main() -> None:
    for suite in sys.argv[1:] or ["bookworm", "trixie"]:
        began = time.monotonic()
        with RunDirectory("deb", ON_DISK) as run:
            debian = archive(suite)
            package: Path = debian_package.build(debian, run.path, lint=True)
            print(f"{suite}: {package.name} has {package.stat().st_size >> 20} MB; lintian is content")
            debian_package.live_with(debian, package)
        print(f"{suite}: installed, run, upgraded and purged, {time.monotonic() - began:.0f} s in all")


if __name__ == "__main__":
    main()
