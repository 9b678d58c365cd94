"""What the store and the API refuse, in Kubernetes' words: HTTP code, reason, message, causes.

Each is also one of the kinds of `netsim.errors`, so that callers in this process and users of the
command line react alike.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from netsim.errors import ConflictError, NetsimError, NotFoundError


@dataclass(frozen=True, slots=True)
class Cause:
    """One field that is wrong: a Kubernetes cause type (`FieldValueInvalid`), text and path."""

    reason: str
    message: str
    field: str


class ApiError(NetsimError):
    """A refusal with the fields of a Kubernetes Status object.

    `code` is the HTTP status, `reason` a Kubernetes reason (`Invalid`, `Conflict`, ...). `group`,
    `kind` and `name` say which object, as far as known: `kind` is the kind for Invalid, otherwise
    the resource's plural name.
    """

    def __init__(
        self,
        code: int,
        reason: str,
        message: str,
        *,
        causes: Sequence[Cause] = (),
        group: str = "",
        kind: str = "",
        name: str = "",
    ) -> None:
        super().__init__(message)
        self.code = code
        self.reason = reason
        self.message = message
        self.causes = tuple(causes)
        self.group = group
        self.kind = kind
        self.name = name


class ObjectNotFoundError(ApiError, NotFoundError):
    """404: no object of this key."""

    def __init__(self, kind: str, name: str, group: str = "") -> None:
        super().__init__(
            404,
            "NotFound",
            f'{_resource(kind, group)} "{name}" not found',
            group=group,
            kind=kind,
            name=name,
        )


class AlreadyExistsError(ApiError, ConflictError):
    """409: an object of this key exists."""

    def __init__(self, kind: str, name: str, group: str = "") -> None:
        super().__init__(
            409,
            "AlreadyExists",
            f'{_resource(kind, group)} "{name}" already exists',
            group=group,
            kind=kind,
            name=name,
        )


class StaleError(ApiError, ConflictError):
    """409: the object has changed since it was read, or is another one of the same name."""

    def __init__(self, kind: str, name: str, why: str, group: str = "") -> None:
        what = _resource(kind, group)
        super().__init__(
            409,
            "Conflict",
            f'Operation cannot be fulfilled on {what} "{name}": {why}',
            group=group,
            kind=kind,
            name=name,
        )


class ExpiredError(ApiError):
    """410: the history does not reach back to the revision asked for; list again."""

    def __init__(self, asked: int, oldest: int) -> None:
        super().__init__(410, "Expired", f"too old resource version: {asked} ({oldest})")


def invalid(kind: str, name: str, causes: Sequence[Cause], group: str = "") -> ApiError:
    """422 Invalid, worded as Kubernetes words it: every cause with its field."""
    texts = [f"{c.field}: {c.message}" for c in causes]
    listed = texts[0] if len(texts) == 1 else f"[{', '.join(texts)}]"
    return ApiError(
        422,
        "Invalid",
        f'{_resource(kind, group)} "{name}" is invalid: {listed}',
        causes=causes,
        group=group,
        kind=kind,
        name=name,
    )


def invalid_options(field: str, message: str) -> ApiError:
    """422 for a wrong option of a request."""
    return invalid("Options", "", [Cause("FieldValueNotSupported", message, field)])


def bad_request(message: str) -> ApiError:
    """400: the request cannot be understood."""
    return ApiError(400, "BadRequest", message)


def _resource(kind: str, group: str) -> str:
    return f"{kind}.{group}" if group else kind
