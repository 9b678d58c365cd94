"""Rules: what kube-proxy would have written on a node for the rows that its data plane runs."""

from netsim.rules import iptables, nft

RENDERERS = {"iptables-save": iptables.render, "nft": nft.render}
FORMATS = tuple(RENDERERS)
