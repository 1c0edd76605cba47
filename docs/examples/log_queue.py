"""Logs through a queue to a process of its own. python log_queue.py SOCKET LOGFILE"""

import multiprocessing
import sys
import time

import Milter

QUEUE = None


def write_log(queue, path):
    """The other process: it may wait for a slow disk, and no message waits with it."""
    with open(path, "a", encoding="utf-8", errors="backslashreplace") as log:
        while (entry := queue.get()) is not None:
            when, name, words = entry
            # What came with the mail must not be able to write a line of its own.
            text = " ".join(words).encode("unicode_escape").decode("ascii")
            print(f"{time.strftime('%Y-%m-%d %H:%M:%S', time.localtime(when))} [{name}] {text}", file=log, flush=True)


class Logging(Milter.Base):
    id = 0  # close() is also called for a connection whose client never identified itself

    def log(self, *words):
        QUEUE.put((time.time(), self.id, [str(word) for word in words]))

    @Milter.noreply
    def connect(self, hostname, family, hostaddr):
        self.id = Milter.uniqueID()
        self.log("connect from", hostname, hostaddr)
        return Milter.CONTINUE

    @Milter.noreply
    def envfrom(self, sender, *parameters):
        self.log("mail from", sender, *parameters)
        return Milter.CONTINUE

    def close(self):
        self.log("close")
        return Milter.CONTINUE


def main():
    global QUEUE
    # Before libmilter starts its threads: a process that has threads must not be forked.
    QUEUE = multiprocessing.Queue()
    writer = multiprocessing.Process(target=write_log, args=(QUEUE, sys.argv[2]))
    writer.start()
    Milter.factory = Logging
    try:
        Milter.runmilter("log-queue", sys.argv[1], timeout=600)
    finally:  # after TERM, once libmilter has ended
        QUEUE.put(None)
        writer.join()


if __name__ == "__main__":
    main()
