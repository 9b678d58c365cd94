"""C drivers under sanitizers, of threads and of a table that Python does not see."""

from __future__ import annotations

import os
import shutil
import subprocess
from pathlib import Path

import pytest

HERE = Path(__file__).parent
CSRC = HERE.parent.parent / "csrc"
TABLES = [
    "endpoint_slots",
    "frontend_index",
    "peer_table",
    "route_table",
    "service",
    "service_table",
    "tables",
]
FLAGS = ["-std=c11", "-D_GNU_SOURCE", "-g", "-O1", "-Wall", "-Wextra", "-Werror", "-pthread"]

RUNS = [
    ("publish: no data race", "publish_stress", TABLES, "thread", ""),
    ("publish: no use after free, no leak", "publish_stress", TABLES, "address,undefined", ""),
    ("publish: unannounced readers are noticed", "publish_stress", TABLES, "address", "after-free"),
    ("load: an array says the same", "load_stress", ["load_table"], "address,undefined", ""),
    ("arena: no data race", "arena_stress", ["flow_arena"], "thread", ""),
]


@pytest.mark.parametrize(
    ("name", "driver", "sources", "sanitizer", "report"), RUNS, ids=[r[0] for r in RUNS]
)
def test_drivers(
    name: str, driver: str, sources: list[str], sanitizer: str, report: str, tmp_path: Path
) -> None:
    compiler = os.environ.get("CC", "gcc").split()
    if not shutil.which(compiler[0]):
        pytest.skip(f"no C compiler: {compiler[0]}")
    program = tmp_path / driver
    files = [str(HERE / f"{driver}.c"), *(str(CSRC / f"{s}.c") for s in sources)]
    broken = ["-DBROKEN"] if report else []
    build = [*compiler, *FLAGS, f"-fsanitize={sanitizer}", *broken, f"-I{CSRC}", *files]
    subprocess.run([*build, "-o", str(program)], check=True)
    env = {k: v for k, v in os.environ.items() if k not in ("LD_PRELOAD", "ASAN_OPTIONS")}
    done = subprocess.run([program], capture_output=True, text=True, env=env, check=False)
    if report:
        assert report in done.stderr
        assert done.returncode != 0
    else:
        assert done.returncode == 0, done.stderr
        assert "changes" in done.stdout
