"""
Endpoints that a discovery found: from its plain data to those of a cluster, with the checks of a file.

Lives here: `FoundEndpoints`. Does not: what a cluster makes of them (`cluster.membership`, `cluster.cluster`).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

from metaproxy.cluster.endpoint import Endpoint
from metaproxy.config import clusters, model
from metaproxy.config.memo import Digest, digest
from metaproxy.config.schema.nodes import MAX_PROBLEMS, Node, Problem
from metaproxy.config.schema.reading import BROKEN, Reading
from metaproxy.config.schema.registry import NoPlugins
from metaproxy.config.schema.shape import Nested
from metaproxy.config.values import node_of

_ENDPOINT = Nested(model.Endpoint)
MAX_REPORTED = 3
"""Problems of one answer that are reported."""


class FoundEndpoints:
    """
    Endpoints of one cluster. One that comes again as it was in the answer before is the same object, and not read: in a
    cluster of a thousand a change of one costs little more than to look at the others.
    """

    def __init__(self) -> None:
        self._before: dict[Digest, Endpoint] = {}

    def __call__(self, items: Sequence[Mapping[str, object]]) -> list[Endpoint]:
        """Return the endpoints. Raises ValueError with all that is wrong with one, or with several."""
        reading = Reading("discovery", Path("/"), NoPlugins(), {}, {}, {})
        top = Node({}, 0, 0)
        root = Node([], 0, 0).hang(top, "endpoints")
        found: dict[str, Endpoint] = {}
        known: dict[Digest, Endpoint] = {}
        for place, item in enumerate(items):
            mark = digest(item)
            endpoint = self._before.get(mark) if mark is not None else None
            if endpoint is None:
                endpoint = _read(item, place, root, reading)
            if endpoint is not None:
                found[endpoint.address] = endpoint
                if mark is not None:
                    known[mark] = endpoint
        if reading.problems:
            raise ValueError("; ".join(f"{one.path}: {one.text}" for one in reading.problems[:MAX_REPORTED]))
        if len(found) < len(items):
            raise ValueError("an address is there twice")
        self._before = known
        return list(found.values())


def _read(item: object, place: int, root: Node, reading: Reading) -> Endpoint | None:
    """Return an endpoint, or None with what is wrong with it reported."""
    try:
        node = node_of(_plain(item)).hang(root, place)
    except ValueError as error:
        _report(reading, Problem("discovery", 0, 0, f"endpoints[{place}]", str(error)))
        return None
    if len(reading.problems) >= MAX_REPORTED:  # no more is reported
        return None
    spec = reading.read(_ENDPOINT, node)
    return None if spec is BROKEN else clusters.endpoint(spec)


def _report(reading: Reading, problem: Problem) -> None:
    if len(reading.problems) < MAX_PROBLEMS:
        reading.problems.append(problem)


def _plain(value: object) -> object:
    """Plain data; of what is none, such as an address of the standard library, its text."""
    if isinstance(value, Mapping):
        return {str(key): _plain(item) for key, item in value.items()}
    if isinstance(value, (list, tuple)):
        return [_plain(item) for item in value]
    return value if value is None or isinstance(value, (str, int, float)) else str(value)
