"""
The compiled path: each module with a .pxd file beside it becomes a C extension as well, where a compiler is.

All of them or none: what names each other's types is compiled together. METAPROXY_PURE=1 builds none;
METAPROXY_ONLY names some, for tools/fuzz_asan. All else that is installed stands in setup.cfg and pyproject.toml.
"""

from __future__ import annotations

import os
import sys
from pathlib import Path

from setuptools import Extension, setup
from setuptools.command.build_ext import build_ext

ROOT = Path(__file__).parent
DIRECTIVES = {
    "language_level": 3,
    # Annotations are for mypy, which takes a subclass of bytes for bytes; C types stand in the .pxd files.
    "annotation_typing": False,
    "binding": True,
}


def extensions() -> list[Extension]:
    package = ROOT / "metaproxy"
    files = sorted([*(path.with_suffix(".py") for path in package.rglob("*.pxd")), *package.rglob("*.pyx")])
    paths = {".".join(path.relative_to(ROOT).with_suffix("").parts): str(path.relative_to(ROOT)) for path in files}
    only = os.environ.get("METAPROXY_ONLY", "").split() or paths
    return [Extension(name, [paths[name]], extra_compile_args=["-O2", "-g0"]) for name in only]


class BuildPath(build_ext):
    """Compiles, or says in one line why it did not: metaproxy runs without."""

    def finalize_options(self) -> None:
        super().finalize_options()
        self.parallel = self.parallel or os.cpu_count()

    def run(self) -> None:
        if self.editable_mode:  # what is compiled would go on running when its file is edited
            self.extensions = []
            return
        try:
            from Cython.Build import cythonize

            made = cythonize(
                self.extensions,
                nthreads=os.cpu_count() or 1,
                quiet=True,
                build_dir=self.build_temp,
                compiler_directives=DIRECTIVES,
            )
            for extension in made:
                extension._needs_stub = False  # which setuptools had noted on those that these were made from
            self.extensions = self.distribution.ext_modules = made
            super().run()
        except Exception as error:  # whatever a compiler that is not there, or is too old, comes up with
            self._remove_made()
            why = f"{type(error).__name__}: {error}"
            sys.stderr.write(f"metaproxy: not compiled, it runs in plain Python ({why})\n")

    def _remove_made(self) -> None:
        """Some alone would not find the others."""
        for extension in self.extensions:
            Path(self.get_ext_fullpath(extension.name)).unlink(missing_ok=True)
        self.extensions = []


pure = os.environ.get("METAPROXY_PURE", "") not in ("", "0")
setup(ext_modules=[] if pure else extensions(), cmdclass={"build_ext": BuildPath})
