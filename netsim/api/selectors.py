"""Label and field selectors: kubectl's `-l` and `--field-selector`, matchLabels.

Rules and texts as in Kubernetes' apimachinery `pkg/labels` and `pkg/fields`.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import NamedTuple

from netsim.api.fields import Json, items, mapping, strings, text, texts
from netsim.api.names import label_key_errors, label_value_errors
from netsim.errors import UsageError


class Requirement(NamedTuple):
    """One condition on one key. `operator` is In, NotIn, Exists, DoesNotExist, Gt or Lt."""

    key: str
    operator: str
    values: frozenset[str] = frozenset()

    def matches(self, labels: Mapping[str, str]) -> bool:
        """Whether the labels meet it; NotIn also holds where the key is absent."""
        value = labels.get(self.key)
        if self.operator == "In":
            return value in self.values
        if self.operator == "NotIn":
            return value not in self.values
        if self.operator in ("Exists", "DoesNotExist"):
            return (value is not None) == (self.operator == "Exists")
        (bound,) = self.values
        if value is None or not _INTEGER.fullmatch(value):
            return False
        return int(value) > int(bound) if self.operator == "Gt" else int(value) < int(bound)

    def __str__(self) -> str:
        values = ",".join(sorted(self.values))
        if len(self.values) == 1 and self.operator in _SIGNS:
            return f"{self.key}{_SIGNS[self.operator]}{values}"
        forms = {"In": f"{self.key} in ({values})", "NotIn": f"{self.key} notin ({values})"}
        return forms.get(self.operator, self.key if self.operator == "Exists" else f"!{self.key}")


_SIGNS = {"In": "=", "NotIn": "!=", "Gt": ">", "Lt": "<"}
_INTEGER = re.compile(r"[-+]?[0-9]{1,18}")
_WORDS = {"in": "In", "notin": "NotIn"}
_OPERATORS = {"=": "In", "==": "In", "!=": "NotIn", ">": "Gt", "<": "Lt"}
_TOKEN = re.compile(r"\s*(==|!=|[=!<>(),]|[^\s=!<>(),]+)")


@dataclass(frozen=True, slots=True)
class LabelSelector:
    """Requirements that must all hold. Without any it matches everything."""

    requirements: tuple[Requirement, ...] = ()

    @classmethod
    def parse(cls, expression: str) -> LabelSelector:
        """`a=b,c!=d,e in (f,g),h notin (i),j,!k,n>1`; UsageError says what is wrong."""
        return cls(tuple(_Parser(expression).requirements()))

    @classmethod
    def of_map(cls, labels: Mapping[str, str]) -> LabelSelector:
        """Every label as given: a Service's selector, matchLabels."""
        return cls(tuple([Requirement(k, "In", frozenset((v,))) for k, v in labels.items()]))

    @classmethod
    def of(cls, obj: Json) -> LabelSelector:
        """A metav1.LabelSelector: matchLabels and matchExpressions together."""
        expressions = [
            Requirement(text(e, "key"), text(e, "operator"), frozenset(texts(e, "values")))
            for e in items(obj, "matchExpressions")
        ]
        equal = cls.of_map(strings(obj, "matchLabels")).requirements
        return cls((*equal, *expressions))

    def matches(self, labels: Mapping[str, str]) -> bool:
        """Whether the labels meet every requirement."""
        return all(r.matches(labels) for r in self.requirements)

    def __str__(self) -> str:
        return ",".join(str(r) for r in self.requirements)


