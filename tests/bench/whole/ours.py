"""bms.py in the configurations that the benchmark of the whole filter compares, taught before it starts."""

from __future__ import annotations

import contextlib
import dataclasses
from collections.abc import Iterator, Sequence

from antispam.learning.teacher import Teacher
from antispam.store import Store
from bench.core.load import send_messages
from bench.whole.mail import Lesson
from support.filter_process import FilterProcess
from support.learning import Learned
from support.network import Network
from support.stores import make_store

# Block lists are asked as shipped: the name server on loopback answers for every zone that it lists nothing.
_COMMON = "[dns]\nnameservers = 127.0.0.1@{port}\n[logging]\nlevel = warning\n[dnsbl]\n"
AS_SHIPPED = _COMMON + "zones = default\n[greylist]\nmode = off\n"
# What every filter does: SPF, DKIM, the learner, and the results in the header.
SAME_WORK = (
    _COMMON
    + "mode = off\n"
    + "".join(
        f"[{check}]\nmode = off\n"
        for check in (
            "arc", "author_signs", "auto_whitelist", "content_signs", "defang", "dmarc", "fingerprints", "gossip", "greylist",
            "header_oddities", "header_signs", "impersonation", "link_signs", "rates",
        )
    )
)  # fmt: skip
FIRST_CONTACT = _COMMON + "zones = default\n[greylist]\nwhen = always\n"


@dataclasses.dataclass(frozen=True, slots=True)
class Taught(Learned):
    """A dictionary of the site that was taught real messages."""

    lessons: Sequence[Lesson] = ()

    def put_into(self, url: str) -> None:
        """Make the database and teach it."""
        make_store(url)
        with contextlib.closing(Store(url)) as store:
            teacher = Teacher(store, "site")
            for lesson in self.lessons:
                teacher.teach(lesson.content, lesson.is_spam)


@contextlib.contextmanager
def running(config: str, port: int, workers: int, learned: Learned) -> Iterator[tuple[str, list[int]]]:
    """bms.py; its socket, and its supervisor's process id."""
    network = Network()
    with FilterProcess(network, config.format(port=port), clocked=False, learned=learned, workers=workers) as program:
        address = str(program.socket)
        send_messages(address, 1, strict=False)  # a greylist refuses it; from now on all processes are there
        yield address, [program.pid]
