"""The command line's root: global options, lazily loaded commands, errors to exit codes.

Exit codes (docs/commands.md): 0 ok, 1 failure, 2 usage, 3 not found, 4 precondition, 5 timeout,
130 after Ctrl-C; `exec` returns the program's own.
"""

from __future__ import annotations

import importlib
import os
import re
import signal
import sys
import traceback

import click

from netsim import __version__
from netsim.api import meta
from netsim.cli import output
from netsim.errors import NetsimError, UsageError

INTERRUPTED = 130
# command -> (module, help line); modules are imported when their command is used
COMMANDS: dict[str, tuple[str, str]] = {
    "up": ("lifecycle", "Bring a lab up, or change a running one."),
    "down": ("lifecycle", "Take a lab down and remove all that it owns."),
    "ps": ("lifecycle", "List the labs on this machine."),
    "status": ("status", "Show what runs, what is not ready and what was dropped."),
    "get": ("get", "List objects of a lab."),
    "get rules": ("rules", "Print the rules that kube-proxy would have written on a node."),
    "get conntrack": ("conntrack", "List tracked connections."),
    "describe": ("describe", "Show one object with everything that belongs to it."),
    "apply": ("change", "Create or change objects from files."),
    "delete": ("change", "Delete objects."),
    "scale": ("change", "Set the number of replicas."),
    "exec": ("programs", "Run a program in a pod or on a node."),
    "logs": ("programs", "Print the output of a pod's program."),
    "capture": ("programs", "Capture packets of a pod or node as pcapng."),
    "bench": ("bench", "Measure netsim beside the kernel."),
    "validate": ("checks", "Check topology files without creating anything."),
    "doctor": ("checks", "Check whether this machine can run a lab."),
    "version": ("checks", "Print the version."),
    "completion": ("completion", "Print a shell's completion script."),
}

SHORT = {"get ct": "get conntrack"}


def name_environment(option: click.Parameter, command: str) -> None:
    """Let NETSIM_<COMMAND>_<FLAG> set an option that has no variable of its own."""
    flags = [word for word in option.opts if word.startswith("--")]
    if isinstance(option, click.Option) and option.envvar is None and flags:
        option.envvar = re.sub(r"[- ]", "_", f"NETSIM_{command}_{flags[0][2:]}").upper()


class LazyGroup(click.Group):
    """A group whose commands live in modules that are imported on use."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        """Names of one word in the order of COMMANDS."""
        return [name for name in COMMANDS if " " not in name]

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        """The command, imported now; None if there is none of this name."""
        if cmd_name not in COMMANDS:
            return None
        module = importlib.import_module(f"netsim.cli.{COMMANDS[cmd_name][0]}")
        command: click.Command = getattr(module, f"{cmd_name.split()[-1]}_command")
        for option in command.params:
            name_environment(option, cmd_name)
        if signal.getsignal(signal.SIGINT) is signal.SIG_DFL:  # all is imported (netsim.__main__)
            signal.signal(signal.SIGINT, signal.default_int_handler)
        return command

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """List the commands without importing them."""
        with formatter.section("Commands"):
            formatter.write_dl([(name, text) for name, (_, text) in COMMANDS.items()])

    def resolve_command(
        self, ctx: click.Context, args: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:
        """Find the command, of one word or two; a near miss is named."""
        words = " ".join(args[:2])
        words = SHORT.get(words, words)
        if len(args) > 1 and words in COMMANDS:
            return words, self.get_command(ctx, words), args[2:]
        try:
            return super().resolve_command(ctx, args)
        except click.UsageError as error:
            close = meta.suggest(args[0], list(COMMANDS))
            if close:
                raise click.UsageError(f"{error.message} Did you mean '{close}'?") from error
            raise


@click.group(
    cls=LazyGroup,
    context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100},
    epilog="Examples:\n\n\b\n  sudo netsim up examples/quickstart.yaml\n"
    "  sudo netsim get pods -o wide\n"
    "  sudo netsim exec client -- curl -s http://10.96.0.80/hostname",
)
@click.option("--debug", is_flag=True, help="Print tracebacks of errors.")
@click.option(
    "--color",
    type=click.Choice(["auto", "always", "never"]),
    default="auto",
    help="Colour in outputs. NO_COLOR and FORCE_COLOR are honoured too.",
)
@click.version_option(__version__, "--version", message="netsim %(version)s")
def cli(debug: bool, color: str) -> None:
    """Run the network of a Kubernetes cluster on this machine, in network namespaces.

    Exit codes: 0 ok, 1 failure, 2 usage or a bad file, 3 not found, 4 this machine or user lacks
    something, 5 a wait timed out, 130 interrupted; exec returns the program's own. Every option
    can be set by the environment: NETSIM_UP_TIMEOUT=30 is `up --timeout 30`.
    """
    output.set_color(color)
    output.set_debugging(debug)


def main() -> None:
    """Run a command and end the process with its exit code."""
    try:
        code = cli.main(standalone_mode=False, prog_name="netsim", auto_envvar_prefix="NETSIM")
    except (click.Abort, KeyboardInterrupt):
        sys.exit(INTERRUPTED)
    except click.exceptions.Exit as leave:
        sys.exit(leave.exit_code)
    except BrokenPipeError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        sys.exit(1)
    except Exception as error:
        if output.debugging():
            traceback.print_exc()
        shown = as_shown(error)
        output.print_error(shown)
        sys.exit(shown.exit_code)
    sys.exit(code if isinstance(code, int) else 0)


def as_shown(error: Exception) -> NetsimError:
    """Any exception as what, why and what to do."""
    if isinstance(error, NetsimError):
        return error
    if isinstance(error, click.ClickException):
        used = error.ctx.command_path if isinstance(error, click.UsageError) and error.ctx else ""
        return UsageError(error.format_message(), hint=f"{used} --help" if used else "")
    if isinstance(error, OSError) and error.strerror:
        names = [str(name) for name in (error.filename, error.filename2) if name]
        return NetsimError(": ".join([*names, error.strerror]))
    return NetsimError(
        f"internal error: {type(error).__name__}: {error}",
        hint="run the command again as `netsim --debug ...` and report what it prints",
    )


if __name__ == "__main__":
    main()
