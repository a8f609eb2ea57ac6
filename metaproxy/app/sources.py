"""
What the application keeps of where a configuration came from.

Lives here: `Source`, `Refusals`, the stamps of files. Does not: putting a configuration in force (`application`),
checking it (`config.check` for texts, `config.value_check` for values).
"""

from __future__ import annotations

import os
from collections.abc import Mapping, Sized
from dataclasses import dataclass, field
from pathlib import Path

from metaproxy.admin.roles import Refusal
from metaproxy.config import model, references
from metaproxy.config.named_files import Confinement
from metaproxy.config.schema.load import Loader, load_own
from metaproxy.plugins import Registry


@dataclass(frozen=True, slots=True)
class Source:
    """
    Where a configuration came from. name: what errors, the log and the admin API call it.

    The rest is for configurations that were read from a text: the text, from which the configuration is made again
    when a live value or a file that it refers to changes; what keeps it from naming files; the plugins that it was
    checked with; and the stamps of files, taken before they were read.
    """

    name: str
    text: str | bytes | None = None
    confined: Confinement | None = None
    plugins: Registry | None = None
    stamps: Mapping[Path, object] = field(default_factory=dict)

    @property
    def written(self) -> str:
        """The text; '' when there is none."""
        text = self.text or ""
        return text if isinstance(text, str) else text.decode()


class Refusals:
    """What was refused last of each source, as long as nothing of it was applied since; '': the base."""

    def __init__(self) -> None:
        self._by_source: dict[str, Refusal] = {}

    def keep(self, refusal: Refusal, part: str = "") -> None:
        self._by_source.pop(part, None)
        self._by_source[part] = refusal

    def drop(self, part: str = "") -> None:
        """Something of this source is in force, or nothing is wanted of it."""
        self._by_source.pop(part, None)

    def of(self, part: str = "") -> Refusal | None:
        return self._by_source.get(part)

    @property
    def last(self) -> Refusal | None:
        """The latest of all."""
        return next(reversed(self._by_source.values()), None)


def written_runtime(text: str | bytes, file: str, loader: Loader = load_own) -> dict[str, object]:
    """Return `runtime:` as a text that is right has it, without the values that were changed live."""
    root = loader(text, file, None, None).root
    table = root.value.get("runtime") if root is not None and isinstance(root.value, dict) else None
    if table is None or not isinstance(table.value, dict):
        return {}
    return {name: node.value for name, node in table.value.items()}


def file_stamp(file: str) -> object:
    """
    Return what differs when the file was written or replaced; None while there is none, as it may be about to be moved
    to its place.
    """
    try:
        stat = os.stat(file)
    except OSError:
        return None
    return (stat.st_mtime_ns, stat.st_size, stat.st_ino)


def stamps_of(config: model.Config, known: Mapping[Path, object] | None = None) -> dict[Path, object]:
    """
    Return the stamps of certificates, keys and secrets: their content is part of the configuration. known: those of
    files that need no look.
    """
    known = known or {}
    return {path: known[path] if path in known else file_stamp(str(path)) for path in references.files_of(config)}


def is_open(admin: model.Admin) -> bool:
    """Return whether the admin API answers everybody: no tokens, client certificates, or socket of one user."""
    known = admin.tokens is not None or (admin.tls is not None and admin.tls.client_ca is not None)
    return not known and not admin.listen.startswith("unix:")


def count_of(things: Sized, name: str) -> str:
    return f"{len(things)} {name}" if len(things) == 1 else f"{len(things)} {name}s"
