"""What a body must be before anybody else looks at it: an object of this URL, sane metadata."""

from __future__ import annotations

from collections.abc import Callable, Iterator

from netsim.api import names
from netsim.api.fields import Json, mapping, text
from netsim.api.meta import Kind
from netsim.server.api import Target
from netsim.store.errors import Cause, bad_request, invalid
from netsim.store.lifecycle import generated_name

VALUE, REQUIRED, TYPE = "FieldValueInvalid", "FieldValueRequired", "FieldValueTypeInvalid"


def typed(obj: dict[str, object], kind: Kind) -> dict[str, object]:
    """The body with its apiVersion and kind, which may be left out. ApiError 400 for others."""
    given = (obj.get("apiVersion", kind.api_version), obj.get("kind", kind.name))
    if given != (kind.api_version, kind.name):
        raise bad_request(
            f"the object provided is {given[1]} of {given[0]}, "
            f"the request is for {kind.name} of {kind.api_version}"
        )
    return {"apiVersion": kind.api_version, "kind": kind.name, **obj}


def placed(obj: dict[str, object], target: Target) -> dict[str, object]:
    """The body with the URL's namespace and name, which may be left out. ApiError 400, 422.

    Also checks the metadata that every kind has, so that it can be stored and shown whatever the
    rest looks like.
    """
    metadata = obj.get("metadata", {})
    if not isinstance(metadata, dict):
        raise bad_request("metadata must be an object")
    metadata = {k: v for k, v in metadata.items() if v is not None}
    _match(metadata, "namespace", target.namespace or "")
    if target.name:
        _match(metadata, "name", target.name)
    causes = list(_problems(metadata))
    if causes:
        name = metadata.get("name")
        known = name if isinstance(name, str) else ""
        raise invalid(target.kind.name, known, causes, target.kind.group)
    return {**obj, "metadata": metadata}


def named(obj: dict[str, object]) -> dict[str, object]:
    """A placed body with a name: made from generateName when it has none."""
    metadata = mapping(obj, "metadata")
    name = text(metadata, "name") or generated_name(text(metadata, "generateName"))
    return {**obj, "metadata": {**metadata, "name": name}}


def _match(metadata: dict[str, object], field: str, wanted: str) -> None:
    given = metadata.get(field) or wanted
    if given != wanted:
        raise bad_request(
            f"the {field} of the object ({given}) does not match the {field} on the request "
            f"({wanted})"
        )
    if wanted:
        metadata[field] = wanted
    else:
        metadata.pop(field, None)


def _problems(metadata: Json) -> Iterator[Cause]:
    yield from _name_problems(metadata)
    for field, check in CHECKS.items():
        if field in metadata:
            yield from check(metadata[field], f"metadata.{field}")


def _name_problems(metadata: Json) -> Iterator[Cause]:
    name, prefix = metadata.get("name", ""), metadata.get("generateName", "")
    if not isinstance(name, str) or not isinstance(prefix, str):
        yield Cause(TYPE, "Invalid value: must be a string", "metadata.name")
    elif name:
        for error in names.dns_subdomain_errors(name):
            yield Cause(VALUE, f'Invalid value: "{name}": {error}', "metadata.name")
    elif not prefix:
        yield Cause(REQUIRED, "Required value: name or generateName is required", "metadata.name")
    else:
        for error in names.dns_subdomain_errors(prefix.rstrip("-.") + "x"):
            yield Cause(VALUE, f'Invalid value: "{prefix}": {error}', "metadata.generateName")


def _string(value: object, path: str) -> Iterator[Cause]:
    if not isinstance(value, str):
        yield Cause(TYPE, "Invalid value: must be a string", path)


def _strings(value: object, path: str) -> Iterator[Cause]:
    if not isinstance(value, list) or not all(isinstance(v, str) for v in value):
        yield Cause(TYPE, "Invalid value: must be a list of strings", path)


def _annotations(value: object, path: str) -> Iterator[Cause]:
    if not isinstance(value, dict):
        yield Cause(TYPE, "Invalid value: must be a map of strings", path)
        return
    for key, note in value.items():
        for error in names.label_key_errors(key.lower()):
            yield Cause(VALUE, f'Invalid value: "{key}": {error}', path)
        if not isinstance(note, str):
            yield Cause(TYPE, "Invalid value: must be a string", f"{path}.{key}")


def _labels(value: object, path: str) -> Iterator[Cause]:
    yield from _annotations(value, path)
    for label in value.values() if isinstance(value, dict) else ():
        for error in names.label_value_errors(label) if isinstance(label, str) else ():
            yield Cause(VALUE, f'Invalid value: "{label}": {error}', path)


def _owners(value: object, path: str) -> Iterator[Cause]:
    if not isinstance(value, list):
        yield Cause(TYPE, "Invalid value: must be a list", path)
        return
    for index, owner in enumerate(value):
        for field in ("apiVersion", "kind", "name", "uid"):
            if not isinstance(owner, dict) or not isinstance(owner.get(field), str):
                yield Cause(REQUIRED, "Required value", f"{path}[{index}].{field}")


CHECKS: dict[str, Callable[[object, str], Iterator[Cause]]] = {
    "labels": _labels,
    "annotations": _annotations,
    "finalizers": _strings,
    "ownerReferences": _owners,
    "uid": _string,
    "resourceVersion": _string,
}
