"""SpamAssassin 4 as Debian ships it, without network and without Bayes, unpacked and not installed."""

from __future__ import annotations

import os
import subprocess
import tempfile
from collections.abc import Sequence
from pathlib import Path

from tests.bench.untrained.collections import Mail, UnavailableError

MARK = 5.0  # its own threshold
_PROGRAM = """\
use strict; use warnings; use Mail::SpamAssassin;
my ($root, $home) = @ARGV;
my $filter = Mail::SpamAssassin->new({
  local_tests_only => 1, dont_copy_prefs => 1, userprefs_filename => '/dev/null', home_dir_for_helpers => $home,
  rules_filename => "$root/usr/share/spamassassin", site_rules_filename => "$root/etc/spamassassin",
});
$filter->init(1);
while (my $path = <STDIN>) {
  chomp $path;
  open(my $file, '<:raw', $path) or die;
  my $raw = do { local $/; <$file> };
  my $mail = $filter->parse($raw);
  my $status = $filter->check($mail);
  printf "%.2f\\n", $status->get_score;
  $status->finish; $mail->finish;
}
"""


def scores(mails: Sequence[Mail], cache: Path) -> list[float]:
    """Its score of each message. Raises UnavailableError."""
    root = _unpacked(cache)
    with tempfile.TemporaryDirectory(prefix="untrained-") as folder:
        paths = []
        for number, mail in enumerate(mails):
            path = Path(folder) / str(number)
            path.write_bytes(mail.raw)
            paths.append(str(path))
        library = next(iter(sorted((root / "usr/lib").glob("*-linux-gnu"))), root)
        perl = sorted((library / "perl5").glob("*"))
        environment = {
            **os.environ,
            "PERL5LIB": ":".join(map(str, [root / "usr/share/perl5", *perl])),
            "LD_LIBRARY_PATH": str(library),
        }
        done = subprocess.run(
            ["perl", "-e", _PROGRAM, str(root), folder],
            input="".join(f"{path}\n" for path in paths),
            capture_output=True,
            text=True,
            env=environment,
            check=False,
        )
    told = done.stdout.split()
    if len(told) != len(mails):
        raise UnavailableError(f"SpamAssassin: {done.stderr.strip().rpartition(chr(10))[2]}")
    return [float(one) for one in told]


def _unpacked(cache: Path) -> Path:
    """The folder with Debian's packages. Nothing is installed, and no service is started."""
    folder = cache / "spamassassin"
    if (folder / "ready").exists():
        return folder
    folder.mkdir(parents=True, exist_ok=True)
    try:
        planned = _run(["apt-get", "-s", "-q", "--no-install-recommends", "install", "spamassassin"], folder)
        packages = [line.split()[1] for line in planned.splitlines() if line.startswith("Inst ")]
        _run(["apt-get", "-q", "-o", "APT::Sandbox::User=root", "download", *packages], folder)
        for package in folder.glob("*.deb"):
            _run(["dpkg", "-x", str(package), str(folder)], folder)
            package.unlink()
    except (OSError, subprocess.CalledProcessError) as error:
        raise UnavailableError(f"SpamAssassin: {error}") from error
    (folder / "ready").touch()
    return folder


def _run(command: list[str], folder: Path) -> str:
    return subprocess.run(command, cwd=folder, capture_output=True, text=True, check=True, timeout=600).stdout