class _Parser:
    """Recursive descent over the tokens of a label selector expression."""

    def __init__(self, expression: str) -> None:
        self.expression = expression
        self.tokens = _TOKEN.findall(expression)
        self.at = 0

    def requirements(self) -> list[Requirement]:
        found: list[Requirement] = []
        while self.at < len(self.tokens):
            if found:
                self.expect(",")
            found.append(self.requirement())
        return found

    def requirement(self) -> Requirement:
        if self.peek() == "!":
            self.next()
            return Requirement(self.key(), "DoesNotExist")
        key = self.key()
        sign = self.peek()
        if sign in _OPERATORS:
            self.next()
            return Requirement(key, _OPERATORS[sign], self.bound(key, sign))
        if sign in _WORDS:
            self.next()
            return Requirement(key, _WORDS[sign], self.values(key))
        return Requirement(key, "Exists")

    def key(self) -> str:
        key = self.next()
        errors = label_key_errors(key)
        if errors:
            raise self.error(f"{key!r} is not a label key: {errors[0]}")
        return key

    def bound(self, key: str, sign: str) -> frozenset[str]:
        value = "" if self.peek() in ("", ",") else self.next()
        if sign in "<>" and not _INTEGER.fullmatch(value):
            raise self.error(f"{key}{sign} needs an integer")
        return frozenset((self.checked(value),))

    def values(self, key: str) -> frozenset[str]:
        self.expect("(")
        found = {self.value()}
        while self.peek() == ",":
            self.next()
            found.add(self.value())
        self.expect(")")
        return frozenset(found)

    def value(self) -> str:
        return "" if self.peek() in (",", ")") else self.checked(self.next())

    def checked(self, value: str) -> str:
        errors = label_value_errors(value)
        if errors:
            raise self.error(f"{value!r} is not a label value: {errors[0]}")
        return value

    def peek(self) -> str:
        return self.tokens[self.at] if self.at < len(self.tokens) else ""

    def next(self) -> str:
        token = self.peek()
        if not token:
            raise self.error("it ends too early")
        self.at += 1
        return token

    def expect(self, wanted: str) -> None:
        found = self.next()
        if found != wanted:
            raise self.error(f"found {found!r}, expected {wanted!r}")

    def error(self, why: str) -> UsageError:
        return UsageError(
            f"label selector {self.expression!r}", why, "for example: app=web,tier!=db,env in (a,b)"
        )


_FIELDS_OF_EVERY_KIND = ("metadata.name", "metadata.namespace")
_FIELDS_BY_KIND: Mapping[str, tuple[str, ...]] = {
    "Pod": (
        "spec.nodeName",
        "spec.restartPolicy",
        "spec.schedulerName",
        "spec.serviceAccountName",
        "status.phase",
        "status.podIP",
        "status.nominatedNodeName",
    ),
    "Node": ("spec.unschedulable",),
    "Namespace": ("status.phase",),
    "Service": ("spec.clusterIP", "spec.type"),
    "ReplicaSet": ("status.replicas",),
}


@dataclass(frozen=True, slots=True)
class FieldSelector:
    """Fields that must have, or must not have, a value: (path, wanted, equal)."""

    terms: tuple[tuple[str, str, bool], ...] = ()

    @classmethod
    def parse(cls, expression: str, kind: str) -> FieldSelector:
        """`metadata.name=web,status.phase!=Running`, with the fields that Kubernetes allows `kind`.

        UsageError names the field that is not among them.
        """
        allowed = (*_FIELDS_OF_EVERY_KIND, *_FIELDS_BY_KIND.get(kind, ()))
        terms: list[tuple[str, str, bool]] = []
        for term in filter(None, expression.split(",")):
            match = re.fullmatch(r"\s*([^=!\s]+)\s*(==|=|!=)\s*(.*?)\s*", term)
            if not match:
                raise UsageError(f"field selector {expression!r}", f"{term!r} is not FIELD=VALUE")
            path, sign, value = match.groups()
            if path not in allowed:
                raise UsageError(
                    f"field label not supported: {path}", hint=f"one of: {', '.join(allowed)}"
                )
            terms.append((path, value, sign != "!="))
        return cls(tuple(terms))

    def matches(self, obj: Json) -> bool:
        """Whether the object meets every term; an absent field counts as empty."""
        return all((_field(obj, path) == value) == equal for path, value, equal in self.terms)

    def __str__(self) -> str:
        return ",".join(f"{path}{'=' if equal else '!='}{v}" for path, v, equal in self.terms)


def _field(obj: Json, path: str) -> str:
    section, _, key = path.partition(".")
    value = mapping(obj, section).get(key)
    if isinstance(value, bool):
        return str(value).lower()
    return "" if value is None else str(value)
