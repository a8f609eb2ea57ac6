"""
In which form the text of a configuration is: our own, or an Envoy bootstrap.

Lives here: `loader_of`. Does not: reading either (`config.schema.load`, `envoy.bootstrap`; the latter is imported when
there is one, as its messages take time and memory).
"""

from __future__ import annotations

from collections.abc import Mapping

from metaproxy.config.schema.load import Loaded, Loader, load_own
from metaproxy.config.schema.nodes import Problem, Scalar
from metaproxy.support.extras import install

_MARKS = ("static_resources", "dynamic_resources", "staticResources", "dynamicResources")
"""Words of which each bootstrap has one; a text that has one need be none."""


def loader_of(lenient: bool = False) -> Loader:
    """What reads a text in either form. lenient: what can't be honoured of a bootstrap is a warning."""

    def load(
        text: str | bytes,
        filename: str,
        environ: Mapping[str, str] | None = None,
        runtime: Mapping[str, Scalar] | None = None,
    ) -> Loaded:
        if not _may_be_bootstrap(text):
            return load_own(text, filename, environ, runtime)
        try:
            from metaproxy.envoy.bootstrap import load_bootstrap
        except ImportError as error:
            said = f"an Envoy bootstrap needs packages that are not installed ({error.name}); {install('envoy')}"
            return Loaded(None, [Problem(filename, 1, 1, "", said)])
        loaded = load_bootstrap(text, filename, lenient, runtime)
        return load_own(text, filename, environ, runtime) if loaded is None else loaded

    return load


def _may_be_bootstrap(text: str | bytes) -> bool:
    if isinstance(text, str):
        return any(mark in text for mark in _MARKS)
    return any(mark.encode() in text for mark in _MARKS)
