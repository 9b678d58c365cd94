"""exec, logs, capture: programs in pods and what goes through their network."""

from __future__ import annotations

import shutil
import subprocess
import sys
from pathlib import Path
from typing import IO

import click

from netsim.api import meta
from netsim.cli import output
from netsim.cli.common import chosen_lab, client_of, lab_option, namespace_option
from netsim.cli.completion import pods_and_nodes
from netsim.errors import NetsimError, UsageError
from netsim.lab.captures import Capture
from netsim.lab.targets import locate, qualified


class ExecCommand(click.Command):
    """What follows the target is the program's, but no program is called `-c`: those are ours."""

    def parse_args(self, ctx: click.Context, args: list[str]) -> list[str]:
        """Parse; again, with options between the target and `--`, when there are some."""
        given = list(args)
        rest = super().parse_args(ctx, args)
        words = [ctx.params["target"] or "", *ctx.params["argv"]]
        if any(word.startswith("-") and word != "--" for word in words[:2]):
            ctx.allow_interspersed_args, ctx.ignore_unknown_options = True, False
            rest = super().parse_args(ctx, given)
        return rest


@click.command(
    cls=ExecCommand,
    context_settings={"ignore_unknown_options": True, "allow_interspersed_args": False},
    epilog="The exit code is the program's own, 128+N when signal N killed it.\n\n"
    "Examples:\n\n\b\n  sudo netsim exec client -- curl -s http://10.96.0.80/hostname\n"
    "  sudo netsim exec node/node1 -- ip route\n  sudo netsim exec -n shop web-1 -- bash",
)
@namespace_option
@lab_option
@click.option("-i", "--stdin", is_flag=True, hidden=True)
@click.option("-t", "--tty", is_flag=True, hidden=True)
@click.option("-it", "both", is_flag=True, hidden=True)
@click.option("-c", "--container", hidden=True)  # a pod's containers share their namespaces
@click.argument("target", metavar="POD|node/NODE", shell_complete=pods_and_nodes)
@click.argument("argv", nargs=-1, type=click.UNPROCESSED, metavar="-- CMD [ARG...]")
def exec_command(
    namespace: str,
    lab: str | None,
    target: str,
    argv: tuple[str, ...],
    stdin: bool,
    tty: bool,
    both: bool,
    container: str | None,
) -> None:
    """Run CMD in a pod's namespaces, or in a node's. The terminal works as usual."""
    from netsim.linux.enter import run_in_sandbox

    command = list(argv[1:] if argv[:1] == ("--",) else argv)
    if not command:
        raise UsageError("no command given", hint=f"netsim exec {target} -- CMD [ARG...]")
    pid, numbers = locate(chosen_lab(lab), qualified(target, namespace))
    sys.exit(run_in_sandbox(pid, numbers, command))


@click.command(
    epilog="Examples:\n\n\b\n  sudo netsim logs web-1\n  sudo netsim logs -f web-1 -c sidecar\n"
    "  sudo netsim logs web-1 --tail 20"
)
@click.argument("pod", shell_complete=pods_and_nodes)
@namespace_option
@click.option("-c", "--container", help="Container, when the pod has several.")
@click.option("-f", "--follow", is_flag=True, help="Go on printing.")
@click.option("--tail", type=click.IntRange(min=0), help="Only the last lines.")
@lab_option
def logs_command(
    pod: str,
    namespace: str,
    container: str | None,
    follow: bool,
    tail: int | None,
    lab: str | None,
) -> None:
    """Print the output of a pod's program."""
    query = {
        "container": container,
        "follow": follow or None,
        "tailLines": tail,
    }
    for line in client_of(lab).logs(pod.removeprefix("pod/"), namespace, meta.POD, query):
        sys.stdout.buffer.write(line)
        sys.stdout.buffer.flush()


@click.command(
    epilog="Without -w packets are printed by tcpdump; `-w -` writes pcapng to standard output.\n\n"
    "Examples:\n\n\b\n  sudo netsim capture client\n"
    "  sudo netsim capture node/node1 -w node1.pcapng\n"
    "  sudo netsim capture web-1 -w - | wireshark -k -i -"
)
@click.argument("target", metavar="POD|node/NODE", shell_complete=pods_and_nodes)
@click.option(
    "-w",
    "--write",
    "file",
    type=click.Path(),
    metavar="FILE",
    help="pcapng file, - for standard output.",
)
@click.option("-s", "--snaplen", default=0, help="Bytes kept of each packet; 0: all.")
@click.option("--duration", type=float, help="Seconds; otherwise until Ctrl-C.")
@namespace_option
@lab_option
def capture_command(
    target: str,
    file: str | None,
    snaplen: int,
    duration: float | None,
    namespace: str,
    lab: str | None,
) -> None:
    """Capture what passes a pod's eth0, or a node's underlay, as pcapng."""
    api = client_of(lab)
    name = qualified(target, namespace)
    locate(chosen_lab(lab), name)
    printer = _tcpdump() if file is None and sys.stdout.isatty() else None
    if printer is not None and printer.stdin is not None:
        out: Path | IO[bytes] = printer.stdin
    elif file in (None, "-"):
        out = sys.stdout.buffer
    else:
        out = Path(str(file))
    capture = Capture(api, name, out, snaplen)
    ended = False
    try:
        with capture:
            if file not in (None, "-"):
                output.note(f"capturing {name} to {file}; Ctrl-C ends it")
            ended = capture.wait(duration)
    except KeyboardInterrupt:
        pass
    finally:
        if printer is not None and printer.stdin is not None:
            printer.stdin.close()
            printer.wait()
    if ended:
        raise NetsimError(
            f"the capture of {name} ended early", "the lab or its data plane went away"
        )
    output.note(f"{capture.captured} packets captured, {capture.missed} missed")


def _tcpdump() -> subprocess.Popen[bytes]:
    if shutil.which("tcpdump") is None:
        raise UsageError("tcpdump is not installed", hint="apt install tcpdump, or use -w FILE")
    argv = ["tcpdump", "-n", "-l", "-r", "-"]
    return subprocess.Popen(argv, stdin=subprocess.PIPE, process_group=0)  # Ctrl-C is ours alone
