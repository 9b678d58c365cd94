"""Quantities, as far as they count CPUs: `2`, `500m`, `1.5`."""

from __future__ import annotations

import re
from decimal import Decimal

_QUANTITY = re.compile(
    r"([+-]?(?:[0-9]{1,30}\.?[0-9]{0,30}|\.[0-9]{1,30}))"
    r"(?:([numkMGTPE]|[KMGTPE]i)?|[eE]([+-]?[0-9]{1,2}))",
    re.ASCII,
)
_UNITS = {"n": -9, "u": -6, "m": -3, "": 0, "k": 3, "M": 6, "G": 9, "T": 12, "P": 15, "E": 18}
PATTERN = (
    "quantities must match the regular expression '^([+-]?[0-9.]+)([eEinumkKMGTP]*[-+]?[0-9]*)$'"
)


def is_quantity(value: object) -> bool:
    """Whether the value is a quantity of Kubernetes."""
    return isinstance(value, int | str) and _QUANTITY.fullmatch(str(value)) is not None


def millis(value: object) -> int:
    """Thousandths of a quantity in decimal units, rounded up; 0 for anything else."""
    found = _QUANTITY.fullmatch(str(value))
    unit = found[2] or "" if found else "?"
    if found is None or unit not in _UNITS:
        return 0
    exponent = int(found[3]) if found[3] else _UNITS[unit]
    exact = Decimal(found[1]).scaleb(exponent + 3)
    return max(0, int(exact.to_integral_value(rounding="ROUND_CEILING")))
