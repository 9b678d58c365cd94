"""Bodies in YAML."""

from __future__ import annotations

import msgspec
import yaml

from netsim.server.codec import MAX_DEPTH, from_json, too_deep
from netsim.store.errors import bad_request


class _Loader(yaml.CSafeLoader):
    """YAML as Kubernetes reads it: what looks like a time is a string."""

    yaml_implicit_resolvers = {  # noqa: RUF012 - the name and type are PyYAML's
        first: [(tag, pattern) for tag, pattern in rules if not tag.endswith(":timestamp")]
        for first, rules in yaml.CSafeLoader.yaml_implicit_resolvers.items()
    }


def parse(body: bytes) -> object:
    """Parse one YAML document without aliases, which can stand for gigabytes. ApiError 400."""
    try:
        _check_events(body)
        value: object = yaml.load(body, Loader=_Loader)
        return from_json(msgspec.json.encode(value))
    except (yaml.YAMLError, ValueError, TypeError, OverflowError) as error:
        text = " ".join(str(error).split())
        if "exceeded maximum nesting depth" in text:  # libyaml's own limit, which it meets first
            raise too_deep() from error
        raise bad_request(f"the body is not YAML: {text}") from error


def _check_events(body: bytes) -> None:
    depth = 0
    for event in yaml.parse(body, Loader=_Loader):
        if isinstance(event, yaml.AliasEvent):
            raise bad_request("the body is not accepted: YAML aliases are not allowed here")
        if isinstance(event, yaml.CollectionStartEvent):
            depth += 1
        elif isinstance(event, yaml.CollectionEndEvent):
            depth -= 1
        if depth > MAX_DEPTH:
            raise too_deep()
