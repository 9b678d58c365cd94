"""exec and logs: exit codes, signals, streams, a real terminal."""

from __future__ import annotations

import signal

import pytest

from tests.cli.command import finish, run, start, succeed
from tests.cli.terminal import Terminal

pytestmark = [pytest.mark.linux, pytest.mark.usefixtures("lab")]


def sh(script: str) -> tuple[str, ...]:
    return ("exec", "client", "--", "sh", "-c", script)


@pytest.mark.parametrize("code", [0, 1, 2, 3, 4, 5, 7, 126, 127, 130, 255])
def test_the_exit_code_is_the_programs(code: int) -> None:
    said = run(*sh(f"exit {code}"))
    assert (said.code, said.out, said.err) == (code, "", "")


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGKILL, signal.SIGINT, signal.SIGSEGV])
def test_a_program_killed_by_a_signal_gives_128_and_its_number(number: signal.Signals) -> None:
    assert run(*sh(f"kill -{number.value} $$")).code == 128 + number


def test_what_can_not_be_run_is_said_as_a_shell_does() -> None:
    said = run("exec", "client", "--", "no-such-program")
    assert (said.code, said.err) == (127, "no-such-program: No such file or directory\n")
    said = run("exec", "client", "--", "/etc/passwd")
    assert (said.code, said.err) == (126, "/etc/passwd: Permission denied\n")


def test_streams_are_the_programs() -> None:
    said = run(*sh("cat; echo err >&2"), stdin="in\n")
    assert (said.out, said.err) == ("in\n", "err\n")


def test_much_input_and_output_passes() -> None:
    much = "x" * 1_000_000
    assert run(*sh("cat"), stdin=much).out == much


def test_a_pod_has_its_own_name_address_and_peers() -> None:
    assert succeed("exec", "client", "--", "hostname").out == "client\n"
    address = succeed("get", "pod/client", "-o", "jsonpath={.status.podIP}").out
    assert f"inet {address}/32" in succeed("exec", "client", "--", "ip", "addr").out
    answer = succeed("exec", "client", "--", "curl", "-s", "http://10.96.0.80/hostname").out
    assert answer.strip() in succeed("get", "pods", "-o", "name").out


def test_targets_are_pods_of_a_namespace_and_nodes() -> None:
    assert succeed("exec", "-n", "shop", "till", "--", "hostname").out == "till\n"
    assert succeed("exec", "shop/till", "--", "hostname").out == "till\n"
    assert succeed("exec", "pod/client", "--", "hostname").out == "client\n"
    assert "cni0" in succeed("exec", "node/node1", "--", "ip", "link").out


def test_options_of_the_program_are_its_own() -> None:
    echo = ("--", "echo", "-n", "--help", "--debug", "--", "x")
    assert succeed("exec", "client", *echo).out == "--help --debug -- x"
    assert succeed("exec", "client", "echo", "-L", "a").out == "-L a\n"
    assert succeed("exec", "client", "sh", "-c", "echo $0 $1", "--", "a").out == "-- a\n"


@pytest.mark.parametrize(
    "words",
    [["-it", "client"], ["client", "-it"], ["client", "-n", "default"], ["-c", "shell", "client"]],
    ids=" ".join,
)
def test_kubectl_s_options_stand_before_or_after_the_target(words: list[str]) -> None:
    assert succeed("exec", *words, "--", "echo", "-n", "a").out == "a"


def test_an_option_of_exec_that_does_not_exist() -> None:
    for words in (["--nope", "client"], ["client", "--nope"]):
        said = run("exec", *words, "--", "true")
        assert (said.code, said.err.splitlines()[0]) == (2, "error: No such option '--nope'.")


def test_a_target_that_is_not_there() -> None:
    said = run("exec", "nope", "--", "true")
    assert said.code == 3
    assert said.err == (
        "error: lab shared has no pod default/nope that runs\n  hint: netsim get pods -A\n"
    )
    assert "hint: netsim get nodes\n" in run("exec", "node/nope", "--", "true").err
    assert "hint: the node is called node/node1\n" in run("exec", "node1", "--", "true").err


def test_a_terminal_is_the_programs() -> None:
    with Terminal(*sh("tty; stty size; test -t 0 && test -t 1 && test -t 2 && echo all")) as shown:
        code, text = shown.end()
    assert code == 0
    lines = text.splitlines()
    assert lines[0].startswith("/dev/pts/")
    assert lines[1:] == ["24 80", "all"]


def test_the_window_size_follows() -> None:
    script = "trap 'stty size; exit' WINCH; echo go; while :; do sleep 0.05; done"
    with Terminal(*sh(script), rows=24, columns=80) as shown:
        shown.read_until("go\n")
        shown.resize(50, 132)
        code, text = shown.end()
    assert (code, text) == (0, "50 132\n")


def test_ctrl_c_reaches_the_program_which_may_go_on() -> None:
    script = "trap 'echo caught' INT; echo go; read line; read line; echo $line"
    with Terminal(*sh(script)) as shown:
        shown.read_until("go\n")
        shown.type("\x03")
        shown.read_until("caught\n")
        shown.type("first\nsecond\n")
        code, text = shown.end()
    assert code == 0
    assert "second" in text


def test_ctrl_c_ends_a_program_that_does_not_care() -> None:
    with Terminal(*sh("echo go; exec sleep 100")) as shown:
        shown.read_until("go\n")
        shown.type("\x03")
        code, text = shown.end()
    assert code == 130
    assert "Traceback" not in text


def test_an_interactive_shell_has_job_control() -> None:
    with Terminal("exec", "client", "--", "bash", "--norc", "--noprofile", PS1="> ") as shown:
        shown.read_until("> ")
        shown.type("sh -c 'echo up; exec sleep 100'\n")
        shown.read_until("up\n")
        shown.type("\x1a")
        shown.read_until("Stopped")
        shown.type("kill -9 %1; while jobs -s | grep -q .; do :; done; exit 9\n")
        code, _ = shown.end()
    assert code == 9


def test_sigterm_is_passed_on() -> None:
    process = start(*sh("trap 'echo bye; exit 3' TERM; echo go; while :; do sleep 0.05; done"))
    assert process.stdout is not None
    assert process.stdout.readline() == "go\n"
    process.terminate()
    assert finish(process) == (3, "bye\n", "")


def test_logs_are_what_the_program_printed() -> None:
    assert succeed("logs", "client").out == "one\ntwo\nthree\n"
    assert succeed("logs", "pod/client", "--tail", "2").out == "two\nthree\n"
    assert succeed("logs", "client", "--tail", "0").out == ""
    assert succeed("logs", "client", "-c", "shell").out == "one\ntwo\nthree\n"


def test_logs_that_are_not_there() -> None:
    said = run("logs", "nope")
    assert (said.code, said.err) == (3, 'error: pods "nope" not found\n')
    assert run("logs", "client", "-c", "nope").code == 2
    assert run("logs", "client", "-n", "shop").code == 3


def test_logs_follow_until_ctrl_c() -> None:
    succeed(*sh("true"))
    process = start("logs", "-f", "client", "--tail", "1")
    assert process.stdout is not None
    assert process.stdout.readline() == "three\n"
    succeed(*sh("echo more > /proc/$(pgrep -o -f 'sleep infinity')/fd/1"))
    assert process.stdout.readline() == "more\n"
    process.send_signal(signal.SIGINT)
    said = finish(process)
    assert said.code == 130
    assert "Traceback" not in said.err
