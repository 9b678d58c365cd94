"""How the data plane waits and does its I/O: io_uring, or epoll, and why."""

from __future__ import annotations

import errno
import os

METHODS = ("auto", "io_uring", "epoll")
ENVIRONMENT = "NETSIM_IO"
REASONS = {
    errno.ENOSYS: "this kernel has no io_uring",
    errno.EOPNOTSUPP: "this kernel's io_uring is older than Linux 6.7",
    errno.EPERM: "sysctl kernel.io_uring_disabled or a seccomp filter forbids it",
    errno.EACCES: "a security module forbids it",
    errno.ENOMEM: "too little locked memory (ulimit -l)",
}


def io_method(wanted: str) -> str:
    """What a lab wants, or $NETSIM_IO where it leaves the choice."""
    if wanted != "auto":
        return wanted
    here = os.environ.get(ENVIRONMENT, "auto")
    if here not in METHODS:
        raise ValueError(f"{ENVIRONMENT}={here}: must be one of {', '.join(METHODS)}")
    return here


def refusal(number: int) -> str:
    """What an errno of io_uring's means; empty for 0."""
    return REASONS.get(number, os.strerror(number)) if number else ""


def io_reason(number: int) -> str:
    """The same for the end of a line."""
    return f" (no io_uring: {refusal(number)})" if number else ""
