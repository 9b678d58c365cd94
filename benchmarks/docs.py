"""`python -m benchmarks.docs`: tables and plots of docs/performance.md.

They are made of docs/performance.json, which is what `netsim bench all -o json` printed; what it
printed on another machine is docs/performance-MACHINE.json. Tables stand between `<!-- NAME -->`
and `<!-- /NAME -->`, those of another machine at `NAME-MACHINE`; what is around them is written by
hand.
"""

from __future__ import annotations

import argparse
import json
import re
import sys
from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path
from typing import NamedTuple

from benchmarks.docs_plots import files
from netsim.api.fields import Json, items, mapping, number, text, texts
from netsim.bench.rounds import Spread
from netsim.bench.table import number as shown
from netsim.bench.table import text as shown_spread

DOCS = Path(__file__).parents[1] / "docs"
NOTHING = "Not measured yet.\n"


class Ratio(NamedTuple):
    """Targets of a figure of traffic: the least ratio to the kernel, by wire; None for none."""

    key: str
    fabric: float
    udp: float | None


RATIOS = (
    Ratio("gbit_s", 1.8, 1.0),
    Ratio("gbit_s_8", 1.5, 1.0),
    Ratio("packets_per_s", 5.0, 4.0),
    Ratio("per_s_16", 2.5, 1.5),
    Ratio("p50_us", 1.25, 1.0),  # 0.8 of the kernel's time
    Ratio("p99_us", 1.0, 0.83),
    Ratio("near_gbit_s", 0.9, None),
)


class Limit(NamedTuple):
    """A figure of netsim's own (the key's beginning) and the most that it may be.

    `over`: of that other figure, as a factor.
    """

    key: str
    most: float
    over: str = ""


FULL = "path_ns@1 M flows in a full table"
LIMITS = (
    Limit("path_ns@1,000 flows, 10 services, batches of 64", 30),
    Limit("path_ns@1 M flows, 10,000 services, batches of 64", 60),
    Limit("path_ns@new flows, 10,000 services", 250),
    Limit(f"{FULL}, beside refused flows", 1.05, f"{FULL}, beside known flows"),
    Limit("first_p50_us@20000", 1.1, "first_p50_us@10"),
    Limit("update_p99_ms@10000", 2),
    Limit("update_p99_ms@10000", 1.2, "update_p99_ms@10"),
    Limit("full_ms@1", 500),
    Limit("full_ms@100", 1.2, "full_ms@1"),
    Limit("up_s@1000", 3),
    Limit("down_s@1000", 1),
    Limit("flow_bytes", 128),
    Limit("pod_kib", 64),
    Limit("idle_percent", 1),
)

EFFICIENCY = 0.85  # packets per second, at least, of those of a loop that only copies

Rows = Mapping[str, Json]


def rows_by_key(result: Json) -> dict[str, Json]:
    """The figures."""
    return {text(row, "key"): row for row in items(result, "rows")}


def value_of(row: Json, side: str) -> float:
    """A side's median."""
    return float(str(mapping(mapping(row, "sides"), side).get("median", "nan")))


def cell(row: Json, side: str) -> str:
    """Median and range, empty where the side has none."""
    found = mapping(mapping(row, "sides"), side)
    if not found:
        return ""
    return shown_spread(Spread(*(float(str(found[key])) for key in ("median", "low", "high"))))


def ratio_of(row: Json, side: str, peer: str = "kernel") -> float | None:
    """A side's ratio to a peer."""
    for found in items(row, "ratios"):
        if text(found, "side") == side and text(found, "peer") == peer:
            return float(str(found["ratio"]))
    return None


def verdict(met: bool) -> str:
    """A word that can be searched for."""
    return "met" if met else "**missed**"


def markdown(head: Sequence[str], lines: Iterable[Sequence[str]]) -> str:
    """A table, or that there is nothing to show."""
    shown = list(lines)
    if not shown:
        return NOTHING
    all_lines = [head, ["---"] * len(head), *shown]
    return "".join(f"| {' | '.join(line)} |\n" for line in all_lines)


def traffic(result: Json) -> str:
    """Ratios with their targets."""
    rows = rows_by_key(result)
    lines = []
    for key, *wanted in RATIOS:
        row = rows.get(key)
        if row is None:
            continue
        name = f"{text(row, 'name')}, {text(row, 'unit')}"
        for wire, least in zip(("fabric", "udp"), wanted, strict=True):
            side = f"netsim-{wire}"
            found = ratio_of(row, side)
            if least is None or found is None:
                continue
            against = f"{found:.2f}", f"{least:g}", verdict(found >= least)
            lines.append((name, wire, cell(row, side), cell(row, "kernel"), *against))
            name = ""
    return markdown(("", "wire", "netsim", "kernel", "ratio", "target", ""), lines)


def more_traffic(result: Json) -> str:
    """Figures of traffic without a target."""
    known = {key for key, *_ in RATIOS}
    lines = []
    for row in items(result, "rows"):
        if text(row, "work") in ("throughput", "connections", "packets"):
            if text(row, "key") in known:
                continue
            name = f"{text(row, 'name')}, {text(row, 'unit')}"
            sides = ("netsim-fabric", "netsim-udp", "kernel")
            lines.append((name, *(cell(row, side) for side in sides)))
    return markdown(("", "netsim, fabric", "netsim, udp", "kernel"), lines)


