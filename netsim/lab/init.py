"""init: PID 1 of a lab. Keeps descriptors, runs programs, restarts control and data plane, reaps.

It makes no namespace and decides nothing. When it ends, by kill -9 too, the kernel ends every
process of the lab and with the last descriptor every namespace goes. It serves init.sock (see
init_messages.py) from one thread, waits for nobody, and no request and no client can end it.
"""

from __future__ import annotations

import gc
import json
import os
import resource
import selectors
import signal
import socket
import sys
import time
import traceback
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from pathlib import Path

import msgspec

from netsim.lab import init_messages as m
from netsim.lab.init_keeper import Keeper
from netsim.lab.init_processes import Process, Processes
from netsim.lab.init_services import DEFAULT, Service
from netsim.lab.init_spawn import become_init
from netsim.lab.lab_info import own_pid_namespace, write_info
from netsim.linux import syscalls

SHUTDOWN_S = 2.0
SO_SNDBUFFORCE, SEND_BUFFER_BYTES = 32, 4 << 20  # some 5000 events for a watcher that is late
ACCEPT_PAUSE_S = 0.05  # when there is no descriptor for another connection


class Init:
    """The loop over everything that can happen to a lab's descriptors and processes."""

    def __init__(self, path: str, services: Sequence[Service], env: Mapping[str, str]) -> None:
        self._keeper = Keeper()
        self._processes = Processes(self._on_exited)
        self._services = {service.key: service for service in services}
        self._env = env  # of the services
        self._watchers: set[socket.socket] = set()
        self._ends_at: float | None = None
        self._selector = selectors.DefaultSelector()
        self._null = os.open("/dev/null", os.O_RDWR | os.O_CLOEXEC)
        self._wake_on_signals()
        listener = socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET | socket.SOCK_NONBLOCK)
        listener.bind(path)
        listener.listen(64)
        self._on_readable(listener.fileno(), partial(self._accept, listener))

    def run(self) -> None:
        """Serve until shut down."""
        while True:
            now = time.monotonic()
            if self._ends_at is None:
                self._start_services(now)
            elif now >= self._ends_at or not self._processes:
                return
            for key, _ in self._selector.select(self._patience(now)):
                self._guarded(key.data)

    def _guarded(self, action: Callable[[], None]) -> None:
        try:
            action()
        except Exception:  # PID 1 must not die of anything
            traceback.print_exc()

    def _patience(self, now: float) -> float | None:
        """Seconds until something is due that no descriptor will tell."""
        if self._ends_at is not None:
            return max(0.0, self._ends_at - now)
        dues = [service.due for service in self._services.values() if service.due is not None]
        return max(0.0, min(dues) - now) if dues else None

    def _on_readable(self, fd: int, action: Callable[[], None]) -> None:
        self._selector.register(fd, selectors.EVENT_READ, action)

    # Signals

    def _wake_on_signals(self) -> None:
        """SIGCHLD reaps, SIGTERM and SIGINT shut down; the loop learns of them by a pipe."""
        read_end, write_end = os.pipe2(os.O_CLOEXEC | os.O_NONBLOCK)
        signal.set_wakeup_fd(write_end, warn_on_full_buffer=False)
        signal.signal(signal.SIGHUP, signal.SIG_IGN)
        signal.signal(signal.SIGCHLD, lambda *_: None)
        for number in (signal.SIGTERM, signal.SIGINT):
            signal.signal(number, lambda *_: self._shut_down())
        self._on_readable(read_end, partial(self._on_signal, read_end))

    def _on_signal(self, pipe: int) -> None:
        os.read(pipe, 4096)
        self._processes.reap(self._settle)

    # Processes

    def _start_services(self, now: float) -> None:
        for service in self._services.values():
            if service.due is not None and service.due <= now:
                self._guarded(partial(self._start_service, service, now))

    def _start_service(self, service: Service, now: float) -> None:
        service.started(now)

        def known(error: OSError | None) -> None:
            if error:
                delay = service.ended(time.monotonic())
                _log(f"{service.key} cannot start ({error.strerror}); next try in {delay:g} s")
            else:
                _log(f"{service.key} started")

        try:
            log = service.open_log()
            try:
                fds = (self._null, log, log)
                process = self._processes.start(
                    service.key, service.argv, self._env, "/", {}, fds, known
                )
            finally:
                os.close(log)
        except Exception:
            service.ended(now)
            raise
        self._await_start(process)

    def _await_start(self, process: Process) -> None:
        """Be told when the pipe ends, which for the selector is an event of any kind."""
        end = selectors.EVENT_WRITE
        self._selector.register(process.pipe, end, partial(self._settle, process))

    def _settle(self, process: Process, dead: int = -1) -> None:
        """Find out whether a program runs, or ran: `dead` is the pid of a child that has ended."""
        if process.pipe >= 0 and (process.outcome.read(process.pipe) or process.pid == dead):
            self._selector.unregister(process.pipe)
            self._processes.settle(process)

    def _on_exited(self, event: m.Exited) -> None:
        service = self._services.get(event.key)
        if service is not None:
            delay = service.ended(time.monotonic())
            how = f"signal {event.signum}" if event.signum else f"exit code {event.exit_code}"
            _log(f"{event.key} ended ({how}); starts again in {delay:g} s")
        for watcher in list(self._watchers):
            self._send(watcher, event)

    def _shut_down(self) -> None:
        if self._ends_at is None:
            _log("shutting down")
            self._ends_at = time.monotonic() + SHUTDOWN_S
            self._processes.signal_all(signal.SIGTERM)

    # Connections

    def _accept(self, listener: socket.socket) -> None:
        try:
            connection, _ = listener.accept()
        except OSError:
            time.sleep(ACCEPT_PAUSE_S)
            return
        connection.setblocking(False)
        connection.setsockopt(socket.SOL_SOCKET, SO_SNDBUFFORCE, SEND_BUFFER_BYTES)
        self._on_readable(connection.fileno(), partial(self._receive, connection))

    def _close(self, connection: socket.socket) -> None:
        self._watchers.discard(connection)
        if connection.fileno() >= 0:
            self._selector.unregister(connection.fileno())
            connection.close()

    def _send(self, to: socket.socket, reply: m.Reply, fds: Sequence[int] = ()) -> None:
        """Send, or give up the connection: its client is gone or does not read."""
        if to.fileno() < 0:
            return
        try:
            socket.send_fds(to, [m.encode(reply)], fds)
        except OSError:
            self._close(to)

    def _receive(self, connection: socket.socket) -> None:
        try:
            data, fds, flags = m.receive(connection)
        except BlockingIOError:
            return
        except OSError:
            data, fds, flags = b"", [], 0
        if not data:
            self._close(connection)
            return
        self._answer(connection, data, fds, flags)

    def _answer(
        self, connection: socket.socket, data: bytes, fds: Sequence[int], flags: int
    ) -> None:
        """Do what a message asks for; whatever is wrong is the reply."""
        kept, key = False, ""
        try:
            if flags & (socket.MSG_TRUNC | socket.MSG_CTRUNC):
                raise ValueError("the message was cut: too long, or out of descriptors (ulimit -n)")
            request = m.decode_request(data)
            kept = isinstance(request, m.Put | m.PutAll)
            key = request.key if isinstance(request, m.Spawn) else ""
            self._handle(connection, request, fds)
        except (ValueError, msgspec.MsgspecError) as error:
            kept = False
            self._send(connection, m.Failed("invalid", str(error), 0, key))
        except FileExistsError as error:
            self._send(connection, m.Failed("exists", str(error), 0, key))
        except KeyError as error:
            self._send(connection, m.Failed("missing", f"init has no {error.args[0]}", 0, key))
        except ProcessLookupError as error:
            self._send(connection, m.Failed("missing", str(error)))
        except OSError as error:
            self._send(connection, m.Failed("os", str(error), error.errno or 0, key))
        finally:
            if not kept:
                for fd in fds:
                    os.close(fd)

    def _handle(self, connection: socket.socket, request: m.Request, fds: Sequence[int]) -> None:
        """Do what is asked and reply; errors are the caller's to translate."""
        send = partial(self._send, connection)
        match request:
            case m.Put(key, names):
                send(m.Numbers(self._keeper.put(key, names, fds)))
            case m.PutAll(names):
                send(m.KeyPage(self._keeper.put_all(names, fds), more=False))
            case m.Get(key):
                found = self._keeper.get(key)
                send(m.Names(list(found)), list(found.values()))
            case m.Drop(key):
                self._keeper.drop(key)
                send(m.Done())
            case m.Keys(after):
                send(m.KeyPage(*self._keeper.page(after, m.PAGE_KEYS)))
            case m.Spawn():
                self._spawn(connection, request, fds)
            case m.Signal(key, signum):
                self._processes.signal(key, signum)
                send(m.Done())
            case m.Processes(after):
                send(m.ProcessPage(*self._processes.page(after, m.PAGE_KEYS)))
            case m.Watch():
                self._watchers.add(connection)
                send(m.Done())
            case m.Forget(key):
                self._processes.forget(key)
                send(m.Done())
            case m.Shutdown():
                send(m.Done())
                self._shut_down()

    def _spawn(self, asker: socket.socket, request: m.Spawn, fds: Sequence[int]) -> None:
        """Start a program; the reply waits until it runs."""
        if self._ends_at is not None:
            raise ValueError("the lab is shutting down")
        sandbox = self._keeper.get(request.sandbox) if request.sandbox is not None else {}
        stdio = [*fds, *[self._null] * (3 - len(fds))]

        def started(error: OSError | None) -> None:
            if error:
                text = str(error.strerror)
                self._send(asker, m.Failed("os", text, error.errno or 0, request.key))
            else:
                self._send(asker, m.Spawned(request.key, process.pid))

        process = self._processes.start(
            request.key, request.argv, request.env, request.cwd, sandbox, stdio, started
        )
        self._await_start(process)


