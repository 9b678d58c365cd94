"""up, down, ps."""

from __future__ import annotations

import time
from collections.abc import Sequence

import click

from netsim.api.fields import Json, mapping, number, text, texts
from netsim.cli import output
from netsim.cli.common import need_root
from netsim.cli.completion import labs
from netsim.cli.progress import progress
from netsim.errors import NotFoundError, PreconditionError, UsageError
from netsim.lab import launch

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
        f"{number(counts, kind)} {word}"
        for kind, word in (("Node", "nodes"), ("Pod", "pods"), ("Service", "services"))
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
@click.argument("files", nargs=-1, metavar="[FILE|DIR|-]...")
@click.option("--name", help="Name of the lab. [default: the Lab's, or `default`]")
@click.option("--wait/--no-wait", default=True, show_default=True, help="Until all is ready.")
@click.option("--timeout", default=60.0, show_default=True, help="Seconds to wait.")
@click.option("--dry-run", is_flag=True, help="Only print what would change.")
@click.option("-q", "--quiet", is_flag=True, help="No progress.")
def up_command(
    files: tuple[str, ...], name: str | None, wait: bool, timeout: float, dry_run: bool, quiet: bool
) -> None:
    """Bring up a lab from FILES, or apply what differs to the running one of that name."""
    from netsim.lab import topology
    from netsim.lab.lab import Lab

    if not files:
        raise UsageError("name a topology file", hint="netsim up examples/quickstart.yaml")
    read = topology.read(list(files), name=name)
    for problem in read.warnings:
        output.print_warning(problem.removeprefix("warning: "))
    lab = Lab(read)
    if dry_run:
        if lab.running:
            print_steps(lab.preview(), dry_run=True)
        else:
            print_steps(topology.as_created(read.objects), dry_run=True)
        return
    need_root()
    running = lab.running
    if not running:
        check_machine()
    with progress(quiet=quiet) as report:
        report.step(f"lab {lab.name}: {len(read.objects)} objects")
        steps = lab.up(wait=wait, timeout_s=timeout, report=report.step)
        report.done(f"lab {lab.name} {'is ready: ' + summary(lab.status()) if wait else 'starts'}")
    if running:
        print_steps(steps)


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
    from netsim.server.client import ApiClient

    need_root()
    launch.sweep()
    found: list[dict[str, object]] = []
    for lab in launch.list_labs():
        status: Json = {}
        try:
            path = str(launch.state_dir(lab.name) / "api.sock")
            status = ApiClient(path, lab.name).call("GET", "/netsim/status")
        except NotFoundError:
            pass
        counts = status.get("counts")
        found.append(
            {
                "name": lab.name,
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
            state = "ready" if row["ready"] else "not ready"
            age = duration(int(str(row["ageSeconds"])))
            numbers = [counts.get(kind, "?") for kind in ("Node", "Pod", "Service")]
            rows.append([row["name"], state, *numbers, row["initPid"], age])
        output.print_table(["NAME", "STATE", "NODES", "PODS", "SERVICES", "INIT PID", "AGE"], rows)
