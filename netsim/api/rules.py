"""What the rules of all kinds share: names, labels, numbers, addresses, ports; with their texts."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from ipaddress import IPv6Address, IPv6Network, ip_network

from netsim.api.addresses import Cidr, parse_address
from netsim.api.fields import Json, items, mapping, text, texts
from netsim.api.meta import suggest
from netsim.api.names import label_key_errors, label_value_errors
from netsim.api.problems import (
    Path,
    Problem,
    forbidden,
    invalid,
    not_supported,
    required,
    too_long,
    warning,
)
from netsim.api.proxy_modes import PROXY_MODES

PROTOCOL_NAMES = ("SCTP", "TCP", "UDP")
PORT_RANGE = "must be between 1 and 65535, inclusive"
NOT_NEGATIVE = "must be greater than or equal to 0"
IMMUTABLE = "field is immutable"
ANNOTATIONS_MAX_BYTES = 256 * 1024

_UNSPECIFIED = "may not be unspecified (0.0.0.0 or ::)"
_LOOPBACK = "may not be in the loopback range (127.0.0.0/8, ::1/128)"
_LINK_LOCAL = "may not be in the link-local range (169.254.0.0/16, fe80::/10)"
_MULTICAST = "may not be in the link-local multicast range (224.0.0.0/24, ff02::/10)"
SPECIAL_RANGES = (
    (Cidr.parse("0.0.0.0/32"), _UNSPECIFIED),
    (Cidr.parse("127.0.0.0/8"), _LOOPBACK),
    (Cidr.parse("169.254.0.0/16"), _LINK_LOCAL),
    (Cidr.parse("224.0.0.0/24"), _MULTICAST),
)
SPECIAL_V6 = (
    (IPv6Network("::/128"), _UNSPECIFIED),
    (IPv6Network("::1/128"), _LOOPBACK),
    (IPv6Network("fe80::/10"), _LINK_LOCAL),
    (IPv6Network("ff02::/16"), _MULTICAST),
)

Syntax = Callable[[str], list[str]]


def syntax(where: Path, value: str, rule: Syntax) -> Iterator[Problem]:
    """A value against a rule of `names`."""
    for error in rule(value):
        yield invalid(where, value, error)


def needed(where: Path, value: str, rule: Syntax) -> Iterator[Problem]:
    """A value that must be there, and its syntax."""
    if value:
        yield from syntax(where, value, rule)
    else:
        yield required(where)


def one_of(where: Path, value: str, supported: Sequence[str]) -> Iterator[Problem]:
    """A word that is one of a list, or absent."""
    if value and value not in supported:
        near = suggest(value, list(supported))
        yield not_supported(where, value, supported, f"did you mean {near}?" if near else "")


def proxy_mode(where: Path, value: str) -> Iterator[Problem]:
    """A mode of the service proxy, or none."""
    yield from one_of(where, value, tuple(PROXY_MODES))


def at_least(where: Path, obj: Json, names: str, least: int = 0) -> Iterator[Problem]:
    """Integer fields of `obj` that may not be smaller than `least`."""
    for name in names.split():
        value = obj.get(name)
        if isinstance(value, int) and value < least:
            detail = NOT_NEGATIVE if least == 0 else f"must be greater than or equal to {least}"
            yield invalid((*where, name), value, detail)


def in_range(where: Path, obj: Json, name: str, least: int, most: int) -> Iterator[Problem]:
    """An integer field of `obj` within limits, or absent."""
    value = obj.get(name)
    if isinstance(value, int) and not least <= value <= most:
        yield invalid((*where, name), value, f"must be between {least} and {most}, inclusive")


def port(where: Path, value: object) -> Iterator[Problem]:
    """A port number, 0 when it is absent."""
    if isinstance(value, int) and not 1 <= value <= 65535:
        yield invalid(where, value, PORT_RANGE)


def port_or_name(where: Path, value: object, rule: Syntax) -> Iterator[Problem]:
    """A port number or a port's name."""
    if isinstance(value, int):
        yield from port(where, value)
    elif isinstance(value, str):
        hint = "a number is written without quotes" if value.isdigit() else ""
        for error in rule(value):
            yield invalid(where, value, error, hint)


