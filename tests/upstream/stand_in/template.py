"""Stands in for ``template``, which pymilter's testsample imports and its source archive does not contain.

All that the test wants is a milter class ``myMilter`` that goes on at each step and leaves the body alone. This one
keeps the message, parses it at the end and asks for one more recipient, as a first milter of one's own might.
"""

from __future__ import annotations

import email
import email.policy
from io import BytesIO

import Milter
from Milter.utils import parse_addr


class myMilter(Milter.Base):  # the name that the test expects
    def __init__(self) -> None:
        self.id = Milter.uniqueID()

    @Milter.noreply
    def connect(self, hostname: str, family: int, hostaddr: tuple[str, int]) -> int:
        self.address, self.port = hostaddr[0], hostaddr[1]
        return Milter.CONTINUE

    def hello(self, hostname: str) -> int:
        return Milter.CONTINUE if "." in hostname else Milter.REJECT

    def envfrom(self, f: str, *parameters: str) -> int:
        self.message = BytesIO()
        self.sender = "@".join(parse_addr(f))
        self.parameters = Milter.dictfromlist(parameters)
        return Milter.CONTINUE

    @Milter.noreply
    def header(self, name: str, value: str) -> int:
        self.message.write(f"{name}: {value}\n".encode(errors="surrogateescape"))
        return Milter.CONTINUE

    @Milter.noreply
    def eoh(self) -> int:
        self.message.write(b"\n")
        return Milter.CONTINUE

    @Milter.noreply
    def body(self, blk: bytes) -> int:
        self.message.write(blk)
        return Milter.CONTINUE

    def eom(self) -> int:
        self.message.seek(0)
        parsed = email.message_from_binary_file(self.message, policy=email.policy.default)
        self.attachments = [part.get_filename() for part in parsed.iter_attachments()]
        self.addrcpt("<archive@example.com>")
        return Milter.ACCEPT
