"""JSON merge patch (RFC 7386) and JSON patch (RFC 6902): pure functions on JSON values.

Nothing is changed in place; results share what they did not change. What a patch may cost is
bounded: operations, the depth they reach, and the bytes that copies make.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence

import msgspec

from netsim.server.codec import MAX_BODY_BYTES, MAX_DEPTH, deeper_than
from netsim.store.errors import ApiError, bad_request
from netsim.store.lifecycle import same

MAX_OPERATIONS = 10_000
_INDEX = re.compile(r"0|[1-9][0-9]{0,9}")
_MISSING = object()


def merge_patch(target: object, patch: object) -> object:
    """RFC 7386: objects are merged, null removes, everything else replaces."""
    if not isinstance(patch, dict):
        return patch
    merged = dict(target) if isinstance(target, dict) else {}
    for key, value in patch.items():
        if value is None:
            merged.pop(key, None)
        else:
            merged[key] = merge_patch(merged.get(key), value)
    return merged


def json_patch(target: object, patch: object) -> object:
    """RFC 6902: the operations in order. ApiError 400 for no patch, 422 for one that fails."""
    if not isinstance(patch, list) or not all(isinstance(op, dict) for op in patch):
        raise bad_request("a JSON patch is a list of operations")
    if len(patch) > MAX_OPERATIONS:
        raise _refused(f"it has {len(patch)} operations, at most {MAX_OPERATIONS} are allowed")
    copied = 0
    for number, op in enumerate(patch):
        name = op.get("op")
        operation = OPERATIONS.get(name) if isinstance(name, str) else None
        if operation is None:
            raise bad_request(f"operation {number}: unknown op {name!r}")
        if name == "copy":
            copied += _size(_get(target, _pointer(op, "from")))
            if copied > MAX_BODY_BYTES:
                raise _refused(f"operation {number}: copies make the object too large")
        target = operation(target, op)
    return target


def _add(target: object, op: Mapping[str, object]) -> object:
    return _insert(target, _pointer(op, "path"), _value(op))


def _remove(target: object, op: Mapping[str, object]) -> object:
    path = _pointer(op, "path")
    _get(target, path)
    return _without(target, path)


def _replace(target: object, op: Mapping[str, object]) -> object:
    path, value = _pointer(op, "path"), _value(op)
    _get(target, path)
    return _insert(_without(target, path), path, value) if path else value


def _move(target: object, op: Mapping[str, object]) -> object:
    source, path = _pointer(op, "from"), _pointer(op, "path")
    value = _get(target, source)
    if source == path:
        return target
    if path[: len(source)] == source:
        raise _refused("a value cannot be moved into itself")
    return _insert(_without(target, source), path, value)


def _copy(target: object, op: Mapping[str, object]) -> object:
    return _insert(target, _pointer(op, "path"), _get(target, _pointer(op, "from")))


def _test(target: object, op: Mapping[str, object]) -> object:
    path = _pointer(op, "path")
    if not same(_get(target, path), _value(op)):
        raise _refused(f"testing path {_spelled(path)} failed")
    return target


OPERATIONS: Mapping[str, Callable[[object, Mapping[str, object]], object]] = {
    "add": _add,
    "remove": _remove,
    "replace": _replace,
    "move": _move,
    "copy": _copy,
    "test": _test,
}


def _value(op: Mapping[str, object]) -> object:
    if "value" not in op:
        raise bad_request(f"operation {op.get('op')!r} needs a value")
    return op["value"]


def _pointer(op: Mapping[str, object], field: str) -> tuple[str, ...]:
    """The tokens of an RFC 6901 pointer."""
    text = op.get(field)
    if not isinstance(text, str) or (text and not text.startswith("/")):
        raise bad_request(f"operation {op.get('op')!r} needs {field!r}, a pointer like /spec/x")
    tokens = text.split("/")[1:]
    if len(tokens) > MAX_DEPTH:
        raise _refused(f"{field!r} is deeper than {MAX_DEPTH} levels")
    return tuple(token.replace("~1", "/").replace("~0", "~") for token in tokens)


def _spelled(path: Sequence[str]) -> str:
    return "".join("/" + token.replace("~", "~0").replace("/", "~1") for token in path) or '""'


def _child(parent: object, token: str) -> object:
    if isinstance(parent, dict):
        return parent.get(token, _MISSING)
    if isinstance(parent, list) and _INDEX.fullmatch(token) and int(token) < len(parent):
        child: object = parent[int(token)]
        return child
    return _MISSING


def _get(target: object, path: Sequence[str]) -> object:
    for depth, token in enumerate(path):
        target = _child(target, token)
        if target is _MISSING:
            raise _refused(f"there is nothing at {_spelled(path[: depth + 1])}")
    return target


def _insert(target: object, path: Sequence[str], value: object) -> object:
    """Set a member of an object, or insert before an element of a list (`-`: after the last)."""
    if not path:
        return value
    parent, last = _get(target, path[:-1]), path[-1]
    if isinstance(parent, dict):
        return _rebuilt(target, path[:-1], {**parent, last: value})
    if not isinstance(parent, list):
        raise _refused(f"{_spelled(path[:-1])} is neither an object nor a list")
    index = len(parent) if last == "-" else int(last) if _INDEX.fullmatch(last) else -1
    if not 0 <= index <= len(parent):
        raise _refused(f"{_spelled(path)} is not an index of the list")
    return _rebuilt(target, path[:-1], [*parent[:index], value, *parent[index:]])


def _without(target: object, path: Sequence[str]) -> object:
    """Remove what exists at the path."""
    if not path:
        raise _refused("the whole object cannot be removed")
    parent, last = _get(target, path[:-1]), path[-1]
    if isinstance(parent, dict):
        return _rebuilt(target, path[:-1], {k: v for k, v in parent.items() if k != last})
    if isinstance(parent, list):
        index = int(last)
        return _rebuilt(target, path[:-1], [*parent[:index], *parent[index + 1 :]])
    raise _refused(f"there is nothing at {_spelled(path)}")


def _rebuilt(target: object, path: Sequence[str], value: object) -> object:
    """`target` with the existing value at the path replaced."""
    for depth in range(len(path) - 1, -1, -1):
        parent, token = _get(target, path[:depth]), path[depth]
        if isinstance(parent, dict):
            value = {**parent, token: value}
        elif isinstance(parent, list):
            value = [*parent[: int(token)], value, *parent[int(token) + 1 :]]
    return value


def _size(value: object) -> int:
    if deeper_than(value, MAX_DEPTH):
        raise _refused(f"it nests deeper than {MAX_DEPTH} levels")
    return len(msgspec.json.encode(value))


def _refused(why: str) -> ApiError:
    return ApiError(422, "Invalid", f"the JSON patch cannot be applied: {why}")
