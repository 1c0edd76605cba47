"""pydspam's own tests on our modules `dspam` and `Dspam`.

The newest source archive on PyPI, 1.3.2, is fetched when the tests run, checked against its known digest and kept in .cache/;
none of it is in this repository. Its tests are written in Python 2, and are ported here as pydspam 1.4.0 ports them. Each
module has four, and all are run.
"""

from __future__ import annotations

import hashlib
import json
import os
import re
import subprocess
import sys
import tarfile
from pathlib import Path

import pytest

from support.sources import extract_all

HERE = Path(__file__).resolve().parent
REPOSITORY = HERE.parents[1]
CACHE = REPOSITORY / ".cache" / "pydspam-1.3.2"
ARCHIVE = CACHE / "pydspam-1.3.2.tar.gz"
DIGEST = "2bf3599db4d98969898c948a139e571fe44ec056a703f7ae5265d2ab6c1e1439"

# From Python 2 to 3. Each must be found in at least one of the two modules.
PORT = [
    (r"^import bsddb\n", ""),
    (r"email\.Parser import Parser", "email.parser import BytesParser as Parser"),
    (r"\b006\b", "0o006"),
    (r"except dspam\.error,x", "except dspam.error as x"),
    (r"^(\s*)print\b(.*)$", r"\1print((\2))"),
    (r"\bxrange\b", "range"),
    (r"\.iteritems\(", ".items("),
    (r"\bfailUnless\b", "assertTrue"),
    (r"\bfailIf\b", "assertFalse"),
    (r"open\(((?:os\.path\.join\()?'test'?/?[^)]*\)?)\)\.read", r"open(\1,'rb').read"),
    (r"\bfile\(('test/[^']*')\)", r"open(\1,'rb')"),
    (r"(?<!b)'\\n'\.join\((?=msg|lines)", r"b'\\n'.join("),
    (r"\.replace\('\\0',''\)", r".replace(b'\\0',b'')"),
    (r'^(\s*lines\[\d\] = )"', r'\1b"'),
    (r'find\("Q2Xet"\)', 'find(b"Q2Xet")'),
    (r"\.as_string\(\)", ".as_bytes()"),
    (r"mailbox\.PortableUnixMailbox\(fp,", "iter(mailbox.mbox(mbox,"),
    (r"(mailbox\.mbox\(mbox,parser\.parse\))", r"\1)"),
    (r"\bmb\.next\(\)", "next(mb)"),
    # 1.3.2 asks for the signature of a text; 1.4.0 for that of the tag in it.
    (r"^(\s*)tag = Dspam\.extract", r"\1txt, tag = Dspam.extract"),
    # Ours stands within the document, and so before the tag that is behind its end.
    (r"sigkey,tags\[1\]", "sigkey,tags[0]"),
    (r"('TESTING123LONGTAG',)tags\[0\]", r"\1tags[1]"),
]


def fetch() -> str:
    """Fetch the archive unless it is there; returns why that is impossible, or ""."""
    if not ARCHIVE.exists():
        CACHE.mkdir(parents=True, exist_ok=True)
        command = [sys.executable, "-m", "pip", "--quiet", "--disable-pip-version-check", "download"]
        command += ["--no-deps", "--no-binary", "pydspam", "--dest", str(CACHE), "pydspam==1.3.2"]
        done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=300)
        if done.returncode:
            return "pydspam's source archive cannot be fetched from PyPI: " + done.stderr.strip().rpartition("\n")[2]
    if hashlib.sha256(ARCHIVE.read_bytes()).hexdigest() != DIGEST:
        return f"{ARCHIVE} is not the archive that PyPI published"
    return ""


@pytest.fixture(scope="module")
def source(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The unpacked archive with ported tests, and without the module that ours replaces."""
    if problem := fetch():
        if os.environ.get("CI") == "true":
            pytest.fail(problem, pytrace=False)
        pytest.skip(problem)
    place = tmp_path_factory.mktemp("pydspam")
    with tarfile.open(ARCHIVE) as archive:
        extract_all(archive, place)
    unpacked = place / "pydspam-1.3.2"
    (unpacked / "Dspam.py").unlink()
    unused = {pattern for pattern, _ in PORT}
    for name in ("testdspam.py", "testDspam.py"):
        text = (unpacked / name).read_text().expandtabs()
        for pattern, replacement in PORT:
            text, count = re.subn(pattern, replacement, text, flags=re.MULTILINE)
            unused -= {pattern} if count else set()
        (unpacked / name).write_text(text)
    assert not unused
    return unpacked


@pytest.mark.parametrize("module", ["testdspam", "testDspam"])
def test_pydspams_own_tests_pass(source: Path, module: str) -> None:
    done = subprocess.run(
        [sys.executable, "-W", "ignore", str(HERE / "run_pydspam.py"), module],
        cwd=source,
        env={**os.environ, "PYTHONPATH": os.pathsep.join([str(REPOSITORY / "lib"), str(source)])},
        capture_output=True,
        text=True,
        errors="replace",
        check=False,
        timeout=300,
    )
    assert done.returncode == 0, done.stderr[-4000:]
    assert json.loads(done.stdout.splitlines()[-1]) == {"run": 4, "failed": 0, "skipped": 0}
