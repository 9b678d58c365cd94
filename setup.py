"""The build: C core and Cython skin into extensions, answerer, launcher, relay, load into programs.

NETSIM_BUILD=release|debug|asan|tsan|coverage picks a row of FLAVOURS; NETSIM_WERROR=1 makes
warnings in csrc errors. Objects are kept per flavour under build/ and remade only when a source or
a header is newer. Everything that does not depend on the flavour stands in pyproject.toml.
"""

from __future__ import annotations

import os
import shutil
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import NamedTuple

from Cython.Build import cythonize
from setuptools import Extension, setup
from setuptools.command.build_ext import build_ext
from setuptools.errors import LinkError


class Flavour(NamedTuple):
    """Flags after the interpreter's own; `sanitize` goes to the compiler and to the linker."""

    flags: tuple[str, ...]
    sanitize: tuple[str, ...] = ()
    linetrace: bool = False


CHECKED = ("-UNDEBUG", "-U_FORTIFY_SOURCE", "-DNETSIM_DEBUG", "-g", "-fno-omit-frame-pointer")
FLAVOURS = {
    "release": Flavour(("-O3", "-fno-semantic-interposition")),
    "debug": Flavour(("-O0", *CHECKED)),
    "asan": Flavour(
        ("-O1", *CHECKED), ("-fsanitize=address,undefined", "-fno-sanitize-recover=undefined")
    ),
    "tsan": Flavour(("-O1", *CHECKED), ("-fsanitize=thread",)),
    "coverage": Flavour(
        ("-O0", *CHECKED, "-DCYTHON_TRACE_NOGIL=1"), ("--coverage",), linetrace=True
    ),
}
NAME = os.environ.get("NETSIM_BUILD", "release")
if NAME not in FLAVOURS:
    raise SystemExit(f"NETSIM_BUILD={NAME}: choose one of {', '.join(FLAVOURS)}")
FLAVOUR = FLAVOURS[NAME]

WARNINGS = ["-Wall", "-Wextra", "-Wconversion", "-Wshadow"]
if os.environ.get("NETSIM_WERROR") == "1":
    WARNINGS.append("-Werror")
OURS = ["-std=c11", "-D_GNU_SOURCE", "-fvisibility=hidden", *WARNINGS]  # not what Cython makes
FLAGS = [*FLAVOUR.flags, *FLAVOUR.sanitize]

CORE = sorted(str(path) for path in Path("csrc").glob("*.c"))
PROGRAMS = {  # package data beside the modules
    name: sorted(str(path) for path in folder.glob("*.c"))
    for name, folder in {
        "answerer": Path("csrc/answerer"),
        "launcher": Path("csrc/launcher"),
        "relay": Path("csrc/relay"),
        "load": Path("benchmarks/load"),
    }.items()
}
# Without a dynamic linker they take half of the memory, and start sooner.
STATIC = ("answerer", "launcher", "relay")
HEADERS = sorted(str(path) for top in ("csrc", "benchmarks") for path in Path(top).rglob("*.h"))
PXD = sorted(str(path) for path in Path("netsim/dataplane").glob("*.pxd"))


def is_table(source: str) -> bool:
    """Whether a C file belongs to the tables: ranks 0 to 2, which build without the packet path."""
    stem = Path(source).stem
    mine = ("checksum", "endpoint_", "flow_", "frontend_", "service")
    return "table" in stem or stem.startswith(mine)


def extensions() -> list[Extension]:
    """One per .pyx; _tables is for tests and not in wheels."""
    c_sources = {
        "netsim/linux/_sandbox.pyx": sorted(map(str, Path("csrc/sandbox").glob("*.c"))),
        "netsim/dataplane/_tables.pyx": [c for c in CORE if is_table(c)],
        "netsim/dataplane/_core.pyx": CORE,
    }
    return [
        Extension(
            pyx.removesuffix(".pyx").replace("/", "."),
            [pyx, *sources],
            include_dirs=["csrc"],
            libraries=["pthread"],
            extra_link_args=list(FLAVOUR.sanitize),
        )
        for pyx, sources in c_sources.items()
    ]


