"""Names of chains and sets, hashed as kube-proxy does it. Spec P-12, P-13."""

from __future__ import annotations

from base64 import b32encode
from hashlib import sha256

IPTABLES_HASH, NFT_HASH = 16, 8  # characters of a hash
NFT_NAME_MAX = 240  # beside a prefix; longer names are cut and end in dots


def _hash(text: str, length: int) -> str:
    return b32encode(sha256(text.encode()).digest()).decode()[:length]


def iptables_name(kind: str, port: str, protocol: str, endpoint: str = "") -> str:
    """`KUBE-<kind>-<hash>`; `kind` SVC, SVL, EXT, FW, or SEP with an endpoint.

    `port` is "ns/name:port" or "ns/name", `protocol` in small letters, `endpoint` "addr:port".
    """
    return f"KUBE-{kind}-{_hash(f'{port}{protocol}{endpoint}', IPTABLES_HASH)}"


def nft_name(kind: str, port: str, protocol: str, endpoint: str = "") -> str:
    """`<kind>-<hash>-ns/name/proto/port[__addr/port]`.

    `kind` is service, local, external or firewall; endpoint or affinity with an endpoint.
    """
    service, _, named = port.partition(":")
    base = f"{service}/{protocol}/{named}"
    if endpoint:
        base += "__" + endpoint.replace(":", "/")
    base = f"{_hash(base, NFT_HASH)}-{base}"
    if len(base) > NFT_NAME_MAX:
        base = base[: NFT_NAME_MAX - 3] + "..."
    return f"{kind}-{base}"
