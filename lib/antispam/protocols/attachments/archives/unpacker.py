"""A program, never imported: reads one archive from descriptor 0 with libarchive and tells on descriptor 1 what is inside.

    python -I unpacker.py FORMAT FILTER ENTRIES OCTETS MEMORY SECONDS

libarchive is C, and what it reads was made by strangers.  So it runs in here: with little memory and time, and, once it is
loaded, without any system call beyond reading, writing and asking for memory.  Whatever goes wrong ends this process only.

What is told: records of a letter, a length (4 octets) and so many octets.  N a name, D more of the content of the
last name, F a fault (its reason, NUL, words), E the end; without an E, something went wrong.
"""

from __future__ import annotations

import contextlib
import ctypes
import locale
import os
import platform
import resource
import struct
import sys

_CHUNK = 1 << 16
_PR_SET_NO_NEW_PRIVS, _PR_SET_SECCOMP, _SECCOMP_MODE_FILTER = 38, 22, 2
_ALLOW, _REFUSE = 0x7FFF0000, 0x00050001  # SECCOMP_RET_ALLOW; SECCOMP_RET_ERRNO with EPERM
# What malloc, the C library and the loop below need, by machine: (AUDIT_ARCH, numbers of system calls): read, write, close,
# fstat, lseek, mmap, mprotect, munmap, brk, rt_sigaction, rt_sigprocmask, rt_sigreturn, pread64, sched_yield, mremap,
# madvise, exit, exit_group, futex, clock_gettime, gettimeofday, newfstatat, getrandom.
_CALLS = {
    "x86_64": (
        0xC000003E,
        (0, 1, 3, 5, 8, 9, 10, 11, 12, 13, 14, 15, 17, 24, 25, 28, 60, 231, 202, 228, 96, 262, 318),
    ),
    "aarch64": (
        0xC00000B7,
        (63, 64, 57, 80, 62, 222, 226, 215, 214, 134, 135, 139, 67, 124, 216, 233, 93, 94, 98, 113, 169, 79, 278),
    ),
}


def confine(memory: int, seconds: int) -> None:
    """No more memory and time than that, no file, no process, no privilege; and then no other system call."""
    for what, most in (
        (resource.RLIMIT_AS, memory),
        (resource.RLIMIT_CPU, seconds),
        (resource.RLIMIT_FSIZE, 0),
        (resource.RLIMIT_CORE, 0),
        (resource.RLIMIT_NPROC, 0),
    ):
        resource.setrlimit(what, (most, most))
    libc = ctypes.CDLL(None)
    libc.prctl(_PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0)
    if platform.machine() in _CALLS:
        program = _filter(*_CALLS[platform.machine()])
        instructions = ctypes.create_string_buffer(program, len(program))
        # struct sock_fprog: how many instructions, and where.
        head = ctypes.create_string_buffer(struct.pack("@HP", len(program) // 8, ctypes.addressof(instructions)))
        libc.prctl(_PR_SET_SECCOMP, _SECCOMP_MODE_FILTER, ctypes.c_void_p(ctypes.addressof(head)), 0, 0)


def _filter(machine: int, calls: tuple[int, ...]) -> bytes:
    """A program for the kernel (seccomp(2)): allow these calls of this machine, let all others fail."""
    load, equal, answer = 0x20, 0x15, 0x06
    lines = [(load, 0, 0, 4), (equal, 1, 0, machine), (answer, 0, 0, _REFUSE), (load, 0, 0, 0)]
    for left, call in zip(range(len(calls) - 1, -1, -1), calls, strict=True):
        lines.append((equal, left + 1, 0, call))
    lines += [(answer, 0, 0, _REFUSE), (answer, 0, 0, _ALLOW)]
    return b"".join(struct.pack("=HBBI", *line) for line in lines)


def tell(letter: bytes, octets: bytes = b"") -> None:
    record = letter + struct.pack("=I", len(octets)) + octets
    while record:
        record = record[os.write(1, record) :]


def fault(reason: str, words: str) -> None:
    tell(b"F", f"{reason}\0{words}".encode("utf-8", "replace"))


def read(libarchive: object, form: str, filters: str, entries: int, octets: int) -> None:
    """Tell everything that is in the archive, as far as it may be told."""
    ffi = libarchive.ffi  # type: ignore[attr-defined]
    with libarchive.fd_reader(0, form, filters) as archive:  # type: ignore[attr-defined]
        for entry in archive:
            entries -= 1
            if entries < 0:
                return fault("limit", "too many entries in archives")
            name = entry.pathname or ""
            tell(b"N", name if isinstance(name, bytes) else name.encode("utf-8", "replace"))
            if ffi.entry_is_encrypted(entry._entry_p):
                fault("encrypted-archive", "")
                continue
            try:
                for block in entry.get_blocks(_CHUNK):
                    octets -= len(block)
                    if octets < 0:
                        return fault("limit", "too many bytes in archives")
                    tell(b"D", block)
            except ffi.ArchiveError as error:
                fault("unreadable-archive", str(error.msg))
                if error.retcode <= ffi.ARCHIVE_FATAL:
                    return None
    return tell(b"E")


def main() -> None:
    form, filters, entries, octets, memory, seconds = sys.argv[1:]
    os.environ.setdefault("LIBARCHIVE", "libarchive.so.13")
    try:
        import libarchive
        from libarchive.ffi import c_archive_entry_p, c_int, ffi, get_read_filter_function, get_read_format_function
    except (ImportError, OSError):
        return fault("unreadable-archive", "libarchive is not installed here (Debian: libarchive13)")

    ffi("entry_is_encrypted", [c_archive_entry_p], c_int)
    get_read_format_function(form)
    get_read_filter_function(filters)
    with contextlib.suppress(locale.Error):
        locale.setlocale(locale.LC_CTYPE, "C.UTF-8")  # else names in Unicode can't be told
    confine(int(memory), int(seconds))
    try:
        read(libarchive, form, filters, int(entries), int(octets))
    except libarchive.ArchiveError as error:
        encrypted = "ncrypt" in str(error.msg) or "assphrase" in str(error.msg)
        fault("encrypted-archive" if encrypted else "unreadable-archive", str(error.msg))
    except MemoryError:
        fault("limit", "more memory than an archive may take")
    return None


if __name__ == "__main__":
    main()