def check_labels(where: Path, found: Mapping[str, str]) -> Iterator[Problem]:
    """Keys and values of a map of labels; the field named is the map, as in the API."""
    for key, value in found.items():
        for error in label_key_errors(key):
            yield invalid(where, key, error).placed_at((*where, key), key=True)
        for error in label_value_errors(value):
            yield invalid(where, value, error).placed_at((*where, key))


def check_annotations(where: Path, found: Mapping[str, str]) -> Iterator[Problem]:
    """Keys of annotations (in any case) and their size together."""
    for key in found:
        for error in label_key_errors(key.lower()):
            yield invalid(where, key, error).placed_at((*where, key), key=True)
    if sum(len(k.encode()) + len(v.encode()) for k, v in found.items()) > ANNOTATIONS_MAX_BYTES:
        yield too_long(where, ANNOTATIONS_MAX_BYTES)


def ipv4(where: Path, value: str) -> Iterator[Problem]:
    """A dotted IPv4 address."""
    try:
        parse_address(value)
    except ValueError:
        hint = "IPv6 is not supported yet" if ":" in value else ""
        yield invalid(where, value, "must be a valid IPv4 address, (e.g. 10.9.8.7)", hint)


def endpoint_address(where: Path, value: str) -> Iterator[Problem]:
    """An IPv4 address that an endpoint may have (validateNonSpecialIP)."""
    bad = list(ipv4(where, value))
    yield from bad
    if bad:
        return
    address = parse_address(value)
    for special, message in SPECIAL_RANGES:
        if special.contains(address):
            yield invalid(where, value, message)


def external_address(where: Path, value: str) -> Iterator[Problem]:
    """One that outsiders may use, of either family; the proxy passes IPv6 over (P-112)."""
    try:
        address = IPv6Address(value)
    except ValueError:
        yield from endpoint_address(where, value)
        return
    for special, message in SPECIAL_V6:
        if address in special:
            yield invalid(where, value, message)
            return
    yield warning(where, "IPv6 addresses are not used")


def any_cidr(where: Path, value: str) -> Iterator[Problem]:
    """A range of either family; whitespace around it does not matter."""
    try:
        ip_network(value.strip(), strict=False)
    except ValueError:
        yield invalid(
            where, value, "must be a valid CIDR value, (e.g. 10.9.8.0/24 or 2001:db8::/64)"
        )
        return
    if "/" not in value:
        yield invalid(
            where, value, "must be a valid CIDR value, (e.g. 10.9.8.0/24 or 2001:db8::/64)"
        )


def cidr(where: Path, value: str, longest: int) -> Iterator[Problem]:
    """An IPv4 range of at least 2 to the power (32 - longest) usable addresses."""
    try:
        found = Cidr.parse(value)
    except ValueError as error:
        yield invalid(where, value, "must be a valid CIDR value, (e.g. 10.9.8.0/24)", str(error))
        return
    if found.length > longest:
        yield invalid(where, value, f"is too small: at least a /{longest} is needed")
    reserved = [Cidr.parse(r) for r in ("0.0.0.0/8", "127.0.0.0/8", "224.0.0.0/3")]
    if any(found.overlaps(r) for r in reserved):
        yield invalid(where, value, "holds addresses that no host may have", "use 10.0.0.0/8")


def label_selector(where: Path, selector: Json) -> Iterator[Problem]:
    """Both parts, matchLabels and matchExpressions of a metav1.LabelSelector."""
    match = mapping(selector, "matchLabels")
    yield from check_labels((*where, "matchLabels"), {k: str(v or "") for k, v in match.items()})
    for index, expression in enumerate(items(selector, "matchExpressions")):
        at = (*where, "matchExpressions", index)
        yield from needed((*at, "key"), text(expression, "key"), label_key_errors)
        operator, values = text(expression, "operator"), texts(expression, "values")
        if operator in ("In", "NotIn"):
            if not values:
                detail = "must be specified when `operator` is 'In' or 'NotIn'"
                yield required((*at, "values"), detail)
            for number, value in enumerate(values):
                yield from syntax((*at, "values", number), value, label_value_errors)
        elif operator in ("Exists", "DoesNotExist"):
            if values:
                detail = "may not be specified when `operator` is 'Exists' or 'DoesNotExist'"
                yield forbidden((*at, "values"), detail)
        else:
            detail = "not a valid selector operator"
            hint = "one of In, NotIn, Exists, DoesNotExist"
            yield invalid((*at, "operator"), operator, detail, hint)
