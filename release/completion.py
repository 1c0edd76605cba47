"""What bash, zsh and fish read to complete the commands and options of the programs; part of `make man`.

Usage: python -m release.completion FOLDER. The files ask the program itself at each Tab, so that they never are out of date.
"""

from __future__ import annotations

import sys
from pathlib import Path

from click.shell_completion import ShellComplete, get_completion_class

from release.programs import PROGRAMS

PLACES = {
    "bash": "bash-completion/completions/{}",
    "zsh": "zsh/vendor-completions/_{}",
    "fish": "fish/vendor_completions.d/{}.fish",
}


def script(name: str, shell: str) -> str:
    """What the shell reads for the program `name`."""
    made = get_completion_class(shell)
    assert made is not None
    variable = f"_{name}_COMPLETE".replace("-", "_").upper()
    # Without what click does before: it asks the bash of this machine for its version.
    return ShellComplete.source(made(PROGRAMS[name], {}, name, variable))


def write(folder: Path) -> list[Path]:
    """Write all of them below `folder`, where /usr/share has them."""
    made = []
    for shell, place in PLACES.items():
        for name in PROGRAMS:
            path = folder / place.format(name)
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(script(name, shell), encoding="utf-8")
            made.append(path)
    return made


if __name__ == "__main__":
    print(f"{len(write(Path(sys.argv[1])))} files are in {sys.argv[1]}.")
