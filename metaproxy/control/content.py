"""
All documents of a source together: what each group of nodes is to have in each version.

Lives here: `Content`, `Scope`, whom a document is for. Does not: reading documents (`documents`), which version a node
gets (`rollout`, `plan`).

Whom a document is for stands in its path. Below `versions/NAME/` it belongs to that version alone, and below
`groups/NAME/` to the nodes whose cluster is NAME; both in either order. All else is for everyone. Where two have a
resource of one name, the one of a version counts before the one of all, and that of a group before both.
"""

from __future__ import annotations

from collections.abc import Collection, Hashable, Iterable, Mapping
from typing import NamedTuple

from google.protobuf.message import Message

from metaproxy.config.schema.nodes import Problem
from metaproxy.control.documents import Document
from metaproxy.control.mesh_objects import Mesh
from metaproxy.control.nodes import Node
from metaproxy.control.resource_types import BY_URL
from metaproxy.control.snapshot import EMPTY, Messages, Snapshot, snapshot

VERSIONS, GROUPS = "versions", "groups"


class Scope(NamedTuple):
    """Whom documents are for; "" for every version, every group."""

    version: str = ""
    group: str = ""

    def meets(self, other: Scope) -> bool:
        """Whether there are nodes that both are for."""
        return all(not one or not two or one == two for one, two in zip(self, other, strict=True))


def scope_of(path: str) -> Scope:
    """Return whom the document at a path is for."""
    found = {VERSIONS: "", GROUPS: ""}
    *folders, _ = path.split("/")
    for place, folder in enumerate(folders[:-1]):
        if folder in found and not found[folder]:
            found[folder] = folders[place + 1]
    return Scope(found[VERSIONS], found[GROUPS])


class Layer:
    """
    The documents of one scope. resources: by type URL and name; problems: names that two documents have.

    A change is made in a copy, at the speed of copying a dict, and looks at the documents that changed alone.
    """

    __slots__ = ("_owners", "documents", "problems", "resources")

    def __init__(self) -> None:
        self.documents: dict[str, Document] = {}
        self.resources: dict[str, dict[str, Message]] = {}
        self.problems: list[Problem] = []
        self._owners: dict[tuple[str, str], str] = {}

    def changed(self, paths: Iterable[str], documents: Mapping[str, Document]) -> tuple[Layer, dict[str, set[str]]]:
        """Return the layer with these documents as they are now, and the names that may be other, by type URL."""
        made = Layer()
        made.documents, made._owners = dict(self.documents), dict(self._owners)
        made.resources = dict(self.resources)
        touched: dict[str, set[str]] = {}
        paths = sorted(paths)
        for path in paths:
            made._remove(path, touched)
        for path in paths:
            if path in documents:
                made._add(path, documents[path], touched)
        return made, touched

    def _remove(self, path: str, touched: dict[str, set[str]]) -> None:
        document = self.documents.pop(path, None)
        for url, names in document.resources.items() if document is not None else ():
            for name in names:
                if self._owners.get((url, name)) == path:
                    del self._owners[url, name]
                    self._writable(url, touched).pop(name, None)
                    touched[url].add(name)

    def _add(self, path: str, document: Document, touched: dict[str, set[str]]) -> None:
        self.documents[path] = document
        for url, names in document.resources.items():
            for name, message in names.items():
                owner = self._owners.setdefault((url, name), path)
                if owner != path:
                    text = f"{BY_URL[url].name} {name!r} stands in {owner}, too, for the same nodes"
                    self.problems.append(Problem(path, 1, 1, "", text))
                    continue
                self._writable(url, touched)[name] = message
                touched[url].add(name)

    def _writable(self, url: str, touched: dict[str, set[str]]) -> dict[str, Message]:
        """Return the resources of a type, as a copy of this layer's own."""
        if url not in touched:
            touched[url] = set()
            self.resources[url] = dict(self.resources.get(url, ()))
        return self.resources[url]


