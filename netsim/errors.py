"""What can go wrong, as users see it: what, why, what to do, and the exit code (docs/commands.md).

Raise the class whose reaction the caller can take; never a bare `NetsimError` where one below fits.
"""

from __future__ import annotations


class NetsimError(Exception):
    """A failure to show to the user.

    `what` is one line that names the object; `why` and `hint` (what to do) are one line each or
    empty. `exit_code` is that of the command.
    """

    exit_code = 1

    def __init__(self, what: str, why: str = "", hint: str = "") -> None:
        super().__init__(what)
        self.what = what
        self.why = why
        self.hint = hint

    def __str__(self) -> str:
        return ": ".join(part for part in (self.what, self.why) if part)


class UsageError(NetsimError):
    """The command line or a manifest is wrong."""

    exit_code = 2


class NotFoundError(NetsimError):
    """No such lab or object."""

    exit_code = 3


class PreconditionError(NetsimError):
    """The machine lacks something: privilege, a device, a kernel feature. `hint` says the fix."""

    exit_code = 4


class WaitTimeoutError(NetsimError):
    """A wait ended before its condition held; `why` lists what is not ready."""

    exit_code = 5


class ConflictError(NetsimError):
    """The object exists already, or has changed since it was read."""
