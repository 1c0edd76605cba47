"""SpamAssassin 4 as Debian ships it, without network and without Bayes, unpacked and not installed."""

from __future__ import annotations

import os
import subprocess
import tempfile
from collections.abc import Sequence
from pathlib import Path

from tests.bench.untrained.collections import Mail, UnavailableError
from tests.bench.untrained.debian import library, unpacked

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
    root = unpacked("spamassassin", cache)
    with tempfile.TemporaryDirectory(prefix="untrained-") as folder:
        paths = []
        for number, mail in enumerate(mails):
            path = Path(folder) / str(number)
            path.write_bytes(mail.raw)
            paths.append(str(path))
        perl = sorted((library(root) / "perl5").glob("*"))
        environment = {
            **os.environ,
            "PERL5LIB": ":".join(map(str, [root / "usr/share/perl5", *perl])),
            "LD_LIBRARY_PATH": str(library(root)),
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
