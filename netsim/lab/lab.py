"""`Lab`: the object that people script. Everything that the command line can do with a lab.

with netsim.Lab("topology.yaml") as lab:
    print(lab.run("client", ["curl", "-s", "http://10.96.0.80/hostname"]).stdout)
    lab.scale("deployment/web", 5)
"""

from __future__ import annotations

import contextlib
import os
import subprocess
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from types import TracebackType
from typing import Self

from netsim.api import meta
from netsim.api.fields import Json, items, mapping, text
from netsim.api.lab_spec import Lab as LabSpec
from netsim.errors import NotFoundError, PreconditionError, UsageError, WaitTimeoutError
from netsim.lab import initial, launch, topology
from netsim.lab.apply_checks import from_json
from netsim.lab.captures import Capture
from netsim.lab.flows import Flow, tracked
from netsim.lab.targets import entry_argv
from netsim.lab.topology import Source, Topology
from netsim.linux import features
from netsim.server.client import ApiClient
from netsim.store.errors import ApiError

READY_TIMEOUT_S = 60.0
LISTED_MAX = 20


class Lab:
    """A lab by name, running or not. `source` (files or objects) is what `up` brings up.

    As a context manager: up on entry, down on exit. `warnings` are those about the source and
    about what was applied last. UsageError: the source has errors; nothing is done.
    """

    def __init__(self, source: Source | None = None, *, name: str | None = None) -> None:
        self._topology = topology.read(source, name=name) if source is not None else None
        if self._topology is None and name is None:
            raise UsageError("a Lab needs a source or a name")
        self.name = name or (self._topology.name if self._topology else "")
        self.warnings: tuple[str, ...] = self._topology.warnings if self._topology else ()

    def __enter__(self) -> Self:
        """Bring the lab up and wait until it is ready; a lab that does not get ready goes down."""
        try:
            self.up()
        except BaseException:
            self.down()
            raise
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        """Take the lab down."""
        self.down()

    @property
    def running(self) -> bool:
        """Whether the lab's init lives."""
        return launch.find_lab(self.name) is not None

    @property
    def api(self) -> ApiClient:
        """A new client of the lab's API; close it. NotFoundError when the lab does not run.

        While the lab runs, a control process that has crashed is waited for.
        """
        if not self.running:
            raise NotFoundError(f"lab {self.name} is not running", hint="netsim ps lists labs")
        return ApiClient(self._socket, self.name, restarts=lambda: self.running)

    @property
    def _socket(self) -> str:
        return str(launch.state_dir(self.name) / "api.sock")

    def up(
        self,
        *,
        wait: bool = True,
        timeout_s: float = READY_TIMEOUT_S,
        report: Callable[[str], None] = lambda _: None,
    ) -> list[Json]:
        """Start the lab, or apply what differs to a running one; the changes as `apply` gives them.

        WaitTimeoutError says what is not ready after `timeout_s` seconds.
        """
        wanted = self._wanted()
        changes: list[Json] = []
        if self.running:
            self._answering(time.monotonic() + timeout_s, timeout_s)
            changes = self._send(wanted, prune=True, dry_run=False)
        else:
            objects = self.check()
            report("starting the lab's processes")
            launch.sweep()
            launch.start_lab(self.name, objects)
        if wait:
            self.wait(timeout_s=timeout_s, report=report)
        return changes

    def check(self) -> list[Json]:
        """What a new lab would make of the topology. UsageError says what it refuses."""
        try:
            objects = initial.admitted(self._wanted().objects)
        except ApiError as error:
            raise UsageError(f"{error.message}; nothing was done") from error
        _check_io(objects)
        return objects

    def down(self) -> bool:
        """Stop the lab and remove all it owns; whether there was anything. Idempotent."""
        found = launch.stop_lab(self.name)
        launch.sweep()
        return found

    def status(self) -> Json:
        """What `netsim status -o json` prints."""
        with self.api as api:
            return api.call("GET", "/netsim/status")

    def wait(
        self,
        *,
        timeout_s: float = READY_TIMEOUT_S,
        report: Callable[[str], None] = lambda _: None,
    ) -> None:
        """Wait until the lab is ready. WaitTimeoutError names what is not."""
        end = time.monotonic() + timeout_s
        while True:  # asked once even without any time, to say what is not ready
            self._answering(end, timeout_s)
            left = min(max(end - time.monotonic(), 0), 1)
            with self.api as api:
                status = api.call("GET", f"/netsim/wait?timeoutSeconds={left:.3f}")
            if status.get("ready") is True:
                return
            problems = items(status, "notReady")
            reasons = [f"{text(p, 'object')}: {text(p, 'reason')}" for p in problems]
            if time.monotonic() >= end:
                raise _late(self.name, timeout_s, reasons)
            report(f"waiting for {len(reasons)}: {reasons[0]}" if reasons else "waiting")

    def _answering(self, end: float, timeout_s: float) -> None:
        """Wait until control listens, until `end`. NetsimError: the lab died; WaitTimeoutError."""
        while True:
            launch.check_alive(self.name)
            with contextlib.suppress(NotFoundError), ApiClient(self._socket) as api:
                api.call("GET", "/version")
                return
            if time.monotonic() > end:
                log = launch.state_dir(self.name) / "logs" / "control.log"
                raise _late(self.name, timeout_s, [f"control: does not answer; see {log}"])
            time.sleep(0.02)

    def get(self, kind: str, name: str, namespace: str = "default") -> Json:
        """One object. NotFoundError."""
        with self.api as api:
            return api.get(meta.resolve_kind(kind), name, namespace)

    def objects(self, kind: str, namespace: str | None = None, selector: str = "") -> list[Json]:
        """Objects of a kind: of all namespaces when `namespace` is None."""
        with self.api as api:
            return list(api.list(meta.resolve_kind(kind), namespace, labels=selector))

    def apply(self, source: Source, *, dry_run: bool = False) -> list[Json]:
        """Create or change objects; each change: `{verb, kind, namespace, name, fields}`.

        UsageError, with places in files, when there is an error: nothing is changed then.
        """
        return self._send(topology.read_part(source, self.name), prune=False, dry_run=dry_run)

    def preview(self) -> list[Json]:
        """What `up` would do, as `apply` tells it. UsageError when it would be refused."""
        if self.running:
            return self._send(self._wanted(), prune=True, dry_run=True)
        self.check()
        return topology.as_created(self._wanted().objects)

    def _wanted(self) -> Topology:
        if self._topology is None:
            raise UsageError(f"lab {self.name} was opened by name; it has no topology to bring up")
        return self._topology

    def _send(self, wanted: Topology, *, prune: bool, dry_run: bool) -> list[Json]:
        body = {"objects": list(wanted.objects), "prune": prune, "dryRun": dry_run}
        with self.api as api:
            answer = api.call("POST", "/netsim/apply", body)
        problems = [from_json(problem) for problem in items(answer, "problems")]
        placed = topology.with_places(wanted, problems)
        topology.refuse_errors(placed)
        self.warnings = tuple(dict.fromkeys([*wanted.warnings, *topology.warnings_of(placed)]))
        return list(items(answer, "steps"))

    def delete(
        self, kind: str, name: str, namespace: str = "default", *, grace_s: int | None = None
    ) -> None:
        """Delete an object; it may take its grace period to go."""
        with self.api as api:
            api.delete(meta.resolve_kind(kind), name, namespace, grace_s=grace_s)

    def scale(self, target: str, replicas: int, namespace: str = "default") -> None:
        """Set the replicas of `deployment/NAME` or `replicaset/NAME`."""
        word, _, name = target.partition("/")
        with self.api as api:
            api.scale(meta.resolve_kind(word), name, namespace, replicas)

    def exec_argv(self, target: str, argv: Sequence[str]) -> list[str]:
        """The command that runs `argv` in POD, NAMESPACE/POD or node/NAME, for subprocess."""
        return entry_argv(self.name, target, argv)

    def popen(
        self,
        target: str,
        argv: Sequence[str],
        *,
        stdin: int | None = None,
        stdout: int | None = None,
        stderr: int | None = None,
    ) -> subprocess.Popen[str]:
        """Start a program in a pod or node; streams as `subprocess.Popen` takes them."""
        return subprocess.Popen(
            self.exec_argv(target, argv), text=True, stdin=stdin, stdout=stdout, stderr=stderr
        )

    def run(
        self,
        target: str,
        argv: Sequence[str],
        *,
        stdin: str | None = None,
        timeout_s: float | None = 60,
        check: bool = True,
    ) -> subprocess.CompletedProcess[str]:
        """Run a program in a pod or node and return what it printed.

        CalledProcessError when it fails and `check` is set.
        """
        return subprocess.run(
            self.exec_argv(target, argv),
            input=stdin,
            stdin=subprocess.DEVNULL if stdin is None else None,
            capture_output=True,
            text=True,
            timeout=timeout_s,
            check=check,
        )

    def counters(self, node: str) -> Json:
        """The data plane's counters of a node: packets, flows, drops by reason."""
        for row in items(self.status(), "nodes"):
            if text(row, "name") == node:
                return mapping(row, "counters")
        raise NotFoundError(f"lab {self.name} has no node {node}")

    def flows(self, *nodes: str, **match: str | int) -> list[Flow]:
        """Tracked connections of nodes (none named: all) that match (netsim.lab.flows.MATCHES)."""
        with self.api as api:
            return list(tracked(api, nodes, match))

    def capture(self, target: str, file: str | os.PathLike[str], snaplen: int = 0) -> Capture:
        """Capture a pod's eth0 or (`node/NAME`) a node's underlay into a pcapng file.

        Use it in a `with` statement: the file is complete when the block has ended.
        """
        return Capture(self.api, target, Path(file), snaplen)


def _late(name: str, timeout_s: float, reasons: Sequence[str]) -> WaitTimeoutError:
    more = [f"... and {len(reasons) - LISTED_MAX} more"] if len(reasons) > LISTED_MAX else []
    return WaitTimeoutError(
        f"lab {name} was not ready after {timeout_s:g} s",
        "\n".join([*reasons[:LISTED_MAX], *more]),
        f"the lab is left running: netsim status {name}; netsim logs POD",
    )


def _check_io(objects: Sequence[Json]) -> None:
    """PreconditionError where the topology insists on an io_uring that is not to be had."""
    labs = [obj for obj in objects if meta.kind_of(obj) == meta.LAB]
    if not any(LabSpec.parse(lab).io == "io_uring" for lab in labs):
        return
    if lacking := features.unmet("io_uring"):
        raise PreconditionError(
            f"Lab.spec.io is io_uring, which this machine refuses: {lacking.detail}",
            hint=f"io: auto; or {lacking.fix}",
        )
