"""The documentation says what is: commands, options, links, paths, fields, reasons, manifests."""

from __future__ import annotations

import ast
import json
import re
import shlex
from pathlib import Path

import click
import pytest

import netsim
from netsim import errors
from netsim.api import lab_spec, manifests
from netsim.api.problems import Problem
from netsim.api.schema import Record
from netsim.api.schema_lab import BACKEND, LAB_SPEC
from netsim.api.validation import validate_all
from netsim.cli.main import COMMANDS, cli
from tests.docs import pages
from tests.docs.pages import PAGES, ROOT, page_id

COMMANDS_PAGE = ROOT / "docs" / "commands.md"
TOPOLOGY_PAGE = ROOT / "docs" / "topology.md"
DROPS_PAGE = ROOT / "docs" / "troubleshooting.md"
PLACEHOLDER = re.compile(r"[A-Z]+|\.\.\.")
every_page = pytest.mark.parametrize("page", PAGES, ids=page_id)


def command(name: str) -> click.Command:
    made = cli.get_command(click.Context(cli), name)
    assert made is not None, f"there is no command {name}"
    return made


def check(parsed: click.Command, args: list[str]) -> list[str]:
    """Parse arguments as the command does, run nothing; what is not options."""
    root = click.Context(cli, **cli.context_settings)  # commands remember how help is asked for
    context = click.Context(parsed, parent=root, info_name=parsed.name)
    given, rest, _ = parsed.make_parser(context).parse_args(args=list(args))
    for param in parsed.params:
        if isinstance(param, click.Option) and param.name in given and not param.is_flag:
            param.type_cast_value(context, given[param.name])
    return rest


def check_words(words: list[str]) -> None:
    """Parse what is behind a command of one word or two."""
    name, found, rest = cli.resolve_command(click.Context(cli), words)
    assert found is not None, f"there is no command {name}"
    check(found, rest)


@every_page
def test_commands_and_their_options_exist(page: Path) -> None:
    for args in pages.netsim_commands(page):
        try:
            words = check(cli, args) or ["--version"]
            if words[0] != "--version" and not PLACEHOLDER.fullmatch(words[0]):
                check_words(words)
        except click.UsageError as error:
            pytest.fail(f"netsim {shlex.join(args)}: {error.format_message()}")


def test_examples_of_help_texts_exist_too() -> None:
    for name in COMMANDS:
        epilog = command(name).epilog or ""
        found = re.findall(rf"netsim ({name} [^\n|>)]*)", epilog)
        assert found, f"netsim {name} --help has no example"
        for line in found:
            check_words(shlex.split(line, comments=True))


@every_page
def test_links_lead_somewhere(page: Path) -> None:
    for link in pages.links(page):
        path, _, anchor = link.partition("#")
        target = (page.parent / path).resolve() if path else page
        assert target.exists(), link
        if anchor:
            assert anchor in pages.anchors(target), link


@every_page
def test_paths_exist(page: Path) -> None:
    for path in pages.paths(page):
        assert any(ROOT.glob(path.rstrip("/"))) or any(ROOT.glob(path + ".*")), path


@pytest.mark.parametrize("page", [p for p in PAGES if p.name == "README.md"], ids=page_id)
def test_files_in_a_folder_s_table_exist(page: Path) -> None:
    for cells in pages.rows(page.read_text()):
        for name in re.findall(r"`([\w*]+\.(?:py|pyi|pyx|pxd|c|h|yaml))`", cells[0]):
            assert any(page.parent.glob(name)), name


def test_every_command_has_a_section_with_its_options() -> None:
    for name in COMMANDS:
        text = pages.section(COMMANDS_PAGE, f"## {name}")
        listed = {
            word for cells in pages.rows(text) for word in re.findall(r"`(-[\w-]+)`", cells[0])
        }
        options = (p for p in command(name).params if isinstance(p, click.Option) and not p.hidden)
        wanted = {o for p in options for o in (*p.opts, *p.secondary_opts)} - {"-h", "--help"}
        assert listed == wanted, f"## {name}"


def test_every_exit_code_is_listed() -> None:
    kinds: list[type[errors.NetsimError]] = [
        errors.NetsimError,
        *errors.NetsimError.__subclasses__(),
    ]
    codes = {kind.exit_code for kind in kinds} | {0, 130}
    table = pages.rows(pages.section(COMMANDS_PAGE, "## Exit codes"))
    assert {int(cells[0]) for cells in table if cells[0].isdigit()} == codes


