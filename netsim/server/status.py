"""Status objects: how the API says that something failed, or that a deletion was done."""

from __future__ import annotations

from netsim.api.fields import Json, text
from netsim.api.meta import Kind, metadata
from netsim.store.errors import ApiError

# HTTP codes that arise outside the handlers, in Kubernetes' words
PLAIN: dict[int, tuple[str, str]] = {
    400: ("BadRequest", "the request is not valid HTTP"),
    403: ("Forbidden", "the API of a lab answers requests to this machine's loopback only"),
    404: ("NotFound", "the server could not find the requested resource"),
    405: ("MethodNotAllowed", "the server does not allow this method on the requested resource"),
    413: ("RequestEntityTooLarge", "the request is larger than the server accepts"),
    500: ("InternalError", "an error on the server prevented the request from succeeding"),
}


def plain_error(code: int) -> ApiError:
    """An error that says nothing more than its HTTP code does."""
    reason, message = PLAIN.get(code, ("Unknown", f"the server answered with code {code}"))
    return ApiError(code, reason, message)


def failure(error: ApiError) -> dict[str, object]:
    """The Status of a refusal."""
    details: dict[str, object] = {}
    for key in ("name", "group", "kind"):
        if value := getattr(error, key):
            details[key] = value
    if error.causes:
        details["causes"] = [
            {"reason": c.reason, "message": c.message, "field": c.field} for c in error.causes
        ]
    status: dict[str, object] = {
        "kind": "Status",
        "apiVersion": "v1",
        "metadata": {},
        "status": "Failure",
        "message": error.message,
        "reason": error.reason,
    }
    if details or error.code == 404:
        status["details"] = details
    return {**status, "code": error.code}


def deleted(kind: Kind, obj: Json) -> dict[str, object]:
    """The Status of a deletion that was done."""
    details = {"name": text(metadata(obj), "name"), "kind": kind.plural}
    if kind.group:
        details["group"] = kind.group
    details["uid"] = text(metadata(obj), "uid")
    return {
        "kind": "Status",
        "apiVersion": "v1",
        "metadata": {},
        "status": "Success",
        "details": details,
    }
