"""What a machine or a user lacks is said with its fix, exit 4: never a traceback."""

from __future__ import annotations

import json
import shutil
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path

import pytest

from tests.cli.command import EXAMPLES, environment, run

pytestmark = pytest.mark.linux

QUICKSTART = str(EXAMPLES / "quickstart.yaml")
AS_NOBODY = ("setpriv", "--reuid", "65534", "--regid", "65534", "--clear-groups")
WITHOUT_TUN = (
    "unshare",
    "--mount",
    "--propagation",
    "private",
    "sh",
    "-c",
    'mount -t tmpfs none /dev && exec "$@"',
    "sh",
)


@pytest.fixture(autouse=True)
def own_root(
    tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch
) -> Iterator[Path]:
    path = tmp_path_factory.mktemp("run")
    monkeypatch.setenv("NETSIM_RUN", str(path))
    yield path
    assert list(path.iterdir()) == []


NEED_ROOT = [
    ("up", QUICKSTART),
    ("down",),
    ("ps",),
    ("status",),
    ("get", "pods"),
    ("describe", "svc/web"),
    ("apply", "-f", QUICKSTART),
    ("delete", "pod/x"),
    ("scale", "deploy/web", "--replicas", "1"),
    ("exec", "x", "--", "true"),
    ("logs", "x"),
    ("capture", "x"),
]


def as_nobody(*args: str) -> Sequence[object]:
    if shutil.which("setpriv") is None:
        pytest.skip("setpriv is not installed")
    result = run(*args, before=AS_NOBODY, env=environment(PYTHONDONTWRITEBYTECODE="1"))
    return result


@pytest.mark.parametrize("args", NEED_ROOT, ids=lambda args: args[0])
def test_without_root_the_fix_is_sudo(args: tuple[str, ...]) -> None:
    assert as_nobody(*args) == (
        4,
        "",
        "error: netsim needs root\n  hint: run it with sudo\n",
    )


@pytest.mark.parametrize(
    "args",
    [
        ("validate", QUICKSTART),
        ("up", "--dry-run", QUICKSTART),
        ("version",),
        ("completion", "bash"),
        ("get", "--help"),
    ],
    ids=lambda args: args[0],
)
def test_what_needs_no_root_works_without(args: tuple[str, ...]) -> None:
    assert as_nobody(*args)[0] == 0


def test_doctor_says_what_is_missing_without_root() -> None:
    code, out, err = as_nobody("doctor")
    assert (code, err) == (4, "")
    assert "MISSING  privilege: user id 65534 lacks CAP_NET_ADMIN and CAP_SYS_ADMIN\n" in str(out)
    assert "fix: run netsim as root: sudo netsim ..." in str(out)


def test_without_a_tun_device_up_says_how_to_get_one() -> None:
    said = run("up", QUICKSTART, before=WITHOUT_TUN)
    assert said.code == 4
    assert said.out == ""
    assert "error: this machine can not run a lab" in said.err
    assert "tun: /dev/net/tun: No such file or directory" in said.err
    assert "modprobe tun" in said.err
    assert "Traceback" not in said.err


def test_doctor_as_json() -> None:
    said = run("doctor", "-o", "json")
    assert (said.code, said.err) == (0, "")
    told = json.loads(said.out)
    assert (told["kind"], told["ok"]) == ("Doctor", True)
    assert {"name", "required", "ok", "detail", "fix"} <= told["features"][0].keys()
    without = run("doctor", "-o", "json", before=WITHOUT_TUN)
    assert without.code == 4
    missing = [
        f["name"] for f in json.loads(without.out)["features"] if f["required"] and not f["ok"]
    ]
    assert missing == ["tun"]


def test_a_lab_that_insists_on_io_uring_is_told_when_there_is_none(tmp_path: Path) -> None:
    topology = tmp_path / "lab.yaml"
    topology.write_text("apiVersion: netsim.dev/v1alpha1\nkind: Lab\nspec: {io: io_uring}\n")
    refuse = (sys.executable, "-m", "tests.refuse", "io_uring")
    result = run("up", str(topology), before=refuse)
    assert result.code == 4
    assert "Lab.spec.io is io_uring, which this machine refuses" in result.err
    assert "io: auto" in result.err
