"""What the handlers work with: the store, what a request names, who admits and who helps."""

from __future__ import annotations

import socket
from collections import OrderedDict
from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import dataclass, field
from datetime import datetime
from typing import Literal, Protocol

from aiohttp import web

from netsim.api.fields import Json
from netsim.api.meta import Kind, ObjectKey
from netsim.server.codec import MAX_BODY_BYTES
from netsim.store.base import Store, View, Watch
from netsim.store.errors import ObjectNotFoundError
from netsim.store.memory import utc_now

Operation = Literal["CREATE", "UPDATE"]
KEPT_PAGES = 32


class Admit(Protocol):
    """Defaults, validation and allocation: what an object becomes before it is stored."""

    def __call__(self, view: View, operation: Operation, new: Json, old: Json | None) -> Json:
        """The object to store; `old` is None for CREATE. ApiError refuses it."""


@dataclass(frozen=True, slots=True)
class LogOptions:
    """Which part of a container's output is wanted."""

    container: str
    follow: bool = False
    previous: bool = False
    tail_lines: int | None = None
    since_s: int | None = None
    limit_bytes: int | None = None
    timestamps: bool = False


PodLog = Callable[[Json, LogOptions], AsyncIterator[bytes]]
Dial = Callable[[str], Awaitable[socket.socket]]


@dataclass(frozen=True, slots=True)
class Hooks:
    """What the API passes on to who runs the lab. None: the lab cannot do that.

    `dial` makes a TCP socket that speaks from the node of this name, or from any if it is empty
    (OSError or NetsimError if there is none).
    """

    pod_log: PodLog | None = None
    dial: Dial | None = None


@dataclass(frozen=True, slots=True)
class Target:
    """What a URL names. `namespace` is None for all namespaces, "" for cluster-wide kinds."""

    kind: Kind
    namespace: str | None
    name: str = ""

    @property
    def key(self) -> ObjectKey:
        """The key of the object that is named."""
        return ObjectKey(self.kind.name, self.namespace or "", self.name)


@dataclass(slots=True)
class Api:
    """The server's own state: collaborators, open watches, and views that paged lists go on in."""

    store: Store
    admit: Admit
    hooks: Hooks = field(default_factory=Hooks)
    now: Callable[[], datetime] = utc_now
    max_body_bytes: int = MAX_BODY_BYTES
    bookmark_s: float = 60.0
    watches: set[Watch] = field(default_factory=set)
    pages: OrderedDict[int, View] = field(default_factory=OrderedDict)

    def existing(self, target: Target) -> Json:
        """The object that a URL names. ObjectNotFoundError."""
        obj = self.store.view().get(target.key)
        if obj is None:
            raise ObjectNotFoundError(target.kind.plural, target.name, target.kind.group)
        return obj

    def keep_page(self, view: View) -> None:
        """Keep a view for the next pages of a list; the oldest is forgotten."""
        self.pages[view.revision] = view
        self.pages.move_to_end(view.revision)
        while len(self.pages) > KEPT_PAGES:
            self.pages.popitem(last=False)


Handler = Callable[[Api, web.Request, Target], Awaitable[web.StreamResponse]]
