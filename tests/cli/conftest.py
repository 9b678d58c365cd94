"""Fixtures of the command line's tests: a state root of their own, and one lab for all of them."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from netsim.cli import main as root
from netsim.cli import output
from netsim.linux import features
from tests.cli.command import Main, Result, run, succeed

LAB = "shared"
TOPOLOGY = Path(__file__).with_name("topology.yaml")


@pytest.fixture(scope="package")
def state_root(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """Labs of these tests see no other labs, and are not seen."""
    path = tmp_path_factory.mktemp("run")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("NETSIM_RUN", str(path))
        yield path


@pytest.fixture
def empty_root(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A state root without any lab."""
    monkeypatch.setenv("NETSIM_RUN", str(tmp_path / "run"))
    return tmp_path / "run"


@pytest.fixture
def main(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], empty_root: Path
) -> Iterator[Main]:
    """Run the command in this process, with no lab on this machine."""

    def run_here(*args: str) -> Result:
        monkeypatch.setattr("sys.argv", ["netsim", *args])
        with pytest.raises(SystemExit) as ended:
            root.main()
        said = capsys.readouterr()
        assert isinstance(ended.value.code, int)
        return Result(ended.value.code, said.out, said.err)

    yield run_here
    output.set_color("never")
    output.set_debugging(False)


@pytest.fixture(scope="package")
def lab(state_root: Path) -> Iterator[str]:
    """The name of a lab with everything in it, ready. Tests leave it as they find it."""
    missing = features.missing()
    if missing:
        pytest.skip("; ".join(f"{f.name}: {f.detail}" for f in missing))
    succeed("up", str(TOPOLOGY), "--name", LAB)
    try:
        yield LAB
    finally:
        run("down", LAB)
