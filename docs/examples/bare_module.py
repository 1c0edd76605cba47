"""The same on the module below, libmilter call for call. python bare_module.py SOCKET"""

import sys

import milter


def end_of_message(ctx):
    ctx.addheader("X-Seen", "yes")
    return milter.CONTINUE


if __name__ == "__main__":
    milter.set_flags(milter.ADDHDRS)
    milter.set_eom_callback(end_of_message)
    milter.register("marker")
    milter.setconn(sys.argv[1])
    milter.main()
