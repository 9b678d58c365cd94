"""Builds what the I/O tests need besides the package: a small library and the engine's driver."""

from __future__ import annotations

import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.io.shim import Shim

HERE = Path(__file__).parent
CSRC = HERE.parents[1] / "csrc"
FLAGS = ["-std=c11", "-D_GNU_SOURCE", "-g", "-UNDEBUG", f"-I{CSRC}"]


def compile_c(cc: str, arguments: list[str]) -> None:
    done = subprocess.run([cc, *arguments], capture_output=True, text=True, check=False)
    if done.returncode:
        raise RuntimeError(done.stderr)


@pytest.fixture(scope="session")
def shim(cc: str, tmp_path_factory: pytest.TempPathFactory) -> Shim:
    """gso.c, gso_join.c, gso_join_udp.c and vnet.c as Python calls."""
    out = tmp_path_factory.mktemp("shim") / "shim.so"
    sources = [
        CSRC / f"{name}.c" for name in ("gso", "gso_join", "gso_join_udp", "vnet", "checksum")
    ]
    compile_c(
        cc,
        [
            *FLAGS,
            "-O1",
            "-shared",
            "-fPIC",
            str(HERE / "shim.c"),
            *map(str, sources),
            "-o",
            str(out),
        ],
    )
    return Shim(out)


@pytest.fixture(scope="session")
def no_segment(cc: str, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A library to load before the C library: no UDP_SEGMENT."""
    out = tmp_path_factory.mktemp("preload") / "no_segment.so"
    compile_c(cc, [*FLAGS, "-shared", "-fPIC", str(HERE / "no_segment.c"), "-o", str(out)])
    return out


@pytest.fixture(scope="session")
def build_driver(cc: str, tmp_path_factory: pytest.TempPathFactory) -> Callable[[str], Path]:
    """Compile engine_driver.c and the whole core with a sanitizer; returns the program."""
    made: dict[str, Path] = {}

    def build(sanitizer: str) -> Path:
        if sanitizer not in made:
            out = tmp_path_factory.mktemp("driver") / f"engine_driver.{sanitizer}"
            sources = [*sorted(HERE.glob("*driver*.c")), *sorted(CSRC.glob("*.c"))]
            compile_c(
                cc,
                [
                    *FLAGS,
                    "-O1",
                    f"-fsanitize={sanitizer}",
                    "-pthread",
                    "-o",
                    str(out),
                    *map(str, sources),
                ],
            )
            made[sanitizer] = out
        return made[sanitizer]

    return build
