"""ObjectMeta as a typed view, and the base of every typed resource."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import ClassVar

from netsim.api.fields import Json, flag, items, mapping, number, strings, text
from netsim.api.meta import KIND_BY_NAME, ObjectKey


@dataclass(frozen=True, slots=True)
class Owner:
    """One owner reference."""

    kind: str
    name: str
    uid: str
    controller: bool


@dataclass(frozen=True, slots=True)
class Metadata:
    """metadata. Times are RFC 3339 as stored, empty when not set."""

    name: str
    namespace: str = ""
    uid: str = ""
    generation: int = 0
    labels: Mapping[str, str] = field(default_factory=dict)
    annotations: Mapping[str, str] = field(default_factory=dict)
    created: str = ""
    deleted: str = ""
    owners: tuple[Owner, ...] = ()

    @classmethod
    def parse(cls, obj: Json) -> Metadata:
        """From a whole object (not from its metadata)."""
        meta = mapping(obj, "metadata")
        return cls(
            text(meta, "name"),
            text(meta, "namespace"),
            text(meta, "uid"),
            number(meta, "generation"),
            strings(meta, "labels"),
            strings(meta, "annotations"),
            text(meta, "creationTimestamp"),
            text(meta, "deletionTimestamp"),
            tuple(_owner(o) for o in items(meta, "ownerReferences"))
            if "ownerReferences" in meta
            else (),
        )

    @property
    def terminating(self) -> bool:
        """Whether it is being deleted (deletionTimestamp is set)."""
        return bool(self.deleted)

    @property
    def controller(self) -> Owner | None:
        """The owner that manages the object, if any."""
        return next((o for o in self.owners if o.controller), None)


def _owner(obj: Json) -> Owner:
    return Owner(text(obj, "kind"), text(obj, "name"), text(obj, "uid"), flag(obj, "controller"))


@dataclass(frozen=True, slots=True)
class Resource:
    """A typed object: `kind` is the class's, the rest is read once and never changes."""

    kind: ClassVar[str] = ""
    meta: Metadata

    @property
    def name(self) -> str:
        """metadata.name."""
        return self.meta.name

    @property
    def namespace(self) -> str:
        """metadata.namespace; `default` when a namespaced object does not say."""
        return self.meta.namespace or ("default" if KIND_BY_NAME[self.kind].namespaced else "")

    @property
    def labels(self) -> Mapping[str, str]:
        """metadata.labels."""
        return self.meta.labels

    @property
    def key(self) -> ObjectKey:
        """Where a store keeps it."""
        return ObjectKey(self.kind, self.namespace, self.name)
