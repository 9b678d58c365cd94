"""validate, doctor, version: what can be checked without a lab."""

from __future__ import annotations

import platform
import sys

import click

import netsim
from netsim.cli import output


@click.command(
    epilog="Exit code 0 when the files are good, 1 when not.\n\n"
    "Examples:\n\n\b\n  netsim validate topology.yaml\n  netsim validate manifests/\n"
    "  kubectl get svc,pods -A -o yaml | netsim validate -"
)
@click.argument("files", nargs=-1, required=True, type=click.Path(), metavar="FILE|DIR|-...")
@click.option("-o", "--output", "how", type=click.Choice(["json"]), help="Format.")
def validate_command(files: tuple[str, ...], how: str | None) -> None:
    """Check topology files: every error and warning with file, line and column."""
    from netsim.lab import topology

    problems, objects = topology.check(list(files))
    wrong = [p for p in problems if p.severity == "error"]
    if how:
        output.dump_json(
            {
                "apiVersion": "netsim.dev/v1alpha1",
                "kind": "Validation",
                "valid": not wrong,
                "objects": objects,
                "problems": [
                    {
                        "severity": p.severity,
                        "file": p.file,
                        "line": p.line,
                        "column": p.column,
                        "object": p.subject,
                        "field": p.path,
                        "message": p.message,
                        "hint": p.hint,
                    }
                    for p in problems
                ],
            }
        )
    else:
        for problem in problems:
            print(problem)
        warnings = output.counted(len(problems) - len(wrong), "warning")
        found = f"{output.counted(len(wrong), 'error')}, {warnings}" if problems else "valid"
        output.note(f"{output.counted(objects, 'object')}: {found}")
    sys.exit(1 if wrong else 0)


@click.command(epilog="Examples:\n\n\b\n  sudo netsim doctor\n  sudo netsim doctor -o json")
@click.option("-o", "--output", "how", type=click.Choice(["json"]), help="Format.")
def doctor_command(how: str | None) -> None:
    """Check privilege, devices, kernel features and limits; say how to fix what is missing."""
    from netsim.linux import features

    found = features.probe()
    missing = [f for f in found if f.required and not f.ok]
    if how:
        output.dump_json(
            {
                "apiVersion": "netsim.dev/v1alpha1",
                "kind": "Doctor",
                "ok": not missing,
                "version": netsim.__version__,
                "kernel": platform.release(),
                "python": platform.python_version(),
                "features": [f._asdict() for f in found],
            }
        )
    else:
        for feature in found:
            state = "ok" if feature.ok else "MISSING" if feature.required else "absent"
            color = "green" if feature.ok else "red" if feature.required else "yellow"
            print(f"{output.style(state.ljust(8), color)} {feature.name}: {feature.detail}")
            if not feature.ok and feature.fix:
                print(f"         fix: {feature.fix}")
    sys.exit(4 if missing else 0)


@click.command(epilog="Examples:\n\n\b\n  netsim version\n  netsim version -o json")
@click.option("-o", "--output", "how", type=click.Choice(["json"]), help="Format.")
def version_command(how: str | None) -> None:
    """Print the version of netsim, Python and the kernel."""
    if how:
        output.dump_json(
            {
                "netsim": netsim.__version__,
                "python": platform.python_version(),
                "kernel": platform.release(),
                "machine": platform.machine(),
            }
        )
    else:
        print(
            f"netsim {netsim.__version__} (Python {platform.python_version()}, "
            f"Linux {platform.release()} {platform.machine()})"
        )
