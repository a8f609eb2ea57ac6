"""
Which of the two paths runs: the modules of the data path as C, or as plain Python.

An installation may have both: `import` takes what is compiled. METAPROXY_PURE=1 in the environment has it take the
.py files, which are the source of both. Lives here: `running`, `use_pure`. Does not: what is compiled (`setup.py`).
"""

from __future__ import annotations

import os
import sys
from collections.abc import Sequence
from importlib.machinery import (
    EXTENSION_SUFFIXES,
    SOURCE_SUFFIXES,
    ExtensionFileLoader,
    FileFinder,
    ModuleSpec,
    SourceFileLoader,
)
from importlib.util import find_spec
from types import ModuleType

VARIABLE = "METAPROXY_PURE"


class PureFinder:
    """Finds modules of this package as Python, where there are both; what is there in C alone is not found."""

    def find_spec(self, name: str, path: Sequence[str] | None, target: ModuleType | None = None) -> ModuleSpec | None:
        if path is None or not name.startswith("metaproxy."):
            return None
        for folder in path:
            spec = FileFinder(folder, (SourceFileLoader, SOURCE_SUFFIXES)).find_spec(name)
            if spec is not None and spec.loader is not None:
                return spec
            if FileFinder(folder, (ExtensionFileLoader, EXTENSION_SUFFIXES)).find_spec(name) is not None:
                raise ModuleNotFoundError(f"{name} is there in C only ({VARIABLE} is set)", name=name)
        return None


def use_pure() -> None:
    """Have what is imported from now on be Python, if the environment asks for it."""
    if os.environ.get(VARIABLE, "") not in ("", "0"):
        sys.meta_path.insert(0, PureFinder())


def running() -> str:
    """'compiled' or 'pure'."""
    spec = find_spec("metaproxy.message")
    return "compiled" if spec is not None and isinstance(spec.loader, ExtensionFileLoader) else "pure"
