"""up, down, ps."""

from __future__ import annotations

import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING

import click

from netsim.api.fields import Json, mapping, number, text, texts
from netsim.cli import output
from netsim.cli.common import need_root, quiet_option, timeout_option
from netsim.cli.completion import labs
from netsim.cli.progress import progress
from netsim.errors import NetsimError, NotFoundError, PreconditionError, UsageError
from netsim.lab import launch

if TYPE_CHECKING:
    from netsim.lab.lab import Lab

PS_TIMEOUT_S = 5.0
VERB_COLORS = {"created": "green", "configured": "yellow", "deleted": "red"}


def print_steps(steps: Sequence[Json], *, dry_run: bool = False) -> None:
    """One line a change, as kubectl prints them, with the fields that change."""
    note = " (dry run)" if dry_run else ""
    for step in steps:
        verb = text(step, "verb")
        namespace = text(step, "namespace")
        where = f" -n {namespace}" if namespace not in ("", "default") else ""
        fields = texts(step, "fields")
        detail = f": {', '.join(fields)}" if fields else ""
        shown = output.style(verb, VERB_COLORS[verb]) if verb in VERB_COLORS else verb
        name = f"{text(step, 'kind').lower()}/{text(step, 'name')}"
        print(f"{name}{where} {shown}{detail}{note}")


def summary(status: Json) -> str:
    """What a lab holds, in a line."""
    counts = mapping(status, "counts")
    return ", ".join(
        output.counted(number(counts, kind), kind.lower()) for kind in ("Node", "Pod", "Service")
    )


def check_machine() -> None:
    """PreconditionError, with every fix, when this machine can not run a lab."""
    from netsim.linux import features

    missing = features.missing()
    if missing:
        raise PreconditionError(
            "this machine can not run a lab",
            "\n".join(f"{f.name}: {f.detail}" for f in missing),
            "; ".join(f.fix for f in missing if f.fix),
        )


@click.command(
    epilog="FILE is a YAML or JSON file, a directory of them, or - for standard input: an\n"
    "optional Lab and Kubernetes objects, also as `kubectl get -o yaml` prints them.\n\n"
    "Examples:\n\n\b\n  sudo netsim up topology.yaml\n"
    "  kubectl get nodes,pods,svc,endpointslices -A -o yaml | sudo netsim up --name copy -\n"
    "  sudo netsim up --dry-run topology.yaml    # what would change"
)
@click.argument("files", nargs=-1, type=click.Path(), metavar="[FILE|DIR|-]...")
@click.option("--name", help="Name of the lab. [default: the Lab's, or `default`]")
@click.option("--wait/--no-wait", default=True, show_default=True, help="Until all is ready.")
@timeout_option
@click.option("--dry-run", is_flag=True, help="Only print what would change.")
@quiet_option
def up_command(
    files: tuple[str, ...], name: str | None, wait: bool, timeout: float, dry_run: bool, quiet: bool
) -> None:
    """Bring up a lab from FILES, or apply what differs to the running one of that name."""
    from netsim.lab.lab import Lab

    if not files:
        raise UsageError("name a topology file", hint="netsim up examples/quickstart.yaml")
    lab = Lab(list(files), name=name)
    if dry_run:
        steps = lab.preview()
        output.print_warnings(lab.warnings)
        print_steps(steps, dry_run=True)
        return
    output.print_warnings(lab.warnings)
    said = lab.warnings
    need_root()
    running = lab.running
    if not running:
        check_machine()
    with progress(quiet=quiet) as report, _interruptible(lab):
        report.step(f"lab {lab.name}")
        steps = lab.up(wait=False, timeout_s=timeout, report=report.step)
        if running:
            output.print_warnings(text for text in lab.warnings if text not in said)
            print_steps(steps)
        if wait:
            lab.wait(timeout_s=timeout, report=report.step)
        report.done(f"lab {lab.name} {'is ready: ' + summary(lab.status()) if wait else 'starts'}")


@contextmanager
def _interruptible(lab: Lab) -> Iterator[None]:
    """Say what Ctrl-C has left behind."""
    try:
        yield
    except KeyboardInterrupt:
        if lab.running:
            output.note(
                f"interrupted; lab {lab.name} is left as it is: "
                f"netsim status {lab.name}, netsim down {lab.name}"
            )
        raise


@click.command(
    epilog="Examples:\n\n\b\n  sudo netsim down\n  sudo netsim down demo\n  sudo netsim down --all"
)
@click.argument("name", required=False, shell_complete=labs)
@click.option("--all", "everything", is_flag=True, help="Every lab on this machine.")
def down_command(name: str | None, everything: bool) -> None:
    """Take down a lab: all its processes, namespaces, links and files. Idempotent.

    Without NAME: the only lab that runs.
    """
    need_root()
    running = [lab.name for lab in launch.list_labs()]
    if name and everything:
        raise UsageError("give a NAME or --all, not both")
    if not name and not everything and len(running) > 1:
        raise UsageError(f"several labs run: {', '.join(running)}", hint="name one, or use --all")
    chosen = running if everything or not name else [name]
    for lab in chosen:
        started = time.monotonic()
        if launch.stop_lab(lab):
            print(f"lab {lab} is down ({time.monotonic() - started:.1f} s)")
        else:
            print(f"lab {lab} is not running")
    launch.sweep()
    if not chosen:
        print("no lab is running")


@click.command(epilog="Examples:\n\n\b\n  sudo netsim ps\n  sudo netsim ps -o json")
@click.option("-o", "--output", "how", type=click.Choice(["json", "yaml", "name"]))
def ps_command(how: str | None) -> None:
    """List the labs that run on this machine."""
    from netsim.server.ages import duration

    need_root()
    launch.sweep()
    found: list[dict[str, object]] = []
    for lab in launch.list_labs():
        state, status = _state(lab.name)
        counts = status.get("counts")
        found.append(
            {
                "name": lab.name,
                "state": state,
                "ready": status.get("ready", False),
                "counts": counts if isinstance(counts, dict) else {},
                "initPid": lab.init_pid,
                "ageSeconds": int(time.time() - lab.created),
                "version": lab.version,
            }
        )
    if how == "name":
        for row in found:
            print(row["name"])
    elif how:
        output.dump({"apiVersion": "netsim.dev/v1alpha1", "kind": "LabList", "items": found}, how)
    else:
        rows = []
        for row in found:
            counts = row["counts"]
            assert isinstance(counts, dict)
            age = duration(int(str(row["ageSeconds"])))
            numbers = [counts.get(kind, "?") for kind in ("Node", "Pod", "Service")]
            rows.append([row["name"], row["state"], *numbers, row["initPid"], age])
        output.print_table(["NAME", "STATE", "NODES", "PODS", "SERVICES", "INIT PID", "AGE"], rows)


def _state(name: str) -> tuple[str, Json]:
    """A lab's state in a word or two, and its status where it answers."""
    from netsim.server.client import ApiClient

    path = str(launch.state_dir(name) / "api.sock")
    try:
        with ApiClient(path, name, PS_TIMEOUT_S) as api:
            status = api.call("GET", "/netsim/status")
    except NotFoundError:
        return "starting", {}
    except NetsimError:
        return "no answer", {}
    return ("ready" if status.get("ready") is True else "not ready"), status
