"""apply, delete, scale: changes to a running lab."""

from __future__ import annotations

import time

import click

from netsim.api import meta
from netsim.cli import output
from netsim.cli.common import (
    chosen_lab,
    client_of,
    lab_option,
    namespace_option,
    parse_targets,
    quiet_option,
    timeout_option,
)
from netsim.cli.completion import objects
from netsim.cli.lifecycle import print_steps
from netsim.cli.progress import progress
from netsim.errors import NotFoundError, UsageError, WaitTimeoutError
from netsim.server.client import ApiClient

POLL_S = 0.05


@click.command(
    epilog="Examples:\n\n\b\n  sudo netsim apply -f web.yaml\n"
    "  sudo netsim apply -f manifests/ --dry-run\n"
    "  kubectl get deploy web -o yaml | sudo netsim apply -f -"
)
@click.option(
    "-f",
    "--filename",
    "files",
    type=click.Path(),
    multiple=True,
    required=True,
    help="File, folder or -.",
)
@click.option("--dry-run", is_flag=True, help="Only print what would change.")
@click.option("--wait", is_flag=True, help="Until the lab is ready again.")
@timeout_option
@quiet_option
@lab_option
def apply_command(
    files: tuple[str, ...],
    dry_run: bool,
    wait: bool,
    timeout: float,
    quiet: bool,
    lab: str | None,
) -> None:
    """Create objects from files, or change those that differ."""
    from netsim.lab.lab import Lab

    running = Lab(name=chosen_lab(lab))
    steps = running.apply(list(files), dry_run=dry_run)
    output.print_warnings(running.warnings)
    print_steps(steps, dry_run=dry_run)
    if wait and not dry_run:
        with progress(quiet=quiet) as report:
            running.wait(timeout_s=timeout, report=report.step)
            report.done(f"lab {running.name} is ready")


@click.command(
    epilog="Examples:\n\n\b\n  sudo netsim delete pod web-1\n"
    "  sudo netsim delete svc/web deploy/web\n"
    "  sudo netsim delete -f web.yaml\n  sudo netsim delete pods -l app=web --grace-period 0"
)
@click.argument("what", nargs=-1, metavar="[TYPE NAME...|TYPE/NAME...]", shell_complete=objects)
@click.option(
    "-f",
    "--filename",
    "files",
    type=click.Path(),
    multiple=True,
    help="Delete what these files contain.",
)
@namespace_option
@click.option("-l", "--selector", default="", help="Label selector, with a TYPE alone.")
@click.option("--all", "everything", is_flag=True, help="All of a TYPE in the namespace.")
@click.option("--grace-period", type=click.IntRange(min=0), help="Seconds; 0 kills at once.")
@click.option("--ignore-not-found", is_flag=True, help="What is gone already is no error.")
@click.option("--wait/--no-wait", default=True, show_default=True, help="Until it is gone.")
@timeout_option
@lab_option
def delete_command(
    what: tuple[str, ...],
    files: tuple[str, ...],
    namespace: str,
    selector: str,
    everything: bool,
    grace_period: int | None,
    ignore_not_found: bool,
    wait: bool,
    timeout: float,
    lab: str | None,
) -> None:
    """Delete objects; pods end gracefully, after their endpoints have left the Services."""
    api = client_of(lab)
    if files:
        from netsim.lab import topology

        if what:
            raise UsageError("give objects or files, not both")
        part = topology.read_part(list(files), chosen_lab(lab))
        keys = [meta.key_of(obj) for obj in part.objects]
        chosen = [(meta.KIND_BY_NAME[k.kind], k.name, k.namespace) for k in keys]
    else:
        chosen = _chosen(api, what, namespace, selector, everything)
    gone = []
    for kind, name, place in chosen:
        try:
            api.delete(kind, name, place, grace_s=grace_period)
        except NotFoundError:
            if ignore_not_found:
                continue
            raise
        print(f'{kind.singular} "{name}" deleted')
        gone.append((kind, name, place))
    if wait:
        _wait_gone(api, gone, timeout)


def _chosen(
    api: ApiClient, what: tuple[str, ...], namespace: str, selector: str, everything: bool
) -> list[tuple[meta.Kind, str, str]]:
    """Kind, name and namespace of everything that is meant."""
    found = []
    for kind, name in parse_targets(what):
        if name:
            found.append((kind, name, namespace))
            continue
        if not selector and not everything:
            raise UsageError(f"which {kind.plural}?", hint="name them, or use -l or --all")
        place = namespace if kind.namespaced else None
        found += [
            (kind, meta.name_of(obj), namespace) for obj in api.list(kind, place, labels=selector)
        ]
    if not found:
        output.note("No resources found.")
    return found


def _wait_gone(api: ApiClient, chosen: list[tuple[meta.Kind, str, str]], timeout_s: float) -> None:
    end = time.monotonic() + timeout_s
    for kind, name, namespace in chosen:
        while api.find(kind, name, namespace) is not None:
            if time.monotonic() > end:
                raise WaitTimeoutError(
                    f"{kind.singular} {name} is still there after {timeout_s:g} s",
                    hint="its program may ignore SIGTERM; --grace-period 0 kills at once",
                )
            time.sleep(POLL_S)


@click.command(
    epilog="Examples:\n\n\b\n  sudo netsim scale deploy/web --replicas 5\n"
    "  sudo netsim scale rs web-5d4f --replicas 0\n"
    "  sudo netsim scale deploy/a deploy/b --replicas 2"
)
@click.argument(
    "what", nargs=-1, required=True, metavar="TYPE/NAME... | TYPE NAME...", shell_complete=objects
)
@click.option("--replicas", type=click.IntRange(min=0), required=True, help="How many.")
@namespace_option
@lab_option
def scale_command(what: tuple[str, ...], replicas: int, namespace: str, lab: str | None) -> None:
    """Set the number of replicas of deployments and replicasets."""
    api = client_of(lab)
    for kind, name in parse_targets(what):
        if not name or kind not in (meta.DEPLOYMENT, meta.REPLICA_SET):
            raise UsageError(f"{kind.singular} has no replicas", hint="deploy/NAME or rs/NAME")
        api.scale(kind, name, namespace, replicas)
        print(f"{kind.singular}.{kind.group}/{name} scaled")