def growth(result: Json) -> str:
    """What changes with the number of services or nodes, by side."""
    lines = []
    for row in items(result, "rows"):
        if text(row, "work") in ("services", "updates"):
            sides = list(mapping(row, "sides"))
            ours = next((side for side in sides if side.startswith("netsim")), "")
            peers = [cell(row, peer) for peer in ("kernel", "kernel-nft")]
            name = f"{text(row, 'name')}, {text(row, 'unit')}"
            lines.append((name, cell(row, ours), *peers))
    return markdown(("", "netsim", "kernel, iptables", "kernel, nftables"), lines)


def limits(result: Json) -> str:
    """Figures of netsim's own, with their targets."""
    rows = rows_by_key(result)
    lines = []
    for limit in LIMITS:
        row, base = rows.get(limit.key), rows.get(limit.over)
        if row is None or (limit.over and base is None):
            continue
        side = next(iter(mapping(row, "sides")))
        found = value_of(row, side)
        name, unit = text(row, "name"), text(row, "unit")
        if base is not None:
            found /= value_of(base, side)
            name, unit = f"{name}, as a multiple of: {text(base, 'name')}", "x"
        lines.append((name, unit, shown(found), f"<= {limit.most:g}", verdict(found <= limit.most)))
    for row in rows.values():
        ratio = ratio_of(row, "netsim", "bare copy")
        if ratio is not None:
            name = f"{text(row, 'name')}, as a multiple of: a loop that only copies"
            least = f">= {EFFICIENCY:g}"
            lines.append((name, "x", f"{ratio:.2f}", least, verdict(ratio >= EFFICIENCY)))
    return markdown(("", "unit", "netsim", "target", ""), lines)


def others(result: Json) -> str:
    """Start-up, memory and path in full."""
    lines = []
    for row in items(result, "rows"):
        if text(row, "work") in ("startup", "memory", "path"):
            sides = mapping(row, "sides")
            peer = cell(row, "ip-batch") if "ip-batch" in sides else ""
            lines.append((text(row, "name"), text(row, "unit"), cell(row, "netsim"), peer))
    return markdown(("", "unit", "netsim", "`ip -batch`"), lines)


def machine(result: Json) -> str:
    """What the figures are figures of."""
    lines = [(name, str(value)) for name, value in mapping(result, "machine").items()]
    rounds = f"{number(result, 'rounds')} rounds of {result.get('seconds')} s"
    lines.append(("rounds", rounds))
    lines += [("forced", reason) for reason in texts(result, "forced")]
    noisy = [text(row, "name") for row in items(result, "rows") if row.get("noisy") is True]
    if noisy:
        lines.append(("rows with noisy rounds", "; ".join(noisy)))
    return markdown(("", ""), lines)


TABLES: Mapping[str, Callable[[Json], str]] = {
    "traffic": traffic,
    "more": more_traffic,
    "limits": limits,
    "growth": growth,
    "others": others,
    "machine": machine,
}


ELSEWHERE = ("traffic", "limits", "machine")  # what is shown of other machines


def filled(page: str, place: str, inner: str) -> str:
    """The page with a table in its place. KeyError: the page has no such place."""
    found = re.compile(rf"(<!-- {place} -->\n).*?(<!-- /{place} -->)", re.DOTALL)
    if not found.search(page):
        raise KeyError(place)
    return found.sub(lambda match: f"{match[1]}\n{inner}\n{match[2]}", page)


def render(page: str, result: Json | None, elsewhere: Mapping[str, Json] | None = None) -> str:
    """The page with its tables made anew; `elsewhere` by machine. KeyError: one has no place."""
    for name, make in TABLES.items():
        page = filled(page, name, make(result) if result is not None else NOTHING)
    for where, found in (elsewhere or {}).items():
        for name in ELSEWHERE:
            page = filled(page, f"{name}-{where}", TABLES[name](found))
    return page


def loaded(file: Path) -> Json:
    """What `netsim bench -o json` printed."""
    found: Json = json.loads(file.read_text())
    return found


def stored(folder: Path = DOCS) -> Json | None:
    """docs/performance.json, None where there is none."""
    file = folder / "performance.json"
    return loaded(file) if file.exists() else None


def stored_elsewhere(folder: Path = DOCS) -> dict[str, Json]:
    """docs/performance-MACHINE.json by MACHINE."""
    files = sorted(folder.glob("performance-*.json"))
    return {file.stem.partition("-")[2]: loaded(file) for file in files}


def main() -> None:
    """Write the page; with --check only say whether it is as it would be written."""
    parser = argparse.ArgumentParser(prog="benchmarks.docs", description=__doc__)
    parser.add_argument("--check", action="store_true", help="change nothing; exit code 1 if stale")
    args = parser.parse_args()
    found = stored()
    page = DOCS / "performance.md"
    wanted = {page: render(page.read_text(), found, stored_elsewhere())}
    for name, plot in (files(found) if found is not None else {}).items():
        wanted[DOCS / "plots" / f"{name}.svg"] = plot
    stale = [path for path, new in wanted.items() if not path.exists() or path.read_text() != new]
    if args.check:
        sys.exit(bool(stale))
    for path in stale:
        path.write_text(wanted[path])


if __name__ == "__main__":
    main()
