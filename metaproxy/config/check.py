"""
From a configuration's text to a `Config`, or to everything that is wrong with it.

Lives here: `check`. Does not: what a single key may hold (`model`); rules between several keys (`rules`); making
anything that runs (`build`).
"""

from __future__ import annotations

import os
from collections.abc import Iterable, Mapping
from dataclasses import replace
from pathlib import Path

from twisted.internet.task import Clock

from metaproxy.config import model
from metaproxy.config.named_files import Confinement, NamedFile, named_files, place
from metaproxy.config.plugin_problems import file_problems
from metaproxy.config.rules.every import RULES
from metaproxy.config.schema.load import Loader, load, load_own
from metaproxy.config.schema.nodes import ConfigErrors, Node, Problem, Scalar, take_apart
from metaproxy.config.schema.reading import BROKEN, Broken, Enough, Reading
from metaproxy.config.schema.registry import NoPlugins, Plugins
from metaproxy.config.schema.shape import Nested
from metaproxy.proxy.service_clusters import ServiceClusters

__all__ = ["ConfigErrors", "Problem", "check", "plugin_folders"]

_ROOT = Nested(model.Config)


def check(
    text: str | bytes,
    filename: str,
    registry: Plugins,
    environ: Mapping[str, str] | None = None,
    folder: Path | None = None,
    injected: Mapping[str, object] | None = None,
    runtime: Mapping[str, Scalar] | None = None,
    confined: Confinement | None = None,
    clusters: Iterable[str] = (),
    loader: Loader = load_own,
) -> tuple[model.Config | None, list[Problem]]:
    """
    The configuration, or None and all that is wrong with the text, in the order of the file. Raises nothing.

    filename: as errors and `Config.source` have it; folder: what relative paths start from, the file's by default;
    environ: the variables, the process's by default; injected: what plugins' constructors get besides their options,
    here and when they are built in earnest; a clock that stands still by default; runtime: values that were changed
    live, in the place of those of `runtime:`; confined: refuses files; clusters: names of those that others give;
    loader: what makes a tree of the text.
    Codecs, filters and balancers are built and forgotten again.
    """
    environ = os.environ if environ is None else environ
    loaded = loader(text, filename, environ, runtime)
    root, problems = loaded.root, loaded.problems
    if root is None:
        return None, problems
    reading = Reading(
        filename,
        _folder(filename, folder),
        registry,
        environ,
        injected or {"clock": Clock(), "node": model.Node(), "clusters": ServiceClusters(Clock()), "xds": None},
        RULES,
    )
    reading.used = loaded.used
    config: model.Config | Broken = BROKEN
    try:
        _plugins_are_allowed(root, reading, confined)
        config = reading.read(_ROOT, root)
        reading.check_references({"cluster": clusters})
        _files_are_allowed(config, root, reading, registry, confined)
    except Enough:
        pass
    problems = _sorted(*problems, *map(loaded.moved, reading.problems))
    reading.forget()
    take_apart(root)
    if problems or config is BROKEN:
        # What a file that can't be loaded was to bring is missing for that reason: it comes first.
        causes = file_problems(registry.errors) if reading.unknown_plugins else []
        return None, [*causes, *problems]
    warnings = _sorted(*loaded.warnings, *map(loaded.moved, reading.warnings))
    return replace(config, source=filename, warnings=tuple(warnings)), []


def _sorted(*problems: Problem) -> list[Problem]:
    """Each once, in the order of the file."""
    return sorted(set(problems), key=lambda problem: (problem.line, problem.column, problem.path))


def _plugins_are_allowed(root: Node, reading: Reading, confined: Confinement | None) -> None:
    """Before anything else is looked at: what follows would miss the plugins. Raises Enough."""
    node = root.value.get("plugins") if isinstance(root.value, dict) else None
    if confined is None or node is None:
        return
    folders = reading.read(model.FOLDERS, node)
    given = () if folders is BROKEN else folders
    named = [NamedFile(("plugins", i), "plugins", str(one)) for i, one in enumerate(given)]
    refused = list(confined.refused(named))
    for one, text in refused:
        reading.problem(place(root, one.keys), text)
    if refused:
        raise Enough


def _files_are_allowed(
    config: object, root: Node, reading: Reading, registry: Plugins, confined: Confinement | None
) -> None:
    if confined is not None and config is not BROKEN and not reading.problems:
        for one, text in confined.refused(named_files(config, registry.load)):
            reading.problem(place(root, one.keys), text)


def plugin_folders(
    text: str | bytes, filename: str, environ: Mapping[str, str] | None = None, folder: Path | None = None
) -> list[Path]:
    """The folders of `plugins:`, which a registry must know before it can serve `check`; [] where they are wrong."""
    root, _ = load(text, filename, environ)
    if root is None:
        return []
    if not isinstance(root.value, dict) or "plugins" not in root.value:
        take_apart(root)
        return []
    reading = Reading(filename, _folder(filename, folder), NoPlugins(), {}, {}, {})
    folders = reading.read(model.FOLDERS, root.value["plugins"])
    take_apart(root)
    return [] if folders is BROKEN else list(folders)


def _folder(filename: str, folder: Path | None) -> Path:
    return Path(filename).absolute().parent if folder is None else folder
