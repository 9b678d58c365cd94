"""Runs a program on a kernel that refuses something: `python -m tests.refuse WHAT PROGRAM...`.

A seccomp filter answers the system call with an errno, for the program and its children only.
"""

from __future__ import annotations

import ctypes
import errno
import os
import struct
import sys
from typing import NamedTuple

PR_SET_NO_NEW_PRIVS, PR_SET_SECCOMP, SECCOMP_MODE_FILTER = 38, 22, 2
LOAD, EQUAL, ANY_BIT, RETURN = 0x20, 0x15, 0x45, 0x06
ALLOW, ERRNO = 0x7FFF0000, 0x00050000
NUMBER_AT, ARGUMENTS_AT = 0, 16  # in struct seccomp_data


class Refusal(NamedTuple):
    """System call `number` fails with `error` if each (argument, test, value) holds."""

    number: int
    error: int
    tests: tuple[tuple[int, int, int], ...] = ()


REFUSALS = {
    "io_uring": Refusal(425, errno.EPERM),
    "io_uring-old": Refusal(425, errno.EINVAL),
    "io_uring-memory": Refusal(425, errno.ENOMEM),
    "uso": Refusal(16, errno.EINVAL, ((1, EQUAL, 0x400454D0), (2, ANY_BIT, 0x60))),
    "udp-gro": Refusal(54, errno.ENOPROTOOPT, ((1, EQUAL, 17), (2, EQUAL, 104))),
}


def _filter(refusal: Refusal) -> bytes:
    checks = [(NUMBER_AT, EQUAL, refusal.number)]
    checks += [(ARGUMENTS_AT + 8 * n, test, value) for n, test, value in refusal.tests]
    program = []
    for done, (offset, test, value) in enumerate(checks):
        past = 2 * (len(checks) - done) - 1  # to the last instruction
        program += [(LOAD, 0, 0, offset), (test, 0, past, value)]
    program += [(RETURN, 0, 0, ERRNO | refusal.error), (RETURN, 0, 0, ALLOW)]
    return b"".join(struct.pack("=HBBI", *instruction) for instruction in program)


def main(what: str, *program: str) -> None:
    """Install the filter and become the program."""
    code = _filter(REFUSALS[what])
    held = ctypes.create_string_buffer(code)
    header = struct.pack("=HxxxxxxQ", len(code) // 8, ctypes.addressof(held))
    libc = ctypes.CDLL(None, use_errno=True)
    for arguments in (
        (PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0),
        (PR_SET_SECCOMP, SECCOMP_MODE_FILTER, ctypes.c_char_p(header), 0, 0),
    ):
        if libc.prctl(*arguments):
            raise OSError(ctypes.get_errno(), "prctl")
    os.execvp(program[0], program)


if __name__ == "__main__":
    main(*sys.argv[1:])
