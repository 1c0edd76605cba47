"""A milter of its own on the checks of bms.py, under its supervisor: SPF, and nobody may send from a free mail provider as us.

python with_checks.py --config FILE
"""

import dataclasses
from typing import ClassVar

from antispam.checks import auth, connection, spf, spf_fail
from antispam.commands.program import make_group
from antispam.journey.table import Accepted, Journey, Row, Scope, Stage
from antispam.mail import findings
from antispam.mail.evidence import SpfFinding
from antispam.mail.verdicts import CONTINUE, reject
from antispam.settings import CheckSettings, option, section
from antispam.text import from_wire


class display_name:
    """A check is anything with these names; a module of antispam.checks has them, and so may a class."""

    NAME = "display_name"

    @section("display_name")
    class Settings(CheckSettings):
        """[display_name]: From fields that call themselves by our name."""

        ours: tuple[str, ...] = option((), "names that only our own users have")

    @dataclasses.dataclass(frozen=True, kw_only=True)
    class Finding(findings.Finding):
        """How the author is called."""

        check: ClassVar[str] = "display_name"
        name: str

    @staticmethod
    def collect(connection, message, recipient, services):
        names = [header.decoded.partition("<")[0].strip(' "') for header in message.fields(b"From")]
        return display_name.Finding(name=from_wire(names[0], 100)) if names else None

    @staticmethod
    def decide(finding, findings, settings, policy):
        inside = findings.get(SpfFinding) is None  # of our own users SPF asks nothing
        if inside or finding.name.lower() not in map(str.lower, settings.ours):
            return CONTINUE
        return reject(f"{finding.name} is one of us; please write under another name.", f"calls itself {finding.name}")


JOURNEY = Journey(
    [
        Row(Stage.CONNECT, Scope.CONNECTION, connection, asks="who is this client to us?"),
        Row(Stage.MAIL, Scope.MESSAGE, auth, needs=("connection",), accepted=Accepted.DECIDE, asks="did it log in?"),
        Row(Stage.MAIL, Scope.MESSAGE, spf, needs=("connection", "auth"), asks="may it use this sender?"),
        Row(Stage.END, Scope.MESSAGE, spf_fail, needs=("spf",), asks="does anything vouch for it all the same?"),
        Row(Stage.END, Scope.MESSAGE, display_name, needs=("spf",), asks="does it call itself by our name?"),
    ]
)

main = make_group(JOURNEY, "with-checks", "SPF and our own names.", config="/etc/mail/with-checks.cfg")

if __name__ == "__main__":
    main()
