"""Who may use whom: C includes and Python imports point down, nothing points up.

The two tables below are the whole rule. A new file takes its place in them, or the test names it.
"""

import ast
import re
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
C_FILES = sorted(path for path in (ROOT / "csrc").glob("*.[ch]"))
PYTHON_FILES = sorted((ROOT / "netsim").rglob("*.py"))

# Lowest first; modules of one line may include each other.
C_RANKS = (
    ("base", "wire", "checksum", "retired", "uring"),
    ("ring", "pcapng", "endpoint_slots", "load_table", "flow_arena", "flow_index"),
    ("packet", "service", "frontend_index", "service_table", "route_table", "affinity_table"),
    ("fragment_table",),
    ("tables", "flow_table", "trace", "icmp_quote", "gso", "capture_socket"),
    ("iface", "follow", "rewrite"),
    ("iface_ring", "iface_feed"),
    ("node", "capture", "poller"),
    ("iface_cut",),
    ("iface_queue", "iface_tun", "iface_udp", "iface_link", "fabric", "stage"),
    ("pipeline", "netsim"),
    ("engine",),
)
# Files that are part of a module with another name.
C_PARTS = {
    "peer_table": "route_table",
    "drop_reason": "packet",
    "flow_state": "flow_table",
    "node_load": "node",
    "gso_join": "gso",
    "gso_join_udp": "gso",
    "vnet": "iface_tun",
}
C_FAMILIES = ("stage", "engine", "iface_udp")  # stage_route.c is part of stage, and so on

PYTHON_USES: dict[str, set[str]] = {
    "errors": set(),
    "maps": set(),
    "api": {"errors"},
    "dataplane": {"errors", "lab.init_client", "linux.ns", "maps"},
    "store": {"api", "errors", "maps"},
    "backends": {"dataplane.rows"},
    "controllers": {"api", "store", "backends.base", "dataplane.rows", "maps"},
    "rules": {"api", "dataplane.rows"},
    "linux": {"errors"},
    "server": {"api", "store", "errors"},
    "lab": {
        *("api", "backends", "controllers", "dataplane", "errors", "linux", "rules"),
        *("maps", "server", "store"),
    },
    "bench": {"api", "backends", "controllers", "dataplane", "errors", "lab", "linux", "store"},
    "cli": {"api", "bench", "errors", "lab", "linux", "rules", "server"},
}
ANYWHERE = {"netsim", "netsim.errors", "netsim.__version__"}


def c_module(stem: str) -> str:
    if stem in C_PARTS:
        return C_PARTS[stem]
    for family in C_FAMILIES:
        if stem.startswith(family + "_"):
            return family
    return stem


def c_rank(stem: str) -> int:
    module = c_module(stem)
    found = [rank for rank, modules in enumerate(C_RANKS) if module in modules]
    assert found, f"csrc/{stem}: module {module} has no place in C_RANKS"
    return found[0]


@pytest.mark.parametrize("path", C_FILES, ids=lambda path: path.name)
def test_c_includes_point_down(path: Path) -> None:
    includes = re.findall(r'^#include "([^"]+)\.h"', path.read_text(), re.MULTILINE)
    rank = c_rank(path.stem)
    above = [name for name in includes if c_rank(name) > rank]
    assert not above, f"{path.name} (rank {rank}) includes {above}"


def imports_of(path: Path) -> set[str]:
    found: set[str] = set()
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.module:
            found |= {node.module, *(f"{node.module}.{alias.name}" for alias in node.names)}
    return {name for name in found if name.split(".")[0] == "netsim"}


def allowed(name: str, room: str) -> bool:
    """Whether a file in `room` may import `name` (a module, or something in one)."""
    inner = name.removeprefix("netsim.")
    uses = PYTHON_USES[room] | {room}
    return name in ANYWHERE or any(
        inner == use or inner.startswith(use + ".") or use.startswith(inner + ".") for use in uses
    )


@pytest.mark.parametrize("path", PYTHON_FILES, ids=lambda path: str(path.relative_to(ROOT)))
def test_python_imports_point_down(path: Path) -> None:
    parts = path.relative_to(ROOT / "netsim").parts
    if len(parts) == 1 and path.stem not in ("errors", "maps"):
        return  # the package itself re-exports Lab
    room = parts[0] if len(parts) > 1 else path.stem
    assert room in PYTHON_USES, f"{room} has no place in PYTHON_USES"
    wrong = sorted(name for name in imports_of(path) if not allowed(name, room))
    assert not wrong, f"{path.relative_to(ROOT)} imports {wrong}"


def test_a_planted_upward_include_is_found() -> None:
    assert c_rank("engine_worker") > c_rank("stage_route") > c_rank("packet") > c_rank("base")
    assert not allowed("netsim.lab.control", "controllers")
    assert not allowed("netsim.dataplane.client", "controllers")
    assert allowed("netsim.dataplane.rows", "controllers")


SIZES = {".c": 400, ".h": 400, ".py": 400, ".pyx": 400}


@pytest.mark.parametrize("suffix", SIZES)
def test_files_fit_on_a_few_screens(suffix: str) -> None:
    roots = ("csrc", "netsim", "tests", "benchmarks")
    files = [
        p for root in roots for p in (ROOT / root).rglob(f"*{suffix}") if "build" not in p.parts
    ]
    long = {
        str(path.relative_to(ROOT)): lines
        for path in files
        if (lines := len(path.read_text().splitlines())) > SIZES[suffix]
        and not path.name.startswith("_core.")
    }
    assert not long


FUNCTION_LINES = 40  # of Python; those of C are measured by clang-tidy


def test_functions_fit_on_a_screen() -> None:
    roots = ("netsim", "tests", "benchmarks")
    long = {
        f"{path.relative_to(ROOT)}: {node.name}": lines
        for path in (p for root in roots for p in (ROOT / root).rglob("*.py"))
        for node in ast.walk(ast.parse(path.read_text()))
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef)
        and (lines := (node.end_lineno or node.lineno) - node.lineno + 1) > FUNCTION_LINES
    }
    assert not long