class BuildExt(build_ext):
    """Compiles what is stale, on every core; then also links the programs."""

    def finalize_options(self) -> None:
        super().finalize_options()
        self.build_temp = f"{self.build_temp}-{NAME}"
        self.force = True  # link always: compiling is what we save, see compile_stale()
        if not self.inplace:
            self.extensions = [e for e in self.extensions if not e.name.endswith("._tables")]

    def build_extensions(self) -> None:
        compile_one = self.compiler.compile
        newest_header = max((Path(h).stat().st_mtime for h in [*HEADERS, "setup.py"]), default=0.0)

        def compile_stale(sources: list[str], *, output_dir: str, **options: object) -> list[str]:
            objects = self.compiler.object_filenames(sources, output_dir=output_dir)

            def make(source: str, obj: str) -> None:
                newest = max(newest_header, Path(source).stat().st_mtime)
                if Path(obj).exists() and Path(obj).stat().st_mtime > newest:
                    return
                mine = [*OURS, *FLAGS] if source.startswith(("csrc", "benchmarks")) else FLAGS
                compile_one([source], output_dir=output_dir, **{**options, "extra_postargs": mine})

            with ThreadPoolExecutor(os.cpu_count()) as pool:
                list(pool.map(make, sources, objects))
            return list(objects)

        self.compiler.compile = compile_stale
        super().build_extensions()
        for name, sources in PROGRAMS.items():
            self.build_program(name, compile_stale(sources, output_dir=self.build_temp))

    def build_extension(self, ext: Extension) -> None:
        directives = {"language_level": "3", "linetrace": FLAVOUR.linetrace}
        pyx, *rest = ext.sources
        where = None if FLAVOUR.linetrace else f"build/cython-{NAME}"  # seen by coverage
        before = Path(where or "", pyx).with_suffix(".c")
        [made] = cythonize(
            Extension(ext.name, [pyx]),
            build_dir=where,
            compiler_directives=directives,
            quiet=True,
            # it does not see the .pxd that a .pyx has by way of its package
            force=before.exists() and before.stat().st_mtime < max(map(os.path.getmtime, PXD)),
        )
        ext.sources = [*made.sources, *rest]
        super().build_extension(ext)

    def build_program(self, name: str, objects: list[str]) -> None:
        """A program that is package data: netsim/NAME."""
        where = Path(self.build_lib, "netsim")
        where.mkdir(parents=True, exist_ok=True)

        def link(*flags: str) -> None:
            self.compiler.link_executable(
                objects, name, output_dir=str(where), extra_postargs=[*FLAVOUR.sanitize, *flags]
            )

        try:
            link(*(["-static"] if name in STATIC and not FLAVOUR.sanitize else []))
        except LinkError:  # the distribution keeps libc.a in a package that is not here
            link()
        (where / name).chmod(0o755)

    def run(self) -> None:
        super().run()
        if self.inplace:
            for name in PROGRAMS:
                shutil.copy(Path(self.build_lib, "netsim", name), f"netsim/{name}.new")
                os.replace(f"netsim/{name}.new", f"netsim/{name}")  # it may be running

    def get_outputs(self) -> list[str]:
        where = "netsim" if self.inplace else f"{self.build_lib}/netsim"
        return [*super().get_outputs(), *(f"{where}/{name}" for name in PROGRAMS)]

    def get_output_mapping(self) -> dict[str, str]:
        mapping = dict(super().get_output_mapping())
        if self.inplace:
            mapping |= {f"{self.build_lib}/netsim/{name}": f"netsim/{name}" for name in PROGRAMS}
        return mapping


setup(ext_modules=extensions(), cmdclass={"build_ext": BuildExt})
