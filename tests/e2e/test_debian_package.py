"""The Debian package is built in one fresh Debian 12, and installed, run, upgraded and purged in another.

`make test-deb` does the same on Debian 13, too, and has lintian look at the packages, which takes some minutes more.
"""

from __future__ import annotations

from pathlib import Path

import pytest

from support import debian_package
from support.fresh_debian import archive

pytestmark = [pytest.mark.servers, pytest.mark.usefixtures("servers")]


def test_the_package_is_installed_runs_is_upgraded_and_goes(tmp_path: Path) -> None:
    debian = archive()
    debian_package.live_with(debian, debian_package.build(debian, tmp_path))
