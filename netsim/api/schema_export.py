"""The field tables as a JSON Schema, for editors: `# yaml-language-server: $schema=...`."""

from __future__ import annotations

from netsim.api.meta import KINDS
from netsim.api.schema import Either, ListOf, MapOf, Record, Scalar, Type
from netsim.api.schema_tables import KIND_TABLES

Schema = dict[str, object]


def json_schema() -> Schema:
    """One schema for every document that a topology file may hold."""
    definitions: dict[str, Schema] = {}
    for kind in KINDS:
        schema = _record(KIND_TABLES[kind.name], definitions)
        properties = schema["properties"]
        assert isinstance(properties, dict)
        properties |= {"apiVersion": {"const": kind.api_version}, "kind": {"const": kind.name}}
        definitions[kind.name] = {**schema, "required": ["apiVersion", "kind"]}
    by_kind = [
        {
            "if": {"properties": {"kind": {"const": kind.name}}, "required": ["kind"]},
            "then": {"$ref": f"#/$defs/{kind.name}"},
        }
        for kind in KINDS
    ]
    return {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "title": "netsim topology",
        "type": "object",
        "required": ["apiVersion", "kind"],
        "allOf": by_kind,
        "$defs": definitions,
    }


def _schema(kind: Type, definitions: dict[str, Schema]) -> Schema:
    if isinstance(kind, Scalar):
        return _scalar(kind)
    if isinstance(kind, ListOf):
        return {"type": ["array", "null"], "items": _schema(kind.item, definitions)}
    if isinstance(kind, MapOf):
        inner = _schema(kind.value, definitions)
        return {"type": ["object", "null"], "additionalProperties": inner}
    if isinstance(kind, Either):
        return {"anyOf": [_scalar(kind.word), _schema(kind.record, definitions)]}
    if kind.name not in definitions:
        definitions[kind.name] = {}
        definitions[kind.name] = _record(kind, definitions)
    return {"$ref": f"#/$defs/{kind.name}"}


def _scalar(kind: Scalar) -> Schema:
    if not kind.types:
        return {}
    limits: Schema = {"enum": [*kind.values, None]} if kind.values else {}
    return {"type": [*kind.types, "null"], **limits}


def _record(kind: Record, definitions: dict[str, Schema]) -> Schema:
    properties: dict[str, Schema] = {}
    for name, field in kind.fields.items():
        inner = _schema(field.type, definitions)
        if field.use == "ignored":
            inner = {**inner, "description": f"Ignored: {field.why or 'it has no effect here'}."}
        properties[name] = inner
    return {"type": ["object", "null"], "properties": properties, "additionalProperties": False}
