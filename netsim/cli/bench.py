"""bench: netsim beside the kernel, in turn, in one run."""

from __future__ import annotations

import json
import signal
from collections.abc import Callable
from typing import TYPE_CHECKING

import click

from netsim.bench.options import PEERS, WIRES, WORKS, Options
from netsim.cli.common import need_root, quiet_option
from netsim.cli.progress import progress
from netsim.errors import UsageError

if TYPE_CHECKING:
    from netsim.bench.result import Result

FORMATS = ("table", "json", "csv", "html")


@click.command(
    epilog="WORK: throughput, latency, connections, packets (traffic from pod to ClusterIP to pod\n"
    "on another node, and between pods of one node), services (how cost grows with their\n"
    "number), updates (one endpoint changed among many), startup, memory, path (packets in\n"
    "memory, needs the sources), or all. Sides take turns in every round; medians, ranges and\n"
    "ratios are printed, above 1 when netsim is ahead. See docs/performance.md.\n\n"
    "Examples:\n\n\b\n  sudo netsim bench latency\n"
    "  sudo netsim bench throughput packets --wire fabric --peer kernel-nft\n"
    "  sudo netsim bench all -o html > report.html"
)
@click.argument("works", nargs=-1, type=click.Choice([*WORKS, "all"]), metavar="[WORK]...")
@click.option(
    "--peer",
    "peers",
    multiple=True,
    type=click.Choice([*PEERS, "none"]),
    help="Whom to measure beside netsim; may be repeated.  [default: kernel]",
)
@click.option("--peer-command", metavar="CMD", help="A program that joins two namespaces, as peer.")
@click.option(
    "--wire",
    "wires",
    multiple=True,
    type=click.Choice(WIRES),
    help="What joins netsim's nodes; may be repeated.  [default: both]",
)
@click.option("--rounds", type=click.IntRange(min=1), default=7, show_default=True)
@click.option(
    "--seconds",
    type=click.FloatRange(min=0.05),
    default=1.5,
    show_default=True,
    help="How long each side carries traffic in a round.",
)
@click.option(
    "--spec",
    "spec",
    multiple=True,
    metavar="FIELD=VALUE",
    help="A field of the labs' Lab.spec, as workers=1; may be repeated.",
)
@click.option("--cross-check", is_flag=True, help="Ask iperf3 for the throughput too.")
@click.option("--force", is_flag=True, help="Measure on a busy machine too; rows are marked.")
@click.option(
    *("-o", "--output", "how"),
    type=click.Choice(FORMATS),
    default="table",
    show_default=True,
    help="Format.",
)
@quiet_option
def bench_command(
    works: tuple[str, ...],
    peers: tuple[str, ...],
    peer_command: str | None,
    wires: tuple[str, ...],
    rounds: int,
    seconds: float,
    spec: tuple[str, ...],
    cross_check: bool,
    force: bool,
    how: str,
    quiet: bool,
) -> None:
    """Measure netsim beside the kernel's VXLAN and kube-proxy's rules. Without WORK: all."""
    from netsim.bench.run import run

    need_root()
    if "none" in peers and len(set(peers)) > 1:
        raise UsageError("--peer none goes with no other peer")
    if not peers:
        peers = () if peer_command else ("kernel",)
    options = Options(
        works=tuple(work for work in WORKS if not works or work in works or "all" in works),
        peers=tuple(peer for peer in PEERS if peer in peers),
        peer_command=peer_command or "",
        wires=tuple(wire for wire in WIRES if not wires or wire in wires),
        rounds=rounds,
        seconds=seconds,
        spec=tuple(field(words) for words in spec),
        cross_check=cross_check,
        force=force,
    )
    interrupts = Interrupts()  # what runs is taken down
    with progress(quiet=quiet) as report:
        result = run(options, interrupts.before(report.step))
        report.done(f"{len(result.rows)} figures")
    print(rendered(result, how), end="")


class Interrupts:
    """SIGINT and SIGTERM end a run, by KeyboardInterrupt.

    Python loses an exception that is raised while it forks (in the hooks of os.register_at_fork),
    and programs are started all the time: the next step asks again.
    """

    def __init__(self) -> None:
        self._come = False
        for number in (signal.SIGINT, signal.SIGTERM):
            signal.signal(number, self._comes)

    def _comes(self, *_: object) -> None:
        self._come = True
        raise KeyboardInterrupt

    def before(self, step: Callable[[str], None]) -> Callable[[str], None]:
        """Such a step, unless a signal has come."""

        def asking(what: str) -> None:
            if self._come:
                raise KeyboardInterrupt
            step(what)

        return asking


def field(words: str) -> tuple[str, object]:
    """FIELD=VALUE; a value of digits is a number. UsageError."""
    name, found, value = words.partition("=")
    if not found:
        raise UsageError(f"--spec {words}: not FIELD=VALUE")
    return name, int(value) if value.isdigit() else value


def rendered(result: Result, how: str) -> str:
    """A run in one of FORMATS."""
    from netsim.bench.page import page
    from netsim.bench.result import as_csv, as_json
    from netsim.bench.table import table

    if how == "json":
        return json.dumps(as_json(result), indent=2) + "\n"
    if how == "csv":
        return as_csv(result.rows)
    if how == "html":
        return page(result)
    return table(result) + "\n"
