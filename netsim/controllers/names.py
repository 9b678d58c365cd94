"""Generated names: five characters of Kubernetes' alphabet behind a prefix, drawn by hash."""

from __future__ import annotations

from hashlib import sha256

# No vowels and no look-alikes, so that a name neither spells nor misleads.
ALPHABET = "bcdfghjklmnpqrstvwxz2456789"
# Names leave room for the suffix within 63 characters.
PREFIX_MAX = 58


def suffix(length: int, *parts: object) -> str:
    """`length` characters, the same for the same parts."""
    value = int.from_bytes(sha256("/".join(map(str, parts)).encode()).digest()[:16], "big")
    out = ""
    for _ in range(length):
        value, rest = divmod(value, len(ALPHABET))
        out += ALPHABET[rest]
    return out


def generated(prefix: str, *parts: object) -> str:
    """A name under `generateName: prefix`."""
    return prefix[:PREFIX_MAX] + suffix(5, prefix, *parts)
