"""C programs of this folder: compiled when first used, kept by a digest of their sources."""

from __future__ import annotations

import hashlib
import os
import subprocess
import tempfile
from collections.abc import Sequence
from pathlib import Path

HERE = Path(__file__).parent
CSRC = HERE.parent / "csrc"
# Those of a release build in setup.py, and symbols.
RELEASE = ("-O3", "-fno-semantic-interposition", "-fvisibility=hidden", "-fPIC", "-DNDEBUG", "-g")
WARNINGS = ("-Wall", "-Wextra", "-Wconversion", "-Wshadow")


def compiled(name: str, sources: Sequence[Path], flags: Sequence[str] = ("-O2",)) -> Path:
    """Path of a program made of C files; RuntimeError with the compiler's words when it fails."""
    command = ["gcc", "-std=c11", "-D_GNU_SOURCE", *WARNINGS, f"-I{CSRC}", *flags]
    digest = hashlib.sha256(" ".join([*command, *map(str, sources)]).encode())
    for folder in sorted({source.parent for source in sources} | {CSRC}):
        for file in sorted(folder.glob("*.[ch]")):
            digest.update(file.read_bytes())
    where = Path(tempfile.gettempdir(), f"netsim-bench-{name}-{digest.hexdigest()[:16]}")
    if where.exists():
        return where
    fresh = where.with_suffix(f".{os.getpid()}")  # somebody else may be making the same
    done = subprocess.run(
        [*command, *map(str, sources), "-o", str(fresh), "-pthread"],
        capture_output=True,
        text=True,
        check=False,
    )
    if done.returncode:
        raise RuntimeError(done.stderr)
    fresh.rename(where)
    for old in where.parent.glob(f"netsim-bench-{name}-{'[0-9a-f]' * 16}"):
        if old != where:
            old.unlink(missing_ok=True)
    return where


def core(name: str) -> Path:
    """NAME.c of this folder with the data plane around it, except the engine, as in a release."""
    sources = [c for c in sorted(CSRC.glob("*.c")) if not c.stem.startswith("engine")]
    shared = compiled("core", [HERE / "path_lab.c", *sources], (*RELEASE, "-r"))
    return compiled(name, [HERE / f"{name}.c", shared], RELEASE)
