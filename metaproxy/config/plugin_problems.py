"""
What is wrong with plugins, as problems of their own files.

Lives here: files that can't be loaded or whose plugins fail when they are tried; plugins of drop-in folders that no
configuration names. Does not: trying one (`smoke`), loading (`metaproxy.plugins`).
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from functools import partial

from metaproxy.config.schema.nodes import Problem
from metaproxy.config.smoke import smoke, watched
from metaproxy.interfaces import ICodec, IDiscovery, IFilter
from metaproxy.plugins import PluginError, Registry


def file_problems(errors: Mapping[str, str]) -> list[Problem]:
    """errors: `Registry.errors`. Each with the line of the file where it happened, the exception first."""
    found = []
    for path, text in errors.items():
        line = int(([*re.findall(rf'File "{re.escape(path)}", line (\d+)', text)] or ["1"])[-1])
        lines = text.strip().splitlines() or [""]
        found.append(Problem(path, line, 1, "", f"the plugin can't be loaded: {lines[-1]}"))
    return found


def try_unused(registry: Registry, injected: Mapping[str, object]) -> None:
    """
    Tries each plugin of a drop-in folder that can be built without options, so that `registry.errors` has those that
    fail. Balancers need endpoints: they are tried where a cluster names them.
    """
    for interface in (ICodec, IFilter, IDiscovery):
        for name in registry.names(interface):
            if registry.origin(interface, name) is None:
                continue
            try:
                factory = registry.factory(interface, name, {}, injected)
                built = watched(factory)
                watched(partial(smoke, interface, built))
            except PluginError as error:
                registry.blame(interface, name, f"{name}: {error}")
            except BaseException:  # options are missing, say: a configuration that names it tells
                continue
