"""
Rules on objects of Kubernetes: whether what reads them is installed.

Lives here: `RULES`. Does not: the objects (`metaproxy.mesh`).
"""

from __future__ import annotations

from importlib.util import find_spec

from metaproxy.config import model
from metaproxy.config.rules.rule import Rules
from metaproxy.config.schema.reading import Reading
from metaproxy.support.extras import install

RULES = Rules()


@RULES.of(model.Crds)
def _packages_are_there(crds: model.Crds, reading: Reading) -> None:
    if find_spec("envoy") is None:
        reading.problem(reading.at(crds), f"objects of a mesh need the extra `xds`: {install('xds')}")
