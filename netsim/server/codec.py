"""Bytes to JSON values and back: bodies in JSON or YAML, answers in JSON."""

from __future__ import annotations

import msgspec

from netsim.store.errors import ApiError, bad_request

JSON_TYPES = frozenset({"application/json", "text/json"})
YAML_TYPES = frozenset({"application/yaml", "application/x-yaml", "text/yaml"})
MAX_BODY_BYTES = 3 * 1024 * 1024  # as Kubernetes
MAX_DEPTH = 200  # deeper than any object of Kubernetes; no recursion here comes near its limit


def media_type(header: str) -> str:
    """A Content-Type without its parameters, in lower case."""
    return header.partition(";")[0].strip().lower()


def unsupported(given: str, accepted: tuple[str, ...]) -> ApiError:
    """415: the body's type is none that the request takes."""
    message = (
        "the body of the request was in an unknown format - accepted media types include: "
        f"{', '.join(accepted)}" + (f" (got {given})" if given else "")
    )
    return ApiError(415, "UnsupportedMediaType", message)


def decode(body: bytes, content_type: str) -> object:
    """The value of a body; one without a Content-Type is JSON. ApiError 400 and 415."""
    kind = media_type(content_type) or "application/json"
    if kind in JSON_TYPES:
        return from_json(body)
    if kind in YAML_TYPES:
        return from_yaml(body)
    raise unsupported(kind, ("application/json", "application/yaml"))


def decode_object(body: bytes, content_type: str) -> dict[str, object]:
    """The object of a body. ApiError 400 and 415."""
    return as_object(decode(body, content_type))


def as_object(value: object) -> dict[str, object]:
    """The value, when it is an object; else ApiError 400."""
    if not isinstance(value, dict):
        raise bad_request("the body of the request must be an object")
    return value


def from_json(body: bytes) -> object:
    """Parse JSON. ApiError 400."""
    try:
        value: object = msgspec.json.decode(body)
    except (msgspec.MsgspecError, UnicodeDecodeError) as error:
        raise bad_request(f"the body is not JSON: {error}") from error
    except RecursionError as error:
        raise too_deep() from error
    if deeper_than(value, MAX_DEPTH):
        raise too_deep()
    return value


def from_yaml(body: bytes) -> object:
    """Parse one YAML document without aliases. ApiError 400."""
    from netsim.server.yaml_body import parse  # seldom needed: labs start without it

    return parse(body)


def to_json(value: object) -> bytes:
    """One line of JSON."""
    return msgspec.json.encode(value) + b"\n"


def deeper_than(value: object, limit: int) -> bool:
    """Whether objects and lists nest deeper than `limit` levels."""
    level = [value]
    for _ in range(limit):
        level = [
            child
            for item in level
            if isinstance(item, dict | list)
            for child in (item.values() if isinstance(item, dict) else item)
        ]
        if not level:
            return False
    return True


def too_deep() -> ApiError:
    """400: no object is as deep as that."""
    return bad_request(f"the body nests deeper than {MAX_DEPTH} levels")
