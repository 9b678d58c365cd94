"""get rules: which node, which format, and that the tools take what it prints."""

from __future__ import annotations

import subprocess

import pytest

from netsim.cli.rules import chosen_node
from netsim.errors import NotFoundError, UsageError
from tests.cli.command import run, succeed


def test_the_only_node_goes_without_saying() -> None:
    assert chosen_node(["a"], "") == "a"
    assert chosen_node(["a", "b"], "b") == chosen_node(["a", "b"], "node/b") == "b"
    with pytest.raises(NotFoundError, match="there is no node c"):
        chosen_node(["a", "b"], "c")
    with pytest.raises(UsageError, match="say which node: a, b"):
        chosen_node(["a", "b"], "")


LOAD = {"iptables-save": ["iptables-restore"], "nft": ["nft", "-f", "-"]}


@pytest.mark.linux
@pytest.mark.usefixtures("lab")
@pytest.mark.parametrize("how", LOAD)
def test_the_tools_take_a_node_s_rules(how: str) -> None:
    said = succeed("get", "rules", "node1", "--format", how)
    for service in ("default/web", "shop/till"):
        assert service in said.out
    assert "10.96.0.80" in said.out
    subprocess.run(["unshare", "--net", *LOAD[how]], input=said.out, text=True, check=True)


@pytest.mark.linux
@pytest.mark.usefixtures("lab")
def test_iptables_is_the_default_and_mistakes_are_named() -> None:
    assert succeed("get", "rules", "node/node2").out.startswith("*mangle\n")
    for args, code, words in (
        ([], 2, "say which node: node1, node2"),
        (["node9"], 3, "there is no node node9"),
        (["node1", "--format", "ipvs"], 2, "'iptables-save', 'nft'"),
    ):
        failed = run("get", "rules", *args)
        assert failed.code == code
        assert words in failed.err