class Content:
    """
    documents: by path. problems: why they can't be served as they are; versions, groups: names that there are.

    before: the content that was served before, which had no problems: what is the same in both is neither encoded nor
    made again. strict: whether an object of a mesh that is wrong is a problem; else the version of it before holds.
    changed: paths of all documents that are others than in `before`, or gone; without them every one is looked at.
    """

    def __init__(
        self,
        documents: Mapping[str, Document],
        before: Content | None = None,
        strict: bool = True,
        changed: Collection[str] | None = None,
    ) -> None:
        self.problems: list[Problem] = []
        self.documents = documents
        self._before = before
        self._layers: dict[Scope, Layer] = dict(before._layers) if before is not None else {}
        self._touched: dict[Scope, dict[str, set[str]]] = {}
        self._changed: dict[Scope, list[str]] = {}  # paths
        self._objects: dict[Hashable, tuple[str, ...]] = before._objects if before is not None else {}
        known: Mapping[str, Document] = before.documents if before is not None else {}
        if changed is None:
            there = [path for path, one in documents.items() if known.get(path) is not one]
            changed = [*there, *(known.keys() - documents.keys())]
        self._change(changed)
        self.versions = sorted({scope.version for scope in self._layers} - {""})
        self.groups = sorted({scope.group for scope in self._layers} - {""})
        self._snapshots: dict[object, Snapshot] = {}
        self._meshes: dict[Scope, Mesh] = {}
        new = [documents[path] for path in changed if path in documents]
        for document in new:
            self.problems += [*document.problems, *(document.wrong_objects if strict else ())]
        self._note_objects([known[path] for path in changed if path in known], new)

    def _change(self, changed: Collection[str]) -> None:
        """Bring the layers from the documents before to these."""
        for path in changed:
            self._changed.setdefault(scope_of(path), []).append(path)
        for scope, paths in self._changed.items():
            layer, self._touched[scope] = self._layers.get(scope, Layer()).changed(paths, self.documents)
            self.problems += layer.problems
            self._layers[scope] = layer
            if not layer.documents:
                del self._layers[scope]

    def _note_objects(self, old: Iterable[Document], new: Iterable[Document]) -> None:
        """
        Note where each object stands. One that stands in two places for one node is a problem: which of them counts
        would be anyone's guess.
        """
        gone = [(key, one.path) for one in old for key in _keys(one)]
        come = [(key, one.path) for one in new for key in _keys(one)]
        if not gone and not come:
            return
        self._objects = dict(self._objects)
        for key, path in gone:
            self._objects[key] = tuple(one for one in self._objects.get(key, ()) if one != path)
            if not self._objects[key]:
                del self._objects[key]
        for key, path in come:
            places, scope = self._objects.get(key, ()), scope_of(path)
            other = next((one for one in places if scope_of(one).meets(scope)), None)
            if other is not None:
                self.problems.append(Problem(path, 1, 1, "", f"{key} stands in {other}, too, for the same nodes"))
            self._objects[key] = (*places, path)

    def snapshot(self, version: str, node: Node) -> Snapshot:
        """Return what a node is to have in a version; the same object for all nodes that get the same."""
        scope = Scope(version if version in self.versions else "", node.cluster if node.cluster in self.groups else "")
        mesh = self._mesh(scope)
        key = scope, mesh.key(node)
        found = self._snapshots.get(key)
        if found is None:
            found = self._snapshots[key] = self._made(scope, mesh, node, key)
        return found

    def _made(self, scope: Scope, mesh: Mesh, node: Node, key: object) -> Snapshot:
        before = self._before.known(key) if self._before is not None else EMPTY
        generated = mesh.resources(node)
        if before is EMPTY or generated:
            made = snapshot(_together(generated, self._resources(scope)), before)
            return before if made.version == before.version else made
        touched: dict[str, set[str]] = {}
        for place in _places(scope):
            for url, names in self._touched.get(place, {}).items():
                touched.setdefault(url, set()).update(names)
        layers = [self._layers[place] for place in reversed(_places(scope)) if place in self._layers]

        def find(url: str, name: str) -> Message | None:
            return next(
                (found for one in layers if (found := one.resources.get(url, _NONE).get(name)) is not None), None
            )

        return before.changed(touched, find)

    def known(self, key: object) -> Snapshot:
        """Return a snapshot that was asked for; EMPTY for another one."""
        return self._snapshots.get(key, EMPTY)

    def _mesh(self, scope: Scope) -> Mesh:
        """Return the objects for a scope: those of the content before, brought to what is in this one."""
        found = self._meshes.get(scope)
        if found is None:
            found = self._before.mesh_before(scope) if self._before is not None else None
            if found is None:
                found = Mesh()
                found.fill(self._documents(scope))
            else:
                for place in _places(scope):
                    found.change(self._changed.get(place, ()), self.documents)
            self._meshes[scope] = found
        return found

    def mesh_before(self, scope: Scope) -> Mesh | None:
        """Give up the objects for a scope to the content that follows."""
        return self._meshes.pop(scope, None)

    def settle(self) -> None:
        """Forget the content before this one: streams that are to move have moved."""
        self._before = None

    def _resources(self, scope: Scope) -> Messages:
        merged: dict[str, dict[str, Message]] = {}
        for place in _places(scope):
            layer = self._layers.get(place)
            for url, resources in layer.resources.items() if layer is not None else ():
                merged[url] = {**merged.get(url, {}), **resources}
        return merged

    def _documents(self, scope: Scope) -> Iterable[Document]:
        """Those for everyone first, as later ones count."""
        for place in _places(scope):
            if place in self._layers:
                yield from self._layers[place].documents.values()


_NONE: Mapping[str, Message] = {}


def _keys(document: Document) -> list[Hashable]:
    """Return the keys of the objects of a document that can be read, in their order."""
    return [found.object.key for found in document.objects if found.object is not None]


def _places(scope: Scope) -> list[Scope]:
    """Return the scopes whose documents are for the nodes of a scope; what stands in a later one counts."""
    return list(dict.fromkeys((Scope(), Scope(scope.version), Scope(group=scope.group), scope)))


def _together(generated: Messages, written: Messages) -> Messages:
    """Return both; what is written counts before what is generated."""
    if not generated:
        return written
    return {url: {**generated.get(url, {}), **written.get(url, {})} for url in {**generated, **written}}
