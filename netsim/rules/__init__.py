"""Rules: what kube-proxy would have written on a node for the rows that its data plane runs."""

from netsim.rules import iptables, nft

RENDERERS = {"iptables-save": iptables.render, "nft": nft.render}
FORMATS = tuple(RENDERERS)
# What a node of a mode is asked for, unless one says otherwise; other modes: the first of FORMATS.
FORMAT_OF_MODE = {"nftables": "nft"}
