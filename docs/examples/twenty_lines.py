"""Adds a field to every message. python twenty_lines.py SOCKET"""

import sys

import Milter


class Marker(Milter.Base):
    def eom(self):
        self.addheader("X-Seen", "yes")
        return Milter.CONTINUE


if __name__ == "__main__":
    Milter.factory = Marker
    Milter.set_flags(Milter.ADDHDRS)
    Milter.runmilter("marker", sys.argv[1], timeout=600)
