"""Marks the subject of plain text and appends a footer. python footer.py SOCKET"""

import sys

import Milter

FOOTER = b"-- \r\nThis came from outside.\r\n"
MOST = 1_000_000  # octets that we keep of a body


@Milter.header_leading_space  # values come, and are written, with the blank after the colon
class Footer(Milter.Base):
    @Milter.noreply
    def envfrom(self, sender, *parameters):
        self.subjects, self.size, self.chunks, self.plain = [], 0, [], True
        return Milter.CONTINUE

    @Milter.noreply  # the step that is called most of all
    @Milter.decode("replace")  # str whatever octets came; "bytes" would give them as they are
    def header(self, name, value):
        match name.lower():
            case "subject":
                self.subjects.append(value)
            case "content-type":
                self.plain = value.strip().lower().startswith("text/plain")
            case "content-transfer-encoding":
                self.plain = self.plain and value.strip().lower() in ("7bit", "8bit")
        return Milter.CONTINUE

    def body(self, chunk):
        self.size += len(chunk)
        if not self.plain or self.size > MOST:
            self.chunks.clear()
            return Milter.SKIP  # no more of it, please: much is spared where a message is large
        self.chunks.append(chunk)
        return Milter.CONTINUE

    def eom(self):
        # Only here may the message be changed. Fields of a name are counted from 1, from the top.
        if self.subjects:
            self.chgheader("Subject", 1, " [outside]" + self.subjects[0])
        if self.chunks:
            self.replacebody(b"".join(self.chunks) + FOOTER)
        return Milter.CONTINUE


if __name__ == "__main__":
    Milter.factory = Footer
    Milter.set_flags(Milter.CHGHDRS | Milter.CHGBODY)
    Milter.runmilter("footer", sys.argv[1], timeout=600)
