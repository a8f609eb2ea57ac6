"""
Objects of a mesh, such as MetaRouters, as resources for each node.

Lives here: `Mesh`, kept from one content to the next so that a change costs what it touches. Does not: what the objects
mean (`metaproxy.mesh`), whom they are for (`content`).
"""

from __future__ import annotations

from collections.abc import Collection, Hashable, Iterable, Mapping

from metaproxy.control.documents import Document
from metaproxy.control.nodes import Node
from metaproxy.control.resource_types import BY_NAME
from metaproxy.control.snapshot import Messages
from metaproxy.mesh.generator.generator import Generator
from metaproxy.mesh.generator.node import ProxyNode, node_of
from metaproxy.mesh.store import Store

BIND, APPLICATION = "METAPROXY_BIND", "METAPROXY_APPLICATION"
"""Keys of a node's metadata: where it listens for services whose address is not its own, and where its servers are."""


class Mesh:
    """The objects of some documents. Wrong ones are left out; the version before holds."""

    def __init__(self) -> None:
        self._generator = Generator()
        self._store = Store(self._generator)
        self._paths: set[str] = set()  # of documents with objects

    def fill(self, documents: Iterable[Document]) -> None:
        """Have the objects of these documents."""
        found = {one.path: one for one in documents}
        self.change(found, found)

    def change(self, paths: Collection[str], documents: Mapping[str, Document]) -> None:
        """Have the objects of the documents at these paths as they are now. Of one that is gone there are none."""
        found = [path for path in paths if path in documents and documents[path].objects]
        for path in self._paths.intersection(paths).difference(found):
            self._store.fill(path, ())
            self._paths.discard(path)
        for path in found:
            self._store.fill(path, documents[path].objects)
            self._paths.add(path)

    def key(self, node: Node) -> Hashable:
        """Return what nodes have in common that get the same; None where there is nothing to get."""
        if not self._paths:
            return None
        proxy = _proxy(node)
        return proxy, tuple(sorted(proxy.labels.items()))

    def resources(self, node: Node) -> Messages:
        """Return what a node gets. A message that did not change is the same object as before."""
        if not self._paths:
            return {}
        found = self._generator.resources(_proxy(node))
        kinds = {"listeners": found.listeners, "clusters": found.clusters, "endpoints": found.endpoints}
        return {BY_NAME[name].url: messages for name, messages in {**kinds, "routes": found.routes}.items()}


def _proxy(node: Node) -> ProxyNode:
    bind, application = node.metadata.get(BIND), node.metadata.get(APPLICATION)
    given = {"bind": bind, "app": application}
    return node_of(node.id, node.metadata, **{key: str(value) for key, value in given.items() if value})
