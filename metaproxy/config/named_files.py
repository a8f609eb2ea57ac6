"""
Which files a configuration names: folders of plugins, logs, certificates, secrets, options of plugins.

Lives here: `named_files`, and `Confinement`, which refuses those that another configuration does not name in the same
place: an admin API without tokens changes everything else, but can't be used to run code, or to read and write
files. Does not: which options the proxy's own sections have for files (each of kind `File`: a Path in the model).
"""

from __future__ import annotations

import inspect
import re
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import fields, is_dataclass
from functools import cache
from pathlib import Path
from types import NoneType
from typing import NamedTuple

from zope.interface.interface import InterfaceClass

from metaproxy.config.schema.nodes import Node
from metaproxy.config.schema.reading import Use
from metaproxy.config.slices import checkpoint
from metaproxy.interfaces import ICodec, IDiscovery, IFilter, ILoadBalancer

_PLUGINS: Mapping[str, InterfaceClass] = {
    "protocol": ICodec, "filters": IFilter, "balancer": ILoadBalancer, "discovery": IDiscovery,
}  # fmt: skip
"""Key of a section -> what the plugin at it is."""
_NAMES = re.compile(r"(?i)(.*[_-])?(files?|file_?names?|paths?|folders?|dirs?|director(y|ies))")
"""How options that hold paths are called in plugins that don't say which do."""


class NamedFile(NamedTuple):
    """keys: where it stands; option: the same without names and numbers, such as listeners.access_log.file."""

    keys: tuple[str | int, ...]
    option: str
    path: str


Load = Callable[[InterfaceClass, str], Callable[..., object]]
"""`Registry.load`."""


def named_files(config: object, load: Load) -> Iterator[NamedFile]:
    """
    All of them. A plugin's class may have `files`, such as ("target", "providers.*.file"): the options that name
    files. One that has none and does not come with metaproxy is taken to mean a file by each option that is called so
    (`path`, `words_file`), and by each text that has a slash and is no URL.
    """
    yield from _within(config, (), "", load)


def _within(value: object, keys: tuple[str | int, ...], option: str, load: Load) -> Iterator[NamedFile]:
    if isinstance(value, Path):
        yield NamedFile(keys, option, str(value))
    elif isinstance(value, Use):
        yield from _of_plugin(value, keys, option, load)
    elif is_dataclass(value) and not isinstance(value, type):
        checkpoint()
        for key in _compared(type(value)):
            item = getattr(value, key)
            if type(item) not in _NEVER_FILES and item != ():
                yield from _within(item, (*keys, key), f"{option}.{key}".lstrip("."), load)
    elif isinstance(value, Mapping):
        for key, item in value.items():
            yield from _within(item, (*keys, key), option, load)
    elif isinstance(value, (list, tuple)):
        for place, item in enumerate(value):
            yield from _within(item, (*keys, place), option, load)
    elif (isinstance(value, str) and option.endswith("listen") and value.startswith("unix:")) or (
        isinstance(value, str) and option == "xds.server" and "://" not in value and ("/" in value or ":" not in value)
    ):
        yield NamedFile(keys, option, value)


_NEVER_FILES = frozenset((NoneType, bool, int, float))
"""Types of most values: looking at these no further makes the walk over 10,000 routes three times as fast."""


@cache
def _compared(section: type) -> tuple[str, ...]:
    return tuple(one.name for one in fields(section) if one.compare)


def _of_plugin(use: Use, keys: tuple[str | int, ...], option: str, load: Load) -> Iterator[NamedFile]:
    if not use.options:  # nor need there be such a plugin: original_destination is none
        return
    code = load(_PLUGINS[option.rpartition(".")[2]], use.name)
    declared = getattr(code, "files", None)
    ours = (getattr(inspect.unwrap(code), "__module__", "") or "").startswith("metaproxy.")
    inner = keys if isinstance(keys[-1], str) else (*keys, use.name)
    for path, text in _texts(use.options, ()):
        if ours or declared is not None:
            names = any(_fits(path, pattern.split(".")) for pattern in declared or ())
        else:
            key = next((step for step in reversed(path) if isinstance(step, str)), "")
            names = _NAMES.fullmatch(key) is not None or _looks_like_a_path(text)
        if names:
            steps = ".".join(step for step in path if isinstance(step, str))
            yield NamedFile((*inner, *path), f"{option}.{use.name}.{steps}", text)


def _texts(value: object, path: tuple[str | int, ...]) -> Iterator[tuple[tuple[str | int, ...], str]]:
    if isinstance(value, str):
        yield path, value
    elif isinstance(value, Mapping):
        for key, item in value.items():
            yield from _texts(item, (*path, str(key)))
    elif isinstance(value, (list, tuple)):
        for place, item in enumerate(value):
            yield from _texts(item, (*path, place))


def _fits(path: tuple[str | int, ...], pattern: list[str]) -> bool:
    steps = [step for step in path if isinstance(step, str)]
    return len(steps) == len(pattern) and all(want in ("*", step) for want, step in zip(pattern, steps, strict=True))


def _looks_like_a_path(text: str) -> bool:
    return text.startswith(("file:", "unix:")) or ("/" in text and "://" not in text)


class Confinement:
    """allowed: the files that may stay."""

    HINT = "give the admin API tokens (admin.tokens), or change the configuration's file"

    def __init__(self, allowed: Iterable[NamedFile]) -> None:
        self._allowed = {(one.option, one.path) for one in allowed}

    def folders(self, folders: Iterable[Path]) -> list[Path]:
        """Those from which plugins may be loaded."""
        return [folder for folder in folders if ("plugins", str(folder)) in self._allowed]

    def refused(self, found: Iterable[NamedFile]) -> Iterator[tuple[NamedFile, str]]:
        """Each that is not allowed, with what to tell."""
        for one in found:
            if (one.option, one.path) not in self._allowed:
                key = next((step for step in reversed(one.keys) if isinstance(step, str)), "")
                text = (
                    f"{key}: {one.path} can't be given to an admin API without tokens, as it names a file; {self.HINT}"
                )
                yield one, text


def place(root: Node, keys: Iterable[str | int]) -> Node:
    """Where the keys lead in the text, as far as they are in it."""
    node = root
    for step in keys:
        inner = node.value
        if isinstance(inner, dict) and step in inner:
            node = inner[str(step)]
        elif isinstance(inner, list) and isinstance(step, int) and step < len(inner):
            node = inner[step]
    return node
