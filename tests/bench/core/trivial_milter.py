"""The milter that the benchmark runs on both cores, written for pymilter: it looks at everything and changes nothing.

Run as `trivial_milter.py SOCKET answered|noreply|work [WORKERS]`. "answered" answers every step, "noreply" promises
not to answer the steps that never decide, "work" is noreply with 2 ms of Python work at end of message. Several
workers share the listening socket, each in a process of its own.
"""

import os
import sys
import time

import Milter
import milter

WORK_SECONDS = 0.002


class Answered(Milter.Base):
    """Answers every step; counts, so that every callback does something."""

    def __init__(self):
        self.headers = 0
        self.size = 0

    def connect(self, host, family, address):
        return Milter.CONTINUE

    def hello(self, name):
        return Milter.CONTINUE

    def envfrom(self, sender, *parameters):
        self.headers = self.size = 0
        return Milter.CONTINUE

    def envrcpt(self, recipient, *parameters):
        return Milter.CONTINUE

    def data(self):
        return Milter.CONTINUE

    def header(self, name, value):
        self.headers += 1
        return Milter.CONTINUE

    def eoh(self):
        return Milter.CONTINUE

    def body(self, chunk):
        self.size += len(chunk)
        return Milter.CONTINUE

    def eom(self):
        return Milter.CONTINUE


class NoReply(Answered):
    """The same, but only RCPT and end of message are answered."""

    connect = Milter.noreply(Answered.connect)
    hello = Milter.noreply(Answered.hello)
    envfrom = Milter.noreply(Answered.envfrom)
    data = Milter.noreply(Answered.data)
    header = Milter.noreply(Answered.header)
    eoh = Milter.noreply(Answered.eoh)
    body = Milter.noreply(Answered.body)


class Work(NoReply):
    """The same with work that keeps the interpreter busy: processor time, so that a busy machine does not lessen it."""

    def eom(self):
        until = time.thread_time() + WORK_SECONDS
        while time.thread_time() < until:
            pass
        return Milter.CONTINUE


def serve(where, kind, workers):
    """Runs until the process is killed; the processes' ids are printed first."""
    Milter.factory = {"answered": Answered, "noreply": NoReply, "work": Work}[kind]
    real_main = milter.main

    def main():
        children = [os.getpid()]
        for _ in range(workers - 1):
            child = os.fork()
            if child == 0:
                real_main()
                os._exit(0)
            children.append(child)
        print(*children, flush=True)
        real_main()

    milter.main = main
    Milter.runmilter("trivial", where, 60)


if __name__ == "__main__":
    serve(sys.argv[1], sys.argv[2], int(sys.argv[3]) if len(sys.argv) > 3 else 1)