def _log(text: str) -> None:
    print(f"{time.strftime('%Y-%m-%d %H:%M:%S')} {text}", file=sys.stderr, flush=True)


def make_pod_logs(state: str, pid: int) -> None:
    """Make logs/pods lead to a file system in memory, which goes with us: a file per container."""
    root = syscalls.detached_mount("tmpfs")
    os.symlink(f"/proc/{pid}/fd/{root}", os.path.join(state, "logs", "pods"))


def main() -> None:
    """`python -m netsim.lab.init LAB STATE HANDSHAKE_FD SERVICES`, as launch starts it.

    SERVICES is JSON: argv by key, or null for DEFAULT. A byte goes to HANDSHAKE_FD once init.sock
    listens and lab.json is written; if the descriptor ends without, the log says why.
    """
    lab, state, handshake = sys.argv[1], sys.argv[2], int(sys.argv[3])
    argvs = json.loads(sys.argv[4])
    os.set_inheritable(handshake, False)
    os.umask(0o022)  # programs inherit it; the state directory is private anyway
    hosts_namespace = own_pid_namespace()
    pid = become_init()
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
    env = {**os.environ, "NETSIM_LAB": lab, "NETSIM_STATE": state, "NETSIM_INIT_PID": str(pid)}
    services = [
        Service(key, argv, state) for key, argv in (DEFAULT if argvs is None else argvs).items()
    ]
    make_pod_logs(state, pid)
    init = Init(os.path.join(state, "init.sock"), services, env)
    write_info(Path(state), lab, pid, hosts_namespace)
    os.write(handshake, b"1")  # fails, and ends us, if nobody waits for this lab any more
    os.close(handshake)
    gc.collect()
    gc.freeze()  # a child that collects garbage would copy our pages
    init.run()
    _log("ends")


if __name__ == "__main__":
    main()