def test_every_variable_is_read_somewhere() -> None:
    names = {name for page in PAGES for name in re.findall(r"NETSIM_[A-Z_]+\b", page.read_text())}
    sources = [
        *(ROOT / "netsim").rglob("*.py"),
        *(ROOT / "csrc").rglob("*.c"),
        *(ROOT / "tests").glob("*.py"),
        ROOT / "setup.py",
    ]
    code = "\n".join(path.read_text() for path in sources)
    options = {
        f"NETSIM_{name}_{param.name}".upper()
        for name in COMMANDS
        for param in command(name).params
        if param.name
    }
    unread = {name for name in names - options if name not in code and name != "NETSIM_"}
    assert not unread


DEFAULTS = {
    "seed": lab_spec.DEFAULT_SEED,
    "podCIDR": lab_spec.DEFAULT_POD_CIDR,
    "serviceCIDR": lab_spec.DEFAULT_SERVICE_CIDR,
    "nodeCIDR": lab_spec.DEFAULT_NODE_CIDR,
    "loadBalancerCIDR": lab_spec.DEFAULT_LOAD_BALANCER_CIDR,
    "generate": lab_spec.DEFAULT_NODES,
    "backend": lab_spec.BackendSpec().name,
    "wire": lab_spec.Lab.parse({}).wire,
    "mtu": lab_spec.DEFAULT_MTU,
    "workers": lab_spec.DEFAULT_WORKERS,
    "io": lab_spec.Lab.parse({}).io,
    "polling": lab_spec.Lab.parse({}).polling,
    "proxyMode": lab_spec.Lab.parse({}).proxy_mode,
    "proxy": lab_spec.ProxySpec().detect_local_mode,
    "outside": "[]",
    "clusterDNS": "false",
    "conntrack": "tcpBeLiberal: false",
    "flowsMax": lab_spec.FLOWS_DEFAULT_MIN,
}


def test_every_field_of_a_lab_is_listed_with_its_default() -> None:
    table = pages.rows(pages.section(TOPOLOGY_PAGE, "## Lab"))
    listed = {cells[0].strip("`").split(".")[0]: cells for cells in table if len(cells) == 4}
    assert set(LAB_SPEC.fields) == set(DEFAULTS) == set(listed) - {"spec", "---"}
    for name, default in DEFAULTS.items():
        assert str(default) in listed[name][2], name


def test_every_backend_is_listed_with_its_options() -> None:
    text = pages.section(TOPOLOGY_PAGE, "## Lab")
    for name, field in BACKEND.fields.items():
        assert isinstance(field.type, Record)
        [row] = [cells for cells in pages.rows(text) if cells[0].startswith(f"`{{{name}:")]
        assert all(f"`{option}`" in row[1] for option in field.type.fields), name


def test_every_drop_reason_is_explained() -> None:
    header = (ROOT / "csrc" / "packet.h").read_text().replace("\\\n", "")
    reasons = dict(re.findall(r'\bX\(\w+, "([^"]+)",\s*"([^"]+)"\)', header))
    del reasons["none"]
    table = pages.rows(pages.section(DROPS_PAGE, "## Drop reasons"))
    listed = {c[0].strip("`"): c[1] for c in table if c[0].startswith("`")}
    assert listed == reasons


@every_page
def test_manifests_are_valid(page: Path) -> None:
    for block in pages.blocks(page, "yaml"):
        if "apiVersion" not in block.text:
            continue
        loaded = manifests.load_text(block.text)
        problems: list[Problem] = [*loaded.problems, *validate_all(loaded.objects)]
        assert loaded.objects
        assert not [str(p) for p in problems if p.severity == "error"]


@every_page
def test_json_and_python_can_be_read(page: Path) -> None:
    for block in pages.blocks(page, "json"):
        json.loads(block.text)
    for block in pages.blocks(page, "python"):
        for node in ast.walk(ast.parse(block.text)):
            if not isinstance(node, ast.Attribute) or not isinstance(node.value, ast.Name):
                continue
            if node.value.id == "lab":
                assert hasattr(netsim.Lab, node.attr), node.attr
